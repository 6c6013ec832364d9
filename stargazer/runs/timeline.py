"""When each call of a run ran, and where: from the ledger."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from stargazer.display.timeline import Bar, timeline_svg
from stargazer.ledger import Ledger

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from stargazer.store import Store

__all__ = ["Timeline"]

CLOCKS_DIFFER = 5.0


class Timeline:
    """What ran when.

    Parameters
    ----------
    store
        In which it ran.
    plan_keys
        Of the calls that ran to their end.
    began
        When the run began, in seconds since the epoch; what ran before is another run's.
    """

    def __init__(self, store: Store | None, plan_keys: Iterable[str], began: float) -> None:
        records = Ledger(store).find_many(plan_keys).values() if store is not None else []
        each = {record.id: (_seconds(record.started), record) for record in records}
        mine = [(start, record) for start, record in each.values() if start >= began - CLOCKS_DIFFER]
        first = min((start for start, _ in mine), default=0.0)
        self.bars = [Bar(record.host, record.task, start - first, record.seconds) for start, record in mine]

    def __repr__(self) -> str:
        return f"<timeline of {len(self.bars)} calls>"

    def _repr_html_(self) -> str:
        return self.svg

    @property
    def svg(self) -> str:
        """The picture."""
        return timeline_svg(self.bars)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture into an SVG file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.svg)


def _seconds(started: Any) -> float:
    return datetime.datetime.fromisoformat(started).timestamp()
