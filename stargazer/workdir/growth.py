"""How much memory the body of a task takes in its own process, where no other shares that."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from stargazer.errors import MemoryExceeded
from stargazer.workdir.memory import limit_of, resident

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Growth"]

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
