"""Call key → record; append-only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeGuard

from stargazer import config
from stargazer.assets import Asset
from stargazer.ledger.codec import cids_in, decode
from stargazer.ledger.record import Record
from stargazer.ledger.signatures import accepted, sign_made
from stargazer.store.fallback import Known, fallback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.store import Store

__all__ = ["Ledger", "NotDeterministic"]


class NotDeterministic(UserWarning):
    """A task gave two results for the same inputs, parameters, code and tools."""


class Ledger:
    """The calls that a store knows.

    Parameters
    ----------
    store
        Holds records, keys and the bytes of the results.
    accept
        Whose records may be hits: ``"anyone"``, ``"signed"`` or ``"own"``; ``stargazer.accept`` by default.
    """

    def __init__(self, store: Store, accept: str | None = None) -> None:
        self.store, self._accept = store, accept

    @property
    def accept(self) -> str:
        """Whose records may be hits."""
        return self._accept or config.accept()

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
        return found if others is None else {**found, **others.find(self.store, unknown)}

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
        return found if others is None else {**found, **others.take(self.store, unknown, with_outputs=with_outputs)}

    def lookup(self, keys: Iterable[str]) -> dict[str, Record]:
        """Successful records behind keys, whether or not their results are still there.

        A key must stand in the record that it leads to: whoever may write keys could else let one call's lead to the
        result of another. And the record must be of somebody whose results are accepted.
        """
        behind = self.store.records_behind(keys)
        records = ((key, Record.from_bytes(data, name)) for key, (name, data) in behind.items())
        found = {
            key: record
            for key, record in records
            if _is_result(record) and key in (record.plan_key, record.content_key)
        }
        if (accept := self.accept) == "anyone":
            return found
        good = accepted(self.store, list({record.id: record for record in found.values()}.values()), accept)
        return {key: record for key, record in found.items() if record.id in good}

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

    def append(self, record: Record) -> Record:
        """Write a record and point its keys at it; a failed one gets no keys.

        Returns
        -------
        Record
            The record that counts: an earlier one of the same content key if its outputs still exist.
        """
        if record.status != "ok":
            return self._sign(record)
        first = self.lookup([record.content_key]).get(record.content_key)
        if first is None:
            return self.point(self._sign(record), record.plan_key)
        kept = self.is_complete(first)
        if first.outputs != record.outputs:
            record = record._replace(differs_from=first.id)
            warnings.warn(_difference(record, first, kept), NotDeterministic, stacklevel=2)
        written = self._sign(record)
        return self.point(first if kept else written, record.plan_key, record.producers)

    def point(self, record: Record, plan_key: str, producers: dict[str, str] | None = None) -> Record:
        """Let a further plan key lead to what a record tells: the same bytes were reached on another way.

        Parameters
        ----------
        record
            Of the run.
        plan_key
            The key.
        producers
            Ids of the records that the inputs came from on that way, by the inputs' asset ids; the run's by default.

        Returns
        -------
        Record
            The same record; under another plan key than its own, one that repeats it.
        """
        if plan_key in (record.plan_key, record.content_key):
            self.store.link_keys({record.content_key, plan_key}, record.id)
            return record
        told = record.producers if producers is None else producers
        repeated = self._sign(record._replace(plan_key=plan_key, producers=told, same_as=record.same_as or record.id))
        self.store.link_keys([plan_key], repeated.id)
        return repeated

    def repeats(self, record: Record) -> list[Record]:
        """Records that repeat one under other plan keys."""
        cid = next(iter(record.output_cids), None)
        found = self._where(output=cid) if cid else []
        return [each for each in found if each.same_as in (record.id, record.same_as) and each.id != record.id]

    def newest(self, task: str, limit: int = 20) -> list[Record]:
        """Return the newest successful records of a task."""
        found = self._where(task=task, limit=limit)
        return _once(filter(_is_result, found))

    def producers(self, cid: str) -> list[Record]:
        """Return all records that made a CID, newest first."""
        return _once(filter(_is_result, self._where(output=cid)))

    def consumers(self, cid: str) -> list[Record]:
        """Return all records that read a CID, newest first."""
        return self._where(input=cid)

    def starting(self, digits: str) -> list[Record]:
        """Return the records, of failures too, whose ids begin with these hexadecimal digits."""
        return self._where(start=digits, limit=2)

    def _sign(self, record: Record) -> Record:
        """Write what was done here, and vouch for it."""
        written = self._write(record)
        sign_made(self.store, written.id)
        return written

    def _write(self, record: Record) -> Record:
        return record._replace(id=self.store.put_record(record.to_bytes()))

    def _where(self, **conditions: Any) -> list[Record]:
        found = (Record.from_bytes(data, identifier) for identifier, data in self.store.records_where(**conditions))
        return [record for record in found if record is not None]


def _once(records: Iterable[Record]) -> list[Record]:
    """Records of runs, without those that repeat another of them."""
    listed = list(records)
    there = {record.id for record in listed}
    return [record for record in listed if record.same_as not in there]


def _is_result(record: Record | None) -> TypeGuard[Record]:
    """Whether a record tells of a call that gave something."""
    return record is not None and record.status == "ok" and record.outputs is not None


def _difference(record: Record, first: Record, kept: bool) -> str:
    return (
        f"{record.task} is not deterministic: the same inputs, parameters, code and tools gave {_outputs(record)} "
        f"where they gave {_outputs(first)} before (record {first.id[:12]}). "
        f"The first result {'is kept' if kept else 'was lost'}; "
        "look for dates, paths, threads or random seeds in what it writes"
    )


def _outputs(record: Record) -> str:
    text = ", ".join(record.output_cids) or repr(record.outputs)
    return text if len(text) <= 200 else f"{text[:200]}…"
