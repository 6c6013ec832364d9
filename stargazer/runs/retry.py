"""Failures that are worth another try: what was lost is made again, what lacked memory gets more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from stargazer.calls.resources import give_more, lacked_memory
from stargazer.errors import BlobLost, WorkerOutOfMemory
from stargazer.store.context import mark_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.calls.call import Call

__all__ = ["Retry"]

MOST_KILLS = 2
"""Jobs that a batch system ends for the memory of one call, which then ends, whatever sizes its task still names."""


class Retry:
    """Remembers what was tried, so that each cause is tried once."""

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self._killed: Counter[str] = Counter()

    def is_worth_it(self, failures: Mapping[str, BaseException], calls: Iterable[Call]) -> bool:
        """Whether some of these failures may end otherwise if the calls are planned again; gives them more memory.

        Parameters
        ----------
        failures
            Errors by plan key.
        calls
            That ran.
        """
        errors = [error for error in failures.values() if isinstance(error, BlobLost)]
        lost = {error.cid for error in errors} - self._lost
        self._lost |= lost
        for error in errors:
            mark_unavailable(error)
        starved = [call for call in calls if self._may_have_more(call, failures.get(call.plan_key))]
        given = list(map(give_more, starved))
        return bool(lost) or any(given)

    def _may_have_more(self, call: Call, failure: BaseException | None) -> bool:
        """Whether more memory is worth a try; a job of a shared queue, with all that ran there, goes twice at most."""
        if isinstance(failure, WorkerOutOfMemory):
            self._killed[call.plan_key] += 1
            if self._killed[call.plan_key] >= MOST_KILLS:
                failure.add_note(f"{MOST_KILLS} jobs were ended for it, so no larger size of memory=[…] is tried")
                return False
        return lacked_memory(failure)
