"""``sg.ui``: panels for notebooks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.notebook.book import SIGNS, Notebook

if TYPE_CHECKING:
    import os

    from stargazer.notebook.book import Report
    from stargazer.store import Store

__all__ = ["Panel", "notebook"]

COLOURS = {"run": "queued", "ran": "done", "known": "known", "failed": "failed"}


class Panel:
    """What running a notebook would come to, cell by cell.

    Parameters
    ----------
    report
        The plan.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def __repr__(self) -> str:
        return f"{self.headline}\n{self.report}"

    @property
    def headline(self) -> str:
        """How many cells would run, and how many are known."""
        names = {"run": "would run", "known": "known", "live": "live", "stopped": "stopped", "failed": "failed"}
        counts = [f"{self.report.count(state)} {told}" for state, told in names.items() if self.report.count(state)]
        return ", ".join(counts) or "no cells"

    def _repr_html_(self) -> str:
        from stargazer.display.html import card, table

        rows = [(_state(row.state), _name(row), "; ".join(row.why)) for row in self.report.rows]
        return card(Path(self.report.notebook).name, table(("state", "cell", "why"), rows), subtitle=self.headline)


def _state(name: str) -> Any:
    from stargazer.display.html import state

    return state(COLOURS.get(name, name), f"{SIGNS[name]} {name}")


def _name(row: object) -> str:
    name, defs, cell = (getattr(row, each, None) for each in ("name", "defs", "cell"))
    return str(name or ", ".join(defs or ()) or f"line {getattr(cell, 'line', '?')}")


def notebook(path: str | os.PathLike[str] | None = None, *, store: Store | None = None) -> Panel:
    """Show the plan of a notebook: which cells would run and why; nothing runs.

    Parameters
    ----------
    path
        Its file; in a notebook, that notebook.
    store
        Where results are looked for; the active store by default.

    Raises
    ------
    NotebookError
        It cannot be read, or nobody knows which notebook is meant.
    """
    file = path if path is not None else _own_file()
    if file is None:
        raise NotebookError("say which notebook: sg.ui.notebook('qc.ipynb'); only marimo tells a cell its file")
    return Panel(Notebook(file, store).plan())


def _own_file() -> str | None:
    """The file of the marimo notebook whose cell asks: marimo gives it to the cells as ``__file__``."""
    frame = inspect.currentframe()
    while frame is not None:
        names = frame.f_globals
        if names.get("__name__") == "__main__" and str(names.get("__file__") or "").endswith((".py", ".md", ".ipynb")):
            return str(names["__file__"])
        frame = frame.f_back
    return None
