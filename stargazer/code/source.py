"""Find the syntax tree of a function or class that is already running."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

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
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    found = _functions(code.co_filename, "".join(lines)).get((code.co_name, code.co_firstlineno), [])
    if _is_module_file(function) and not _compiles_to(code, "".join(lines)):
        raise CodeChanged(
            f"{code.co_filename} was edited after {function.__qualname__} was imported from it; "
            "import it again (restart the kernel or use importlib.reload)"
        )
    return found


def class_node(cls: type) -> tuple[ast.ClassDef, list[str]] | None:
    """Return the syntax tree of `cls` and the names of the files searched, or None where it has no source."""
    for filename, namespace in _files_of(cls):
        text = "".join(linecache.getlines(filename, namespace))
        found = _classes(filename, text).get(cls.__qualname__.rpartition("<locals>.")[2])
        if found:
            return found[-1], [filename]
    return None


def module_tree(module: Any) -> ast.Module | None:
    """Return the syntax tree of a whole module, or None where it has no source."""
    filename = getattr(module, "__file__", None)
    text = "".join(linecache.getlines(filename, vars(module))) if filename else ""
    return _parse(filename, text) if filename and text else None


def methods(cls: type) -> list[FunctionType]:
    """Return the functions written in the body of `cls`: not those that dataclasses, enums or named tuples add."""
    parts: list[Any] = []
    for member in vars(cls).values():
        parts += [getattr(member, name, None) for name in ("fget", "fset", "fdel", "func")]
        parts.append(inspect.unwrap(getattr(member, "__func__", member)))
    prefix = f"{cls.__qualname__}."
    return [p for p in parts if isinstance(p, FunctionType) and p.__code__.co_qualname.startswith(prefix)]


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


def _is_module_file(function: FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    instrumented = "@pytest_ar" in function.__globals__
    plain = "<locals>" not in function.__qualname__ and function.__module__ != "__main__"
    return plain and not instrumented and getattr(module, "__file__", None) == function.__code__.co_filename


@functools.lru_cache(maxsize=256)
def _codes(text: str) -> dict[tuple[str, int], list[CodeType]]:
    found: dict[tuple[str, int], list[CodeType]] = {}
    todo = [compile(text, "<source>", "exec", dont_inherit=True)]
    while todo:
        inner = [const for const in todo.pop().co_consts if isinstance(const, CodeType)]
        todo += inner
        for code in inner:
            found.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
    return found


def _compiles_to(code: CodeType, text: str) -> bool:
    candidates = _codes(text).get((code.co_qualname, code.co_firstlineno), [])
    return any(_same(code, candidate) for candidate in candidates)


def _same(one: CodeType, other: CodeType) -> bool:
    if one.co_code != other.co_code or one.co_names != other.co_names or len(one.co_consts) != len(other.co_consts):
        return False
    pairs = list(zip(one.co_consts, other.co_consts, strict=True))
    plain = [(ascii(a), ascii(b)) for a, b in pairs if not isinstance(a, (CodeType, frozenset))]
    nested = [(a, b) for a, b in pairs if isinstance(a, CodeType) and isinstance(b, CodeType)]
    return all(a == b for a, b in plain) and all(_same(a, b) for a, b in nested)
