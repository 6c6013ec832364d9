"""The parts of a scan: calls, or what makes one as soon as somebody wants it.

A scan that is known needs the keys of its calls and no call. A key follows from the task as it is defined now and from
what the part is, so it is worked out once a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.ledger import Ledger
from stargazer.tables.planning import REMEMBERED, Remembered
from stargazer.tables.tasks import read_row_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.calls import Call
    from stargazer.store import Store

__all__ = ["Group", "called", "known_results"]

_keys: Remembered[str] = Remembered(REMEMBERED)


class Group(NamedTuple):
    """A row group of a Parquet file, and columns of it; members as of `read_row_group`."""

    file: str
    size: int
    stamp: str
    group: int
    columns: tuple[str, ...]
    catalog: str


def called(part: Call | Group) -> Call:
    """The call that reads a part."""
    if not isinstance(part, Group):
        return part
    made: Any = read_row_group(**{**part._asdict(), "columns": list(part.columns)})
    call: Call = made
    return call


def known_results(parts: Sequence[Call | Group], store: Store) -> list[Any]:
    """Tables of parts if the ledger knows all of them, by one look-up and without a run; else none."""
    with store:  # the first row group says how its task is defined now
        first = next((called(part) for part in parts if isinstance(part, Group)), None)
        keys = [_key(part, first) for part in parts]
    calls = [part for part in parts if not isinstance(part, Group)]
    if any(call.spec.renewal for call in (*calls, *([first] if first is not None else []))):
        return []
    ledger = Ledger(store.records)
    found = ledger.find_many(keys)
    return [ledger.results(found[key]) for key in keys] if all(key in found for key in keys) else []


def _key(part: Call | Group, first: Call | None) -> str:
    """Plan key of the call of a part."""
    if not isinstance(part, Group):
        return str(part.plan_key)
    assert first is not None
    place = first.spec.key, part
    return _keys.get(place) or _keys.keep(place, str(called(part).plan_key))
