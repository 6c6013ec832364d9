"""In which order cells run, and what is wrong with that before any of them does."""

from __future__ import annotations

import ast
import builtins
import heapq
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.notebook.late import used_late
from stargazer.notebook.names import kind_in, left_by_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.notebook.document import Cell, Document

__all__ = ["binds_of", "check_cells", "check_given", "makers_of", "ordered", "reads_in_order", "reads_of"]

OF_KERNELS = frozenset({"display", "get_ipython", "exit", "quit", "In", "Out"})
"""Names that every cell of Jupyter has."""


def reads_of(cell: Cell, before: Iterable[str]) -> frozenset[str]:
    """Names that a cell takes from others.

    Parameters
    ----------
    cell
        Of any notebook.
    before
        Where cells run one after the other, the names that are bound when it begins.
    """
    bound = frozenset(before)
    early = cell.names.early - left_by_blocks(cell.tree) if cell.names.early else cell.names.early
    found = cell.refs | (early & bound) if cell.sequential else cell.refs
    return found | bound if cell.names.looks_up else found


def reads_in_order(cells: Sequence[Cell]) -> dict[Cell, frozenset[str]]:
    """Names that each cell takes from others, where these are all cells in their order."""
    found: dict[Cell, frozenset[str]] = {}
    bound: set[str] = set()
    for cell in cells:
        found[cell] = reads_of(cell, bound)
        bound |= cell.defs
    return found


def binds_of(cell: Cell, cells: Sequence[Cell], space: Mapping[str, Any]) -> frozenset[str]:
    """Return the names that a cell defines for other cells.

    Where it imports all names of a module, these are also the names that others read and no cell defines.

    Parameters
    ----------
    cell, cells
        It, and all cells of code.
    space
        What its names mean, now that it ran.

    Raises
    ------
    NotebookError
        It hides functions of Python's own, such as ``sum``, which other cells use: whose they mean no text tells.
    """
    if not cell.names.stars:
        return cell.defs
    used = {n.id for each in cells if each is not cell for n in kind_in(each.tree, ast.Name)}
    hidden = sorted(n for n in used & vars(builtins).keys() if space.get(n, vars(builtins)[n]) is not vars(builtins)[n])
    if hidden:
        told = f"from {cell.names.stars[0]} import * hides Python's own {', '.join(hidden)}, which other cells use"
        raise NotebookError(f"{_told(cell)}: {told}: import the names that you need")
    loose = frozenset().union(*(each.refs for each in cells)) - frozenset().union(*(each.defs for each in cells))
    return cell.defs | loose


def makers_of(cells: Sequence[Cell]) -> dict[str, list[int]]:
    """Which cells bind each name."""
    found: dict[str, list[int]] = {}
    for number, cell in enumerate(cells):
        for name in cell.defs:
            found.setdefault(name, []).append(number)
    return found


def ordered(document: Document) -> list[Cell]:
    """Cells of code in the order in which they run.

    Raises
    ------
    NotebookError
        Cells need each other in a circle, or ``@after`` names no cell.
    """
    cells = [cell for cell in document.cells if cell.kind == "code" and cell.source.strip()]
    if document.sequential:
        return cells
    needs = _needs(cells)
    waiting = {number: set(before) for number, before in enumerate(needs)}
    ready = [number for number, before in waiting.items() if not before]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for other, before in waiting.items():
            if number in before:
                before.discard(number)
                if not before:
                    heapq.heappush(ready, other)
    if left := [number for number in waiting if number not in order]:
        names = ", ".join(_told(cells[number]) for number in left)
        raise NotebookError(f"these cells need each other in a circle: {names}")
    return [cells[number] for number in order]


def _needs(cells: Sequence[Cell]) -> list[set[int]]:
    makers = makers_of(cells)
    named = {cell.name: number for number, cell in enumerate(cells) if cell.name}
    found = []
    for number, cell in enumerate(cells):
        needs = {maker for name in cell.refs for maker in makers.get(name, ())} - {number}
        needs |= {named[name] for name in cell.notes.after if name in named}
        if cell.role != "setup":
            needs |= {named["setup"]} if named.get("setup", number) != number and cells[named["setup"]].role else set()
        found.append(needs)
    return found


def check_cells(document: Document) -> list[str]:
    """All that is wrong before anything runs: what is not Python, names that nobody binds or that two cells bind."""
    cells = [cell for cell in document.cells if cell.kind == "code" and not cell.disabled]
    wrong = [f"line {cell.error.line}: {cell.error.message}" for cell in cells if cell.error]
    wrong += _twice(document, cells) if not document.sequential else []
    wrong += _undefined(document, cells)
    wrong += _late(cells) if document.sequential and not wrong else []
    wrong += [f"{_told(cell)}: {told}" for cell in cells for told in _looped(cell, document)]
    return wrong + _after(document, cells)


