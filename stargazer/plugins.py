"""What other installed packages add: tasks, asset types, store backends, remotes, kinds of profiles, integrations.

A package says in its metadata under which name it offers what (its entry points); that is read when somebody asks for
a name that Stargazer itself does not have. Its code is imported when the name is used, and never because it is
installed. `docs/extending.md` has an example of each.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ASSETS",
    "BACKENDS",
    "INTEGRATIONS",
    "NOTEBOOKS",
    "NOTEBOOK_FORMATS",
    "PROFILES",
    "PROVIDERS",
    "REMOTES",
    "TASKS",
    "Plugin",
    "PluginWarning",
    "declared",
    "declared_tasks",
    "exported",
    "find",
    "imported",
    "load",
    "load_all",
    "plugins",
]

TASKS = "stargazer.tasks"
"""A task, or a module whose tasks are meant."""

ASSETS = "stargazer.assets"
"""A subclass of `Asset`; the name is its asset key."""

BACKENDS = "stargazer.backends"
"""A backend of stores; the name is the scheme of their URLs."""

REMOTES = "stargazer.remotes"
"""A subclass of `Remote`; the name is its kind in the settings."""

PROFILES = "stargazer.profiles"
"""A kind of profiles; the name is what ``kind:`` says in the settings."""

INTEGRATIONS = "stargazer.integrations"
"""An integration of batches of cells, or a model of cell types (`stargazer.tasks.scrna.integrations`)."""

PROVIDERS = "stargazer.providers"
"""A function that asks models, of a `stargazer.prompts.Request` to an `Answer`; models are named after it."""

NOTEBOOK_FORMATS = "stargazer.notebook_formats"
"""A format of notebooks (`stargazer.notebook.flow.NotebookFormat`); the name is what ``format:`` says of an entry."""

NOTEBOOKS = "stargazer.notebooks"
"""A package whose folders ``tutorials`` and ``workflows`` hold notebooks; it is not imported for them."""


class PluginWarning(UserWarning):
    """What an installed package offers was left out of a list, for it cannot be imported."""


class Plugin(NamedTuple):
    """Code of another package that runs when it is used: an entry point.

    Parameters
    ----------
    group, name
        Under which it is asked for.
    place
        Module and object: ``"lab_tasks.kraken:kraken2"``.
    package
        Distribution that brings it, with its version.
    """

    group: str
    name: str
    place: str
    package: str


def plugins(group: str | None = None) -> tuple[Plugin, ...]:
    """List what installed packages offer, by name; nothing is imported.

    Parameters
    ----------
    group
        Only this one: ``"stargazer.tasks"``. By default all groups of all packages, Stargazer's own too.
    """
    return _installed(_path(), group)


def find(group: str, name: str) -> Any:
    """Load what a name of a group stands for; None where no installed package offers it.

    Raises
    ------
    PluginError
        Several packages offer it, or it cannot be imported.
    """
    found = [each for each in plugins(group) if each.name == name]
    if len(found) > 1:
        told = " and ".join(f"{each.package} ({each.place})" for each in found)
        raise PluginError(f"{name!r} of {group} is offered by {told}: uninstall one of them")
    return load(found[0]) if found else None


def load_all(group: str) -> Iterator[tuple[Plugin, Any]]:
    """Load all that is offered in a group; what cannot be imported is warned of and left out.

    Yields
    ------
    tuple
        Who offers it, and the object itself. Two packages may offer one name.
    """
    for each in plugins(group):
        try:
            loaded = load(each)
        except PluginError as error:
            warnings.warn(f"left out: {error}", PluginWarning, stacklevel=2)
        else:
            yield each, loaded


def load(plugin: Plugin) -> Any:
    """Import what a package offers.

    Raises
    ------
    PluginError
        It cannot be imported; the message names the package.
    """
    from importlib.metadata import EntryPoint

    try:
        return EntryPoint(plugin.name, plugin.place, plugin.group).load()
    except Exception as error:
        told = f"{plugin.package} offers {plugin.name!r} as {plugin.place} ({plugin.group}), which cannot be imported"
        raise PluginError(f"{told} ({type(error).__name__}: {error}): update or uninstall it") from error


def imported(place: str) -> Any:
    """Import something of ours when it is used.

    Parameters
    ----------
    place
        Module and object: ``"stargazer.remotes.kubo:Kubo"``.
    """
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def declared(package: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """Find what modules of a package of ours declare, by their text, in order of module and line.

    So it stands where it is written and in no list beside it, and is imported when it is used.

    Parameters
    ----------
    package
        For example ``"stargazer.assets"``.
    pattern
        How a declaration is written.

    Yields
    ------
    tuple
        Name of the module, and what matched in it.
    """
    import pkgutil

    for each in pkgutil.iter_modules(_folders(package)):
        module = f"{package}.{each.name}"
        for found in pattern.finditer(_source(module, each.module_finder)):
            yield module, found


def _folders(package: str) -> list[str]:
    """Where the modules of a package lie; it is not imported, for some need what is not installed."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(package, importlib.import_module(package.rpartition(".")[0]).__path__)
    return list(spec.submodule_search_locations or ()) if spec else []


_TASK = re.compile(r"^@task\b(?:.*\n)+?def (?P<name>[a-z]\w*)\(", re.MULTILINE)
"""How our own tasks are declared."""


@functools.cache
def declared_tasks(package: str) -> dict[str, str]:
    """Return the tasks that modules of a package of ours declare, and the module of each; none is imported.

    Parameters
    ----------
    package
        For example ``"stargazer.tasks.gatk"``.
    """
    return {found["name"]: module for module, found in declared(package, _TASK)}


def exported(package: str) -> list[str]:
    """Return what the modules of a package declare of what was imported into it: its own ``__all__``.

    Parameters
    ----------
    package
        Its name; it is being imported, and has imported from its modules.
    """
    found = vars(sys.modules[package]).items()
    return sorted(name for name, value in found if getattr(value, "__module__", "").startswith(f"{package}."))


def _source(module: str, finder: Any) -> str:
    """Text of a module that is not imported for that."""
    spec = finder.find_spec(module)
    read = getattr(spec.loader if spec else None, "get_source", None)
    text: str | None = read(module) if read else None
    if text is None:
        raise PluginError(f"{module} has no source here, so what it declares is not known: install Stargazer anew")
    return text


def _path() -> tuple[tuple[str, int], ...]:
    """Folders in which packages are installed, and when each last changed: one may be installed meanwhile."""
    return tuple((folder, _changed(folder)) for folder in sys.path)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(32)
def _installed(_: tuple[tuple[str, int], ...], group: str | None) -> tuple[Plugin, ...]:
    """Entry points of one group, or all, in order of group and name; a package that is found twice counts once.

    Only the metadata of packages that offer something there is read: a folder that changes, such as the one in which a
    script writes, is looked at anew, and reading what hundreds of packages say of themselves takes seconds.
    """
    from importlib.metadata import entry_points

    listed = entry_points()
    found: set[Plugin] = set()
    packages: dict[int, str] = {}  # the metadata of a package are parsed for each look at its name
    for name in listed.groups if group is None else {group}:
        for each in listed.select(group=name):
            if id(each.dist) not in packages:
                packages[id(each.dist)] = f"{each.dist.name} {each.dist.version}" if each.dist else ""
            found.add(Plugin(name, each.name, each.value, packages[id(each.dist)]))
    return tuple(sorted(found))
