"""Functions that read what is around them, and are used after that was bound again in another cell.

In a kernel such a function reads the newer value. Here every cell has names of its own: it would read the older one.
"""

from __future__ import annotations

import ast
import symtable
from typing import TYPE_CHECKING, NamedTuple

from stargazer.fingerprint.parsing import children
from stargazer.notebook.code import split_cells
from stargazer.notebook.names import PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.notebook.document import Cell

__all__ = ["Use", "used_late"]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Use(NamedTuple):
    """A function that is used too late.

    Parameters
    ----------
    cell, maker
        That uses it, and that made it.
    name
        Of the function.
    again
        What it reads, and was bound again since.
    """

    cell: Cell
    maker: Cell
    name: str
    again: tuple[str, ...]


class _Function(NamedTuple):
    maker: Cell
    reads: frozenset[str]
    again: set[str]


def used_late(cells: Sequence[Cell]) -> list[Use]:
    """Find functions that are used after what they read was bound again.

    Parameters
    ----------
    cells
        Of code, which run one after the other.
    """
    names = [name for cell in cells for name in cell.defs]
    if len(names) == len(set(names)):
        return []
    code = split_cells(cells).names
    known: dict[str, _Function] = {}
    found: dict[tuple[Cell, str], Use] = {}
    for cell in cells:
        for node in cell.tree.body:
            for name in sorted(_names(node, ast.Load) & known.keys()):
                if again := _again(name, known, set()):
                    found.setdefault((cell, name), Use(cell, known[name].maker, name, tuple(sorted(again))))
            stored = _names(node, ast.Store) - code
            for each in known.values():
                each.again.update(stored & each.reads if each.maker is not cell else ())
            for name in stored:
                known.pop(name, None)
            known |= {name: _Function(cell, reads - code, set()) for name, reads in _functions(node) if reads - code}
    return list(found.values())


def _again(name: str, known: dict[str, _Function], seen: set[str]) -> set[str]:
    """What was bound again of all that a function reads, by other functions too."""
    if name in seen or name not in known:
        return set()
    seen.add(name)
    return known[name].again.union(*(_again(each, known, seen) for each in known[name].reads))


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    """Names that a statement reads, or binds, at once: not those in functions, which it only makes."""
    found = set[str]()
    todo: list[ast.AST] = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Name) and isinstance(each.ctx, context):
            found.add(each.id)
        if context is ast.Store:
            found.update(_bound_by(each))
        todo += _inside(each, context)
    return found


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def _inside(node: ast.AST, context: type[ast.expr_context]) -> Iterator[ast.AST]:
    if isinstance(node, FUNCTIONS):  # what stands for its defaults and decorators is read when it is made
        yield from (*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None))
        yield from getattr(node, "decorator_list", ())
    elif not (isinstance(node, COMPREHENSIONS) and context is ast.Store):  # it binds names of its own
        yield from children(node)


def _functions(node: ast.stmt) -> Iterator[tuple[str, frozenset[str]]]:
    """Functions, and classes with methods, that a statement makes, with what they read from around them when called."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, _read_later(node)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        yield from ((each.id, _read_later(node)) for each in node.targets if isinstance(each, ast.Name))
    elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
        for inner in children(node):
            if isinstance(inner, ast.stmt):
                yield from _functions(inner)


def _read_later(node: ast.stmt) -> frozenset[str]:
    table = symtable.symtable(ast.unparse(node), "<statement>", "exec")
    found = set[str]()
    todo = list(table.get_children())
    while todo:
        inner = todo.pop()
        todo += inner.get_children()
        if inner.get_type() != "class":
            found.update(each.get_name() for each in inner.get_symbols() if each.is_global() and each.is_referenced())
    return frozenset(found - PRESENT)
