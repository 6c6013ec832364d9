"""A text of a syntax tree that is equal on every supported Python.

``ast.dump`` is not: newer versions add fields and drop empty ones. Here empty fields, positions, docstrings and the
annotations of functions are left out; those of class bodies stay, for they make dataclasses.
"""

from __future__ import annotations

import ast
import enum
import functools
import hashlib
import re
import sys
from dataclasses import fields, is_dataclass
from operator import attrgetter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Plain",
    "Scalar",
    "array_text",
    "canonical",
    "docstring_of",
    "encode",
    "exact_text",
    "is_constant",
    "scalar_text",
]

Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
FUNCTIONS = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda})


def canonical(node: ast.AST, *, decorators: Sequence[ast.expr] | None = None, full: bool = False) -> str:
    r"""Return the meaning of `node` as text.

    Parameters
    ----------
    node
        Any syntax tree.
    decorators
        Those of `node` itself that count; all of them by default.
    full
        With docstrings and the annotations of functions, for code that reads them.

    Examples
    --------
    >>> one = ast.parse("def f(x: int): 'doc'; return x+1")
    >>> other = ast.parse("def f(x):\n    # comment\n    return (x + 1)")
    >>> canonical(one) == canonical(other)
    True
    """
    out: list[str] = []
    without = frozenset[str]()
    if decorators is not None:
        _write_field(list(decorators), out, False, full)
        without = frozenset({"decorator_list"})
    _write(node, out, in_function=False, without=without, full=full)
    return "".join(out)


def docstring_of(node: ast.AST) -> ast.stmt | None:
    """Return the docstring statement of a definition, if it has one."""
    if isinstance(node, Definition) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return first
    return None


def _write(node: ast.AST, out: list[str], *, in_function: bool, without: frozenset[str], full: bool) -> None:
    kind = type(node)
    if kind is ast.AnnAssign and in_function and not full and node.value is not None:  # type: ignore[attr-defined]
        node, kind = ast.Assign(targets=[node.target], value=node.value), ast.Assign  # type: ignore[attr-defined]
    inside = kind in FUNCTIONS or (in_function and kind is not ast.ClassDef)
    is_constant = kind is ast.Constant
    out.append(f"{kind.__name__}(")
    for name in _written_fields(kind, in_function, full):  # type: ignore[arg-type]  # kinds of nodes can be hashed
        value: Any = getattr(node, name, MISSING)
        if value is MISSING or name in without:
            continue
        if (value is None or (type(value) is list and not value)) and not (is_constant and name == "value"):
            continue
        if kind is ast.JoinedStr:
            value = [each for each in value if not (isinstance(each, ast.Constant) and each.value == "")]
        out.append(f"{name}=")
        if name == "body" and not full:
            value = _without_docstring(node, value)
        if isinstance(value, ast.AST):
            _write(value, out, in_function=inside, without=NONE, full=full)
        else:
            _write_field(value, out, inside, full)
    out.append(")")


MISSING = object()
NONE = frozenset[str]()


NO_MEANING = frozenset({"ctx", "type_comment", "type_ignores", "kind"})


NO_RESULT = NO_MEANING | {"returns"}
NO_KIND = NO_MEANING | {"annotation", "simple"}


@functools.cache
def _written_fields(kind: type[ast.AST], in_function: bool, full: bool) -> tuple[str, ...]:
    """Names of the fields of a kind of node that count."""
    ignored = NO_MEANING
    if not full and kind in (ast.FunctionDef, ast.AsyncFunctionDef):
        ignored = NO_RESULT
    elif not full and (kind is ast.arg or (in_function and kind is ast.AnnAssign)):
        ignored = NO_KIND
    return tuple(name for name in kind._fields if name not in ignored)


def _without_docstring(node: ast.AST, value: Any) -> Any:
    return value[1:] if docstring_of(node) is not None else value


def _write_field(value: Any, out: list[str], in_function: bool, full: bool) -> None:
    if isinstance(value, list):
        out.append("[")
        for item in value:
            if full or not (in_function and isinstance(item, ast.AnnAssign) and item.value is None):
                _write_field(item, out, in_function, full)
        out.append("]")
    elif isinstance(value, ast.AST):
        _write(value, out, in_function=in_function, without=NONE, full=full)
    else:
        out.append(f"{type(value).__name__}:{_literal(value)},")


