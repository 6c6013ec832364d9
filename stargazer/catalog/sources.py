"""Where the catalog's entries come from: what comes along, what other packages add, what the settings name."""

from __future__ import annotations

import functools
import importlib
import inspect
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config, plugins
from stargazer.calls import Task
from stargazer.catalog.entries import Category, Entry, entry_of
from stargazer.catalog.modules import load, public_names
from stargazer.catalog.outputs import wires
from stargazer.errors import ConfigError, StargazerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint
    from types import ModuleType

__all__ = ["all_entries", "entries_elsewhere", "entries_here", "entries_of"]

GROUP = "stargazer.tasks"
"""Entry points of other packages: each a task, a workflow, or a module of them."""

OWN: tuple[tuple[str, str, Category, str], ...] = (
    ("stargazer.tasks.general", "general", "task", ""),
    ("stargazer.tasks.gatk", "gatk", "task", ""),
    ("stargazer.tasks.scrna", "scrna", "task", "scrna"),
    ("stargazer.workflows", "workflows", "workflow", "scrna"),
)
"""Modules of what comes along: their group, what they hold, and the extra that they need, or some of it does."""


class _Found(NamedTuple):
    """A task or workflow, or one that cannot be imported."""

    bare: str
    group: str
    function: Any
    category: Category = "workflow"
    how: str = ""


def all_entries() -> list[Entry]:
    """Return every task and workflow, those too that cannot be imported here.

    Raises
    ------
    ConfigError
        ``stargazer.catalog`` names what is not there.
    """
    return list(_entries(tuple(config.catalog())))


def entries_of(places: Iterable[str]) -> list[Entry]:
    """Return tasks and workflows of modules and files.

    Parameters
    ----------
    places
        Names of modules, and paths of files.

    Raises
    ------
    StargazerError
        One of them cannot be loaded.
    """
    modules = [load(str(Path(place).resolve()) if place.endswith(".py") else place) for place in places]
    return [entry_of(value) for module in modules for value in _values(module)]


def entries_here() -> list[Entry]:
    """Return what comes along."""
    return _named(_own())


def entries_elsewhere(configured: Iterable[str]) -> list[Entry]:
    """Return what other packages add, and the modules and files that the settings name."""
    return _named([*_installed(), *_configured(configured)])


@functools.lru_cache(maxsize=8)
def _entries(configured: tuple[str, ...]) -> list[Entry]:
    return _named([*_own(), *_installed(), *_configured(configured)])


def _named(sources: Iterable[_Found]) -> list[Entry]:
    """Entries of what was found; those of one name have their groups before it."""
    found = _unique(sources)
    counts: dict[str, int] = {}
    for each in found:
        counts[each.bare] = counts.get(each.bare, 0) + 1
    entries = [_entry(each, qualified=counts[each.bare] > 1) for each in found]
    return sorted(entries, key=lambda entry: (entry.category, entry.name))


def _entry(found: _Found, *, qualified: bool) -> Entry:
    name = f"{found.group}.{found.bare}" if qualified else found.bare
    if found.function is not None:
        try:
            return entry_of(found.function, name, found.group)
        except StargazerError as error:
            found = found._replace(how=str(error))
    return Entry(name, found.category, found.group, how=found.how)


def _unique(found: Iterable[_Found]) -> list[_Found]:
    """Each function once; a group that has two of one name tells them apart by a number."""
    seen: set[int] = set()
    names: dict[tuple[str, str], int] = {}
    unique = []
    for each in found:
        if each.function is not None and id(each.function) in seen:
            continue
        seen.add(id(each.function))
        number = names[each.group, each.bare] = names.get((each.group, each.bare), 0) + 1
        unique.append(each if number == 1 else each._replace(group=f"{each.group}-{number}"))
    return unique


def _own() -> Iterator[_Found]:
    for name, group, category, extra in OWN:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            if not (written := plugins.declared_tasks(name)):
                raise
            how = _extra(extra) if extra else str(error)
            yield from (_Found(each, group, None, category, how) for each in sorted(written))
            continue
        for each in module.__all__:
            try:
                value = getattr(module, each)
            except ImportError:
                yield _Found(each, group, None, category, _extra(extra))
                continue
            yield from [_Found(_name(value), group, value)] if _is_entry(value) else []


def _extra(name: str) -> str:
    return f"pip install 'stargazer-dask[{name}]'"


def _installed() -> Iterator[_Found]:
    """What the entry points of other packages lead to."""
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        package = point.dist.name if point.dist is not None else ""
        try:
            value = point.load()
        except Exception as error:  # noqa: BLE001 - whatever a package raises, the others are still there
            yield _Found(point.name, package or point.name, None, "task", f"{point.value}: {_told(error)}")
            continue
        yield from _members(value, point, package)


def _members(value: Any, point: EntryPoint, package: str) -> Iterator[_Found]:
    if inspect.ismodule(value):
        yield from (_Found(_name(each), point.name, each) for each in _values(value))
    elif isinstance(value, Task) or inspect.isfunction(value):
        yield _Found(point.name, package or point.name, value)
    else:
        yield _Found(point.name, package or point.name, None, "task", f"{point.value} is no task, workflow or module")


def _told(error: Exception) -> str:
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    return f"pip install {missing.partition('.')[0]}" if missing else f"{type(error).__name__}: {error}"


def _configured(places: Iterable[str]) -> Iterator[_Found]:
    """What the settings name: modules and files."""
    for where in places:
        if where.endswith(".py") and not Path(where).expanduser().is_absolute():
            raise ConfigError(
                f"stargazer.catalog names {where!r} ({config.origin_of('catalog')}); give the whole path, for else any "
                "folder that one works in could hold other code of that name"
            )
        place = str(Path(where).expanduser()) if where.endswith(".py") else where
        group = Path(where).stem if where.endswith(".py") else where.rpartition(".")[2]
        try:
            module = load(place)
        except StargazerError as error:
            yield _Found(group, group, None, "workflow", str(error))
            continue
        yield from (_Found(_name(value), group, value) for value in _values(module))


def _values(module: ModuleType) -> Iterator[Any]:
    """Tasks and workflows that a module offers."""
    for name in public_names(module):
        value = getattr(module, name)
        if _is_entry(value):
            yield value


def _is_entry(value: Any) -> bool:
    return isinstance(value, Task) or (inspect.isfunction(value) and wires(value))


def _body(value: Any) -> Any:
    return value.body if isinstance(value, Task) else value


def _name(value: Any) -> str:
    return str(_body(value).__name__)
