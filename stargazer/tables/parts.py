"""The parts of a scan: calls, or what makes one as soon as somebody wants it.

A scan that is known needs the keys of its calls and no call. A key follows from the task as it is defined now and from
what the part is, so it is worked out once a process. Records are found in the store each time, and their bytes hashed:
where these are the same as before, what they say was read before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.ledger import Ledger
from stargazer.ledger.record import Record
from stargazer.tables.planning import REMEMBERED, Remembered
from stargazer.tables.tasks import read_folder_rows, read_row_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.calls import Call
    from stargazer.store import Store
    from stargazer.tables.hive import FolderValue

__all__ = ["Group", "called", "known_results"]

MOST_RECORDS = 10_000
"""Those that are remembered, with their results: 50 MB."""

_keys: Remembered[str] = Remembered(REMEMBERED)
_records: Remembered[Record] = Remembered(MOST_RECORDS)
_results: Remembered[Any] = Remembered(MOST_RECORDS)


class Group(NamedTuple):
    """A row group of a Parquet file, and columns of it; members as of `read_row_group` and `read_folder_rows`."""

    file: str
    size: int
    stamp: str
    group: int
    columns: tuple[str, ...]
    catalog: str
    folders: tuple[FolderValue, ...] = ()


def called(part: Call | Group) -> Call:
    """The call that reads a part."""
    if not isinstance(part, Group):
        return part
    given = part._asdict() | {"columns": list(part.columns)}
    folders, catalog = [list(each) for each in given.pop("folders")], given.pop("catalog")
    made: Any = read_folder_rows(**given, folders=folders) if folders else read_row_group(**given, catalog=catalog)
    call: Call = made
    return call


def known_results(parts: Sequence[Call | Group], store: Store) -> list[Any]:
    """Tables of parts if the ledger knows all of them, by one look-up and without a run; else none."""
    groups = {bool(part.folders): part for part in reversed(parts) if isinstance(part, Group)}
    with store:  # the first row group of each kind says how its task is defined now
        first = {kind: called(part) for kind, part in groups.items()}
        keys = [_key(part, first[bool(part.folders)]) if isinstance(part, Group) else part.plan_key for part in parts]
    calls = [part for part in parts if not isinstance(part, Group)]
    if any(call.spec.renewal for call in (*calls, *first.values())):
        return []
    ledger = Ledger(store.records, read=_record)
    found = ledger.find_many(keys)
    return [_result(ledger, found[key]) for key in keys] if all(key in found for key in keys) else []


def _record(data: bytes, name: str) -> Record | None:
    """The record that has this digest."""
    if (found := _records.get(name)) is None and (found := Record.from_bytes(data, name)) is not None:
        _records.keep(name, found)
    return found


def _result(ledger: Ledger, record: Record) -> Any:
    """What a record says was made, of the store in which it was found."""
    place = ledger.url, record.id
    return _results.get(place) or _results.keep(place, ledger.results(record))


def _key(part: Group, first: Call) -> str:
    """Plan key of the call of a row group, of whose task there is another call."""
    place = first.spec.key, part
    return _keys.get(place) or _keys.keep(place, str(called(part).plan_key))
