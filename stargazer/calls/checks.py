"""Does a plain value fit its annotation? Compiled once a parameter, asked at every call."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from stargazer.ledger.keys import plain, python_value

__all__ = ["REQUIRED", "Check", "Unfit", "check_for", "shown"]

REQUIRED = inspect.Parameter.empty

Check = Callable[[Any], Any]
"""Returns the value, perhaps converted (an int where a float is wanted); raises TypeError."""


class Unfit(TypeError):
    """A value does not fit; the message is what would."""


def check_for(annotation: Any) -> Check:
    """Return the check for one annotation; anything plain passes where there is none (`REQUIRED`) or an unknown one."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return check_for(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _any_of([check_for(argument) for argument in arguments], annotation)
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin in (list, tuple, Sequence):
        return _items(origin, arguments, annotation)
    if origin in (dict, Mapping):
        return _values(check_for(arguments[1]), annotation)
    if annotation in (None, type(None)):
        return _exactly((type(None),), annotation)
    return _simple(annotation)


def shown(annotation: Any) -> str:
    """Return an annotation as people write it."""
    if annotation is REQUIRED:
        return "a plain value"
    if annotation is type(None):
        return "None"
    return (
        annotation.__qualname__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    )


def _simple(annotation: Any) -> Check:
    if annotation is float:
        return _float
    if annotation in (int, str, bool):
        return _exactly((annotation,), annotation)
    if isinstance(annotation, type) and (issubclass(annotation, enum.Enum) or is_dataclass(annotation)):
        return _instance(annotation)
    return _plain_of(annotation) if annotation in (list, tuple, dict) else _plain


def _plain_of(kind: type) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Unfit(kind.__name__)
        return _plain(value)

    return check


def _plain(value: Any) -> Any:
    value = python_value(value)
    plain(value)
    return value


def _float(value: Any) -> float:
    value = python_value(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit("float")
    return float(value)


def _exactly(kinds: tuple[type, ...], annotation: Any) -> Check:
    def check(value: Any) -> Any:
        if type(value) in kinds:
            return value
        item = python_value(value)
        if type(item) in kinds:
            return item
        raise Unfit(shown(annotation))

    return check


def _instance(annotation: type) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, annotation):
            raise Unfit(shown(annotation))
        return value

    return check


def _one_of(allowed: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if not any(value == each and type(value) is type(each) for each in allowed):
            raise Unfit("one of " + ", ".join(map(repr, allowed)))
        return value

    return check


def _any_of(checks: list[Check], annotation: Any) -> Check:
    def check(value: Any) -> Any:
        for each in checks:
            try:
                return each(value)
            except TypeError:
                continue
        raise Unfit(shown(annotation))

    return check


def _items(origin: Any, arguments: tuple[Any, ...], annotation: Any) -> Check:
    fixed = origin is tuple and Ellipsis not in arguments
    checks = [check_for(argument) for argument in arguments if argument is not Ellipsis]

    def check(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or (fixed and len(value) != len(checks)):
            raise Unfit(shown(annotation))
        each = checks if fixed else checks * len(value)
        items = [one(item) for one, item in zip(each, value, strict=True)]
        return tuple(items) if origin is tuple else items

    return check


def _values(each: Check, annotation: Any) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Unfit(shown(annotation))
        return {key: each(item) for key, item in value.items()}

    return check
