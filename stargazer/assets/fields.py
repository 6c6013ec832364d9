"""What the class of an asset declares: its facts, their defaults and their kinds."""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import os
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform
from weakref import WeakKeyDictionary

from stargazer.assets.fact_types import CID, STRING, FrozenDict, Kind, Mismatch, freeze, is_asset, kind_of, link
from stargazer.assets.registry import claim, confirm, derived_key, did_you_mean
from stargazer.errors import AssetError, InvalidField, UnknownField

if TYPE_CHECKING:
    from stargazer.assets.asset import Asset

__all__ = ["BASE_CHECKS", "Declared", "Schema", "declare", "derived_key", "schema_of"]

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


# The fields that every asset has, and what they may hold.


def _path(value: Any) -> Path | None:
    if value is None or isinstance(value, Path):
        return value
    if isinstance(value, (str, PurePath)) and str(value):
        return Path(value)
    raise Mismatch("a path")


def _cid(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(_LINK(value)) or None
    except Mismatch as mismatch:
        raise Mismatch(CID.replace("''", "None"), *mismatch.args[1:]) from None


def _name(value: Any) -> str:
    name: str = STRING.check(value)
    if "/" in name or "\0" in name or name in (".", ".."):
        raise Mismatch("the name of a file", "It has no directories in it.")
    return name


def _companions(value: Any) -> tuple[Asset, ...]:
    if not isinstance(value, (tuple, list)) or not all(is_asset(item) for item in value):
        raise Mismatch("a tuple or list of assets")
    if len(value) < 2:
        return tuple(value)
    return tuple(sorted(value, key=lambda asset: (asset.asset_key, asset.name, asset.cid or "")))


def _facts(value: Any) -> FrozenDict:
    facts = value if type(value) is FrozenDict else freeze(value)
    if not isinstance(facts, FrozenDict):
        raise Mismatch("a dict of facts")
    if not "".join(facts).isascii():
        _check_names(facts)
    key = facts.get("asset", "")
    if not isinstance(key, str):
        raise Mismatch("a string, the asset's key, under 'asset'")
    if "asset" in facts and key in ("", "asset"):
        return FrozenDict({name: fact for name, fact in facts.items() if name != "asset"})
    return facts


def _check_names(names: Iterable[str]) -> None:
    """Refuse names with half a character in them: no index and no file can hold them."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise Mismatch("a dict of facts whose names are text", "One has half a character in it.") from None


def _source(value: Any) -> Any:
    return value


_LINK = link(STRING).check
BASE_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "path": _path,
    "cid": _cid,
    "name": _name,
    "companions": _companions,
    "facts": _facts,
    "source": _source,
}


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
