"""Results that the code which is here could not make again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.task import Task
from stargazer.errors import StargazerError
from stargazer.ledger import Ledger
from stargazer.ledger.rebuilt import find_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.ledger import Record
    from stargazer.store import Store

__all__ = ["not_makeable"]


def not_makeable(store: Store, records: Iterable[str]) -> list[Record]:
    """Return those calls of which no present task has the code: what they made would be gone for good.

    Parameters
    ----------
    store
        In which they are recorded.
    records
        Their ids.
    """
    ledger = Ledger(store)
    found = [record for name in records if (record := ledger.get(name)) is not None]
    here = {(record.home, record.code): _is_here(record) for record in found}
    return [record for record in found if not here[record.home, record.code]]


def _is_here(record: Record) -> bool:
    module, _, name = record.home.partition(":")
    try:
        task = find_named(module, name) if module else None
        return isinstance(task, Task) and task.code.digest == record.code
    except (LookupError, StargazerError):
        return False
