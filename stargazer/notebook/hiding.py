"""Names of Python's own that cells bind (``id = "s7"``): from there on, they are names as others are."""

from __future__ import annotations

import ast
import builtins
from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError
from stargazer.notebook.names import nodes_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.notebook.code import Part
    from stargazer.notebook.document import Cell

__all__ = ["bound_builtins", "check_hidden", "code_that_reads", "with_hidden"]

BUILTINS = frozenset(vars(builtins))


def with_hidden(cells: Sequence[Cell], *, sequential: bool) -> tuple[Cell, ...]:
    """Tell each cell which of Python's own names mean what another cell bound.

    Parameters
    ----------
    cells
        In their order.
    sequential
        Whether a name means what stands above, as in Jupyter, and not what any cell binds, as in marimo.
    """
    bound = [bound_builtins([cell]) for cell in cells]
    every = frozenset[str]().union(*bound)
    if not every:
        return tuple(cells)
    hidden: set[str] = set()
    found = []
    for cell, mine in zip(cells, bound, strict=True):
        found.append(replace(cell, hides=frozenset(hidden) if sequential else every))
        hidden = (hidden | mine) - _deleted(cell)
    return tuple(found)


def bound_builtins(cells: Iterable[Cell]) -> frozenset[str]:
    """Names of Python's own that some cells bind for others."""
    return frozenset[str]().union(*(cell.defs & BUILTINS for cell in cells if cell.kind == "code"))


def _deleted(cell: Cell) -> set[str]:
    """Names that a cell deletes last."""
    found = set[str]()
    for node in cell.tree.body:
        found -= {n.id for n in nodes_in(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if isinstance(node, ast.Delete):
            found |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return found


def code_that_reads(parts: Iterable[Part], hidden: frozenset[str]) -> dict[str, str]:
    """Names of code whose text reads names that cells have hidden, with one of these."""
    found: dict[str, str] = {}
    for node in (node for part in parts for node in part.nodes()) if hidden else ():
        names = [n for n in nodes_in(node) if isinstance(n, ast.Name)]
        read = sorted({n.id for n in names if isinstance(n.ctx, ast.Load) and n.id in hidden})
        made = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {str(getattr(node, "name", ""))}
        found |= dict.fromkeys(made, read[0]) if read else {}
    return found


def check_hidden(parts: Mapping[Cell, Part], hidden: frozenset[str]) -> None:
    """Refuse code that reads a name which a cell has hidden: whose it means when it is called, no text tells.

    Raises
    ------
    NotebookError
        Some does; names all of it.
    """
    wrong = []
    for cell, part in parts.items():
        for name, read in sorted(code_that_reads([part], hidden).items()):
            if name:
                where = f"cell {cell.name} (line {cell.line})" if cell.name else f"the cell at line {cell.line}"
                wrong.append(f"{where}: {name} reads {read}, which a cell binds in place of Python's own: rename that")
    if wrong:
        raise NotebookError("\n".join(wrong))
