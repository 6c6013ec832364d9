"""Two servers of one machine that are asked for one thing at one moment: one runs it, the other waits and knows it.

Each agent starts a server of its own over stdio, so that what two of them ask for is never one run of one process. A
lock of the operating system tells who was first; it ends with the process that holds it, however that ends, so nobody
waits for the dead. Servers of other machines have no such lock: there both run, which harms nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import Cancelled
from stargazer.runs import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stargazer.mcp.flights import InFlight
    from stargazer.store import Store

__all__ = ["Waiting", "in_turn"]

EVERY = 0.1
"""Seconds between two looks at whether the other one has ended."""

NO_LOCK = -1
"""Stands for a lock where the folder of the cache lies on a disk that has none."""


def in_turn(store: Store, asked: Sequence[str], begin: Callable[[], InFlight]) -> InFlight:
    """Begin a run, or wait for the server of this machine that runs the same, and begin then: it is known by then.

    Parameters
    ----------
    store
        In which it runs.
    asked
        Keys of its calls; where there are none, nothing is the same.
    begin
        Begins it.
    """
    if not asked:
        return begin()
    digest = hashlib.sha256("\n".join([store.id, *asked]).encode()).hexdigest()
    place = config.cache_dir() / "turns" / digest
    lock = _locked(place)
    return Waiting(place, begin) if lock is None else _begun(place, lock, begin)


def _begun(place: Path, lock: int, begin: Callable[[], InFlight]) -> InFlight:
    """Begin a run that holds a lock as long as it lives."""
    try:
        run = begin()
    except BaseException:
        _release(place, lock)
        raise
    if run.ended:
        _release(place, lock)
    else:
        threading.Thread(target=_release_after, args=(run, place, lock), name="stargazer-turn", daemon=True).start()
    return run


def _release_after(run: InFlight, place: Path, lock: int) -> None:
    try:
        run.wait()
    finally:
        _release(place, lock)


def _locked(place: Path) -> int | None:
    """Take a lock, and return its file; None where somebody has it."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            file = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(file)
                raise
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(place)):
                    return file
            os.close(file)  # who had it before has removed it
    except BlockingIOError:
        return None
    except OSError:
        return NO_LOCK


def _release(place: Path, lock: int) -> None:
    if lock != NO_LOCK:
        place.unlink(missing_ok=True)
        os.close(lock)


class Waiting:
    """A run that begins when the same one of another server has ended.

    Parameters
    ----------
    place
        The lock.
    begin
        Begins it.
    """

    def __init__(self, place: Path, begin: Callable[[], InFlight]) -> None:
        self._place, self._begin, self._began = place, begin, time.monotonic()
        self._run: InFlight | None = None
        self._error: BaseException | None = None
        self._cancelled, self._over = threading.Event(), threading.Event()
        threading.Thread(target=self._work, name="stargazer-waiting", daemon=True).start()

    def _work(self) -> None:
        try:
            while (lock := _locked(self._place)) is None:
                if self._cancelled.wait(EVERY):
                    return
            self._run = _begun(self._place, lock, self._begin)
            if self._cancelled.is_set():
                self._run.cancel()
            self._run.wait()
        except BaseException as error:  # noqa: BLE001 - it is raised where the run is waited for
            self._error = error
        finally:
            self._over.set()

    @property
    def id(self) -> str:
        """Name under which the store knows the run that began; empty before."""
        return self._run.id if self._run is not None else ""

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs or waits any more."""
        return self._over.is_set()

    @property
    def notice(self) -> str | None:
        """That another one runs the same, as long as that is so."""
        return "another server on this machine runs the same; waiting for it" if self._run is None else self._run.notice

    @property
    def failures(self) -> dict[str, BaseException]:
        """Errors of the calls that failed."""
        return self._run.failures if self._run is not None else {}

    def status(self) -> Status:
        """Calls in each state; none before it began."""
        return self._run.status() if self._run is not None else Status(time.monotonic() - self._began, {})

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end."""
        return self._over.wait(timeout)

    def cancel(self) -> None:
        """End what runs, or wait no longer."""
        self._cancelled.set()
        if self._run is not None:
            self._run.cancel()

    def result(self) -> Any:
        """Return what it gave.

        Raises
        ------
        Cancelled
            It was cancelled before it began.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        if self._run is None:
            raise Cancelled("it was cancelled while another server ran the same")
        return self._run.result()
