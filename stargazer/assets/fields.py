"""Classes of assets: what each declares, with defaults and kinds, and which has which key."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import operator
import os
import re
import sys
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform
from weakref import WeakKeyDictionary

from stargazer import plugins
from stargazer.assets.fact_types import BASE_CHECKS, Kind, Mismatch, freeze, kind_of
from stargazer.errors import AssetError, InvalidField, PluginError, UnknownField

if TYPE_CHECKING:
    from types import FrameType

    from stargazer.assets.asset import Asset, Source


__all__ = [
    "BASE_CHECKS",
    "FORMAT",
    "BareKey",
    "Declared",
    "Schema",
    "asset_type",
    "asset_types",
    "claim",
    "confirm",
    "declare",
    "derived_key",
    "did_you_mean",
    "foreign_keys",
    "make_asset",
    "no_type",
    "own_types",
    "read_asset",
    "schema_of",
]

RESERVED = {"asset", "asset_key", "companion", "companion_of", "compute", "declared", "fetch", "from_dict"}
RESERVED |= {"from_keyvalues", "id", "identity", "later", "open", "to_dict", "to_keyvalues"}
_schemas: WeakKeyDictionary[type[Asset], Schema] = WeakKeyDictionary()


def schema_of(cls: type[Asset]) -> Schema:
    """The schema of an asset class, made when it is first asked for."""
    try:
        return _schemas[cls]
    except KeyError:
        confirm(cls)
        return _schemas.setdefault(cls, Schema(cls))


class Checks(dict[str, Callable[[Any], Any]]):
    """The check of each field by its name; other names are refused."""

    def __init__(self, schema: Schema, checks: Mapping[str, Callable[[Any], Any]]) -> None:
        super().__init__(checks)
        self.schema = schema

    def __missing__(self, name: str) -> Any:
        raise self.schema.unknown([name])


class Schema:
    """Fields, kinds and defaults of one asset class.

    Parameters
    ----------
    cls
        The class.

    Raises
    ------
    AssetError
        An annotation is nothing that a fact could be, or a default does not fit its annotation.
    """

    def __init__(self, cls: type[Asset]) -> None:
        self.label = cls.__name__
        self.bare = cls.asset_key == "asset"
        fields = dataclasses.fields(cls)
        self.names = tuple(field.name for field in fields)
        self.declared = tuple(name for name in self.names if name not in BASE_CHECKS)
        hints = _hints(cls, fields)
        self.kinds = {name: self._kind(name, hints[name]) for name in self.declared}
        self.checks = Checks(self, {**BASE_CHECKS, **{n: kind.check for n, kind in self.kinds.items()}})
        self.defaults = {field.name: self._default(field) for field in fields}
        self.post = hasattr(cls, "__post_init__")
        self.compared = operator.attrgetter(*(field.name for field in fields if field.compare))

    def bind(self, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by the name of their field."""
        if len(positional) > len(self.names):
            raise TypeError(f"{self.label} takes {len(self.names)} fields ({len(positional)} given): {self._allowed()}")
        given = dict(zip(self.names, positional, strict=False))
        if twice := given.keys() & named.keys():
            raise TypeError(f"{self.label} got {', '.join(sorted(twice))} twice, by position and by name")
        return {**given, **named}

    def kind(self, name: str) -> Kind:
        """The kind of a declared fact, or UnknownField."""
        if name not in self.kinds:
            raise self.unknown([name])
        return self.kinds[name]

    def unknown(self, names: Iterable[str]) -> UnknownField:
        """The error about fields that the class does not declare."""
        names = sorted(names)
        if reserved := [name for name in names if name.startswith("_")]:
            return UnknownField(f"{self.label}.{reserved[0]}: names that begin with _ are reserved")
        if common := [name for name in names if name in BASE_CHECKS]:
            return UnknownField(f"{self.label}: {common[0]} is a field of every asset, it cannot be a fact")
        guess = did_you_mean(names[0], self.declared)
        return UnknownField(f"{self.label} has no field {', '.join(names)}.{guess} {self._allowed()}")

    def invalid(self, name: str, value: object, mismatch: Mismatch) -> InvalidField:
        """The error about a value of the wrong kind."""
        expected, *hints = mismatch.args
        try:
            text = repr(value)
        except (ValueError, RecursionError):  # an integer of thousands of digits, a list that holds itself
            text = "something that cannot be written"
        shown = text if len(text) <= 80 else text[:77] + "…"
        advice = "".join(f". {hint}" for hint in hints if hint)
        return InvalidField(f"{self.label}.{name}: expected {expected}, got {shown} ({type(value).__name__}){advice}")

    def _allowed(self) -> str:
        if self.bare:
            return "Any name that does not begin with _ will do."
        return f"Its facts: {', '.join(self.declared) or 'none'}; every asset has {', '.join(BASE_CHECKS)}."

    def _kind(self, name: str, hint: Any) -> Kind:
        try:
            return kind_of(hint, name)
        except Mismatch as mismatch:
            raise AssetError(f"{self.label}.{name}: a fact cannot be {hint!r}; use {mismatch.args[0]}") from None

    def _default(self, field: dataclasses.Field[Any]) -> Any:
        try:
            return self.checks[field.name](field.default)
        except Mismatch as mismatch:
            error = self.invalid(field.name, field.default, mismatch)
            raise AssetError(f"the default does not fit its annotation: {error}") from None


