"""Where each setting comes from: a file, a variable of the environment, the program, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Setting", "in_force", "origin"]

ABSENT = object()


class Setting(NamedTuple):
    """A setting in force.

    Parameters
    ----------
    key
        As ``stargazer.profiles.slurm.cpus``.
    value
        What it is.
    origin
        A file, a variable of the environment, ``dask.config.set``, or the defaults.
    """

    key: str
    value: Any
    origin: str


def in_force(defaults: Mapping[str, Any], unsaid: Iterable[Setting] = ()) -> Iterator[Setting]:
    """Yield every setting, those of profiles too.

    Parameters
    ----------
    defaults
        What stands below ``stargazer`` if nobody says anything.
    unsaid
        What holds in place of some of these, where nobody says anything.
    """
    import dask.config

    merged = dask.config.merge({"stargazer": defaults}, {"stargazer": dask.config.get("stargazer", {})})
    instead = {each.key: each for each in unsaid}
    for each in _flat("stargazer", merged["stargazer"], list(_sources(defaults))):
        yield instead.get(each.key, each)


def origin(key: str, defaults: Mapping[str, Any]) -> str:
    """Where the value of one key comes from."""
    import dask.config

    return _origin(key, dask.config.get(key, default=ABSENT), list(_sources(defaults)))


def _flat(key: str, value: Any, sources: list[tuple[str, Any]]) -> Iterator[Setting]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(f"{key}.{name}", item, sources)
    else:
        yield Setting(key, value, _origin(key, value, sources))


def _origin(key: str, value: Any, sources: list[tuple[str, Any]]) -> str:
    for name, source in sources:
        found = _found(source, key)
        if found is not ABSENT:
            return _named(name, key) if _equal(found, value) else "dask.config.set"
    return "not set" if value is ABSENT else "dask.config.set"


def _equal(found: Any, value: Any) -> bool:
    """Mappings are merged from several sources: the first that has one is told."""
    return found == value or (isinstance(found, Mapping) and isinstance(value, Mapping))


def _named(name: str, key: str) -> str:
    return f"DASK_{key.upper().replace('-', '_').replace('.', '__')}" if name == "environment" else name


def _sources(defaults: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the settings are made of, the strongest first."""
    import dask.config

    yield "environment", dask.config.collect_env()
    for path, content in reversed(list(dask.config.collect_yaml(dask.config.paths, return_paths=True))):
        yield str(path), content
    yield "defaults", {"stargazer": defaults}


def _found(source: Any, key: str) -> Any:
    import dask.config

    for part in key.split("."):
        if not isinstance(source, Mapping):
            return ABSENT
        source = source.get(dask.config.canonical_name(part, dict(source)), ABSENT)
    return source
