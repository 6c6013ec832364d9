"""Waiting for another machine, and looking meanwhile whether its answer is still wanted."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from stargazer.errors import Cancelled
from stargazer.tools.ending import held

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")
else:
    T = TypeVar("T")

__all__ = ["awaited"]

LOOK = 0.1
"""Seconds between two looks."""


def awaited(make: Callable[[], Coroutine[Any, Any, T]], cancelled: Callable[[], bool], what: str) -> T:
    """Run a coroutine on a thread of its own, and return what it gives.

    Closing its connections is how another machine learns that nobody waits any more.

    Parameters
    ----------
    make
        Makes the coroutine.
    cancelled
        Asked now and then in the thread that waits; once it says so, the coroutine is cancelled.
    what
        Is waited for, for messages.

    Raises
    ------
    Cancelled
        It was wanted no more.
    Exception
        Whatever the coroutine raises.
    """
    waiting = _Waiting(make, what)
    with held():
        return waiting.until(cancelled)  # type: ignore[no-any-return]


class _Waiting:
    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]], what: str) -> None:
        self._make, self._what = make, what
        self._gone, self._ended = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._made: Any = None

    def until(self, cancelled: Callable[[], bool]) -> Any:
        thread = threading.Thread(target=self._work, name="stargazer-elsewhere", daemon=True)
        thread.start()
        try:
            while not self._ended.wait(LOOK):
                if cancelled():
                    self._gone.set()
        except BaseException:  # an interrupt of whoever waits
            self._gone.set()
            raise
        thread.join()
        if self._error is not None:
            raise self._error
        return self._made

    def _work(self) -> None:
        try:
            self._made = asyncio.run(self._race())
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            self._error = error
        finally:
            self._ended.set()

    async def _race(self) -> Any:
        asking = asyncio.ensure_future(self._make())
        while not asking.done():
            if self._gone.is_set():
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
                raise Cancelled(f"{self._what} is wanted no more")
            await asyncio.wait({asking}, timeout=LOOK)
        return asking.result()
