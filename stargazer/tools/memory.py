"""How much memory tools take, with all that they started."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from stargazer.errors import MemoryExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Growth", "children_of", "family", "give_back", "limit_of", "memory_of", "processor_seconds", "resident"]

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
    every = list(family(pids))
    used = sum(map(resident, every))
    return sum(map(_proportional, every)) if used > limit else used


def family(pids: Iterable[int]) -> Iterator[int]:
    """Return processes and all that they started."""
    todo = list(pids)
    while todo:
        pid = todo.pop()
        yield pid
        todo += children_of(pid)


def children_of(pid: int, thread: int | None = None) -> Iterator[int]:
    """Return what a process started, or one of its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for each in threads if thread is None else [thread]:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{each}/children", "rb") as children:
            yield from map(int, children.read().split())


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes and their living descendants have used; 0 where that is not known.

    Parameters
    ----------
    pids
        Numbers of processes.
    """
    return sum(map(_used, family(pids)))


def _used(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


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


LONG = 1.0
"""Seconds of a body after which memory is given back: that takes some milliseconds, which a short one would feel."""


def give_back(seconds: float) -> None:
    """Give the system the memory that a body freed and the C library keeps; where it can, and the body was a long one.

    Freed arrays lie among others that live. In a process that runs one body after another the next one finds room
    elsewhere, and a chain of them has the memory of all: of 100,000 cells twice what the largest needs.

    Parameters
    ----------
    seconds
        How long the body took.
    """
    if seconds < LONG or not sys.platform.startswith("linux"):
        return
    import ctypes  # of bodies that run, and of long ones, alone

    with contextlib.suppress(AttributeError):  # other C libraries than GNU's give it back by themselves
        ctypes.CDLL(None).malloc_trim(0)


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
        self._before = resident(os.getpid())

    def begin(self) -> None:
        """Count from now on."""
        self._before = resident(os.getpid())

    def now(self) -> int:
        """Bytes by which the process has grown."""
        return max(0, resident(os.getpid()) - self._before)

    def excess(self) -> MemoryExceeded | None:
        """The error, where it has grown by more than the task may take."""
        grown = self.now()
        return MemoryExceeded(f"the body of {self.task}", grown, self.limit) if grown > self.limit else None
