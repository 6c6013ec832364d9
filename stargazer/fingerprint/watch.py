"""Whether everything that an identity was made of is still as it was. Asked at every call, so it must be cheap."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.fingerprint.canonical import Plain, encode, is_constant

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["MISSING", "Watch", "contents"]

MISSING = object()


class Namespace(Protocol):
    """Globals of a module, or the attributes of a class."""

    def get(self, name: str, default: Any, /) -> Any:
        """Value of a name."""


class Watch:
    """Names, functions, closures and mutable constants, as they were when an identity was made."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[Namespace, str, Any]] = {}
        self._functions: list[tuple[FunctionType, Any, Any, Any]] = []
        self._cells: list[tuple[Any, Any]] = []
        self._constants: dict[int, tuple[Any, Any]] = {}

    def name(self, namespace: Namespace, name: str, value: Any) -> None:
        """`name` leads to `value`, or to nothing (`MISSING`)."""
        self._names[id(namespace), name] = (namespace, name, value)

    def function(self, function: FunctionType) -> None:
        """Reloading may change a function in place."""
        self._functions.append((function, function.__code__, function.__defaults__, function.__kwdefaults__))

    def cell(self, cell: Any) -> None:
        """A variable of a closure."""
        self._cells.append((cell, contents(cell)))

    def constant(self, value: Any) -> None:
        """A value that may change in place."""
        if not is_constant(value) and id(value) not in self._constants:
            seen = _snapshot(value)
            if seen != _same_object(value):
                self._constants[id(value)] = (value, seen)

    def is_current(self) -> bool:
        """Whether every name still leads to the same object, and every constant has the same value."""
        for namespace, name, value in self._names.values():
            if namespace.get(name, MISSING) is not value:
                return False
        for function, code, defaults, kwdefaults in self._functions:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return False
            if function.__kwdefaults__ is not kwdefaults:
                return False
        if any(contents(cell) is not value for cell, value in self._cells):
            return False
        return all(_snapshot(value) == seen for value, seen in self._constants.values())


def contents(cell: Any) -> Any:
    """Return what a variable of a closure is bound to, or `MISSING`."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _snapshot(value: Any) -> Any:
    if type(value) in Plain:
        try:
            # Version 2 has no references: equal for equal values, whoever else holds them.
            return hash(marshal.dumps(value, 2))
        except ValueError:
            pass
    try:
        return encode(value, _same_object, _same_object)
    except RecursionError:
        return None


def _same_object(value: Any) -> str:
    return f"object {id(value)}"
