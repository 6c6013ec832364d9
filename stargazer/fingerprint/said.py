"""What a module's text says of its names, and which of them somebody set otherwise from outside.

A module that counts as a whole counts by its text. What another module puts in place of a function or constant of it
(``config.LIMIT = 5``), and what a notebook does there later, stands in another text.
"""

from __future__ import annotations

import ast
from collections import Counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.parsing import walk
from stargazer.fingerprint.state import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

__all__ = ["bound_once", "set_inside", "set_outside"]

FUNCTION = "def"
CONSTANTS = (int, float, complex, str, bytes, bool, type(None), type(...))
Defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def bound_once(tree: ast.Module) -> tuple[tuple[str, str], ...]:
    """Names that one statement at the top of a module binds, and no other: to a function, or a constant, as text."""
    bound = Counter(name for statement in tree.body for node in running(statement) for name in _bound_by(node))
    return tuple((name, text) for name, text in _said(tree.body) if bound[name] == 1)


def set_inside(tree: ast.Module) -> set[str]:
    """Names of variables and attributes that functions set as they run: what these hold is no part of a text."""
    found: set[str] = set()
    functions = (node for node in walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))
    for node in (each for function in functions for each in walk(function)):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            found.update(each.value for each in node.args if isinstance(each, ast.Constant) and type(each.value) is str)
    return found


def set_outside(module: ModuleType, said: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names of a module that hold something else than its text says, with what they hold."""
    space = vars(module)  # which lacks what a lazy module has not loaded yet
    there = ((name, text) for name, text in said if name in space)
    return {name: space[name] for name, text in there if not _is_so(name, space[name], text, space)}


def _is_so(name: str, value: Any, text: str, space: dict[str, Any]) -> bool:
    if text != FUNCTION:  # of other objects, what they say of themselves may cost much, or fail
        return type(value) in CONSTANTS and ascii(value) == text
    if not isinstance(value, FunctionType) or value.__globals__ is not space:
        return False
    code = value.__code__  # another function of the same module may have been put in its place
    return code.co_name == name and not code.co_filename.startswith("<")


def _said(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list:
            yield node.name, FUNCTION
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            constant = _constant(node.value)
            if len(targets) == 1 and isinstance(targets[0], ast.Name) and constant:
                yield targets[0].id, constant


def _constant(node: ast.expr | None) -> str:
    """Text of a constant, with its sign; nothing of anything else."""
    sign = "-" if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else ""
    value = node.operand if sign and isinstance(node, ast.UnaryOp) else node
    return f"{sign}{value.value!a}" if isinstance(value, ast.Constant) else ""


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, Defined):
        yield node.name
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
