"""Progress of reading and writing many bytes."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from stargazer.display.html import Markup, card, seconds_text, size_text
from stargazer.display.status import failures_html, run_html, status_line, status_table
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Self

    from rich.console import RenderableType

__all__ = ["Shown", "Surface", "byte_progress", "path_progress", "show_run", "surface_kind", "waiting"]

QUIET = 1.5
SMALL = 1 << 26
"""Bytes that nobody has to wait for."""

EVERY = 0.2
BAR = 24


@contextlib.contextmanager
def byte_progress(
    title: str, total: int | None = None, *, shown: bool | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how many bytes are done, and how fast, if it takes more than a second or two.

    Parameters
    ----------
    title
        What is done to what: ``"hash reads_R1.fq.gz"``.
    total
        Bytes in all, where that is known.
    shown
        ``False`` shows nothing.

    Yields
    ------
    callable
        To be called with the number of bytes just done, from any thread.
    """
    if shown is False:
        yield _not_counted
        return
    amount = _Amount(title, total)
    with _watched(amount):
        yield amount.add


def _not_counted(_: int) -> None:
    """Bytes that nobody is shown."""


def path_progress(
    verb: str, path: str | os.PathLike[str], *, shown: bool | None = None
) -> AbstractContextManager[Callable[[int], None]]:
    """Show how far the reading of a file or directory is; nothing of small files.

    Parameters
    ----------
    verb
        What is done: ``"add"``.
    path
        The file or directory.
    shown
        ``False`` shows nothing.
    """
    file = os.path.getsize(path) if os.path.isfile(path) else None
    small = file is not None and file < SMALL
    return byte_progress(f"{verb} {os.path.basename(path)}", file, shown=False if small else shown)


@contextlib.contextmanager
def waiting(title: str, *, shown: bool | None = None) -> Iterator[None]:
    """Show that something is under way, and for how long, if it takes more than a second or two."""
    with _watched(_Amount(title, 0)) if shown is not False else contextlib.nullcontext():
        yield


class _Amount:
    """Bytes done so far, as surfaces want them."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done = visible(title), total, 0
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count

    @property
    def share(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total else None

    def line(self) -> str:
        seconds = time.monotonic() - self._started
        if not self.done:
            return f"{self.title}: {seconds_text(seconds)}"
        of = f" of {size_text(self.total)}" if self.total else ""
        return f"{self.title}: {size_text(self.done)}{of}, {size_text(self.done / seconds)}/s, {seconds_text(seconds)}"

    def html(self) -> str:
        bar = f'<span class="sg-bar"><i class="sg-running" style="width:{100 * (self.share or 0):.1f}%"></i></span>'
        title, _, rest = self.line().partition(": ")
        return card(title, Markup(bar if self.share is not None else ""), subtitle=rest)

    def below(self) -> str:
        return ""

    def renderable(self) -> RenderableType:
        from rich.text import Text

        text = Text()
        if self.share is not None:
            full = round(BAR * self.share)
            text.append("━" * full, "blue").append("━" * (BAR - full), "bright_black").append("  ")
        return text.append(self.line())


@contextlib.contextmanager
def _watched(amount: _Amount) -> Iterator[None]:
    """Show an amount from another thread, while this one works."""
    ended = threading.Event()
    kind = surface_kind()
    thread = kind.thread(target=_show, args=(amount, kind, ended), name="stargazer-progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(amount: _Amount, kind: type[Surface], ended: threading.Event) -> None:
    if ended.wait(QUIET):
        return
    with kind(amount) as shown:
        while not ended.wait(EVERY):
            shown.update()


# Where something that changes is shown: a terminal, a Jupyter or a marimo cell, or lines in a log.


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
        print(f"stargazer: {visible(self.shown.line())}", file=sys.stderr, flush=True)

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


# A run in flight, shown until it ends.


RUN_QUIET = 1.0
RUN_EVERY = 0.25
DISPLAY_SHARE = 20.0
"""Looking at a run of very many calls takes time, too: at most one part in so many."""


def show_run(run: Any, progress: bool | None = None, *, quiet: float = RUN_QUIET) -> None:
    """Show a run until it ends; nothing of one that takes less than a second.

    Parameters
    ----------
    run
        A run; Ctrl-C cancels it.
    progress
        ``False`` shows nothing. Otherwise a table that is kept up to date in terminals (on stderr) and in Jupyter and
        marimo cells, and a line now and then where stderr is a file.
    quiet
        Seconds for which nothing is shown.
    """
    if progress is False or run.wait(quiet):
        return
    with surface_kind()(_Flight(run)) as shown:
        pause = RUN_EVERY
        while not run.wait(pause):
            started = time.monotonic()
            shown.update()
            pause = max(RUN_EVERY, DISPLAY_SHARE * (time.monotonic() - started))


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
