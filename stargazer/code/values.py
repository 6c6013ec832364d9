"""Constants, defaults and parameters as canonical text."""

from __future__ import annotations

import enum
import hashlib
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["encode", "is_constant"]

EXACT = {f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")}
EXACT |= {"decimal.Decimal", "fractions.Fraction", "uuid.UUID", "zoneinfo.ZoneInfo"}
"""Types whose repr() says all; named, so that none is imported here."""

Scalar = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range)


class NotConstant(TypeError):
    """A value that has no canonical text."""


def encode(value: Any, other: Callable[[Any], str] | None = None) -> str:
    """Return a text that is equal for equal values, on every Python and in every process.

    Parameters
    ----------
    value
        Scalars, enums, paths, patterns, containers and dataclasses of these, NumPy arrays.
    other
        Called for anything else.

    Raises
    ------
    NotConstant
        The value is none of these and `other` is not given.
    """
    if isinstance(value, enum.Enum):
        return f"enum {type(value).__qualname__}.{value.name}={encode(value.value, other)}"
    if type(value) in Scalar:
        return f"{type(value).__name__} {ascii(value) if type(value) is not int else hex(value)}"
    encoded = _container(value, other)
    if encoded is not None:
        return encoded
    if isinstance(value, PurePath):
        return f"path {value.as_posix()!a}"
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!a} {value.flags}"
    if f"{type(value).__module__}.{type(value).__qualname__}" in EXACT:
        return f"exact {value!r}"
    if _is_array(value):
        return f"array {value.dtype.str} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if other is None:
        raise NotConstant(f"{type(value).__qualname__} has no canonical text")
    return other(value)


def _container(value: Any, other: Callable[[Any], str] | None) -> str | None:
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} [{', '.join(encode(item, other) for item in value)}]"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__} [{', '.join(sorted(encode(item, other) for item in value))}]"
    if isinstance(value, dict):
        items = (f"{encode(key, other)}: {encode(item, other)}" for key, item in value.items())
        return f"{type(value).__name__} {{{', '.join(items)}}}"
    if is_dataclass(value) and not isinstance(value, type):
        items = (f"{field.name}: {encode(getattr(value, field.name), other)}" for field in fields(value))
        return f"{type(value).__qualname__} ({', '.join(items)})"
    return None


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and not value.dtype.hasobject


def is_constant(value: Any) -> bool:
    """Whether `value` can never change in place, so that its identity tells whether it is still the same."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_constant, value))
    return isinstance(value, (*Scalar, enum.Enum, PurePath, re.Pattern))
