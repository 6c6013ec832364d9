"""Annotations of functions and classes, with what their module imports for type checkers only."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Unresolved", "annotations_of", "result_of"]


class Unresolved(NamedTuple):
    """An annotation that names what cannot be found.

    Parameters
    ----------
    text
        As it is written.
    """

    text: str


def annotations_of(owner: Any) -> dict[str, Any]:
    """Return the annotations of a function, or of a class with its bases, each resolved by itself.

    Parameters
    ----------
    owner
        A function, dataclass or named tuple.
    """
    places = reversed(owner.__mro__) if isinstance(owner, type) else (inspect.unwrap(owner),)
    found: dict[str, Any] = {}
    for place in places:
        written = inspect.get_annotations(place)
        names = _names_at(place) if written else {}
        found |= {name: _resolved(hint, names) for name, hint in written.items()}
    return found


def result_of(function: Callable[..., Any]) -> Any:
    """Return the annotation of what a function returns; `inspect.Parameter.empty` without one."""
    return annotations_of(function).get("return", inspect.Parameter.empty)


def _resolved(hint: Any, names: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"one": hint})
    try:
        return typing.get_type_hints(holder, globalns=dict(names))["one"]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return Unresolved(hint if isinstance(hint, str) else repr(hint))


def _names_at(place: Any) -> dict[str, Any]:
    """Names that annotations written there may use."""
    module = sys.modules.get(place.__module__, builtins)
    names = _imported_for_checkers(module) | vars(module) | getattr(place, "__globals__", {})
    for name, cell in zip(_free(place), getattr(place, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return names


def _free(place: Any) -> tuple[str, ...]:
    code = getattr(place, "__code__", None)
    return code.co_freevars if code is not None else ()


@functools.lru_cache(maxsize=256)
def _imported_for_checkers(module: types.ModuleType) -> dict[str, Any]:
    """Names under ``if TYPE_CHECKING:``, as far as what they come from is there."""
    try:
        tree = parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return {}
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            for name, value in _imports(node.body, module.__name__):
                names[name] = value
    return names


def _imports(body: list[ast.stmt], module: str) -> Iterator[tuple[str, Any]]:
    for node in body:
        for alias in getattr(node, "names", []):
            try:
                if isinstance(node, ast.Import):
                    found = importlib.import_module(alias.name)
                    yield (
                        alias.asname or alias.name.partition(".")[0],
                        (found if alias.asname else sys.modules[alias.name.partition(".")[0]]),
                    )
                elif isinstance(node, ast.ImportFrom):
                    yield alias.asname or alias.name, _member(node, alias.name, module)
            except (ImportError, AttributeError, KeyError):
                continue


def _member(node: ast.ImportFrom, name: str, module: str) -> Any:
    package = module.rpartition(".")[0]
    home = importlib.import_module("." * node.level + (node.module or ""), package or None)
    if hasattr(home, name):
        return getattr(home, name)
    return importlib.import_module(f"{home.__name__}.{name}")
