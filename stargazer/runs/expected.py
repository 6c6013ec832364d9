"""How long a run will take yet, from how long its tasks took before."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from stargazer.ledger import Ledger
from stargazer.runs.state import State

if TYPE_CHECKING:
    from stargazer.runs.state import Status
    from stargazer.store import Store

__all__ = ["Expected"]

NEWEST = 5
"""Records of a task that say how long it takes."""

SHORTEST = 3.0
"""Seconds below which nothing is said."""


class Expected:
    """Says how long what is left of a run takes.

    Parameters
    ----------
    store
        Whose ledger knows how long tasks took.
    """

    def __init__(self, store: Store) -> None:
        self._ledger = Ledger(store.records)
        self._took: dict[str, float | None] = {}
        self._wires: set[str] = set()

    def seconds_left(self, status: Status) -> float | None:
        """Return seconds until the end, as many calls at once as run now; None where a task never ran.

        Parameters
        ----------
        status
            Where the run is.
        """
        left = 0.0
        for task, states in status.tasks.items():
            waiting, running = states.get(State.WAITING, 0), states.get(State.RUNNING, 0)
            if waiting + running == 0:
                continue
            took = self._seconds(task)
            if took is None or (waiting and task in self._wires):  # nobody knows yet what it will wire
                return None
            left += took * (waiting + running / 2)
        return left / max(status.count(State.RUNNING), 1)

    def told(self, status: Status) -> str:
        """Return it in words; empty where it is not known, or short."""
        left = self.seconds_left(status)
        if left is None or left < SHORTEST:
            return ""
        from stargazer.display import seconds_text

        return f"about {seconds_text(round(left))} left"

    def _seconds(self, task: str) -> float | None:
        if task not in self._took:
            found = [record for record in self._ledger.newest(task, NEWEST) if record.status == "ok"]
            self._took[task] = median(record.seconds for record in found) if found else None
            self._wires |= {record.task for record in found if record.wires}
        return self._took[task]
