"""Whose code is it: the user's own, an installed package's, or the engine's."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import json
import os
import sys
import sysconfig
from pathlib import Path
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FunctionType

__all__ = [
    "distribution_of",
    "is_found",
    "is_in_archive",
    "is_of_python",
    "is_own",
    "is_standard",
    "label",
    "lies_with_python",
    "module_of",
    "public_label",
    "public_module",
]

ENGINE = "stargazer"
SCIENCE = (
    "stargazer.tasks",
    "stargazer.workflows",
    "stargazer.bio.singlecell",
    "stargazer.bio.variants",
    "stargazer.bio.simulate",
    "stargazer.embedded",
    "stargazer.tools.install",
)
"""Packages and modules of this project that shape results."""

INSTALLED = ("site-packages", "dist-packages")
METADATA = (".dist-info", ".egg-info")
"""Endings of what says which distribution is installed; the older one is that of packages of Debian."""

STANDARD = tuple(
    {f"{os.path.dirname(place)}{os.sep}" for place in (os.__file__, os.path.realpath(os.__file__))}
    | {f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib")}
)


def is_own(module: str, owner: str) -> bool:
    """Whether code of `module` counts towards the identity of a task of module `owner`.

    Own is whatever is not installed (scripts, notebooks, modules beside them, checkouts), what is installed from a
    folder or a repository, for it changes without a version, and what belongs to the task's own package. Of this
    project what shapes results counts (`SCIENCE`), and never what stores, looks up or runs, or each release would make
    every result stale.
    """
    top = module.partition(".")[0]
    if top == ENGINE:
        return f"{module}.".startswith(tuple(f"{name}." for name in SCIENCE))
    if top in ("__main__", owner.partition(".")[0]):
        return not is_standard(module)
    if top in sys.builtin_module_names:
        return False
    place = _place(module)
    if is_standard(module):
        return False
    return not _is_library(place) or _is_from_source(place, top) or _is_of_the_same(top, owner.partition(".")[0])


def is_standard(module: str) -> bool:
    """Whether a module is of the standard library; own ones may have the name of one."""
    top = module.partition(".")[0]
    if top in sys.builtin_module_names:
        return True
    if top not in sys.stdlib_module_names:
        return False
    place = _place(module)
    return not os.path.isabs(place) or (place.startswith(STANDARD) and not _is_library(place))


def lies_with_python(file: str) -> bool:
    """Whether a file is of the standard library, by its place: some of its modules have names that are in no list."""
    places = (os.path.abspath(file), os.path.realpath(file))
    return any(place.startswith(STANDARD) and not _is_library(place) for place in places)


def is_in_archive(file: str) -> bool:
    """Whether a module was imported from within a file, as of a zip; modules of cells have names of no file at all."""
    folder = os.path.dirname(file)
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return os.path.isfile(folder)


def distribution_of(module: str, owner: str) -> str | None:
    """Name of the installed distribution that a module came with; None for own code and the standard library."""
    top = module.partition(".")[0]
    if top == ENGINE or is_standard(module) or is_own(module, owner):
        return None
    place = _place(module)
    return _provider(_folder(place), top) if _is_library(place) else None


@functools.lru_cache(maxsize=4096)
def _is_library(place: str) -> bool:
    return any(part in INSTALLED for part in place.split(os.sep))


def _folder(place: str) -> str:
    """The folder of installed packages that a file lies in."""
    parts = place.split(os.sep)
    last = max(index for index, part in enumerate(parts) if part in INSTALLED)
    return os.sep.join(parts[: last + 1])


def _is_from_source(place: str, top: str) -> bool:
    return top in _from_source(_folder(place))


@functools.cache
def _from_source(folder: str) -> frozenset[str]:
    """Packages that were installed from a folder or a repository (PEP 610), not from an archive."""
    found: set[str] = set()
    for place in _metadata(folder):
        if os.path.exists(file := f"{place}{os.sep}direct_url.json"):
            url = json.loads(Path(file).read_text("utf-8"))
            if "dir_info" in url or "vcs_info" in url:
                found |= _tops(Path(place))
    return frozenset(found)


def _metadata(folder: str, begin: str = "") -> list[str]:
    """Places of the metadata of what is installed in a folder; a tenth of the time of a glob."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [each.path for each in entries if each.name.endswith(METADATA) and each.name.startswith(begin)]
    return []


def _is_of_the_same(top: str, owner: str) -> bool:
    """Whether two packages were installed together."""
    place = _place(owner)
    if not _is_library(place):
        return False
    provider = _provider(_folder(place), owner)
    return provider is not None and provider == _provider(_folder(place), top)


@functools.cache
def _provider(folder: str, top: str) -> str | None:
    """Name of the distribution that a package of a folder came with."""
    alike = min(map(Path, _metadata(folder, f"{top}-")), key=_is_older, default=None)
    found = alike if alike and top in _tops(alike) else _providers(folder).get(top)
    if not found:
        return None
    import importlib.metadata

    return str(importlib.metadata.PathDistribution(found).metadata["Name"])


@functools.cache
def _providers(folder: str) -> dict[str, Path]:
    places = sorted(map(Path, _metadata(folder)), key=_is_older, reverse=True)
    return {top: place for place in places for top in _tops(place)}


def _is_older(place: Path) -> bool:
    return place.suffix != METADATA[0]


def _tops(place: Path) -> set[str]:
    """Names that a distribution put beside its metadata."""
    listed = place / "top_level.txt"
    if listed.is_file():
        return set(listed.read_text("utf-8").split())
    if place.is_file():
        return {place.name.partition("-")[0]}
    record = place / "RECORD"
    lines = record.read_text("utf-8").splitlines() if record.is_file() else []
    heads = {line.partition(",")[0].partition("/")[0] for line in lines}
    return {head.partition(".")[0] for head in heads if not head.endswith((".dist-info", ".pth")) and head != ".."}


def _place(module: str) -> str:
    """File or directory of a module, without importing it; empty for one made in memory or not found."""
    name = module
    while name:
        loaded = sys.modules.get(name)
        found = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", ())), None)
        if found:
            return str(found)
        name = name.rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return ""
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return str(next(filter(None, places), ""))


def is_of_python(value: Any) -> bool:
    """Whether a built-in name means what Python gives it."""
    if isinstance(value, (type, BuiltinFunctionType)):
        return value.__module__ in ("builtins", "io", "_io")
    return value in (None, True, False, NotImplemented, ...) or type(value).__module__ == "_sitebuiltins"


def module_of(function: FunctionType) -> str:
    """Name of the module whose globals a function reads; decorators copy other functions' ``__module__``."""
    return str(function.__globals__.get("__name__") or function.__module__ or "__main__")


def label(value: Any) -> str:
    """Return ``module:name`` of a function, class or module."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
    return f"{getattr(value, '__module__', None) or 'builtins'}:{name}"


def public_label(value: Any) -> str:
    """Return `label` without private modules: where a library keeps a name differs from version to version."""
    module, _, name = label(value).partition(":")
    return f"{public_module(module)}:{name}"


def public_module(module: str) -> str:
    """Return the name of a module without its private parts."""
    public = [part for part in module.split(".") if not part.startswith("_")]
    return ".".join(public) or module.lstrip("_")


def is_found(value: Any, module: str) -> bool:
    """Whether a module has this very object under its name."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part, None) if isinstance(found, type) else getattr(found, part, None)
    return found is value or getattr(found, "__func__", None) is value or getattr(found, "__wrapped__", None) is value
