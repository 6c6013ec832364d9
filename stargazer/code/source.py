"""Find the syntax tree of a function, class or module that is already running."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.code.edited import runs
from stargazer.errors import CodeChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["class_node", "function_nodes", "methods", "module_tree"]


def function_nodes(function: FunctionType) -> list[ast.AST]:
    """Return the syntax trees that `function` may have been made from: one, or several lambdas of one line.

    An empty list means that its source is nowhere to be found.

    Raises
    ------
    CodeChanged
        The file was edited after the function was imported.
    """
    code, scope = function.__code__, function.__globals__
    text = _text(code.co_filename, scope)
    if "@pytest_ar" not in scope and not runs(code, text):
        linecache.checkcache(code.co_filename)
        text = _text(code.co_filename, scope)
        if not runs(code, text):
            raise CodeChanged(
                f"{code.co_filename} was edited after {function.__qualname__} was read from it; "
                "start the script again, or import it again (restart the kernel or use importlib.reload)"
            )
    return _functions(code.co_filename, text).get((code.co_name, code.co_firstlineno), [])


def class_node(cls: type) -> ast.ClassDef | None:
    """Return the syntax tree of `cls`, or None where it has no source."""
    for filename, namespace in _files_of(cls):
        text = _text(filename, namespace)
        found = _classes(filename, text).get(cls.__qualname__.rpartition("<locals>.")[2], [])
        if found:
            return next((node for node in found if _is_made_by(cls, node)), found[-1])
    return None


def module_tree(module: Any) -> ast.Module | None:
    """Return the syntax tree of a whole module, or None where it has no source."""
    filename = getattr(module, "__file__", None)
    text = _text(filename, vars(module)) if filename else ""
    return _parse(filename, text) if filename and text else None


def methods(cls: type) -> list[FunctionType]:
    """Return the functions written in the body of `cls`: not those that dataclasses, enums or named tuples add."""
    parts: list[Any] = []
    for member in vars(cls).values():
        parts += [getattr(member, name, None) for name in ("fget", "fset", "fdel", "func")]
        parts.append(inspect.unwrap(getattr(member, "__func__", member)))
    prefix = f"{cls.__qualname__}."
    return [p for p in parts if isinstance(p, FunctionType) and p.__code__.co_qualname.startswith(prefix)]


def _text(filename: str, namespace: dict[str, Any] | None) -> str:
    return "".join(linecache.getlines(filename, namespace))


def _is_made_by(cls: type, node: ast.ClassDef) -> bool:
    """Whether `cls`, of which there are several of one name in a file, stands at `node`."""
    line = getattr(cls, "__firstlineno__", None)  # since Python 3.13
    lines = [line] if line else [method.__code__.co_firstlineno for method in methods(cls)]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return any(first <= line <= (node.end_lineno or first) for line in lines)


def _files_of(cls: type) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for method in methods(cls):
        yield method.__code__.co_filename, method.__globals__
    module = sys.modules.get(cls.__module__)
    if getattr(module, "__file__", None):
        yield str(module.__file__), vars(module)  # type: ignore[union-attr]
    # Cells of a notebook: newest first, for a class may have been defined more than once.
    for filename in reversed(list(linecache.cache)):
        if filename.startswith("<") or "ipykernel" in filename or "__marimo__" in filename:
            yield filename, None


@functools.lru_cache(maxsize=256)
def _parse(filename: str, text: str) -> ast.Module:
    try:
        return ast.parse(text, filename)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


@functools.lru_cache(maxsize=256)
def _functions(filename: str, text: str) -> dict[tuple[str, int], list[ast.AST]]:
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(_parse(filename, text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@functools.lru_cache(maxsize=256)
def _classes(filename: str, text: str) -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.ClassDef):
                found.setdefault(prefix + child.name, []).append(child)
                inner = f"{prefix}{child.name}."
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inner = ""
            visit(child, inner)

    visit(_parse(filename, text), "")
    return found
