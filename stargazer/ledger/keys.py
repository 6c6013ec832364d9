"""The identity of a call, as a key.

One function makes both keys. A plan key names calls among the inputs by their own plan keys; once all inputs are real,
the same function gives the content key: the key that the call would have had if it had been wired from stored assets.
So calls that were, have one key and cost one look-up.
"""

from __future__ import annotations

import enum
import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.tools import ToolIdentity

__all__ = [
    "call_key",
    "classes_in",
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


def task_key(name: str, code: str, tools: Sequence[ToolIdentity], libraries: Mapping[str, str]) -> str:
    """Digest of what all calls of one task share: its name, code, tools and libraries."""
    shared = [FORMAT, name, code, [[tool.name, tool.version, tool.digest] for tool in tools], dict(libraries)]
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
    texts = (_encode(values) if values else "{}" for values in (parameters, inputs))
    return hashlib.sha256("\n".join((task, *texts)).encode()).hexdigest()


def input_key(asset: Any) -> str:
    """Key of a stored asset: its type, CID, facts, name and companions."""
    return f"asset:{asset.id}"


def input_keys(value: Any) -> Any:
    """Keys of a stored asset, or of a list or dict of them."""
    if isinstance(value, list):
        return [input_key(asset) for asset in value]
    if isinstance(value, dict):
        return ordered({name: input_key(asset) for name, asset in value.items()})
    return None if value is None else input_key(value)


def ordered(members: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
    """Return a dict as JSON that keeps its order, which a body sees."""
    return {"dict": [[name, member] for name, member in members.items()]}


def plain(value: Any) -> Any:
    """Return a parameter's value as JSON that tells equal from unequal.

    Raises
    ------
    TypeError
        The value is no number, string, boolean, enum, None, dataclass, list, tuple or dict of these.
    """
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return {"enum": f"{type(value).__qualname__}.{value.name}", "value": plain(value.value)}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [plain(item) for item in value]}
    return _plain_mapping(value)


def _plain_mapping(value: Any) -> Any:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return ordered({key: plain(item) for key, item in value.items()})
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"dataclass": type(value).__qualname__, "fields": members}
    raise TypeError(f"{type(value).__name__} is no plain value")


def classes_in(value: Any) -> dict[str, str]:
    """Return the module of each class of a dataclass or enum in a parameter's value, by its qualified name."""
    if isinstance(value, (list, tuple, dict)):
        items = value.values() if isinstance(value, dict) else value
        return {name: module for item in items for name, module in classes_in(item).items()}
    if isinstance(value, enum.Enum):
        return {type(value).__qualname__: type(value).__module__}
    if not is_dataclass(value) or isinstance(value, type):
        return {}
    inner = [getattr(value, field.name) for field in fields(value)]
    return {type(value).__qualname__: type(value).__module__, **classes_in(inner)}


def python_value(value: Any) -> Any:
    """Return NumPy's scalars as Python's own, also in lists, tuples and dicts; anything else as it is."""
    if type(value) in (list, tuple):
        return type(value)(map(python_value, value))
    if type(value) is dict:
        return {key: python_value(item) for key, item in value.items()}
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


def readable(value: Any) -> Any:
    """Return what `plain` was given, as far as it can be told: enums and dataclasses as text."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {name: readable(item) for name, item in value["dict"]}
    if "tuple" in value:
        return tuple(readable(item) for item in value["tuple"])
    if "dataclass" in value:
        members = ", ".join(f"{name}={readable(item)!r}" for name, item in value["fields"].items())
        return f"{value['dataclass']}({members})"
    return value.get("enum", value.get("float", value))
