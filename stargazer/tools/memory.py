"""How much memory tools take, with all that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

from stargazer.errors import MemoryExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Growth", "limit_of", "memory_of", "resident"]

TOLERATED = 1.1
"""Memory that a call may take, in parts of what its task declares."""

OF_MACHINE = 0.95
"""The same, in parts of the machine's, where its task declares none."""

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def limit_of(declared: int | None) -> int:
    """Return the bytes that a call may take whose task declares so much."""
    if declared:
        return int(declared * TOLERATED)
    return int(PAGE * os.sysconf("SC_PHYS_PAGES") * OF_MACHINE) if hasattr(os, "sysconf") else sys.maxsize


def memory_of(pids: Iterable[int], limit: int) -> int:
    """Return the bytes that processes and their descendants hold in memory; 0 where that cannot be found out.

    Parameters
    ----------
    pids
        Numbers of processes.
    limit
        Where resident memory comes to more, pages that several processes share are counted once, which takes longer.
    """
    family = list(_family(pids))
    used = sum(map(resident, family))
    return sum(map(_proportional, family)) if used > limit else used


def _family(pids: Iterable[int]) -> Iterator[int]:
    todo = list(pids)
    while todo:
        pid = todo.pop()
        yield pid
        todo += _children(pid)


def _children(pid: int) -> Iterator[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as children:
            yield from map(int, children.read().split())


def resident(pid: int) -> int:
    """Return the bytes that one process holds in memory; 0 where that cannot be found out."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
        for line in rollup:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident(pid)


# How much memory the body of a task takes in its own process, where no other shares that.


T = TypeVar("T")

EVERY = 0.1
"""Seconds between two looks."""


class _TooMuch(BaseException):
    """Ends a body from another thread; no ``except Exception`` of it holds that up."""


class Growth:
    """Growth of this process since a body began.

    Memory that earlier calls gave back to Python's allocator, but not to the system, is taken anew without growth: what
    is counted is never too much.

    Parameters
    ----------
    task
        Name of the task, for messages.
    declared
        Bytes that the task declares to need.
    """

    def __init__(self, task: str, declared: int) -> None:
        self.task, self.limit = task, limit_of(declared)
        self._before = self._seen = resident(os.getpid())
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def now(self) -> int:
        """Bytes by which the process has grown."""
        return max(0, resident(os.getpid()) - self._before)

    def watched(self, body: Callable[[], T]) -> T:
        """Run a body, and end it where the process grows too much: at its next step in Python.

        Raises
        ------
        MemoryExceeded
            It did.
        """
        self._before = resident(os.getpid())
        watching = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="stargazer-memory", daemon=True
        )
        try:
            watching.start()
            try:
                return body()
            finally:
                self._stop()
        except _TooMuch:
            raise MemoryExceeded(f"the body of {self.task}", self._seen, self.limit) from None

    def _watch(self, thread: int) -> None:
        while not self._ended.wait(EVERY):
            self._seen = self.now()
            if self._seen > self.limit:
                with self._lock:
                    if not self._ended.is_set():
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TooMuch))
                return

    def _stop(self) -> None:
        """From here on nothing is raised; what was raised just before arrives in here, at the call at the latest."""
        with self._lock:
            self._ended.set()
        self.now()
