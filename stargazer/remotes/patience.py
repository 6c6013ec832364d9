"""How long failures that pass are waited for: a budget of a whole fetch, not of a request."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

from stargazer import config
from stargazer.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PASSING", "Passing", "Patience", "growing", "patience_with", "persistently", "wait_asked", "wait_read"]

T = TypeVar("T")

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
"""Statuses of answers that may be other ones at the next attempt; 52x are of proxies before the server."""
SHORT = 2.5
"""Seconds for which somebody is waited for who has never answered."""
_UNPROVEN = 5
"""Timeouts for which somebody is waited for who has never given anything."""
_WHOLE_FETCH = 10
_FIRST, _LONGEST = 0.1, 8.0


class Passing(RemoteError):
    """A failure that may be gone at the next attempt.

    Parameters
    ----------
    message
        What happened.
    wait
        Seconds for which the remote asks to be left alone.
    unreached
        No connection was made, or it ended before any answer.
    """

    def __init__(self, message: str, wait: float = 0.0, *, unreached: bool = False) -> None:
        super().__init__(message)
        self.wait, self.unreached = wait, unreached


def growing(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(_LONGEST, _FIRST * float(1 << min(failures, 16)))


def wait_asked(text: str) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or as a date; 0 for what is neither."""
    return wait_read(text) or 0.0


def wait_read(text: str) -> float | None:
    """Seconds that ``Retry-After`` asks for; None for what is neither a number nor a date."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
            # A date of an unknown zone is one of UTC.
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


class Patience:
    """What is left of the time for which one fetch waits.

    Parameters
    ----------
    budget
        Seconds for which one block is waited for, and a tenth of those of the whole fetch;
        ``stargazer.remote-patience`` by default.
    """

    def __init__(self, budget: float | None = None) -> None:
        self.budget = config.remote_patience() if budget is None else budget
        self._left = _WHOLE_FETCH * self.budget
        self._waiting, self._since = 0, 0.0
        self._lock = Lock()

    def allows(self, wait: float) -> bool:
        """Whether so much more may be waited for in this fetch."""
        return wait <= self._left

    def sleep(self, seconds: float, over: Event | None = None) -> None:
        """Wait, until something is over at most; several who wait at once cost the budget once."""
        with self._lock:
            self._since = self._since if self._waiting else time.monotonic()
            self._waiting += 1
        (over or Event()).wait(seconds)
        with self._lock:
            self._waiting -= 1
            now = time.monotonic()
            self._left, self._since = self._left - (now - self._since), now


class Other(Protocol):
    """Who is waited for."""

    @property
    def answered(self) -> bool:
        """Whether it has ever answered."""

    @property
    def proven(self) -> bool:
        """Whether it has ever given what it was asked for."""

    @property
    def timeout(self) -> float:
        """Seconds in which it must answer."""


def patience_with(other: Other, budget: float, failure: RemoteError | None) -> float:
    """Seconds for which somebody is waited for: who has never answered, or never given anything, gets fewer."""
    if isinstance(failure, Passing) and failure.unreached and not other.answered:
        return min(budget, SHORT)
    return budget if other.proven else min(budget, _UNPROVEN * other.timeout)


def persistently(attempt: Callable[[], T], most: int, other: Other) -> T:
    """Try, wait and try again while failures are such as pass.

    Parameters
    ----------
    attempt
        What may fail.
    most
        How often it is tried at most.
    other
        Who is asked.
    """
    patience, began, failures = Patience(), time.monotonic(), 0
    while True:
        try:
            return attempt()
        except Passing as error:
            failures += 1
            wait = max(growing(failures), error.wait)
            waited = time.monotonic() - began + wait
            if failures >= most or waited > patience_with(other, patience.budget, error):
                raise
            patience.sleep(wait)
