"""What code keeps for itself while it runs: memos, counters, singletons that are made late, registries.

They change no result, so that they count by what is written of them, not by what they hold. What code adds to and then
reads as a whole is no memo: there a result depends on the calls before it, which nothing tells (`grows`, `reads`).
"""

from __future__ import annotations

import ast
import functools
import opcode
from types import CodeType
from typing import TYPE_CHECKING

from stargazer.fingerprint.source import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "grows",
    "is_main_guard",
    "is_task",
    "may_write",
    "mentions",
    "reads",
    "remembered",
    "running",
    "written",
]

WRITERS = frozenset({
    "append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard",
    "appendleft", "extendleft", "popleft", "rotate", "move_to_end", "sort", "reverse", "subtract", "__setitem__",
})  # fmt: skip
"""Methods that change their object."""

GROWERS = frozenset({"append", "add", "extend", "insert", "appendleft", "extendleft", "subtract"})
"""Methods after which an object tells how often they were called."""

KEYED = frozenset({"get", "setdefault", "pop", "move_to_end", "popitem", "clear", "discard", "remove"})
"""Methods that ask for one entry, as of a memo, or take some away."""

TELLING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "print", "warn"})
"""What tells a person something, which is no result."""

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
    for each in ast.walk(node):
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
def grows(node: ast.AST) -> dict[tuple[str, ...], bool]:
    """Dotted names of what code adds to, and whether always under a key, which a memo does, too.

    What it fills where it finds it empty (``if not TABLE: …``) is made once, and tells nothing of earlier calls.
    """
    found: dict[tuple[str, ...], bool] = {}
    for each in ast.walk(node):
        for name, keyed in _growth(each):
            found[name] = keyed and found.get(name, True)
    made_once = {_holder(part) for test in _guards(node) for part in ast.walk(test)}
    return {name: keyed for name, keyed in found.items() if name not in made_once}


def _growth(node: ast.AST) -> Iterator[tuple[tuple[str, ...], bool]]:
    """What one statement or call adds to."""
    if isinstance(node, ast.AugAssign):
        yield _holder(node.target), False
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GROWERS:
        yield _holder(node.func.value), False
    elif isinstance(node, ast.Assign):
        asked = {_holder(part) for part in ast.walk(node.value)} if not isinstance(node.value, ast.BoolOp) else set()
        for target in node.targets:
            name = _holder(target)
            if isinstance(target, ast.Subscript):
                yield name, name not in asked
            elif name in asked:
                yield name, False


def _guards(node: ast.AST) -> Iterator[ast.expr]:
    """Conditions under which something is filled, or behind which nothing is."""
    for each in ast.walk(node):
        if isinstance(each, ast.If):
            filled = {name for part in each.body for inner in ast.walk(part) for name, _ in _growth(inner)}
            asked = {_holder(part) for part in ast.walk(each.test)}
            if filled & asked or any(isinstance(last, ast.Return) for last in each.body[-1:]):
                yield each.test


def _holder(node: ast.AST) -> tuple[str, ...]:
    """Dotted name of what an expression asks or changes something of: ``M`` of ``M[k]`` and ``M.get(k)``."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            names.clear()
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KEYED:
            names.clear()
            node = node.func.value
        else:
            return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def reads(node: ast.AST, name: tuple[str, ...], *, whole: bool) -> bool:
    """Whether what code gives may depend on all that a variable holds.

    Parameters
    ----------
    node
        The code.
    name
        The variable, dotted.
    whole
        Whether to pass over what asks for one entry by its key.

    It may not, where the variable is only asked in a condition, changed, or told to a person.
    """
    if isinstance(node, ast.expr) and dotted(node) == name:
        return isinstance(getattr(node, "ctx", None), ast.Load)
    return any(reads(child, name, whole=whole) for child in _read_parts(node, name, whole))


def _read_parts(node: ast.AST, name: tuple[str, ...], whole: bool) -> Iterable[ast.AST]:
    """Parts of code whose values go on."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        return [child for child in ast.iter_child_nodes(node) if child is not node.test]
    if isinstance(node, ast.AugAssign):
        return [node.value]
    if isinstance(node, ast.Assign) and name in map(_holder, node.targets):
        return []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_no_result(node.value, name):
        return []
    if whole and _is_keyed(node, name):
        return [child for child in ast.iter_child_nodes(node) if _holder(child) != name]
    return ast.iter_child_nodes(node)


def _is_no_result(call: ast.Call, name: tuple[str, ...]) -> bool:
    """Whether a call whose value nobody takes changes the variable, or tells a person something."""
    called = dotted(call.func)
    if called and called[-1] in TELLING:
        return True
    return isinstance(call.func, ast.Attribute) and call.func.attr in WRITERS and _holder(call.func.value) == name


def _is_keyed(node: ast.AST, name: tuple[str, ...]) -> bool:
    if isinstance(node, ast.Subscript):
        return _holder(node.value) == name
    if isinstance(node, ast.Compare):
        return all(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in KEYED and _holder(node.func.value) == name
    return isinstance(node, ast.Attribute) and node.attr in KEYED and dotted(node.value) == name


@functools.lru_cache(maxsize=8192)
def remembered(node: ast.AST) -> set[str]:
    """Attributes of its object that a method sets where it finds them not set yet."""
    arguments = getattr(node, "args", None)
    first = [*arguments.posonlyargs, *arguments.args][:1] if arguments is not None else []
    if not first or not _set([node], first[0].arg):
        return set()
    found: set[str] = set()
    for each in ast.walk(node):
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
    for each in ast.walk(node):
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


def running(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a statement does: of functions that it only defines, decorators and defaults; no main guard."""
    if isinstance(node, ast.stmt) and is_main_guard(node):
        return
    yield node
    children: Iterable[ast.AST]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        children = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif isinstance(node, ast.Lambda):
        children = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from running(child)


def is_main_guard(node: ast.stmt) -> bool:
    """Whether a statement is ``if __name__ == "__main__"``."""
    return isinstance(node, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(node.test)
    )


def is_task(node: ast.AST) -> bool:
    """Whether a definition is a task: calling it runs nothing."""
    decorators = [each.func if isinstance(each, ast.Call) else each for each in getattr(node, "decorator_list", [])]
    return any(
        (isinstance(each, ast.Name) and each.id == "task") or (isinstance(each, ast.Attribute) and each.attr == "task")
        for each in decorators
    )
