"""A text of a syntax tree that is equal on every supported Python.

``ast.dump`` is not: newer versions add fields and drop empty ones. Here empty fields, positions, docstrings and the
annotations of functions are left out; those of class bodies stay, for they make dataclasses.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["canonical", "docstring_of"]

Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def canonical(node: ast.AST, *, decorators: Sequence[ast.expr] | None = None) -> str:
    r"""Return the meaning of `node` as text.

    Parameters
    ----------
    node
        Any syntax tree.
    decorators
        Those of `node` itself that count; all of them by default.

    Examples
    --------
    >>> one = ast.parse("def f(x: int): 'doc'; return x+1")
    >>> other = ast.parse("def f(x):\n    # comment\n    return (x + 1)")
    >>> canonical(one) == canonical(other)
    True
    """
    out: list[str] = []
    if decorators is not None:
        _write_field(list(decorators), out, False)
    _write(node, out, in_function=False, without=frozenset() if decorators is None else frozenset({"decorator_list"}))
    return "".join(out)


def docstring_of(node: ast.AST) -> ast.stmt | None:
    """Return the docstring statement of a definition, if it has one."""
    if isinstance(node, Definition) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return first
    return None


def _write(node: ast.AST, out: list[str], *, in_function: bool, without: frozenset[str]) -> None:
    if in_function and isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign(targets=[node.target], value=node.value)
    inside = isinstance(node, Function) or (in_function and not isinstance(node, ast.ClassDef))
    skipped = without | _ignored_fields(node, in_function)
    out.append(f"{type(node).__name__}(")
    for name, value in ast.iter_fields(node):
        literal = isinstance(node, ast.Constant) and name == "value"
        if name in skipped or (not literal and (value is None or value == [])):
            continue
        out.append(f"{name}=")
        _write_field(_without_docstring(node, name, value), out, inside)
    out.append(")")


def _ignored_fields(node: ast.AST, in_function: bool) -> frozenset[str]:
    ignored = {"ctx", "type_comment", "type_ignores", "kind"}
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        ignored.add("returns")
    if isinstance(node, ast.arg) or (isinstance(node, ast.AnnAssign) and in_function):
        ignored |= {"annotation", "simple"}
    return frozenset(ignored)


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    return value[1:] if name == "body" and docstring_of(node) is not None else value


def _write_field(value: Any, out: list[str], in_function: bool) -> None:
    if isinstance(value, list):
        out.append("[")
        for item in value:
            if not (in_function and isinstance(item, ast.AnnAssign) and item.value is None):
                _write_field(item, out, in_function)
        out.append("]")
    elif isinstance(value, ast.AST):
        _write(value, out, in_function=in_function, without=frozenset())
    else:
        out.append(f"{type(value).__name__}:{_literal(value)},")


def _literal(value: Any) -> str:
    # ascii(), since repr() follows the interpreter's Unicode tables; hex(), since huge integers have no repr().
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else ascii(value)
