"""Cells that run again and again: ``# @loop``, each round a call of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stargazer.notebook.rows import is_call

if TYPE_CHECKING:
    from stargazer.notebook.annotations import Loop
    from stargazer.notebook.document import Cell
    from stargazer.notebook.walk import Walk

__all__ = ["run_rounds"]


def run_rounds(walk: Walk, cell: Cell, loop: Loop) -> None:
    """Run a cell again and again with what it made: each round is a call of its own.

    Parameters
    ----------
    walk
        Through the notebook.
    cell, loop
        The cell, and how often.
    """
    began, states = time.perf_counter(), list[str]()
    for _ in range(loop.rounds):
        walk.note_place()
        walk.once(cell)
        if walk.pending and not walk.dry:
            walk.settle()
            walk.once(cell)
        if cell not in walk.rows:  # in a plan: whether it goes on from there is not known
            return
        states.append(walk.rows[cell].state)
        if states[-1] not in ("ran", "known", "live") or (loop.until and _holds(walk, cell, loop.until)):
            break
    row = walk.rows[cell]
    row.state = "ran" if "ran" in states and row.state == "known" else row.state
    row.why = [f"{len(states)} rounds, {states.count('ran')} of them new", *row.why]
    row.seconds = time.perf_counter() - began


def _holds(walk: Walk, cell: Cell, text: str) -> bool:
    """Whether an expression about what a cell made is true; in a plan it is not known."""
    if walk.dry and any(name in walk.handed or is_call(walk.assets.get(name)) for name in cell.defs):
        return True
    space = {**walk.prelude.namespace, **{n: walk.value(n) for n in cell.defs - walk.split.names if walk.has(n)}}
    return bool(eval(text, space))
