"""Identities of values that have no bytes: calls, tasks, functions, widgets, and containers of these."""

from __future__ import annotations

import dis
import sys
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import NotKept, StargazerError
from stargazer.notebook.encoding import digest_of_value

if TYPE_CHECKING:
    from stargazer.notebook.values import Scope

__all__ = ["Moved", "is_widget", "token_of"]


class Moved:
    """A widget with another value than it was made with.

    Parameters
    ----------
    widget
        Shows itself, and has everything else.
    value
        As if somebody had moved it there.
    """

    def __init__(self, widget: Any, value: Any) -> None:
        self._widget, self.value = widget, value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._widget, name)


def token_of(value: Any, scope: Scope | None = None) -> str | None:
    """What a value is, in a key; None where nobody can tell.

    Parameters
    ----------
    value
        One that is not kept as bytes.
    scope
        The notebook that it is a value of.
    """
    kind = type(value)
    if kind in (list, tuple):
        return _joined(kind.__name__, [token_of(item, scope) for item in value])
    if kind is dict and all(isinstance(key, str) for key in value):
        return _joined(f"dict {','.join(value)} of", [token_of(item, scope) for item in value.values()])
    if isinstance(value, Asset):
        return f"asset:{value.id}" if value.cid else None
    if is_widget(value) or kind is Moved:
        inner = token_of(value.value, scope)
        return None if inner is None else f"widget:{inner}"
    if kind.__module__.startswith("stargazer."):
        return _of_engine(value)
    if isinstance(value, (types.FunctionType, type)):
        return _of_code(value)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return f"value:{digest_of_value(value, Path(folder), scope)}"
    except NotKept:
        return None


def _joined(kind: str, parts: list[str | None]) -> str | None:
    return None if None in parts else f"{kind}[{' '.join(map(str, parts))}]"


def _of_engine(value: Any) -> str | None:
    """A call by its token, a task by its code."""
    token = getattr(value, "token", None)
    if isinstance(token, str):
        return token
    code = getattr(value, "code", None)
    return f"task:{value.name}:{code.digest}" if code is not None and hasattr(value, "name") else None


def _of_code(value: Any) -> str | None:
    from stargazer.fingerprint import identify, identify_class

    if isinstance(value, types.FunctionType) and _keeps_count(value):
        return None
    try:
        found = identify_class(value) if isinstance(value, type) else identify(value, value.__qualname__)
    except StargazerError:
        return None
    return f"code:{found.digest}"


def _keeps_count(function: types.FunctionType) -> bool:
    """Whether a function keeps something from call to call, in variables of the one that made it."""
    freed = set(function.__code__.co_freevars)
    steps = dis.get_instructions(function)
    if any(step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in freed for step in steps):
        return True
    return any(isinstance(_content(cell), (list, dict, set, bytearray)) for cell in function.__closure__ or ())


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def is_widget(value: Any) -> bool:
    """Whether a value is an element of marimo's that people change; asked without importing marimo."""
    if type(value) is Moved:
        return True
    if "marimo" not in sys.modules or not type(value).__module__.startswith("marimo."):
        return False
    return any(base.__name__ == "UIElement" for base in type(value).__mro__)
