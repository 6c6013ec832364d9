"""Records that run code when they are used: whose they must be.

A value of a notebook may be a pickle (`stargazer.ledger.record.runs_code`), and a pickle does what it says. Whoever may
write to a store's folder may put one there as the result of any cell, so it is not enough that a record tells of it. A
record also names what its body read, and is an answer while that is as it was: to tell so of a tool runs it, and the
name is that of any program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.ledger.record import Record
    from stargazer.store.records import Records

__all__ = ["not_looked_at", "strangers", "unsigned"]


def not_looked_at(kept: Records, records: Mapping[str, Record]) -> set[str]:
    """Ids of those records of which nobody asks whether they are answers still, as nobody who is believed signed them.

    Parameters
    ----------
    kept
        Those of a store, where they are.
    records
        Records of calls by their ids.
    """
    reading = [record for record in records.values() if record.reads]
    if not reading or kept.context.backend.is_private():  # asked first: it looks at three folders, not at each file
        return set()
    from stargazer.ledger.reads import asks_much

    return unsigned(kept, [record for record in reading if asks_much(record.reads)])


def strangers(kept: Records, records: Mapping[str, Record]) -> set[str]:
    """Ids of those records whose parameters would be somebody else's words, if their calls were run once more.

    Parameters
    ----------
    kept, records
        As for `not_looked_at`.
    """
    return unsigned(kept, list(records.values()))


def unsigned(kept: Records, doubtful: list[Record]) -> set[str]:
    """Ids of those records that nobody who is believed has signed.

    In a store that nobody else may write to everything is one's own, signed or not.

    Parameters
    ----------
    kept
        Those of a store, where they are.
    doubtful
        Records of calls.
    """
    if not doubtful or kept.context.backend.is_private():
        return set()
    from stargazer.ledger.signatures import accepted

    return {record.id for record in doubtful} - accepted(kept, doubtful, "signed")
