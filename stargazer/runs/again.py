"""Failures that are worth another try: what was lost is made again, what lacked memory gets more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.more import give_more, lacked_memory
from stargazer.errors import BlobLost
from stargazer.store.beyond import doubt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.calls import Call

__all__ = ["Again"]


class Again:
    """Remembers what was tried, so that each cause is tried once."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

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
            doubt(error)
        starved = [call for call in calls if lacked_memory(failures.get(call.plan_key))]
        given = list(map(give_more, starved))
        return bool(lost) or any(given)