def _hints(cls: type[Asset], fields: Iterable[dataclasses.Field[Any]]) -> dict[str, Any]:
    """Evaluated annotations, kept in the fields so that a class sent to another process need not evaluate them."""
    if any(isinstance(field.type, str) for field in fields if field.name not in BASE_CHECKS):
        _evaluate(cls, fields)
    return {field.name: field.type for field in fields}


def _evaluate(cls: type[Asset], fields: Iterable[dataclasses.Field[Any]]) -> None:
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise AssetError(
            f"{cls.__qualname__}: the annotation {error.name!r} is not known in {cls.__module__}; "
            "import it there, outside `if TYPE_CHECKING`"
        ) from None
    for field in fields:
        field.type = hints[field.name]


def declare(cls: type[Asset], base: Mapping[str, Any]) -> None:
    """Make `cls` a frozen dataclass whose fields an asset can have.

    Parameters
    ----------
    cls
        The class.
    base
        The fields of every asset, by name; they cannot be declared anew.
    """
    if "__slots__" in cls.__dict__:
        raise AssetError(f"{cls.__qualname__}: an asset's class has no slots; drop slots=True or __slots__")
    dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)(cls)
    for name in ("__setattr__", "__delattr__"):
        delattr(cls, name)  # inherited: so @dataclass(frozen=True) may be written on top
    for field in dataclasses.fields(cls):
        if base.get(field.name, field) is not field:
            raise AssetError(f"{cls.__qualname__}.{field.name}: every asset has this field; choose another name")
        if field.name not in base:
            _settle(cls, field)
    if cls.__module__ == "__main__":
        _try_hints(cls)


def _settle(cls: type[Asset], field: dataclasses.Field[Any]) -> None:
    """Refuse what a fact cannot be, and put an immutable default in the place of a factory."""
    place = f"{cls.__qualname__}.{field.name}"
    if field.name in RESERVED or field.name.startswith("_"):
        raise AssetError(f"{place}: the name is reserved; choose another")
    if not field.init:
        raise AssetError(f"{place}: a fact is given when an asset is made; drop init=False")
    if field.default_factory is not dataclasses.MISSING:
        field.default, field.default_factory = freeze(field.default_factory()), dataclasses.MISSING
        setattr(cls, field.name, field.default)
    if field.default is dataclasses.MISSING:
        raise AssetError(f"{place}: give it a default, as all facts have one ('', 0, False, (), None)")


def _try_hints(cls: type[Asset]) -> None:
    """Evaluate annotations where they were written: another process does not have the names of a notebook."""
    if any(isinstance(field.type, str) for field in dataclasses.fields(cls)):
        with contextlib.suppress(AssetError):
            _evaluate(cls, dataclasses.fields(cls))


# How assets are made: classes that become frozen dataclasses by themselves, and check what they are given.


_KEY = re.compile("[a-z][a-z0-9_]*")
_OWN = ("__init__", "__eq__", "__hash__", "__repr__")


class _Signature:
    """What `help` and notebooks show of the constructor."""

    def __get__(self, asset: object, owner: Any) -> Any:
        from inspect import Parameter, Signature

        fields = dataclasses.fields(owner)
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters = [Parameter(f.name, kind, default=f.default, annotation=f.type) for f in fields]
        free = [Parameter("free", Parameter.VAR_KEYWORD)] if owner.asset_key == "asset" else []
        return Signature(parameters + free)


