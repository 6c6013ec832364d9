"""What the class of an asset declares: its facts, their defaults and their kinds."""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from stargazer.assets.base import BASE_CHECKS
from stargazer.assets.kinds import kind_of
from stargazer.assets.registry import confirm
from stargazer.assets.scalars import Kind
from stargazer.assets.values import Mismatch, freeze
from stargazer.errors import AssetError, InvalidField, UnknownField

if TYPE_CHECKING:
    from stargazer.assets.asset import Asset

__all__ = ["Schema", "declare", "derived_key", "schema_of"]

RESERVED = {"asset", "asset_key", "companion", "companion_of", "declared", "fetch", "from_dict", "from_keyvalues"}
RESERVED |= {"id", "identity", "open", "to_dict", "to_keyvalues"}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_schemas: WeakKeyDictionary[type[Asset], Schema] = WeakKeyDictionary()


def derived_key(name: str) -> str:
    """The asset key of a class named `name`: ``BQSRReport`` has ``bqsr_report``."""
    return _WORDS.sub("_", name).lower().strip("_")


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
        import difflib

        close = difflib.get_close_matches(names[0], self.declared, 1)
        guess = f" Did you mean {close[0]}?" if close else ""
        return UnknownField(f"{self.label} has no field {', '.join(names)}.{guess} {self._allowed()}")

    def invalid(self, name: str, value: object, mismatch: Mismatch) -> InvalidField:
        """The error about a value of the wrong kind."""
        expected, *hints = mismatch.args
        text = repr(value)
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
