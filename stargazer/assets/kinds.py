"""Kinds of facts that are made of others: from an evaluated annotation to how its values are checked."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from stargazer.assets.scalars import ANY, NOTHING, SCALARS, STRING, Kind, dumps, link, loads
from stargazer.assets.values import FrozenDict, Mismatch, freeze

__all__ = ["kind_of"]

_ALLOWED = "str, int, float, bool, None, an Enum, a Literal, or tuples, lists, dicts and unions of these"


def kind_of(hint: Any, name: str = "") -> Kind:
    """What `hint`, an annotation that is already evaluated, allows.

    Parameters
    ----------
    hint
        The annotation.
    name
        Name of the fact: strings named ``…_cid`` are links.

    Raises
    ------
    Mismatch
        Nothing that a fact could be: facts are JSON values.
    """
    if name.endswith("_cid") and hint is str:
        return link(STRING)
    if isinstance(hint, typing.NewType):
        return kind_of(hint.__supertype__, name)
    if hint in SCALARS:
        return SCALARS[hint]
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return _union([kind_of(argument, name) for argument in arguments])
    if origin is typing.Literal:
        return _choice({argument: argument for argument in arguments}, "one of " + ", ".join(map(repr, arguments)))
    if isinstance(origin, type):
        return _composite(origin, arguments)
    raise Mismatch(_ALLOWED)


def _composite(origin: type, arguments: tuple[Any, ...]) -> Kind:
    if issubclass(origin, Enum):
        members = {freeze(member.value): member for member in origin}
        return _choice(members, f"{origin.__name__} ({', '.join(map(repr, members))})")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return _fixed([kind_of(argument) for argument in arguments])
    if origin in (tuple, list, Sequence):
        return _sequence(kind_of(arguments[0]) if arguments else ANY)
    if origin in (dict, Mapping) and (not arguments or arguments[0] is str):
        return _mapping(kind_of(arguments[1]) if arguments else ANY)
    raise Mismatch(_ALLOWED)


def _choice(members: dict[Any, Any], expected: str) -> Kind:
    """One of the values of `members`, given as itself or as its key; all strings are written bare."""

    def check(value: Any) -> Any:
        value = tuple(value) if isinstance(value, list) else value
        for key, member in members.items():
            if type(value) in (type(key), type(member)) and value in (key, member):
                return member
        raise Mismatch(expected)

    if all(isinstance(key, str) for key in members):
        return Kind(expected, check, lambda value: str(getattr(value, "value", value)), check)
    return Kind(expected, check, dumps, lambda text: check(loads(text)))


def _union(kinds: Sequence[Kind]) -> Kind:
    """The first of `kinds` that fits; None goes first, for links take it as no link."""
    kinds = sorted(kinds, key=lambda kind: kind is not NOTHING)
    expected = " or ".join(kind.expected for kind in kinds)

    def check(value: Any) -> Any:
        return _first(value, (kind.check for kind in kinds), expected)

    if any(_takes_text(kind) for kind in kinds):
        return Kind(expected, check, ANY.write, lambda text: check(ANY.read(text)))
    return Kind(expected, check, dumps, lambda text: _first(text, (kind.read for kind in kinds), expected))


def _first(value: Any, attempts: Iterable[Any], expected: str) -> Any:
    for attempt in attempts:
        try:
            return attempt(value)
        except Mismatch:
            continue
    raise Mismatch(expected)


def _takes_text(kind: Kind) -> bool:
    return kind is ANY or kind.write in (STRING.write, ANY.write)


def _sequence(item: Kind) -> Kind:
    expected = f"a tuple or list of {item.expected}"

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)):
            raise Mismatch(expected)
        return tuple(_part(item, part, expected) for part in value)

    # Stargazer's first version wrote "null" for a list that was not given.
    return Kind(expected, check, dumps, lambda text: check(() if text == "null" else loads(text)))


def _fixed(items: Sequence[Kind]) -> Kind:
    expected = f"a tuple of ({', '.join(item.expected for item in items)})"

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)) or len(value) != len(items):
            raise Mismatch(expected)
        return tuple(_part(item, part, expected) for item, part in zip(items, value, strict=True))

    return Kind(expected, check, dumps, lambda text: check(loads(text)))


def _mapping(item: Kind) -> Kind:
    expected = f"a dict from str to {item.expected}"

    def check(value: Any) -> FrozenDict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Mismatch(expected)
        return FrozenDict({str.__str__(key): _part(item, part, expected) for key, part in value.items()})

    return Kind(expected, check, dumps, lambda text: check(loads(text)))


def _part(kind: Kind, value: Any, expected: str) -> Any:
    try:
        return kind.check(value)
    except Mismatch:
        raise Mismatch(expected) from None