@dataclass_transform(field_specifiers=(dataclasses.field, dataclasses.Field))
class Declared:
    """Base of what is declared by its fields: subclasses become frozen dataclasses and are registered."""

    asset_key: ClassVar[str]

    def __init_subclass__(cls, *, key: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls, key)

    if not TYPE_CHECKING:

        def __init__(self, *positional: Any, **given: Any) -> None:
            schema = schema_of(type(self))
            if positional:
                given = schema.bind(positional, given)
            if schema.bare:
                given = _gather(given)
            checks, values = schema.checks, self.__dict__
            values.update(schema.defaults)
            name = ""
            try:
                for name, value in given.items():
                    values[name] = checks[name](value)
            except Mismatch as mismatch:
                raise schema.invalid(name, given[name], mismatch) from None
            _complete(values, schema)
            if schema.post:
                self.__post_init__()

    __signature__ = _Signature()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        advice = f"dataclasses.replace(asset, {name}=…) makes a changed copy"
        raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be set; {advice}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        compared = schema_of(type(self)).compared  # type: ignore[arg-type]
        return self is other or bool(compared(self) == compared(other))

    def __hash__(self) -> int:
        return hash((self.asset_key, schema_of(type(self)).compared(self)))  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        values = self.__dict__.copy()
        values.pop("_id", None)
        return values


def register(cls: Any, key: str) -> None:
    """Make a new subclass a dataclass and put it in the registry.

    Parameters
    ----------
    cls
        The class, just made.
    key
        Its asset key; if empty, the class attribute `asset_key`, or else its name in snake case.
    """
    written = cls.__dict__
    empty = not key and written.keys() <= {"__module__", "__doc__"} and not written.get("__doc__")
    root = Declared in cls.__bases__
    key = "asset" if root else key or written.get("asset_key") or derived_key(cls.__name__)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise AssetError(f"{cls.__qualname__}: the asset key {key!r} is not in snake case")
    if not root:
        cls.asset_key = key
    declare(cls, {} if root else _root(cls).__dataclass_fields__)
    for name in _OWN:  # in the class itself, so that @dataclass on top leaves them alone
        if name not in cls.__dict__:
            setattr(cls, name, getattr(cls, name))
    cls._mark = os.urandom(8).hex()
    claim(cls, key, empty=empty)


def _root(cls: Any) -> Any:
    return next(base for base in cls.__mro__ if Declared in base.__bases__)


def _gather(given: dict[str, Any]) -> dict[str, Any]:
    """Move the free facts of a bare asset to where they are kept."""
    free = {name: value for name, value in given.items() if name not in BASE_CHECKS}
    if not free:
        return given
    kept = {name: value for name, value in given.items() if name in BASE_CHECKS}
    facts = kept.get("facts", {})
    return {**kept, "facts": {**facts, **free}} if isinstance(facts, Mapping) else kept


def _complete(values: dict[str, Any], schema: Schema) -> None:
    """What depends on several fields."""
    if values["path"] is not None and not values["name"]:
        values["name"] = values["path"].name
    if facts := values["facts"]:
        refused = list(facts) if not schema.bare else [n for n in facts if n.startswith("_") or n in BASE_CHECKS]
        if refused:
            raise schema.unknown(refused)


# Which class has which asset key.


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


# Assets that were written, in their own types.


FORMAT = 1
_MEMBERS = dict.fromkeys(("format", "asset", "cid", "path", "name", "facts", "companions"))


def read_asset(members: Mapping[str, Any], source: Source | None = None) -> Asset:
    """The asset that is written so, as JSON values, in its own type; one of an unknown type becomes a bare asset."""
    if not isinstance(members, Mapping) or not isinstance(members.get("asset"), str):
        raise InvalidField(f"no asset: expected a dict with the asset's key under 'asset', got {members!r:.80}")
    if extra := members.keys() - _MEMBERS:
        raise UnknownField(f"an asset's dict has no {', '.join(map(str, extra))}; it has {', '.join(_MEMBERS)}")
    if members.get("format", FORMAT) != FORMAT:
        raise AssetError(f"this asset was written by another Stargazer (format {members['format']}, not {FORMAT})")
    own = ("cid", "name") if source is not None else ("cid", "path", "name")
    base = {name: members[name] for name in own if name in members}
    companions, facts = members.get("companions", []), members.get("facts", {})
    if not isinstance(companions, (list, tuple)) or not isinstance(facts, Mapping):
        raise InvalidField("an asset's dict has a list under 'companions' and a dict under 'facts'")
    return make_asset(
        members["asset"], facts, companions=[read_asset(c, source) for c in companions], source=source, **base
    )


def make_asset(key: str, facts: Mapping[str, Any], **base: Any) -> Asset:
    """An asset of the type of a key, with its facts, and what every asset has."""
    cls = asset_type(key)
    schema = schema_of(cls)
    if schema.bare:
        return cls(facts={**facts, "asset": key}, **base)
    if undeclared := facts.keys() - schema.kinds.keys():
        raise schema.unknown(map(str, undeclared))
    return cls(**facts, **base)


class BareKey:
    """A bare asset's key is that of the type that it came from, if that is not known here."""

    def __get__(self, asset: Asset | None, owner: type[Asset]) -> str:
        return "asset" if asset is None else str(asset.facts.get("asset", "asset"))
