"""What code adds to and then reads as a whole is no memo: a result depends on the calls before it, as no key tells."""

from __future__ import annotations

import ast
import collections
import functools
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.parsing import children, walk
from stargazer.fingerprint.source import dotted, global_names
from stargazer.fingerprint.state import WRITERS, may_write
from stargazer.fingerprint.watch import MISSING, contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.fingerprint.source import Chain

__all__ = ["Counters", "defaults_of"]

CONTAINERS = (list, dict, set, collections.deque, bytearray)

GROWERS = frozenset({"append", "extend", "insert", "appendleft", "extendleft", "subtract"})
"""Methods after which an object tells how often they were called."""

KEYED = frozenset({"get", "setdefault", "pop", "move_to_end", "popitem", "clear", "discard", "remove"})
"""Methods that ask for one entry, as of a memo, or take some away."""

TELLING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "print", "warn"})
"""What tells a person something, which is no result."""

Variable = tuple[int, str]
"""A container itself; or a namespace, and a name in it."""


class Counters:
    """Variables that functions add to, and who reads of them what depends on how often that happened."""

    def __init__(self) -> None:
        self._grown: dict[Variable, tuple[str, bool]] = {}
        self._noted: list[tuple[FunctionType, list[ast.AST]]] = []

    def note(self, function: FunctionType, nodes: list[ast.AST]) -> None:
        """Note a function that runs when a task does, with its syntax trees."""
        self._noted.append((function, nodes))
        if may_write(function.__code__):
            for node in nodes:
                for chain, keyed in grows(node).items():
                    if (place := _variable(function, chain)) is not None:
                        self._grown[place] = ".".join(chain), keyed and self._grown.get(place, ("", True))[1]

    def told(self) -> Iterator[str]:
        """What no key tells, in words; asked when all functions are noted."""
        for function, nodes in self._noted if self._grown else ():
            for chain in sorted(frozenset().union(*map(_chains, nodes))):
                name, keyed = self._grown.get(_variable(function, chain) or (0, ""), ("", False))
                if name and any(reads(node, chain, whole=keyed) for node in nodes):
                    yield (
                        f"{name}, which code adds to while it runs and {function.__qualname__} reads, "
                        "so that a result depends on the calls before it"
                    )


@functools.lru_cache(maxsize=8192)
def _chains(node: ast.AST) -> frozenset[Chain]:
    """Dotted names that occur in code. Trees never change, and each task that reaches a function asks again."""
    return frozenset(map(dotted, walk(node))) - {()}


def _variable(function: FunctionType, chain: Chain) -> Variable | None:
    """Where a dotted name leads that outlives a call; None of what is local, and of code."""
    code, head = function.__code__, chain[0] if chain else ""
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    if head in code.co_varnames:
        found = defaults_of(function).get(head, MISSING) if len(chain) == 1 else MISSING
        return (id(found), "") if isinstance(found, CONTAINERS) else None
    if head not in cells and head not in global_names(code):
        return None
    space: Any = function.__globals__
    value = contents(cells[head]) if head in cells else space.get(head, MISSING)
    for attribute in chain[1:]:
        if not isinstance(value, (ModuleType, FunctionType, type)):
            return None
        space, value = vars(value), vars(value).get(attribute, MISSING)
    if isinstance(value, CONTAINERS):
        return id(value), ""
    if isinstance(value, (FunctionType, type, ModuleType)) or value is MISSING:
        return None
    return (id(cells[head]), head) if head in cells and len(chain) == 1 else (id(space), chain[-1])


def defaults_of(function: FunctionType) -> dict[str, Any]:
    """Defaults of a function's parameters, by name."""
    code, positional = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(positional) : code.co_argcount]
    return {**dict(zip(names, positional, strict=True)), **(function.__kwdefaults__ or {})}


@functools.lru_cache(maxsize=8192)
def grows(node: ast.AST) -> dict[Chain, bool]:
    """Dotted names of what code adds to, and whether always under a key, which a memo does, too.

    What it fills where it finds it empty (``if not TABLE: …``) is made once, and tells nothing of earlier calls.
    """
    found: dict[Chain, bool] = {}
    for each in walk(node):
        for name, keyed in _growth(each):
            found[name] = keyed and found.get(name, True)
    made_once = {_holder(part) for test in _guards(node) for part in walk(test)}
    return {name: keyed for name, keyed in found.items() if name not in made_once}


def _growth(node: ast.AST) -> Iterator[tuple[Chain, bool]]:
    """What one statement or call adds to."""
    if isinstance(node, ast.AugAssign):
        yield _holder(node.target), False
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {*GROWERS, "add"}:
        yield _holder(node.func.value), node.func.attr == "add"  # to a set, which is asked for one member
    elif isinstance(node, ast.Assign):
        asked = {_holder(part) for part in walk(node.value)} if not isinstance(node.value, ast.BoolOp) else set()
        for target in node.targets:
            name = _holder(target)
            if isinstance(target, ast.Subscript):
                yield name, name not in asked
            elif name in asked:
                yield name, False


def _guards(node: ast.AST) -> Iterator[ast.expr]:
    """Conditions under which something is filled, or behind which nothing is."""
    for each in walk(node):
        if isinstance(each, ast.If):
            filled = {name for part in each.body for inner in walk(part) for name, _ in _growth(inner)}
            asked = {_holder(part) for part in walk(each.test)}
            if filled & asked or any(isinstance(last, ast.Return) for last in each.body[-1:]):
                yield each.test


def _holder(node: ast.AST) -> Chain:
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


def reads(node: ast.AST, name: Chain, *, whole: bool) -> bool:
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


def _read_parts(node: ast.AST, name: Chain, whole: bool) -> Iterable[ast.AST]:
    """Parts of code whose values go on."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        return [child for child in children(node) if child is not node.test]
    if isinstance(node, ast.AugAssign):
        return [node.value]
    if isinstance(node, ast.Assign) and name in map(_holder, node.targets):
        return []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_no_result(node.value, name):
        return []
    if whole and _is_keyed(node, name):
        return [child for child in children(node) if _holder(child) != name]
    return children(node)


def _is_no_result(call: ast.Call, name: Chain) -> bool:
    """Whether a call whose value nobody takes changes the variable, or tells a person something."""
    called = dotted(call.func)
    if called and called[-1] in TELLING:
        return True
    return isinstance(call.func, ast.Attribute) and call.func.attr in WRITERS and _holder(call.func.value) == name


def _is_keyed(node: ast.AST, name: Chain) -> bool:
    if isinstance(node, ast.Subscript):
        return _holder(node.value) == name
    if isinstance(node, ast.Compare):
        return all(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in KEYED and _holder(node.func.value) == name
    return isinstance(node, ast.Attribute) and node.attr in KEYED and dotted(node.value) == name
