"""What cells show: each that draws has figures of its own, which pyplot keeps for the whole process."""

from __future__ import annotations

import ast
import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from stargazer.notebook.effects import full_names
from stargazer.notebook.names import kind_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["others_draw", "own_figures", "shows"]

PLOTS = ("plot", "hist", "boxplot", "pl")
"""Methods by which tables draw with pyplot, and where libraries like scanpy have their functions that do."""

WRITTEN = {
    "print",
    "display",
    "str",
    "repr",
    "format",
    "to_string",
    "to_html",
    "to_markdown",
    "to_latex",
    "show",
    "savefig",
}
"""Functions and methods by which values become texts and pictures."""

_drawing = threading.RLock()


class _Mine(threading.local):
    turns = 0
    """Cells of this thread that draw now: more than one, where a cell runs the cells of another notebook."""


_mine = _Mine()


@contextlib.contextmanager
def own_figures(cell: Cell, prelude: Prelude) -> Iterator[None]:
    """Let a cell that draws do so alone, and leave no figure to others.

    What pyplot draws on is one thing of a process: cells side by side would draw on each other's figures, and one that
    begins none would go on with whatever another left. Jupyter and marimo finish figures with their cell.

    Parameters
    ----------
    cell
        That runs in here.
    prelude
        The code of its notebook.
    """
    if not _draws(cell, prelude):
        yield
        return
    with _drawing, _put_away() if _mine.turns else contextlib.nullcontext():
        before = _numbers()
        _mine.turns += 1
        try:
            yield
        finally:
            _mine.turns -= 1
            for number in _numbers() - before:
                sys.modules["matplotlib.pyplot"].close(number)


@contextlib.contextmanager
def others_draw() -> Iterator[None]:
    """Let cells on other threads draw, where this one waits for them: those of a notebook that its cell runs."""
    turns = _mine.turns
    if not turns:
        yield
        return
    with _put_away():
        for _ in range(turns):
            _drawing.release()
        try:
            yield
        finally:
            for _ in range(turns):
                _drawing.acquire()


@contextlib.contextmanager
def _put_away() -> Iterator[None]:
    """Hide the figures of a cell from those that it runs, which would go on drawing on them."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    held = dict(helpers.Gcf.figs) if helpers is not None else {}
    for number in held:
        helpers.Gcf.figs.pop(number)  # type: ignore[union-attr]
    try:
        yield
    finally:
        if helpers is not None:
            helpers.Gcf.figs.update(held)


def _numbers() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None else set()


def _draws(cell: Cell, prelude: Prelude) -> bool:
    """Whether a cell, or code that it reaches, draws by pyplot, also where a library does it for it."""
    nodes = prelude.statements_under(cell)
    if any(each.attr in PLOTS for node in nodes for each in kind_in(node, ast.Attribute)):
        return True
    drawing = ("matplotlib.pyplot", "seaborn", "scanpy.plotting", "scanpy.pl.")
    return any(name.startswith(drawing) for name in full_names(nodes, prelude))


def shows(cell: Cell, prelude: Prelude) -> bool:
    """Whether a cell, or code that it reaches, shows values, or makes texts or pictures of them.

    Parameters
    ----------
    cell
        Of any notebook.
    prelude
        The code of its notebook.
    """
    body = cell.tree.body
    if body and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Constant):
        return True
    for node in prelude.statements_under(cell):
        for each in kind_in(node, ast.Call, ast.JoinedStr):
            called = each.func if isinstance(each, ast.Call) else None
            if isinstance(each, ast.JoinedStr) or getattr(called, "attr", getattr(called, "id", "")) in WRITTEN:
                return True
    return _draws(cell, prelude)