def _literal(value: Any) -> str:
    # ascii(), since repr() follows the interpreter's Unicode tables; hex(), since huge integers have no repr().
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else ascii(value)


# Constants, defaults and parameters as canonical text.


EXACT = {f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")}
EXACT |= {"decimal.Decimal", "fractions.Fraction", "uuid.UUID", "zoneinfo.ZoneInfo"}
"""Types whose repr() says all; named, so that none is imported here."""

Plain = (list, tuple, set, frozenset, dict)
Scalar = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range)


class NotConstant(TypeError):
    """A value that has no canonical text."""


def encode(
    value: Any, other: Callable[[Any], str] | None = None, kind: Callable[[type], str] = attrgetter("__qualname__")
) -> str:
    """Return a text that is equal for equal values, on every Python and in every process.

    Parameters
    ----------
    value
        Scalars, enums, paths, patterns, dates, containers and dataclasses of these, NumPy arrays. Fields that a
        dataclass does not compare are left out.
    other
        Called for anything else.
    kind
        How the type of an enum, a dataclass or a subclass of a container is named.

    Raises
    ------
    NotConstant
        The value is none of these and `other` is not given.
    """
    if isinstance(value, enum.Enum):
        return f"enum {kind(type(value))}.{value.name}={encode(value.value, other, kind)}"
    if type(value) in Scalar:
        return scalar_text(value)
    encoded = _container(value, other, kind)
    if encoded is not None:
        return encoded
    if isinstance(value, PurePath):
        return f"path {value.as_posix()!a}"
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!a} {value.flags}"
    exact = exact_text(value)
    if exact is not None:
        return exact
    if _is_array(value):
        return array_text(value)
    if other is None:
        raise NotConstant(f"{type(value).__qualname__} has no canonical text")
    return other(value)


def scalar_text(value: Any) -> str:
    """Text of a value of one of the `Scalar` types."""
    return f"{type(value).__name__} {ascii(value) if type(value) is not int else hex(value)}"


def exact_text(value: Any) -> str | None:
    """Text of a date, a decimal number or the like: what its ``repr`` says; None of anything else."""
    return f"exact {value!r}" if f"{type(value).__module__}.{type(value).__qualname__}" in EXACT else None


def _container(value: Any, other: Callable[[Any], str] | None, kind: Callable[[type], str]) -> str | None:
    if not isinstance(value, (list, tuple, set, frozenset, dict)):
        return _dataclass(value, other, kind)
    name = type(value).__name__ if type(value) in Plain else kind(type(value))
    if isinstance(value, dict):
        items = [f"{encode(key, other, kind)}: {encode(item, other, kind)}" for key, item in value.items()]
        factory = getattr(value, "default_factory", None)
        if factory is not None and other is not None:
            items.append(f"else {other(factory)}")
        return f"{name} {{{', '.join(items)}}}"
    texts = (encode(item, other, kind) for item in value)
    return f"{name} [{', '.join(sorted(texts) if isinstance(value, (set, frozenset)) else texts)}]"


def _dataclass(value: Any, other: Callable[[Any], str] | None, kind: Callable[[type], str]) -> str | None:
    if not is_dataclass(value) or isinstance(value, type):
        return None
    names = [field.name for field in fields(value) if field.compare is not False and hasattr(value, field.name)]
    items = (f"{name}: {encode(getattr(value, name), other, kind)}" for name in names)
    return f"{kind(type(value))} ({', '.join(items)})"


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and not value.dtype.hasobject


def array_text(value: Any) -> str:
    """Type, shape and digest of an array of NumPy, or a scalar of it."""
    kind = value.dtype.descr if value.dtype.fields else value.dtype.str
    return f"array {kind} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"


def is_constant(value: Any) -> bool:
    """Whether `value` can never change in place, so that its identity tells whether it is still the same."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_constant, value))
    return type(value) in (*Scalar, re.Pattern) or (isinstance(value, PurePath) and not hasattr(value, "__dict__"))
