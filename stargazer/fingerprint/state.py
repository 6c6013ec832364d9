"""What code keeps for itself while it runs: memos, counters, singletons that are made late, registries.

They change no result, so that they count by what is written of them, not by what they hold. Of what is no memo, see
`stargazer.fingerprint.counters`.
"""

from __future__ import annotations

import ast
import functools
import opcode
from types import CodeType
from typing import TYPE_CHECKING

from stargazer.fingerprint.parsing import children, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WRITERS", "is_main_guard", "is_task", "may_write", "mentions", "remembered", "running", "written"]

WRITERS = frozenset({
    "append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard",
    "appendleft", "extendleft", "popleft", "rotate", "move_to_end", "sort", "reverse", "subtract", "__setitem__",
})  # fmt: skip
"""Methods that change their object."""

STORES = frozenset(
    number
    for name, number in opcode.opmap.items()
    if name in ("STORE_GLOBAL", "STORE_ATTR", "STORE_SUBSCR", "STORE_SLICE", "STORE_DEREF")
    or name in ("DELETE_GLOBAL", "DELETE_ATTR", "DELETE_SUBSCR", "DELETE_DEREF")
)


def may_write(code: CodeType) -> bool:
    """Whether `written` is worth asking: whether compiled code stores anything but local variables."""
    if not STORES.isdisjoint(code.co_code[::2]) or not WRITERS.isdisjoint(code.co_names):
        return True
    return any(may_write(const) for const in code.co_consts if isinstance(const, CodeType))


@functools.lru_cache(maxsize=8192)
def written(node: ast.AST) -> frozenset[tuple[str, str | None]]:
    """Names that code binds as globals or changes in place; with the attribute, where it changes one."""
    found: set[tuple[str, str | None]] = set()
    for each in walk(node):
        if isinstance(each, (ast.Global, ast.Nonlocal)):
            found |= {(name, None) for name in each.names}
        elif isinstance(each, (ast.Subscript, ast.Attribute)) and isinstance(each.ctx, (ast.Store, ast.Del)):
            found |= _root(each)
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in WRITERS:
            found |= _root(each.func.value)
    return frozenset(found)


def _root(target: ast.expr) -> set[tuple[str, str | None]]:
    attribute = None
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        attribute = target.attr if isinstance(target, ast.Attribute) else attribute
        target = target.value
    return {(target.id, attribute)} if isinstance(target, ast.Name) else set()


@functools.lru_cache(maxsize=8192)
def remembered(node: ast.AST) -> set[str]:
    """Attributes of its object that a method sets where it finds them not set yet."""
    arguments = getattr(node, "args", None)
    first = [*arguments.posonlyargs, *arguments.args][:1] if arguments is not None else []
    if not first or not _set([node], first[0].arg):
        return set()
    found: set[str] = set()
    for each in walk(node):
        if isinstance(each, ast.If):
            found |= _asked(each.test, first[0].arg) & _set([*each.body, *each.orelse], first[0].arg)
            if any(isinstance(last, ast.Return) for last in each.body[-1:]):  # if known: return it
                found |= _asked(each.test, first[0].arg) & _set([node], first[0].arg)
        elif isinstance(each, ast.Try):
            found |= _asked(ast.Module(body=each.body, type_ignores=[]), first[0].arg) & _set(
                each.handlers, first[0].arg
            )
    return found


def _asked(node: ast.AST, holder: str) -> set[str]:
    """Attributes of `holder` that code reads, also by ``hasattr`` and ``getattr``."""
    found: set[str] = set()
    for each in walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == holder:
            found.add(each.attr)
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in ("hasattr", "getattr"):
            found |= {a.value for a in each.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def _set(nodes: Iterable[ast.AST], holder: str) -> set[str]:
    pairs = set().union(*map(written, nodes))
    return {attribute for name, attribute in pairs if name == holder and attribute is not None}


def mentions(node: ast.AST, names: Iterable[str]) -> bool:
    """Whether any of `names` occurs in what runs when a statement does."""
    wanted = frozenset(names)
    return any(
        (isinstance(each, ast.Name) and each.id in wanted) or (isinstance(each, ast.Attribute) and each.attr in wanted)
        for each in running(node)
    )


@functools.lru_cache(maxsize=4096)
def running(node: ast.AST) -> tuple[ast.AST, ...]:
    """What runs when a statement does: of functions that it only defines, decorators and defaults; no main guard.

    Nodes come before those below them, from the left. Trees never change, and each statement is asked about several
    times.
    """
    found: list[ast.AST] = []
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and is_main_guard(node):
            continue
        found.append(node)
        below: list[ast.AST]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            below = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif isinstance(node, ast.Lambda):
            below = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        else:
            below = children(node)
        todo += reversed(below)
    return tuple(found)


def is_main_guard(node: ast.stmt) -> bool:
    """Whether a statement is ``if __name__ == "__main__"``."""
    return isinstance(node, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in walk(node.test)
    )


def is_task(node: ast.AST) -> bool:
    """Whether a definition is a task: calling it runs nothing."""
    decorators = [each.func if isinstance(each, ast.Call) else each for each in getattr(node, "decorator_list", [])]
    return any(
        (isinstance(each, ast.Name) and each.id == "task") or (isinstance(each, ast.Attribute) and each.attr == "task")
        for each in decorators
    )
