"""Which names a cell defines and which it takes from other cells, as Python itself scopes them."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import symtable
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint.parsing import parse, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "LOOKS_UP",
    "PRESENT",
    "QUERIES_OF_FRAMES",
    "Names",
    "free_names",
    "kind_in",
    "left_by_blocks",
    "names_of",
    "nodes_in",
    "texts_of",
    "tree_of",
]

QUERIES_OF_FRAMES = ("query", "eval")
"""Methods of data frames that read names in a text."""

LOOKS_UP = {"eval", "exec", "globals", "locals", "vars"}
"""Built-in functions by which code finds names that its text does not show."""

PRESENT = {*vars(builtins), "__file__", "__name__", "__doc__", "__builtins__", "__spec__"}
"""Names that every cell has without any other cell's doing."""


@functools.lru_cache(maxsize=1024)
def tree_of(source: str) -> ast.Module:
    """Return the tree of a cell, made once from the same text; nobody may change it.

    Raises
    ------
    SyntaxError, ValueError
        It is no Python.
    """
    tree: ast.Module = parse(source)
    return tree


@functools.lru_cache(maxsize=8192)
def nodes_in(node: ast.AST) -> tuple[ast.AST, ...]:
    """Return a node and all below it; trees of cells are asked many things, and never change."""
    return tuple(walk(node))


@functools.lru_cache(maxsize=16384)
def kind_in(node: ast.AST, *kinds: type[ast.AST]) -> tuple[Any, ...]:
    """Return those of some kinds among a node and all below it."""
    return tuple(each for each in nodes_in(node) if isinstance(each, kinds))


class Names(NamedTuple):
    """The names at the border of a cell.

    Parameters
    ----------
    defs
        What it binds at its top level, and other cells may read.
    refs
        What it reads and does not bind.
    early
        Of `defs`, what it may read before it binds it, or may leave unbound: in a notebook whose cells run one after
        the other it is an earlier cell's.
    stars
        Modules of which it imports all names.
    looks_up
        Whether it finds names while it runs, as by ``globals()``: it may read any.
    """

    defs: frozenset[str]
    refs: frozenset[str]
    early: frozenset[str] = frozenset()
    stars: tuple[str, ...] = ()
    looks_up: bool = False


def names_of(source: str, *, private: bool = True, hidden: frozenset[str] = frozenset()) -> Names:
    """Return the names at the border of a cell.

    Parameters
    ----------
    source
        Its text.
    private
        Whether names that begin with an underscore stay inside, as in marimo.
    hidden
        Names of Python's own that other cells bind.

    Raises
    ------
    SyntaxError
        It is not Python.
    """
    tree = tree_of(source)
    table = symtable.symtable(source, "<cell>", "exec")
    defs, refs = _of_table(table)
    defs -= _caught(tree)
    stars = tuple(n.module or "" for n in kind_in(tree, ast.ImportFrom) if n.names[0].name == "*")

    def kept(names: Iterable[str]) -> frozenset[str]:
        return frozenset(each for each in names if not (private and each.startswith("_")) and each != "__class__")

    early = _early(tree, defs)
    refs |= {name for name in _in_queries(tree) if name not in early}
    return Names(
        kept(defs), kept(refs - defs - (PRESENT - hidden) - _caught(tree)), kept(early), stars, _looks_up(tree)
    )


def _caught(tree: ast.Module) -> set[str]:
    """Names that only ``except … as name`` binds: they are gone after it."""
    caught = {n.name for n in kind_in(tree, ast.ExceptHandler) if n.name}
    other = {n.id for n in kind_in(tree, ast.Name) if isinstance(n.ctx, ast.Store)} if caught else set()
    return caught - other


def _looks_up(tree: ast.Module) -> bool:
    calls = (n for n in kind_in(tree, ast.Call) if isinstance(n.func, ast.Name))
    return any(call.func.id in LOOKS_UP and not (call.func.id == "vars" and call.args) for call in calls)


