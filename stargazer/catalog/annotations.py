"""The kind of a parameter, from its annotation."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any

from stargazer.assets import Asset
from stargazer.catalog.composite import Either, Fields, Items, Members
from stargazer.catalog.given import AssetKind, AssetList
from stargazer.catalog.hints import Unresolved
from stargazer.catalog.kinds import FORMS, Anything, Choice, Kind, Nothing, NotJson, Scalar, Text

__all__ = ["is_call", "kind_of"]

LISTS: dict[Any, type] = {
    list: list, tuple: tuple, set: set, frozenset: frozenset, Sequence: list, Iterable: list, Collection: list,
    AbstractSet: set,
}  # fmt: skip
"""What is made where an annotation says so."""


def kind_of(hint: Any, default: Any = inspect.Parameter.empty) -> Kind:
    """Return the kind of values that an annotation allows.

    Parameters
    ----------
    hint
        The annotation; `inspect.Parameter.empty` without one.
    default
        Tells the type where there is no annotation.
    """
    if hint is inspect.Parameter.empty:
        known = default is not inspect.Parameter.empty and default is not None
        return kind_of(type(default)) if known else Anything()
    if isinstance(hint, Unresolved):
        return NotJson(hint.text)
    if isinstance(hint, (typing.TypeVar, typing.NewType)):
        return kind_of(getattr(hint, "__supertype__", getattr(hint, "__bound__", None) or Any))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is None:
        return _simple(hint)
    if origin is typing.Annotated:
        return kind_of(inner[0])
    if origin in (typing.Union, types.UnionType):
        return _union(inner)
    if origin is typing.Literal:
        return _literal(inner)
    if is_call(hint):
        return kind_of(inner[0])
    if origin in LISTS:
        return _items(LISTS[origin], inner)
    if origin in (dict, Mapping) and inner[0] is str:
        return Members(kind_of(inner[1]))
    return NotJson(str(hint))


def is_call(hint: Any) -> bool:
    """Whether an annotation is that of a call, which has the place of what it makes."""
    from stargazer.calls import Call

    return isinstance(typing.get_origin(hint) or hint, type) and issubclass(typing.get_origin(hint) or hint, Call)


def _simple(hint: Any) -> Kind:
    if hint is Any:
        return Anything()
    if hint is None or hint is type(None):
        return Nothing()
    if not isinstance(hint, type):
        return NotJson(str(hint))
    if hint in Scalar.NAMES:
        return Scalar(hint)
    if issubclass(hint, enum.Enum):
        return Choice.of_enum(hint)
    if issubclass(hint, PurePath) or hint in FORMS:
        return Text(hint)
    if is_call(hint):
        return AssetKind(Asset, kind_of)
    if issubclass(hint, Asset):
        return AssetKind(hint, kind_of)
    if is_dataclass(hint) or (issubclass(hint, tuple) and hasattr(hint, "_fields")):
        return Fields(hint, kind_of)
    if hint in LISTS:
        return Items(LISTS[hint], [Anything()])
    return Members(Anything()) if hint in (dict, Mapping) else NotJson(hint.__qualname__)


def _literal(values: tuple[Any, ...]) -> Kind:
    plain = [value for value in values if type(value) in (str, int, bool)]
    members = [(value.name, value) for value in values if isinstance(value, enum.Enum)]
    choice = Choice([*((value, value) for value in plain), *members])
    return Either([Nothing(), choice]) if None in values else choice


def _union(hints: tuple[Any, ...]) -> Kind:
    """The alternatives; a call, or what only Python can give, is none where something else is."""
    kinds = [kind_of(hint) for hint in hints if not is_call(hint)] or [kind_of(hints[0])]
    possible = [kind for kind in kinds if not isinstance(kind, NotJson)] or kinds[:1]
    return possible[0] if len(possible) == 1 else Either(possible)


def _items(made: type, inner: tuple[Any, ...]) -> Kind:
    if made is tuple and Ellipsis not in inner:
        return Items(tuple, [kind_of(each) for each in inner if each != ()], fixed=True)
    each = kind_of(inner[0])
    items = Items(made, [each])
    return AssetList(items, each) if isinstance(each, AssetKind) else items
