"""End the body of a task from outside: it was cancelled, is too large, or over its time.

Tools, and programs that a body starts by itself, end by signals, a body by an error. One thread of the process looks at
all bodies that run; it raises the error in the thread of a body, at its next step in Python. A long step inside a
library is not interrupted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from stargazer.errors import Cancelled, WalltimeExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Ending", "held", "interrupt", "interruption", "overdue"]

T = TypeVar("T")

EVERY = 0.1
"""Seconds between two looks."""

AGAIN = 2.0
"""Seconds after which a body that held the error up gets it once more."""


_interruptions = 0


def interrupt() -> None:
    """Let all calls of this process end: their tools are ended at the same time."""
    global _interruptions
    _interruptions += 1


def interruption() -> Callable[[], bool]:
    """Return a function that tells whether all calls were interrupted since now."""
    before = _interruptions
    return lambda: _interruptions != before


_holding: dict[int, int] = {}
"""Threads that end by themselves, by how often they said so."""

_hold = threading.Lock()


@contextmanager
def held() -> Iterator[None]:
    """Raise nothing in this thread from another one: it runs a tool, and looks itself whether it should end.

    An error between the start of a process and the line that notes it would leave the process alone.
    """
    me = threading.get_ident()
    with _hold:
        _holding[me] = _holding.get(me, 0) + 1
    try:
        _arrived()  # what was raised just before comes here, where nothing has been started
        yield
    finally:
        with _hold:
            _holding[me] -= 1
            if not _holding[me]:
                del _holding[me]


class _Ended(BaseException):
    """Ends a body from another thread; no ``except Exception`` of it holds that up."""


class Ending:
    """Reasons for which a body has to end.

    Parameters
    ----------
    task
        Name of the task, for messages.
    cancelled
        Whether the call is wanted no more.
    walltime
        Seconds that the body and its tools may take.
    excess
        The error where the body takes too much memory, else None.
    declared
        How more time is declared, for the message.
    """

    def __init__(
        self,
        task: str,
        cancelled: Callable[[], bool],
        walltime: float | None = None,
        excess: Callable[[], Exception | None] = lambda: None,
        declared: str = "@sg.task(walltime=…)",
    ) -> None:
        self.task, self.walltime, self._declared = task, walltime, declared
        self._cancelled, self._excess = cancelled, excess
        self._began = time.monotonic()
        self._reason: Exception | None = None
        self._thread, self._told = 0, 0.0
        self._lock = threading.Lock()
        self._runs = False

    def is_due(self) -> bool:
        """Whether its tools should end: it was cancelled, or its time is over."""
        return self._reason is not None or self._is_late() or self._cancelled()

    def run(self, body: Callable[[], T]) -> T:
        """Run a body in this thread.

        Raises
        ------
        Cancelled
            It is wanted no more.
        WalltimeExceeded
            It took longer than its task declares.
        MemoryExceeded
            It took more memory than its task declares.
        """
        self._began, self._thread, self._runs = time.monotonic(), threading.get_ident(), True
        try:
            _WATCHERS.of_this_process().look_at(self)
            try:
                return body()
            finally:
                self._stop()
        except _Ended:
            raise (self._reason or Cancelled(f"{self.task} was cancelled")) from None
        except Cancelled:
            if self._is_late() and not self._cancelled():
                raise self._late() from None
            if self._reason is not None and not isinstance(self._reason, Cancelled):
                raise self._reason from None
            raise

    def look(self) -> bool:
        """End the body if there is a reason; return whether it still runs."""
        self._reason = self._reason or self._found()
        if self._reason is not None and time.monotonic() - self._told > AGAIN:
            import ctypes

            with self._lock, _hold:
                if self._thread in _holding:
                    return self._runs
                if self._runs:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Ended))
                    self._end_programs()
            self._told = time.monotonic()
        return self._runs

    def _end_programs(self) -> None:
        """End the programs that the body started itself, past `work.run`: it may wait for one of them."""
        from stargazer.tools.started import end_programs

        end_programs(self._thread, time.monotonic() - self._began, kill=self._told > 0)

    def _found(self) -> Exception | None:
        if self._cancelled():
            return Cancelled(f"cancelled while the body of {self.task} ran")
        return self._late() if self._is_late() else self._excess()

    def is_overdue(self, seconds: float) -> bool:
        """Whether it still runs, so many seconds after its time."""
        late = self.walltime is not None and time.monotonic() - self._began > self.walltime + seconds
        return self._runs and late

    def _is_late(self) -> bool:
        return self.walltime is not None and time.monotonic() - self._began > self.walltime

    def _late(self) -> WalltimeExceeded:
        return WalltimeExceeded(
            f"{self.task} took longer than the {self.walltime:g} s that it declares, and was ended; declare more: "
            f"{self._declared}"
        )

    def _stop(self) -> None:
        """From here on nothing is raised; what was raised just before arrives in here, at the call at the latest."""
        with self._lock:
            self._runs = False
        _arrived()


def _arrived() -> None:
    """Do nothing: errors from other threads are raised where a function begins."""


class _Watcher:
    """The thread that looks at bodies; it sleeps while none runs."""

    def __init__(self) -> None:
        self._bodies: set[Ending] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="stargazer-bodies", daemon=True).start()

    def bodies(self) -> tuple[Ending, ...]:
        """All at which it looks."""
        with self._changed:
            return tuple(self._bodies)

    def look_at(self, body: Ending) -> None:
        """Look at a body until it has ended."""
        with self._changed:
            self._bodies.add(body)
            if len(self._bodies) == 1:
                self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._bodies)
                bodies = tuple(self._bodies)
            ended = {body for body in bodies if not _looked(body)}
            with self._changed:
                self._bodies -= ended
            time.sleep(EVERY)


def _looked(body: Ending) -> bool:
    try:
        return body.look()
    except Exception:
        logging.getLogger("stargazer").exception(
            "nobody looks any more at whether the body of %s should end", body.task
        )
        return False


def overdue(seconds: float) -> list[str]:
    """Names of the bodies of this process that run on so long after their time, in a step that nothing interrupts."""
    return sorted(body.task for body in _WATCHERS.of_this_process().bodies() if body.is_overdue(seconds))


class _Watchers:
    """The watcher of this process; a forked child has none of its parent's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[int, _Watcher] = {}

    def of_this_process(self) -> _Watcher:
        watcher = self._found.get(os.getpid())
        if watcher is None:
            with self._lock:
                if os.getpid() not in self._found:
                    self._found[os.getpid()] = _Watcher()
                watcher = self._found[os.getpid()]
        return watcher


_WATCHERS = _Watchers()
