"""Kinds of facts that are one value: how they are checked, written as text and read back."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from stargazer.assets.values import Mismatch, finite, freeze, integer, is_asset, plain

__all__ = ["ANY", "NOTHING", "SCALARS", "STRING", "Kind", "dumps", "link", "loads"]

TAG = "json:"
CID = "a CID (version 1 in base32: b… of 59 characters) or ''"
_CID = re.compile("b[a-z2-7]{58}")
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Kind(NamedTuple):
    """What one annotation allows.

    Parameters
    ----------
    expected
        What to call it in an error.
    check
        Gives the value in its normal form, or raises Mismatch.
    write
        The value as text.
    read
        The value of a text, or Mismatch.
    """

    expected: str
    check: Callable[[Any], Any]
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def link(kind: Kind) -> Kind:
    """The kind of a string that names another asset by its CID; None, the CID of a draft, is no link.

    Parameters
    ----------
    kind
        The kind of the values that are found to be links.
    """

    def check(value: Any) -> Any:
        if value is None or (isinstance(value, str) and (not value or _CID.fullmatch(value))):
            return kind.check(value or "")
        raise Mismatch(CID, "Pass the asset's .cid." if is_asset(value) else "")

    return Kind(CID, check, kind.write, check)


def dumps(value: Any) -> str:
    """A frozen value as canonical JSON."""
    import json

    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """The JSON value of `text`, frozen."""
    import json

    try:
        return freeze(json.loads(text))
    except ValueError:
        raise Mismatch("JSON") from None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    raise Mismatch("str")


def _number(value: Any) -> float:
    if isinstance(value, float):
        return finite(value)
    try:
        return float(integer(value))
    except (Mismatch, OverflowError):
        raise Mismatch("float") from None


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Mismatch("bool", "Write True or False")


def _nothing(value: Any) -> None:
    if value is not None:
        raise Mismatch("None")


def _write_any(value: Any) -> str:
    tagged = not isinstance(value, str) or isinstance(value, Enum) or value.startswith(TAG)
    return TAG + dumps(value) if tagged else value


def _read_any(text: str) -> Any:
    return loads(text.removeprefix(TAG)) if text.startswith(TAG) else text


def _read_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Mismatch("int")
    return int(text)


def _read_number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise Mismatch("float")
    return finite(float(text))


def _read_truth(text: str) -> bool:
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise Mismatch("bool", "Write true or false") from None


def _read_nothing(text: str) -> None:
    _nothing(loads(text))


ANY = Kind("a JSON value", freeze, _write_any, _read_any)
STRING = Kind("str", _string, _string, _string)
NOTHING = Kind("None", _nothing, dumps, _read_nothing)
SCALARS: dict[Any, Kind] = {
    str: STRING,
    int: Kind("int", integer, dumps, _read_integer),
    float: Kind("float", _number, dumps, _read_number),
    bool: Kind("bool", _truth, dumps, _read_truth),
    None: NOTHING,
    types.NoneType: NOTHING,
    Any: ANY,
    object: ANY,
}
