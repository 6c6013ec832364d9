"""A worker's connections to the home, as its task threads use them: each call waits for its answer."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from stargazer.errors import Cancelled, CIDMismatch, StoreUnseen
from stargazer.relay.protocol import HOME, MORE, WINDOW, parts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence

    from stargazer.relay.protocol import Comm, Upload

__all__ = ["WANTED", "Connection"]

PATIENCE = 30.0
"""Seconds for which a broken line is tried again."""

PAUSE = 0.2
TRIES = 3
"""Times that harmed bytes are sent again."""

IDLE = 2
"""Connections that a process keeps for the next question: home has as many for each worker."""

LOOKS = 0.25
"""Seconds between two looks at whether the call is still wanted."""

WANTED: ContextVar[Callable[[], bool]] = ContextVar("stargazer_released", default=lambda: False)
"""Tells whether the call that this thread runs was released; long transfers end then."""


class _Cut(Exception):
    """A connection broke, or could not be made."""


class Connection:
    """Asks the home of one store.

    Parameters
    ----------
    url, identifier
        The store, as the home names it.
    dial
        Makes a connection to the scheduler, or wherever the home answers.
    loop
        The event loop that connections live in; calls come from other threads.
    """

    def __init__(
        self, url: str, identifier: str, dial: Callable[[], Awaitable[Comm]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.url, self.identifier = url, identifier
        self._dial, self._loop = dial, loop
        self._idle: list[Comm] = []
        self._lock = threading.Lock()

    def ask(self, do: str, *values: Any) -> Any:
        """Ask for something small.

        Raises
        ------
        StoreUnseen
            Nobody answers.
        StargazerError
            What the home raised.
        """
        return self._patiently(lambda: self._ask(do, values))

    def get(self, cids: Sequence[str], landing: Callable[[], Upload]) -> None:
        """Fetch files.

        Parameters
        ----------
        cids
            Their names.
        landing
            Makes what takes their parts in; once more for each try.
        """
        self._patiently(lambda: self._get(cids, landing()))

    def put(self, files: Sequence[tuple[str, int, str]]) -> None:
        """Send files that the home does not have yet.

        Parameters
        ----------
        files
            CID, size in bytes and path of each.
        """
        self._patiently(lambda: self._put(files))

    def is_answered(self) -> bool:
        """Whether somebody sees the store, asked once."""
        try:
            with self._conversation():
                return True
        except _Cut:
            return False

    def _ask(self, do: str, values: Sequence[Any]) -> Any:
        with self._conversation() as comm:
            self._run(comm.write({"do": do, "with": values}))
            return self._heard(comm)["gave"]

    def _get(self, cids: Sequence[str], landing: Upload) -> None:
        try:
            with self._conversation() as comm:
                self._run(comm.write({"do": "get", "with": [cids]}))
                for _ in range(WINDOW):
                    self._run(comm.write(MORE))
                coming = self._begin(comm.read())
                while "end" not in (message := self._told(self._wait(coming))):
                    coming = self._begin(_more(comm))
                    landing.take(message["part"])
                self._run(comm.write({"end": True}))
                landing.finish()
        finally:
            landing.clear()

    def _put(self, files: Sequence[tuple[str, int, str]]) -> None:
        with self._conversation() as comm:
            self._run(comm.write({"do": "put_files", "with": [[(cid, size) for cid, size, _ in files]]}))
            wanted = self._heard(comm)["wanted"]
            if not wanted:
                return
            for part in parts_of(files[index][2] for index in wanted):
                self._heard(comm)
                self._run(comm.write({"part": part}))
            self._run(comm.write({"end": True}))
            while "gave" not in self._heard(comm):
                pass

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Try again after broken connections for a while, and after harmed bytes a few times."""
        deadline, pause, harmed = None, PAUSE, 0
        while True:
            try:
                return work()
            except CIDMismatch:
                harmed += 1
                if harmed == TRIES:
                    raise
            except _Cut as error:
                deadline = deadline or time.monotonic() + PATIENCE  # from here on, however long the files took
                if time.monotonic() + pause > deadline:
                    raise self._unseen(error) from error
                self._pause(pause)
                pause *= 2

    def _unseen(self, error: Exception) -> StoreUnseen:
        return StoreUnseen(
            f"this worker does not see {self.url}, and nobody who does answers ({error}): the client that served it "
            "has ended or cannot be reached. What had finished is stored; run the calls again to go on"
        )

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            _check_wanted()
            time.sleep(min(LOOKS, seconds))

    @contextlib.contextmanager
    def _conversation(self) -> Iterator[Comm]:
        comm = self._taken()
        try:
            yield comm
        except BaseException:
            self._loop.call_soon_threadsafe(comm.abort)
            raise
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append(comm)
                return
        self._loop.call_soon_threadsafe(comm.abort)

    def _taken(self) -> Comm:
        with self._lock:
            while self._idle:
                comm = self._idle.pop()
                if not comm.closed():
                    return comm
        called: Comm = self._run(self._call())
        return called

    async def _call(self) -> Comm:
        comm = await self._dial()
        await comm.write({"op": HOME, "url": self.url, "identifier": self.identifier})
        greeting = await comm.read()
        if not isinstance(greeting, dict) or not greeting.get("home"):
            comm.abort()
            raise OSError("nobody there sees the store")
        return comm

    def _heard(self, comm: Comm) -> Any:
        return self._told(self._run(comm.read()))

    def _told(self, message: Any) -> Any:
        """A message of the home; what it raised is raised here."""
        if "error" in message:
            raise pickle.loads(message["error"])
        return message

    def _begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._wait(self._begin(work))

    def _wait(self, future: Any) -> Any:
        while True:
            try:
                return future.result(LOOKS)
            except TimeoutError as error:
                if future.done() and future.exception() is error:
                    raise _Cut(str(error) or "no answer in time") from error
                try:
                    _check_wanted()
                except Cancelled:
                    future.cancel()
                    raise
            except (OSError, RuntimeError, CancelledError) as error:
                raise _Cut(str(error) or type(error).__name__) from error


async def _more(comm: Comm) -> Any:
    await comm.write(MORE)
    return await comm.read()


def _check_wanted() -> None:
    if WANTED.get()():
        raise Cancelled("the call was released while its files were under way")
