"""Results that the code which is here could not make again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.task import Task
from stargazer.errors import StargazerError
from stargazer.ledger import Ledger
from stargazer.ledger.rebuilt import find_named
from stargazer.ledger.signatures import YOURS, whose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.ledger import Record
    from stargazer.store import Store

__all__ = ["not_makeable"]


def not_makeable(store: Store, records: Iterable[str], tasks: Iterable[Task] = ()) -> list[Record]:
    """Return those calls of which no present task has the code: what they made would be gone for good.

    Parameters
    ----------
    store
        In which they are recorded.
    records
        Their ids.
    tasks
        Further ones that are here: a stranger's record names a module, but nothing of it is imported.
    """
    ledger = Ledger(store.records)
    found = [record for name in records if (record := ledger.get(name)) is not None]
    owners = whose(store.records, found)
    given = {(task.name, task.code.digest) for task in tasks}
    here: dict[tuple[str, str], bool] = {}
    for record in sorted(found, key=lambda record: owners[record.id] == YOURS):
        is_given = (record.task, record.code) in given
        here[record.home, record.code] = is_given or _is_here(record, load=owners[record.id] == YOURS)
    return [record for record in found if not here[record.home, record.code]]


def _is_here(record: Record, *, load: bool) -> bool:
    module, _, name = record.home.partition(":")
    try:
        task = find_named(module, name, load=load) if module else None
        return isinstance(task, Task) and task.code.digest == record.code
    except (LookupError, StargazerError):
        return False
