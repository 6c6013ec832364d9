"""Whose turn it is to drive a run: one driver at a time, whatever is killed, and whatever clocks say."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from stargazer.errors import StargazerError
from stargazer.store import layout
from stargazer.store.layout import read_object
from stargazer.tools.apart import is_alive, machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.store import Store

__all__ = ["DriverLease", "last_turn"]

RENEWED_EVERY = 5.0
GIVEN_UP_AFTER = 60.0
"""Seconds without being able to renew after which a driver stops by itself."""

LOST_AFTER = 120.0
"""Seconds without a sign, watched on one's own clock, after which the next may take its turn."""

LOOKED_EVERY = 1.0
AWAY_AT_MOST = 3600.0
"""Seconds for which a driver waits for a store that cannot be reached, before it gives up."""

FREE = "free"


class DriverLease:
    """The turn of one driver.

    Turns of a run are numbered. A turn is taken by writing its number first, which one writer alone can do; it is over
    when its holder says so, or has died (as this machine sees), or gave no sign for long. Who finds that a later turn
    was taken has lost its own; who could not give a sign for long takes the next one, or finds that another has.

    Parameters
    ----------
    store
        In which the run is.
    run
        Its id.
    lost
        Called, once a turn, when it is lost, or may be: it could not be renewed for long.
    """

    def __init__(self, store: Store, run: str, lost: Callable[[], None]) -> None:
        self.store, self.run, self._lost = store, run, lost
        self.number = 0
        self._holder = uuid.uuid4().hex
        self._signs = 0
        self._ended, self._thread = threading.Event(), threading.Thread()

    def take(self, given_up: Callable[[], bool]) -> bool:
        """Wait until it is this driver's turn, and hold it; False where that was given up."""
        watched: tuple[bytes | None, float] = (None, time.monotonic())
        while not given_up():
            number, data = last_turn(self.store, self.run)
            if data != watched[0]:
                watched = (data, time.monotonic())
            if (data is None or _is_over(data, time.monotonic() - watched[1])) and self._claim(number + 1):
                self._hold()
                return True
            time.sleep(LOOKED_EVERY)
        return False

    def take_next(self) -> bool:
        """Wait until the store can be reached, and take the turn after this one; False where another driver has it.

        The present one may be over by now for whoever watched it.
        """
        self.let_go()
        deadline = time.monotonic() + AWAY_AT_MOST
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, StargazerError):
                number, data = last_turn(self.store, self.run)
                if not self._is_own(data) or not self._claim(number + 1):
                    return False
                self._hold()
                return True
            time.sleep(LOOKED_EVERY)
        return False

    def _hold(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, args=(self._ended,), name="stargazer-driver-lease", daemon=True
        )
        self._thread.start()

    def let_go(self) -> None:
        """Renew the turn no more; nothing is told of it from here on."""
        self._ended.set()
        self._thread.join()

    def release(self) -> None:
        """Say that the turn is over."""
        self.let_go()
        with contextlib.suppress(OSError, StargazerError):
            if self.is_mine():
                self.store.backend.replace(self._place(self.number), json.dumps({"holder": FREE}).encode())

    def is_mine(self) -> bool:
        """Whether nobody has taken a later turn."""
        return last_turn(self.store, self.run)[0] == self.number

    def _is_own(self, data: bytes | None) -> bool:
        """Whether this driver wrote a turn; it may have taken one without hearing of it."""
        with contextlib.suppress(ValueError):
            return data is not None and read_object(data).get("holder") == self._holder
        return False

    def _claim(self, number: int) -> bool:
        data = self._content()
        self.store.backend.create_once(self._place(number), data)
        if self.store.backend.read(self._place(number)) != data:
            return False
        self.number = number
        return True

    def _place(self, number: int) -> str:
        return layout.driver(self.run, f"turn-{number}")

    def _content(self) -> bytes:
        self._signs += 1
        sign = {"holder": self._holder, "machine": machine(), "pid": os.getpid(), "sign": self._signs}
        return json.dumps(sign).encode()

    def _renew(self, ended: threading.Event) -> None:
        renewed = time.monotonic()
        while not ended.wait(RENEWED_EVERY):
            try:
                if not self.is_mine():
                    break
                self.store.backend.replace(self._place(self.number), self._content())
                renewed = time.monotonic()
            except (OSError, StargazerError):
                if time.monotonic() - renewed > GIVEN_UP_AFTER:
                    break
        if not ended.is_set():
            self._lost()


def last_turn(store: Store, run: str) -> tuple[int, bytes | None]:
    """Return the number of the last turn that was taken, 0 for none, and what its holder wrote last."""
    number, data = 0, None
    while (found := store.backend.read(layout.driver(run, f"turn-{number + 1}"))) is not None:
        number, data = number + 1, found
    return number, data


def _is_over(data: bytes, watched: float) -> bool:
    """Whether a turn has ended that was watched for so many seconds without a sign."""
    try:
        turn: dict[str, Any] = read_object(data)
    except ValueError:
        return watched > LOST_AFTER
    if turn.get("holder") == FREE or watched > LOST_AFTER:
        return True
    pid = turn.get("pid")
    return turn.get("machine") == machine() and isinstance(pid, int) and not is_alive(pid)
