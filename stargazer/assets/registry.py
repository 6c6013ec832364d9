"""Which class has which asset key."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import weakref
from typing import TYPE_CHECKING

from stargazer import plugins
from stargazer.errors import AssetError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from stargazer.assets.asset import Asset

__all__ = [
    "asset_type",
    "asset_types",
    "claim",
    "confirm",
    "derived_key",
    "did_you_mean",
    "foreign_keys",
    "no_type",
    "own_types",
]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CLASS = re.compile(r'^class (?P<name>\w+)\((?:Asset|AnnData)(?:, key="(?P<key>\w+)")?\):$', re.MULTILINE)
"""How our own types are declared, in the modules of this package."""

_types: dict[str, type[Asset]] = {}
_files: weakref.WeakKeyDictionary[type[Asset], str] = weakref.WeakKeyDictionary()
"""Files of the classes of ``__main__``."""
_foreign: list[weakref.ref[type[Asset]]] = []
_ENGINE = f"{__package__.partition('.')[0]}."
_OF_NOTEBOOKS = ("__main__", "__notebook__")
"""Modules that the cells of a notebook are."""
_empty: list[tuple[weakref.ref[type[Asset]], str, str]] = []
"""Classes that came without a body where another one stood, their keys, and how they were marked."""


def derived_key(name: str) -> str:
    """The asset key of a class named `name`: ``BQSRReport`` has ``bqsr_report``."""
    return _WORDS.sub("_", name).lower().strip("_")


@functools.cache
def own_types() -> dict[str, tuple[str, str]]:
    """Stargazer's own types by their keys: module and name of each, of which none is imported for that."""
    found = plugins.declared(__package__, _CLASS)
    return {each["key"] or derived_key(each["name"]): (module, each["name"]) for module, each in found}


def asset_type(key: str) -> type[Asset]:
    """The class registered under an asset key; the bare Asset if there is none.

    Parameters
    ----------
    key
        For example ``"r1"``.
    """
    if _empty:
        _take_filled()
    if key not in _types and not _import_own(key):
        _import_plugin(key)
    found = _types.get(key)
    if found is not None and found.asset_key == key:
        return found
    for cls in _descendants(_types["asset"]):
        if cls.asset_key == key:
            _types[key] = cls
            return cls
    return _types["asset"]