def _after(document: Document, cells: Sequence[Cell]) -> list[str]:
    """What ``@after`` asks for, and nobody can do."""
    places: dict[str, int] = {}
    for number, cell in enumerate(cells):
        places.setdefault(cell.name, number)
    asked = [(number, cell, name) for number, cell in enumerate(cells) for name in cell.notes.after]
    lost = [
        f"line {cell.line}: @after {name}: there is no cell of that name"
        for _, cell, name in asked
        if name not in places
    ]
    below = ((cell, name) for number, cell, name in asked if places.get(name, -1) >= number and document.sequential)
    return lost + [
        f"{_told(cell)}: @after {name} stands above that cell, and cells run in their order: move it below"
        for cell, name in below
    ]


def check_given(cells: Sequence[Cell], given: Iterable[str], code: frozenset[str]) -> None:
    """Refuse values that would not reach all that reads their names, or that nobody reads.

    Parameters
    ----------
    cells
        Of code.
    given
        Names of values; those of widgets are none of them.
    code
        Names of the notebook's code.

    Raises
    ------
    NotebookError
        Some would not; names them.
    """
    names = frozenset(given)
    made = frozenset().union(*(cell.defs for cell in cells))
    wrong = [f"no cell makes {name}" for name in sorted(names - made)]
    wrong += [
        f"{name} is a constant, which is code of all cells: name it {name.lower()}" for name in sorted(names & code)
    ]
    for cell in cells:
        used = {each.id for each in kind_in(cell.tree, ast.Name) if isinstance(each.ctx, ast.Load)}
        if (inside := sorted(names & cell.defs & used - code)) and not cell.defs <= names:
            wrong.append(f"{_told(cell)} makes {', '.join(inside)} and reads it at once: make it in a cell of its own")
    if wrong:
        raise NotebookError("\n".join(f"a value cannot be given: {each}" for each in wrong))


def _looped(cell: Cell, document: Document) -> list[str]:
    loop = cell.notes.loop
    if loop is None:
        return []
    if not document.sequential:
        return ["@loop binds a name again, which marimo's notebooks cannot"]
    reads = loop.carry in cell.names.early
    return [] if reads else [f"@loop carry={loop.carry}: it does not read {loop.carry} and bind it anew"]


def _twice(document: Document, cells: Sequence[Cell]) -> list[str]:
    makers = makers_of(cells)
    return [
        f"{name} is defined by {' and '.join(_told(cells[number]) for number in numbers)}: rename one, or write _{name}"
        for name, numbers in sorted(makers.items())
        if len(numbers) > 1
    ]


def _undefined(document: Document, cells: Sequence[Cell]) -> list[str]:
    if any(cell.names.stars for cell in cells):
        return []
    everywhere = frozenset().union(*(cell.defs for cell in cells)) if cells else frozenset()
    known = set(OF_KERNELS) if document.sequential else set(everywhere)
    wrong = []
    gone: dict[str, Cell] = {}
    for cell in cells:
        if late := sorted(cell.refs & gone.keys()) if document.sequential else []:
            wrong.append(f"{_told(cell)} reads {', '.join(late)}, which {_told(gone[late[0]])} deletes")
        if missing := sorted(cell.refs - known - {mount.name for mount in cell.notes.mounts}):
            later = ", which a later cell defines" if document.sequential and set(missing) <= everywhere else ""
            wrong.append(f"{_told(cell)} reads {', '.join(missing)}{later or ', which no cell defines'}")
        known |= cell.defs
        gone = {name: each for name, each in gone.items() if name not in cell.defs}
        gone |= dict.fromkeys(_deleted(cell), cell)
    return wrong


def _deleted(cell: Cell) -> set[str]:
    """Names that a cell deletes, and does not bind again."""
    found = set[str]()
    for node in cell.tree.body:
        bound = {n.id for n in kind_in(node, ast.Name) if isinstance(n.ctx, ast.Store)}
        found -= bound
        if isinstance(node, ast.Delete):
            found |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return found


def _late(cells: Sequence[Cell]) -> list[str]:
    return [
        f"{_told(use.cell)} uses {use.name} of {_told(use.maker)}, which reads {', '.join(use.again)}; that was bound "
        f"again in between. Pass it to {use.name} as a parameter, make {use.name} after it, or name it otherwise"
        for use in used_late(cells)
    ]


def _told(cell: Cell) -> str:
    return f"cell {cell.name} (line {cell.line})" if cell.name else f"the cell at line {cell.line}"
