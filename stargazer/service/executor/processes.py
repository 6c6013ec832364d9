"""Processes for cells: one each, started before it is wanted, so that nobody waits for an interpreter to begin.

A process that waits has imported what cells need, and nothing of anybody's. It runs one cell, and is gone with it.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from stargazer.executors.asking import CELL
from stargazer.tools import Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

__all__ = ["Process", "Processes"]

HARNESS = "stargazer.service.executor.harness"
WORD = "word"
"""The pipe by which a process is told to begin."""

ENDS_WITHIN = 5.0
"""Seconds for one that waits, when nobody will want it any more."""


class Process:
    """A process in a folder of its own, that waits until what it is to run lies there.

    Parameters
    ----------
    before
        Words of a command before its own.
    memory
        Bytes that it may take.
    ref
        What it will likely run: it imports what that needs.
    env
        Variables that it has beside those of this process.
    """

    def __init__(self, before: Sequence[str], memory: int, ref: str, env: Mapping[str, str]) -> None:
        self._deadline, self._is_gone, self._ended = math.inf, lambda: False, False
        self._scratch, self._error = Scratch(None), None
        self.folder = self._scratch.path()
        os.mkfifo(self.folder / WORD, 0o600)
        # Open both ways: neither end waits for the other to be opened, and none is seen as closed before its time.
        self._word = os.open(self.folder / WORD, os.O_RDWR | os.O_CLOEXEC)
        self.work = Workdir(self.folder, memory=memory, cancelled=self._is_over, env=env)
        self._command = [*before, sys.executable, "-m", HARNESS, ref]
        self._thread = threading.Thread(target=self._live, name="stargazer-cell", daemon=True)
        self._thread.start()

    _error: BaseException | None
    _is_gone: Callable[[], bool]

    @property
    def waits(self) -> bool:
        """Whether it could begin."""
        return self._thread.is_alive() and self.folder.is_dir()

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self._deadline

    def begin(self, seconds: float, is_gone: Callable[[], bool]) -> None:
        """Let it begin.

        Parameters
        ----------
        seconds
            That it may take.
        is_gone
            Whether nobody waits for it any more; asked now and then.
        """
        self._deadline, self._is_gone = time.monotonic() + seconds, is_gone
        os.write(self._word, b"\n")

    def wait(self) -> None:
        """Wait until it has ended.

        Raises
        ------
        StargazerError
            As `Workdir.run`.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """End it, and remove its folder; what has been ended is let be."""
        if self._ended:
            return
        self._ended = True
        self._thread.join(ENDS_WITHIN)
        os.close(self._word)  # not before: to open the other end would wait for this one
        self._scratch.__exit__(None, None, None)

    def _is_over(self) -> bool:
        return self._ended or self.is_late or self._is_gone()

    def _live(self) -> None:
        try:
            self.work.run(self._command, stdin=self.folder / WORD)
        except BaseException as error:  # noqa: BLE001 - it is raised where the process is waited for
            self._error = error


class Processes:
    """Those that wait.

    Parameters
    ----------
    before, memory
        As of `Process`.
    most
        How many.
    """

    def __init__(self, before: Sequence[str], memory: int, most: int) -> None:
        self._before, self._memory, self._most = before, memory, most
        self._waiting: list[Process] = []
        self._lock, self._closed = threading.Lock(), False

    @asynccontextmanager
    async def taken(self, ref: str = CELL, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
        """Give a process for one cell, and end it; one with other variables begins anew, for some count at the start.

        Parameters
        ----------
        ref
            What it is to run.
        env
            Variables that it is to have.
        """
        process = self._first(ref) if not env else self._new(ref, env)
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):  # also where who asked is gone
                await anyio.to_thread.run_sync(process.end)

    def fill(self, ref: str) -> None:
        """Start as many as are to wait, for what was asked last."""
        with self._lock:
            missing = 0 if self._closed else self._most - len(self._waiting)
            self._waiting += [self._new(ref, {}) for _ in range(missing)]

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            self._closed, left = True, self._waiting[:]
            self._waiting.clear()
        for process in left:
            process.end()

    def _first(self, ref: str) -> Process:
        with self._lock:
            waiting = self._waiting[:]
            self._waiting.clear()
            alive = [process for process in waiting if process.waits]
            self._waiting += alive[1:]
        for process in waiting:
            if process not in alive:
                process.end()
        return alive[0] if alive else self._new(ref, {})

    def _new(self, ref: str, env: Mapping[str, str]) -> Process:
        return Process(self._before, self._memory, ref, env)
