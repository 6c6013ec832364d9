"""Parse source, whatever other threads parse meanwhile, and walk through its trees."""

from __future__ import annotations

import ast
import functools
import re
import time
from typing import Any

__all__ = ["children", "lines_of", "parse", "tree_of", "walk"]

TRIES = 20


def parse(source: str | bytes, filename: str = "<unknown>", mode: str = "exec") -> Any:
    """Return the tree of some source, as `ast.parse` does.

    CPython 3.11 counts how deep it is in a tree for all threads together. Where another takes over in the middle, the
    one that is disturbed ends with a SystemError ("AST constructor recursion depth mismatch"), and may begin anew.

    Parameters
    ----------
    source, filename, mode
        As for `ast.parse`.

    Raises
    ------
    SyntaxError, ValueError
        It is no Python.
    """
    for attempt in range(TRIES):
        try:
            return ast.parse(source, filename, mode)
        except SystemError:
            if attempt == TRIES - 1:
                raise
            time.sleep(0.001 * attempt)
    raise AssertionError("unreachable")


@functools.lru_cache(maxsize=256)
def tree_of(text: str) -> ast.Module:
    """Return the tree of a module's text, made once; nobody may change it.

    Raises
    ------
    SyntaxError, ValueError
        It is no Python.
    """
    tree: ast.Module = parse(text)
    return tree


LEAVES = frozenset({
    "arg", "asname", "attr", "conversion", "id", "is_async", "kind", "level", "lineno", "module", "simple", "tag",
    "type_comment",
})  # fmt: skip
"""Members that hold texts or numbers, of whatever node."""

_below: dict[type[ast.AST], tuple[str, ...]] = {}
"""Names of the members of each kind of node in which nodes may stand."""


def _members(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _below.get(kind)
    if found is None:
        leaves = LEAVES | {"value"} if issubclass(kind, ast.Constant) else LEAVES
        found = _below[kind] = tuple(name for name in kind._fields if name not in leaves)
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes right below one, in the order of `ast.iter_child_nodes`, which takes four times as long."""
    found: list[ast.AST] = []
    kind = type(node)
    for name in _below[kind] if kind in _below else _members(kind):
        value = getattr(node, name, None)
        if type(value) is list:
            if value:
                found += [each for each in value if isinstance(each, ast.AST)]
        elif value is not None and isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """Return a node and all below it, in the order of `ast.walk`: nodes before those below them."""
    found = [node]
    members = _below
    for each in found:  # which grows meanwhile
        kind = type(each)
        for name in members[kind] if kind in members else _members(kind):
            value = getattr(each, name, None)
            if type(value) is list:
                if value:
                    found += [item for item in value if isinstance(item, ast.AST)]
            elif value is not None and isinstance(value, ast.AST):
                found.append(value)
    return found


def lines_of(text: str, ends: bool = False) -> list[str]:
    """Return the lines of some source as the parser counts them.

    `str.splitlines` also ends lines at form feeds and at Unicode's separators, which stand between the pages of old
    sources and in texts that were pasted: whoever takes lines by the numbers of a tree would take others.

    Parameters
    ----------
    text
        As files come when they are read as text: a line feed ends a line.
    ends
        Keep the ends.
    """
    return re.findall(r"[^\n]*\n|[^\n]+", text) if ends else text.removesuffix("\n").split("\n") if text else []