def _in_queries(tree: ast.Module) -> set[str]:
    """Names that texts of pandas' queries read: ``df.query("x > @limit")``."""
    calls = (n for n in kind_in(tree, ast.Call) if isinstance(n.func, ast.Attribute))
    found = (texts_of(call) for call in calls if call.func.attr in QUERIES_OF_FRAMES)
    return {name for texts in found for text in texts for name in re.findall(r"@(\w+)", text)}


@functools.lru_cache(maxsize=1024)
def left_by_blocks(tree: ast.Module) -> frozenset[str]:
    """Names that a cell has for the length of ``with … as name`` alone; they are bound after it, to what it left."""
    blocks = kind_in(tree, ast.With, ast.AsyncWith)
    if not blocks:
        return frozenset()
    bound = [item.optional_vars for block in blocks for item in block.items]
    targets = {id(node): node.id for node in bound if isinstance(node, ast.Name)}
    inside = {id(each) for block in blocks for each in kind_in(block, ast.Name)}
    every = kind_in(tree, ast.Name)
    elsewhere = {n.id for n in every if id(n) not in targets and (id(n) not in inside or isinstance(n.ctx, ast.Store))}
    return frozenset({*targets.values()} - elsewhere)


def texts_of(call: ast.AST) -> list[str]:
    """Texts that are written out as the first argument of a call; none where it is made while the call runs."""
    first = call.args[0] if isinstance(call, ast.Call) and call.args else None
    if isinstance(first, ast.JoinedStr):
        parts = [each.value for each in first.values if isinstance(each, ast.Constant)]
        return [str(each) for each in parts] if len(parts) == len(first.values) else []
    return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []


@functools.lru_cache(maxsize=4096)
def free_names(node: ast.AST) -> frozenset[str]:
    """Names that a statement reads from around it."""
    body = [node] if isinstance(node, ast.stmt) else [ast.Expr(node)]  # type: ignore[arg-type]
    text = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))  # type: ignore[arg-type]
    defs, refs = _of_table(symtable.symtable(text, "<statement>", "exec"))
    return frozenset((refs - defs - PRESENT) | {name for name in _loads(node) & defs if name not in PRESENT})


def _of_table(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    defs, refs = set[str](), set[str]()
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            defs.add(symbol.get_name())
        elif symbol.is_referenced():
            refs.add(symbol.get_name())
    for inner in _inner(table):
        for symbol in inner.get_symbols():
            if symbol.is_declared_global() and symbol.is_assigned():
                defs.add(symbol.get_name())
            elif symbol.is_global() and symbol.is_referenced():
                refs.add(symbol.get_name())
    return defs, refs - defs


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner(child)


def _early(tree: ast.Module, defs: set[str]) -> set[str]:
    """Names that are read before the statement that surely binds them, or that none surely binds."""
    bound, early = set[str](), set[str]()
    for statement in tree.body:
        early |= (_loads(statement) & defs) - bound
        bound |= _surely_bound(statement)
    return early | (defs - bound)


def _loads(node: ast.AST) -> set[str]:
    found = set[str]()
    for each in kind_in(node, ast.Name, ast.AugAssign):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Store):
            found.add(each.id)
        elif isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name):
            found.add(each.target.id)
    return found


def _surely_bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign):
        return {n.id for t in statement.targets for n in kind_in(t, ast.Name) if _stores(n)}
    if isinstance(statement, ast.AnnAssign):
        return {statement.target.id} if isinstance(statement.target, ast.Name) and statement.value else set()
    if isinstance(statement, ast.AugAssign):
        return {statement.target.id} if isinstance(statement.target, ast.Name) else set()
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        names = [each.optional_vars for each in statement.items if each.optional_vars is not None]
        inside = set[str]().union(*map(_surely_bound, statement.body))
        return inside | {n.id for t in names for n in kind_in(t, ast.Name) if _stores(n)}
    return set()


def _stores(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
