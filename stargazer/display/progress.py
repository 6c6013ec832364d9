"""Progress of reading and writing many bytes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from stargazer.display.markup import Markup, card
from stargazer.display.measure import seconds_text, size_text
from stargazer.display.surface import surface_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from stargazer.display.surface import Surface

__all__ = ["byte_progress", "path_progress", "waiting"]

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
    amount = _Amount(title, total)
    with _watched(amount) if shown is not False else contextlib.nullcontext():
        yield amount.add


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
        self.title, self.total, self.done = title, total, 0
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
