"""Where something that changes is shown: a terminal, a Jupyter or a marimo cell, or lines in a log."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Shown", "Surface", "surface_kind"]

LINES_AFTER = 2.0
LINES_EVERY = 15.0


class Shown(Protocol):
    """What can be shown anywhere."""

    def html(self) -> str:
        """For notebooks."""

    def below(self) -> str:
        """For notebooks, too: what changes seldom, and may have been opened by a click; empty where there is none."""

    def renderable(self) -> Any:
        """For terminals, by `rich`."""

    def line(self) -> str:
        """For logs."""


class Surface:
    """Something that changes, shown; a context, at whose end the last state stays."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    @staticmethod
    def thread(**options: Any) -> threading.Thread:
        """A thread that may show something here."""
        return threading.Thread(daemon=True, **options)

    def update(self) -> None:
        """Show the present state."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.update()


class Terminal(Surface):
    """Lines of a terminal that are written over; on stderr, so that output can be piped."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            self.shown.renderable(),
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start(refresh=True)
        return self

    def update(self) -> None:
        self._live.update(self.shown.renderable(), refresh=True)

    def __exit__(self, *error: object) -> None:
        try:
            self.update()
        finally:
            self._live.stop()


class Jupyter(Surface):
    """A cell's output that is replaced in its place."""

    def __enter__(self) -> Self:
        display = importlib.import_module("IPython.display")
        self._html: Callable[[str], Any] = display.HTML
        self._display = display.display
        self._output = self._display(self._html(self.shown.html()), display_id=True)
        self._below: Any = None
        self._told = ""
        return self

    def update(self) -> None:
        self._output.update(self._html(self.shown.html()))
        told = self.shown.below()
        if told == self._told:  # what is replaced would close again under the reader's eyes
            return
        self._told = told
        if self._below is None:
            self._below = self._display(self._html(told), display_id=True)
        else:
            self._below.update(self._html(told))


class Marimo(Surface):
    """A marimo cell's output."""

    @staticmethod
    def thread(**options: Any) -> threading.Thread:
        started: threading.Thread = sys.modules["marimo"].Thread(**options)
        return started

    def update(self) -> None:
        marimo = sys.modules["marimo"]
        marimo.output.replace(marimo.Html(self.shown.html() + self.shown.below()))


class Lines(Surface):
    """A line on stderr now and then."""

    def __enter__(self) -> Self:
        self._next, self._written = time.monotonic() + LINES_AFTER, False
        return self

    def update(self) -> None:
        if time.monotonic() >= self._next:
            self._write()

    def _write(self) -> None:
        self._next, self._written = time.monotonic() + LINES_EVERY, True
        print(f"stargazer: {self.shown.line()}", file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        if self._written:
            self._write()


def surface_kind() -> type[Surface]:
    """Where things are best shown, here and now; to be asked in the thread of a notebook's cell."""
    if _in_marimo():
        return Marimo
    if _in_jupyter():
        return Jupyter
    return Terminal if sys.stderr.isatty() else Lines


def _in_marimo() -> bool:
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def _in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
