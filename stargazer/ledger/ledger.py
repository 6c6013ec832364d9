"""Call key → record; append-only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.ledger.codec import cids_in, decode
from stargazer.ledger.record import Record
from stargazer.store.fallback import Known, fallback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.store import Store

__all__ = ["Ledger", "NotDeterministic"]

ALL = -1
"""No limit, as SQLite takes it."""

FORGOTTEN = "forgotten-"
"""How the value of a key begins that led to a record; no record's id begins like it."""


class NotDeterministic(UserWarning):
    """A task gave two results for the same inputs, parameters, code and tools."""


class Ledger:
    """The calls that a store knows.

    Parameters
    ----------
    store
        Holds records, keys and the bytes of the results.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, key: str) -> Record | None:
        """Return the successful record behind a plan or content key, if all it made still exists."""
        return self.find_many([key]).get(key)

    def find_many(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the records behind many keys; those without a usable one are left out."""
        found = self.lookup(keys)
        return {key: record for key, record in found.items() if self.is_complete(record)}

    def find_anywhere(self, keys: Iterable[str]) -> dict[str, Known]:
        """As `find_many`, and what trusted remotes know of the others; nothing is taken from them.

        Returns
        -------
        dict
            Records by key, each with the name of the remote that knows it; with ``""`` for those of this store.
        """
        wanted = list(keys)
        found = {key: Known(record, "") for key, record in self.find_many(wanted).items()}
        unknown = [key for key in wanted if key not in found]
        others = fallback() if unknown else None
        return found if others is None else {**found, **others.find(self.store, self._not_forgotten(unknown))}

    def find_or_take(self, keys: Iterable[str], *, with_outputs: bool) -> dict[str, Record]:
        """As `find_many`; the others are taken from trusted remotes that know them.

        Parameters
        ----------
        keys
            Plan or content keys.
        with_outputs
            Take the bytes of their results as well; otherwise these come when somebody needs them.
        """
        wanted = list(keys)
        found = self.find_many(wanted)
        unknown = [key for key in wanted if key not in found]
        others = fallback() if unknown else None
        if others is None:
            return found
        return {**found, **others.take(self.store, self._not_forgotten(unknown), with_outputs=with_outputs)}

    def lookup(self, keys: Iterable[str]) -> dict[str, Record]:
        """Successful records behind keys, whether or not their results are still there."""
        found = self.store.records_behind(keys)
        records = {key: Record.from_bytes(data, name) for key, (name, data) in found.items()}
        return {key: record for key, record in records.items() if record is not None and record.status == "ok"}

    def get(self, identifier: str) -> Record | None:
        """Return one record, or None where it is missing or torn."""
        data = self.store.get_record(identifier)
        return None if data is None else Record.from_bytes(data, identifier)

    def is_complete(self, record: Record) -> bool:
        """Whether everything that the record's call made is still in the store."""
        cids = list(cids_in(record.outputs))
        return None not in cids and self.store.has_all(cid for cid in cids if cid is not None)

    def results(self, record: Record, named: type | None = None) -> Any:
        """Return the result of a recorded call: handles that know their store and record."""
        return decode(record.outputs, lambda data: self.store.handle(Asset.from_dict(data), record.id), named)

    def append(self, record: Record, *, newest: bool = False) -> Record:
        """Write a record and point its keys at it; a failed one gets no keys.

        Parameters
        ----------
        record
            Of a call that has just ended.
        newest
            It was asked for again: where its result differs from the earlier one, it is the one that counts.

        Returns
        -------
        Record
            The record that counts: an earlier one of the same content key if its outputs still exist.
        """
        if record.status != "ok":
            return self._write(record)
        first = self.lookup([record.content_key]).get(record.content_key)
        forgotten = None if first is not None else self.forgotten(record.content_key)
        earlier = first or forgotten
        if earlier is None:
            return self.point(self._write(record), record.plan_key)
        differs = earlier.outputs != record.outputs
        kept = first is not None and self.is_complete(first) and not (newest and differs)
        if differs:
            record = record._replace(differs_from=earlier.id)
            fate = "is kept" if kept else "no longer counts" if newest or forgotten else "was lost"
            warnings.warn(_difference(record, earlier, fate), NotDeterministic, stacklevel=2)
        written = self._write(record)
        return self.point(first if kept and first is not None else written, record.plan_key)

    def difference(self, record: Record) -> str:
        """Say how a record's result, which counts now, differs from the earlier one; empty where it does not."""
        first = self.get(record.differs_from) if record.differs_from else None
        return "" if first is None else _difference(record, first, "no longer counts")

    def forget(self, records: Iterable[Record]) -> int:
        """Let no key lead to some records any more, so that their calls run once more; the records stay.

        Returns
        -------
        int
            Number of keys that led to them.
        """
        unwanted = {record.id for record in records}
        found = 0
        for keys in self.store.key_names():
            values = {key: value.decode("ascii", "replace") for key, value in self.store.get_keys(keys).items()}
            dead = {key: f"{FORGOTTEN}{name}".encode() for key, name in values.items() if name in unwanted}
            self.store.set_keys(dead)
            found += len(dead)
        return found

    def forgotten(self, key: str) -> Record | None:
        """Return the record that a key led to before it was forgotten; None where it was not."""
        value = self.store.get_keys([key]).get(key, b"").decode("ascii", "replace")
        return self.get(value.removeprefix(FORGOTTEN)) if value.startswith(FORGOTTEN) else None

    def _not_forgotten(self, keys: list[str]) -> list[str]:
        """Keys that others may be asked about: what was forgotten here is not believed of others either."""
        values = self.store.get_keys(keys)
        return [key for key in keys if not values.get(key, b"").startswith(FORGOTTEN.encode())]

    def point(self, record: Record, *plan_keys: str) -> Record:
        """Let further plan keys lead to a record: the same bytes were reached on another way."""
        self.store.link_keys({record.content_key, *plan_keys}, record.id)
        return record

    def newest(self, task: str, limit: int = 20) -> list[Record]:
        """Return the newest successful records of a task."""
        found = self._where(task=task, limit=limit)
        return [record for record in found if record.status == "ok"]

    def producers(self, cid: str) -> list[Record]:
        """Return all records that made a CID, newest first."""
        return [record for record in self._where(output=cid, limit=ALL) if record.status == "ok"]

    def consumers(self, cid: str) -> list[Record]:
        """Return all records that read a CID, newest first."""
        return self._where(input=cid, limit=ALL)

    def of_task(self, task: str) -> list[Record]:
        """Return all successful records of a task, newest first."""
        return self.newest(task, ALL)

    def everything(self) -> list[Record]:
        """Return all successful records, newest first."""
        return [record for record in self._where(limit=ALL) if record.status == "ok"]

    def starting(self, digits: str) -> list[Record]:
        """Return the records, of failures too, whose ids begin with these hexadecimal digits."""
        return self._where(start=digits, limit=2)

    def _write(self, record: Record) -> Record:
        return record._replace(id=self.store.put_record(record.to_bytes()))

    def _where(self, **conditions: Any) -> list[Record]:
        found = (Record.from_bytes(data, identifier) for identifier, data in self.store.records_where(**conditions))
        return [record for record in found if record is not None]


def _difference(record: Record, first: Record, fate: str) -> str:
    return (
        f"{record.task} is not deterministic: the same inputs, parameters, code and tools gave {_outputs(record)} "
        f"where they gave {_outputs(first)} before (record {first.id[:12]}). "
        f"The first result {fate}; look for dates, paths, threads or random seeds in what it writes, and for files, "
        "variables and networks that it reads beside its inputs"
        + (
            ""
            if fate != "no longer counts"
            else f". What was made of it is known still: stargazer forget {first.id[:12]} --down"
        )
    )


def _outputs(record: Record) -> str:
    text = ", ".join(record.output_cids) or repr(record.outputs)
    return text if len(text) <= 200 else f"{text[:200]}…"
