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

    from stargazer.tool import ToolIdentity

__all__ = ["call_key", "input_key", "input_keys", "plain", "task_key"]

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
        return {name: input_key(asset) for name, asset in value.items()}
    return None if value is None else input_key(value)


def plain(value: Any) -> Any:
    """Return a parameter's value as JSON that tells equal from unequal.

    Raises
    ------
    TypeError
        The value is no number, string, boolean, enum, None, dataclass, list or dict of these.
    """
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return {"enum": f"{type(value).__qualname__}.{value.name}", "value": plain(value.value)}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _plain_mapping(value)


def _plain_mapping(value: Any) -> Any:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: plain(item) for key, item in value.items()}}
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"dataclass": type(value).__qualname__, "fields": members}
    raise TypeError(f"{type(value).__name__} is no plain value")
