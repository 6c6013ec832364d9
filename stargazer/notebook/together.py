"""Cells that run with the same names, as in a kernel, because some of them change what code keeps for all."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from stargazer.notebook.code import root_set_up
from stargazer.notebook.hidden import names_read, seeded_anew
from stargazer.notebook.names import kind_in
from stargazer.notebook.rows import name_of
from stargazer.notebook.state import shared_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["Together"]


class Together:
    """Cells that have part in something that code keeps: a class that counts, a list that a function adds to.

    Parameters
    ----------
    order
        All cells of code, in the order in which they run.
    rest
        Of each, the statements that are no code.
    code, prelude
        Names of the notebook's code, and the code.

    Attributes
    ----------
    cells
        Those that run with the same names.
    why
        Of each cell that runs each time for it, why.
    told
        What to say about it: who changes what, and what to do.
    statements
        Of each cell, the statements that it runs by itself.
    """

    def __init__(
        self, order: Sequence[Cell], rest: Mapping[Cell, Sequence[int]], code: frozenset[str], prelude: Prelude
    ) -> None:
        self._prelude = prelude
        states = shared_states(order, code)
        self.cells: frozenset[Cell] = frozenset().union(*(state.cells for state in states))
        self._names = frozenset(state.name for state in states)
        self.why, setting = seeded_anew(order, rest, prelude)
        self.told = sorted(set(self.why.values()))
        self.statements = {cell: tuple(rest[cell]) for cell in order}
        for cell in setting:
            self.statements[cell] = tuple(sorted({*rest[cell], *_settings(cell)}))
        for state in states:
            who = " and ".join(name_of(cell) for cell in state.changing[:3])
            told = f"{who} change{'' if len(state.changing) > 1 else 's'} {state.name}"
            self.why |= dict.fromkeys(state.cells, told)
            self.told.append(
                f"{told}, which is code, or is kept by code: {'they' if len(state.changing) > 1 else 'it'} and the "
                f"{len(state.cells)} cells that have to do with {state.name} run each time, in their order; let a "
                f"function return what it made, instead of changing {state.name}, and they would be kept (as are those "
                "that use a function under `@functools.cache`, which remembers what it returned)"
            )
        self._look_up(order, rest)
        for cell in self.cells:
            self.statements[cell] = tuple(range(len(cell.tree.body)))
        self.begin()

    def _look_up(self, order: Sequence[Cell], rest: Mapping[Cell, Sequence[int]]) -> None:
        """Find functions that look names up while they run, as by ``globals()``: these may be any that there are."""
        for number, cell in reversed([*enumerate(order)]):
            reached = self._prelude.reached(names_read([cell.tree.body[n] for n in rest[cell]]))
            if looking := [name for name in sorted(reached) if _finds_names(self._prelude.nodes_of([name]))]:
                self.cells |= frozenset(order[: number + 1])
                told = f"{name_of(cell)} uses {looking[0]}, which looks names up while it runs"
                self.why |= dict.fromkeys(order[: number + 1], told)
                self.told.append(
                    f"{told}: it and all cells before it run each time; pass {looking[0]} what it needs as a parameter"
                )
                return

    def begin(self) -> None:
        """Begin a walk: nothing is there yet."""
        self._space: dict[str, Any] = {}
        self._bound: dict[str, Any] = {}

    def space(self, read: Mapping[str, Any], bound: Callable[[str], Any]) -> dict[str, Any]:
        """The names that a cell of these finds.

        Parameters
        ----------
        read
            Values that it reads.
        bound
            Says what a name is bound to; what is as a cell of these left it, stays the object that it is here.
        """
        self._space = self._space or dict(self._prelude.namespace)
        fresh = {n: v for n, v in read.items() if n not in self._space or self._bound.get(n) is not bound(n)}
        self._space.update(fresh)
        return self._space

    def changed(self) -> dict[str, Any]:
        """What may have been changed by now, by name."""
        return {name: self._space[name] for name in self._names if name in self._space}

    def note(self, bound: Callable[[str], Any]) -> None:
        """Remember what names are bound to now that a cell of these ran."""
        self._bound = {name: bound(name) for name in self._space}


def _settings(cell: Cell) -> list[int]:
    return [number for number, node in enumerate(cell.tree.body) if root_set_up(node)]


def _finds_names(nodes: Sequence[ast.stmt]) -> bool:
    """Whether a function reads names that its text does not show, among those of the notebook."""
    every = (n for node in nodes if not isinstance(node, (ast.Import, ast.ImportFrom)) for n in kind_in(node, ast.Call))
    calls = ((each.func.id, each.args) for each in every if isinstance(each.func, ast.Name))
    return any(name == "globals" or (name in ("eval", "exec") and len(args) == 1) for name, args in calls)
