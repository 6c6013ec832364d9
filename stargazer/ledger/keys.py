"""The identity of a call, as a key.

One function makes both keys. A plan key names calls among the inputs by their own plan keys; once all inputs are real,
the same function gives the content key: the key that the call would have had if it had been wired from stored assets.
So calls that were, have one key and cost one look-up.
"""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from stargazer.ledger.parameters import ordered, plain, python_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stargazer.tools import ToolIdentity

__all__ = [
    "call_key",
    "input_key",
    "input_keys",
    "ordered",
    "plain",
    "python_value",
    "readable",
    "task_key",
]

FORMAT = "stargazer/call/1"

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
_texts: dict[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
}
"""How the encoder writes what most members are."""


def task_key(
    name: str,
    code: str,
    tools: Sequence[ToolIdentity],
    libraries: Mapping[str, str],
    env: Mapping[str, str | None] | None = None,
) -> str:
    """Digest of what all calls of one task share: its name, code, tools, libraries and environment variables."""
    shared = [FORMAT, name, code, [[tool.name, tool.version, tool.digest] for tool in tools], dict(libraries)]
    shared += [dict(env)] if env else []
    return hashlib.sha256(_encode(shared).encode()).hexdigest()


def call_key(task: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return the key of one call.

    Parameters
    ----------
    task
        From `task_key`.
    parameters
        Values by name, as `plain` gives them.
    inputs
        Keys of the inputs by parameter: one, a list or a dict of them, or None.
    """
    return hashlib.sha256(f"{task}\n{_members(parameters)}\n{_members(inputs)}".encode()).hexdigest()


def _members(values: Mapping[str, Any]) -> str:
    """The same text as the encoder's; most calls have a few numbers and texts, for which it is not set up anew."""
    if not values:
        return "{}"
    written = []
    for name in sorted(values) if len(values) > 1 else values:
        value = values[name]
        write = _texts.get(type(value))
        if write is None:
            return _encode(values)
        written.append(f"{encode_basestring_ascii(name)}:{write(value)}")
    return f"{{{','.join(written)}}}"


def input_key(asset: Any, kinds: Mapping[str, str]) -> str:
    """Key of a stored asset: its type, CID, facts, name and companions.

    Parameters
    ----------
    asset
        Stored.
    kinds
        What tells whether the methods of the user's own types are still the same, by asset key.
    """
    key = f"asset:{asset.id}"
    return " ".join((key, *_codes(asset, kinds))) if kinds else key


def _codes(asset: Any, kinds: Mapping[str, str]) -> Iterator[str]:
    if code := kinds.get(asset.asset_key):
        yield code
    for companion in asset.companions:
        yield from _codes(companion, kinds)


def input_keys(value: Any, kinds: Mapping[str, str]) -> Any:
    """Keys of a stored asset, or of a list or dict of them, or of such lists and dicts; see `input_key`."""
    if isinstance(value, list):
        return [input_keys(item, kinds) for item in value]
    if isinstance(value, dict):
        return ordered({name: input_keys(item, kinds) for name, item in value.items()})
    return None if value is None else input_key(value, kinds)


def _is_pairs(value: Any) -> bool:
    """Whether a value is what `ordered` writes."""
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def readable(value: Any) -> Any:
    """Return what `plain` was given, as far as it can be told: values of classes as text."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict) or not value:
        return value
    kind = next((name for name in READ if name in value and _is_as_written(name, value)), None)
    if kind is not None:
        return READ[kind](value)
    told = {name: item for name, item in value.items() if name not in DETAILS} or value
    return value.get("value", next(iter(told.values())))


def _is_as_written(kind: str, value: Any) -> bool:
    """Whether a value of a record has the form that `plain` writes; what stands in a record may be anything."""
    if kind == "dict":
        return _is_pairs(value["dict"])
    if kind in ("tuple", "set", "frozenset"):
        return isinstance(value[kind], list)
    if kind in ("array", "dataframe", "series"):
        return isinstance(value.get("shape"), list)
    if kind == "enum":
        return isinstance(value["enum"], str)
    named = value.get("dataclass") or value.get("class")
    return isinstance(named, str) and all(isinstance(value.get(part, {}), dict) for part in ("fields", "attributes"))


def _of_class(value: Any) -> Any:
    members = {**value.get("fields", {}), **value.get("attributes", {})}
    shown = ", ".join(f"{name}={readable(item)!r}" for name, item in members.items())
    held = f"{readable(value['of'])!r}" if "of" in value else ""
    return f"{_short(value.get('dataclass') or value['class'])}({', '.join(filter(None, (held, shown)))})"


def _short(name: str) -> str:
    """A qualified name without its module."""
    return name.rpartition(".")[2] if "<locals>" not in name else name.rpartition(">.")[2]


DETAILS = ("zone", "fold", "kind", "flags")

READ: dict[str, Any] = {
    "dict": lambda value: {name: readable(item) for name, item in value["dict"]},
    "tuple": lambda value: tuple(readable(item) for item in value["tuple"]),
    "set": lambda value: "{" + ", ".join(repr(readable(item)) for item in value["set"]) + "}",
    "frozenset": lambda value: "{" + ", ".join(repr(readable(item)) for item in value["frozenset"]) + "}",
    "dataclass": _of_class,
    "of": _of_class,
    "enum": lambda value: ".".join(value["enum"].rsplit(".", 2)[-2:]),
    "array": lambda value: f"array of {value.get('dtype')} {tuple(value['shape'])} {value['array']}",
    "dataframe": lambda value: f"data frame {tuple(value['shape'])} {value['dataframe']}",
    "series": lambda value: f"series {tuple(value['shape'])} {value['series']}",
}
"""How to read what `plain` wrote of values that are more than one text."""
