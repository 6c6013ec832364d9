"""Kinds of facts that are one value: how they are checked, written as text and read back."""

from __future__ import annotations

import functools
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import json

    from stargazer.assets.asset import Asset

__all__ = [
    "ANY",
    "BASE_CHECKS",
    "NOTHING",
    "NO_FACTS",
    "SCALARS",
    "STRING",
    "FrozenDict",
    "Kind",
    "Mismatch",
    "Share",
    "dumps",
    "encoder",
    "finite",
    "freeze",
    "is_asset",
    "kind_of",
    "link",
    "loads",
    "plain",
]

# Kinds of facts that are made of others: from an evaluated annotation to how its values are checked.


Share = typing.NewType("Share", float)
"""A share of a whole that may be nothing: then it is NaN, which JSON writes as null."""

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
    if hint is Share:
        return _SHARE
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


# Values that a fact may have: JSON values, made immutable so that assets can be hashed and shared.


def is_asset(value: object) -> bool:
    """Whether `value` is an asset, asked where the class cannot be imported."""
    return hasattr(type(value), "asset_key")


LONGEST_INTEGER = 13_000
"""Bits; Python writes longer ones as decimal text only where it is told to."""


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
    try:
        return _frozen(value)
    except RecursionError:
        raise Mismatch("a value that does not hold itself, nor is nested too deeply") from None


def _frozen(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _frozen(value.value)
    if hasattr(type(value), "__index__"):
        return integer(value)
    for allowed, convert in _CONVERSIONS.items():
        if isinstance(value, allowed):
            return convert(value)
    raise Mismatch("a string, a number, a boolean, None, or lists and dicts of these")


def plain(value: Any) -> Any:
    """A frozen value as `json` writes it: tuples become lists, enums their values, NaN null."""
    if type(value) is float and math.isnan(value):
        return None
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
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None:
        raise Mismatch("int")
    if found.bit_length() > LONGEST_INTEGER:
        raise Mismatch("an integer of at most 4,000 digits", "Write it as text.")
    return found


def _frozen_mapping(value: Mapping[Any, Any]) -> FrozenDict:
    if not all(isinstance(key, str) for key in value):
        raise Mismatch("a dict whose keys are strings")
    return FrozenDict({str.__str__(key): _frozen(item) for key, item in value.items()})


def _frozen_sequence(value: Any) -> tuple[Any, ...]:
    return tuple(_frozen(item) for item in value)


_CONVERSIONS: dict[type, Any] = {
    str: str.__str__,
    float: finite,
    tuple: _frozen_sequence,
    list: _frozen_sequence,
    Mapping: _frozen_mapping,
}


TAG = "json:"
CID = "a CID (version 1 in base32: b… of 59 characters) or ''"
_CID = re.compile("b[a-z2-7]{58}")
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d++\.?\d*+|\.\d++)(e[+-]?\d++)?", re.ASCII | re.IGNORECASE)
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
        return kind.check(_normal_cid(value))

    return Kind(CID, check, kind.write, check)


def _normal_cid(value: Any) -> str:
    """A CID that is written in another way (``Qm…``, another base), or holds its bytes, as it is written here."""
    from stargazer.cid import parse
    from stargazer.errors import CIDError

    if not isinstance(value, str):
        raise Mismatch(CID, "Pass the asset's .cid." if is_asset(value) else "")
    try:
        return parse(value).text
    except CIDError:
        raise Mismatch(CID) from None


def dumps(value: Any) -> str:
    """A frozen value as canonical JSON."""
    return encoder().encode(plain(value))


@functools.cache
def encoder() -> json.JSONEncoder:
    """What writes canonical JSON of plain values; made once, for `json.dumps` makes one for each value."""
    import json

    return json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


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


def _share(value: Any) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan  # always the same one, so that equal assets are equal
    return _number(value)


def _read_share(text: str) -> float:
    return math.nan if text == "null" else _read_number(text)


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
_SHARE = Kind("float or NaN", _share, dumps, _read_share)
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
