"""A run in flight, shown until it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stargazer.display.status import failures_html, run_html, status_line, status_table
from stargazer.display.surface import surface_kind

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["show_run"]

QUIET = 1.0
EVERY = 0.25
MODESTY = 20.0
"""Looking at a run of very many calls takes time, too: at most one part in so many."""


def show_run(run: Any, progress: bool | None = None) -> None:
    """Show a run until it ends; nothing of one that takes less than a second.

    Parameters
    ----------
    run
        A run; Ctrl-C cancels it.
    progress
        ``False`` shows nothing. Otherwise a table that is kept up to date in terminals (on stderr) and in Jupyter and
        marimo cells, and a line now and then where stderr is a file.
    """
    if progress is False or run.wait(QUIET):
        return
    with surface_kind()(_Flight(run)) as shown:
        pause = EVERY
        while not run.wait(pause):
            started = time.monotonic()
            shown.update()
            pause = max(EVERY, MODESTY * (time.monotonic() - started))


class _Flight:
    """A run, as surfaces want it."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def html(self) -> str:
        return run_html(self.run, failures=False)

    def below(self) -> str:
        return failures_html(self.run)

    def renderable(self) -> RenderableType:
        return status_table(self.run)

    def line(self) -> str:
        return status_line(self.run)
