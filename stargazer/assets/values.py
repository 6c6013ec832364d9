"""Values that a fact may have: JSON values, made immutable so that assets can be hashed and shared."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from enum import Enum
from typing import Any, NoReturn

__all__ = ["NO_FACTS", "FrozenDict", "Mismatch", "finite", "freeze", "is_asset", "plain"]


def is_asset(value: object) -> bool:
    """Whether `value` is an asset, asked where the class cannot be imported."""
    return hasattr(type(value), "asset_key")


class Mismatch(Exception):
    """A value is not of the kind asked for; the arguments say what was expected and, perhaps, a hint."""


class FrozenDict(dict[str, Any]):
    """A dict that cannot change, hence can be hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("facts cannot change; dataclasses.replace(asset, facts={...}) makes a changed copy")

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse


NO_FACTS = FrozenDict()


def freeze(value: object) -> Any:
    """`value` as an immutable JSON value: lists become tuples, dicts FrozenDicts, enums their values.

    Raises
    ------
    Mismatch
        The value is not JSON: some other object, NaN or infinity, a key that is no string.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return freeze(value.value)
    if hasattr(type(value), "__index__"):
        return integer(value)
    for allowed, convert in _CONVERSIONS.items():
        if isinstance(value, allowed):
            return convert(value)
    raise Mismatch("a string, a number, a boolean, None, or lists and dicts of these")


def plain(value: Any) -> Any:
    """A frozen value as `json` writes it: tuples become lists, enums their values."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def finite(value: float) -> float:
    """`value` as a float without the sign of zero, so that equal numbers are written equally."""
    if not math.isfinite(value):
        raise Mismatch("a finite number")
    return float(value) + 0.0


def integer(value: Any) -> int:
    """`value` as an int, if it is an integer of any library but no truth."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise Mismatch("int")


def _mapping(value: Mapping[Any, Any]) -> FrozenDict:
    if not all(isinstance(key, str) for key in value):
        raise Mismatch("a dict whose keys are strings")
    return FrozenDict({str.__str__(key): freeze(item) for key, item in value.items()})


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(freeze(item) for item in value)


_CONVERSIONS: dict[type, Any] = {
    str: str.__str__,
    float: finite,
    tuple: _sequence,
    list: _sequence,
    Mapping: _mapping,
}