def asset_types() -> dict[str, type[Asset]]:
    """Every registered class by its asset key, the bare Asset under ``"asset"``."""
    for key in own_types():
        _import_own(key)
    for plugin, cls in plugins.load_all(plugins.ASSETS):
        _check_plugin(plugin.name, cls, plugin.package)
    for cls in _descendants(_types["asset"]):
        asset_type(cls.asset_key)
    return {key: cls for key, cls in sorted(_types.items()) if cls.asset_key == key}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest to a wrong one, as a question to put behind a message; empty if none is near."""
    import difflib

    names = {each.lower(): each for each in sorted(known)}
    near = difflib.get_close_matches(name.lower(), names, 1, cutoff=0.5)
    return f" Did you mean {names[near[0]]}?" if near else ""


def no_type(key: str, others: Iterable[str] = ()) -> AssetError:
    """The error about an asset key that no class has.

    Parameters
    ----------
    key
        The key.
    others
        Keys that are known although no class has them.
    """
    known = sorted({*asset_types(), *others})
    guess = did_you_mean(key, known)
    there = f"There are {', '.join(known)}; one of your own is known once its module is imported"
    return AssetError(f"there is no asset type {key!r}.{guess} {there}")


def foreign_keys() -> set[str]:
    """Asset keys of the classes of others than the engine that exist in this process; nothing is imported."""
    found = [cls for reference in _foreign if (cls := reference()) is not None]
    return {cls.asset_key for cls in found}


def claim(cls: type[Asset], key: str, *, empty: bool = False) -> None:
    """Register `cls` under `key`. A class defined anew, as when a notebook cell runs again, takes the place of the old.

    Parameters
    ----------
    cls
        The class.
    key
        Its asset key.
    empty
        Its body is empty: cloudpickle makes classes so and fills them afterwards. Such a class does not object to a
        taken key before it is used.

    Raises
    ------
    AssetError
        Another class has the key.
    """
    _note_file(cls)
    if not cls.__module__.startswith(f"{__package__}."):
        _import_own(key)
    if not cls.__module__.startswith(_ENGINE):
        _foreign.append(weakref.ref(cls))
    held = _types.get(key)
    if empty and held is not None and held.asset_key == key and _same_place(held, cls):
        # cloudpickle throws the new class away if it has made it before, and fills it otherwise.
        _empty.append((weakref.ref(cls), key, cls.__dict__["_mark"]))
    elif held is None or held.asset_key != key or _gives_way(held, cls):
        _types[key] = cls
    elif not empty:
        raise AssetError(
            f"the asset key {key!r} of {cls.__module__}.{cls.__qualname__} is taken by "
            f'{held.__module__}.{held.__qualname__}; choose another: class {cls.__name__}(…, key="my_{key}")'
        )


def confirm(cls: type[Asset]) -> None:
    """Register `cls`, about to be used for the first time, unless a newer definition of it is."""
    held = asset_type(cls.asset_key)
    if held is not cls and not _same_place(held, cls):
        claim(cls, cls.asset_key)


def _import_own(key: str) -> bool:
    """Import the module of one of our own types; whether the key is that of one."""
    if key not in own_types():
        return False
    importlib.import_module(own_types()[key][0])
    return True


def _import_plugin(key: str) -> None:
    """Import the type that another installed package offers under a key, if one does."""
    cls = plugins.find(plugins.ASSETS, key)
    if cls is not None:
        _check_plugin(key, cls, "an installed package")


def _check_plugin(key: str, cls: object, package: str) -> None:
    if not (isinstance(cls, type) and issubclass(cls, _types["asset"]) and cls.asset_key == key):
        raise PluginError(f"{package} offers {cls!r} as the asset type {key!r}, but it is no type with that key")


def _take_filled() -> None:
    """Register the empty classes that have been filled since: they brought the mark of their definition."""
    waiting = []
    for reference, key, mark in _empty:
        cls = reference()
        if cls is not None and cls.__dict__["_mark"] != mark:
            _types[key] = cls
        elif cls is not None:
            waiting.append((reference, key, mark))
    _empty[:] = waiting


def _gives_way(held: type[Asset], cls: type[Asset]) -> bool:
    return _same_place(held, cls) or "<locals>" in held.__qualname__ or _has_moved(held, cls)


def _has_moved(held: type[Asset], cls: type[Asset]) -> bool:
    """Whether a class of a notebook is defined elsewhere now, in a module or another host: same name, same facts."""
    if held.__module__ not in _OF_NOTEBOOKS or held.__name__ != cls.__name__:
        return False
    one, other = (inspect.get_annotations(each) for each in (held, cls))
    return {name: str(note) for name, note in one.items()} == {name: str(note) for name, note in other.items()}


def _same_place(one: type[Asset], other: type[Asset]) -> bool:
    """Whether two classes are one definition; a notebook that is imported and run defines its classes twice."""
    if one.__name__ != other.__name__:
        return False
    return one.__module__ == other.__module__ or (_file(one) != "" and _file(one) == _file(other))


def _file(cls: type[Asset]) -> str:
    """File in which a class is defined, as far as that is known."""
    return _files.get(cls) or str(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")


def _note_file(cls: type[Asset]) -> None:
    """Note the file of a class that is being defined: marimo's cells run as ``__main__``, whatever runs them."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != cls.__module__:
        frame = frame.f_back
    if frame is not None and cls.__module__ == "__main__":
        _files[cls] = str(frame.f_globals.get("__file__") or "")


def _descendants(cls: type[Asset]) -> Iterator[type[Asset]]:
    """Subclasses of `cls`, the newest first."""
    for child in reversed(cls.__subclasses__()):
        yield child
        yield from _descendants(child)
