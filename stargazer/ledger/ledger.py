"""Call key → record; append-only."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, TypeVar

from stargazer import config
from stargazer.assets.fields import read_asset
from stargazer.ledger.believed import not_looked_at, unsigned
from stargazer.ledger.differences import differences
from stargazer.ledger.record import Record, cids_in, decode, runs_code
from stargazer.store.context import Known, fallback
from stargazer.store.layout import is_name
from stargazer.store.store import StoreSource, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from stargazer.assets import Asset
    from stargazer.store.records import Records

__all__ = ["Lead", "Ledger", "NotDeterministic"]

K = TypeVar("K")
T = TypeVar("T")

ALL = -1
"""No limit, as SQLite takes it."""

FRESH = 1.0
"""Seconds for which a call that relies on no reads is not looked at again."""

MOST_NOTED = 10_000

FORGOTTEN = "forgotten-"
"""How the value of a key begins that led to a record; no record's id begins like it."""


class NotDeterministic(UserWarning):
    """A task gave two results for the same inputs, parameters, code and tools."""


class Lead(NamedTuple):
    """Where a key leads.

    Parameters
    ----------
    record
        A successful one.
    readers
        Ids of the records, of this call and of those before it, whose bodies read what no key tells.
    """

    record: Record
    readers: tuple[str, ...] = ()


class Ledger:
    """The calls that a store knows.

    Parameters
    ----------
    records
        Those of a store, the keys that lead to them, and what they made.
    accept
        Whose records may be hits: ``"anyone"``, ``"signed"`` or ``"own"``; ``stargazer.accept`` by default.
    read
        Makes a record of its bytes, of which the id that it is told is the digest: who asks often may remember some.
    """

    def __init__(
        self,
        records: Records,
        accept: str | None = None,
        read: Callable[[bytes, str], Record | None] = Record.from_bytes,
    ) -> None:
        self.records, self._accept, self._read = records, accept, read

    @property
    def url(self) -> str:
        """Where the store is."""
        return self.records.context.url

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
        return found if others is None else {**found, **others.find(open_store(self.url), self._not_forgotten(unknown))}

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
        return {**found, **others.take(open_store(self.url), self._not_forgotten(unknown), with_outputs=with_outputs)}

    def lookup(self, keys: Iterable[str]) -> dict[str, Record]:
        """Successful records behind keys, whether or not their results are still there.

        A key must stand in the record that it leads to: whoever may write keys could else let one call's lead to the
        result of another. And the record must be of somebody whose results are accepted.
        """
        return {key: lead.record for key, lead in self.leads(keys).items()}

    def leads(self, keys: Iterable[str]) -> dict[str, Lead]:
        """Where keys lead, as long as what the calls read beside their inputs is as it was."""
        return self._leads(self.records.behind(keys))

    def _leads(self, behind: Mapping[str, tuple[str, bytes]]) -> dict[str, Lead]:
        chosen: dict[str, Lead] = {}
        choices: dict[str, list[list[str]]] = {}
        for key, (name, data) in behind.items():
            if not name:
                choices[key] = _choices(data)
            elif _is_result(record := self._read(data, name)) and _names(record, key):
                chosen[key] = Lead(record)
        # One that read something never stands alone under a key, unless somebody else wrote the key.
        doubtful = {key: [[lead.record.id, lead.record.id]] for key, lead in chosen.items() if lead.record.reads}
        choices |= doubtful
        if choices:
            chosen = {**{key: chosen[key] for key in chosen.keys() - doubtful}, **self._fitting(choices)}
        accepted = self._accepted(chosen)
        self._note_reads(lead.record for lead in accepted.values())
        return accepted

    def _accepted(self, chosen: dict[str, Lead]) -> dict[str, Lead]:
        """Those of somebody whose results are accepted; results that run code when they are read are not anyone's."""
        records = {lead.record.id: lead.record for lead in chosen.values()}
        if (accept := self.accept) == "anyone":
            if self._accept is not None:  # of remotes others judge, who ask for anyone's
                return chosen
            doubtful = [record for record in records.values() if runs_code(record.outputs)]
            bad = unsigned(self.records, doubtful) if doubtful else set()
            return {key: lead for key, lead in chosen.items() if lead.record.id not in bad} if bad else chosen
        from stargazer.ledger.signatures import accepted

        good = accepted(self.records, list(records.values()), accept)
        return {key: lead for key, lead in chosen.items() if lead.record.id in good}

    def accepts(self, record: Record) -> bool:
        """Whether a record may be a hit, by whose it is."""
        unasked = not_looked_at(self.records, {record.id: record})
        return not unasked and bool(self._accepted({record.id: Lead(record)}))

    def _fitting(self, choices: Mapping[str, list[list[str]]]) -> dict[str, Lead]:
        """Of the records under each key the newest that is an answer today."""
        from stargazer.ledger.reads import Present

        wanted = dict.fromkeys(name for lines in choices.values() for line in lines for name in line)
        read = {name: self._read(data, name) for name, data in self.records.get_many(wanted).items()}
        found = {name: record for name, record in read.items() if _is_result(record)}
        unasked = not_looked_at(self.records, found)
        known = {name: record for name, record in found.items() if name not in unasked}
        present = Present()
        holding = {name for name, record in known.items() if present.holds(record.reads)}
        fitting = {
            key: [
                line
                for line in lines
                if line[0] in known and _names(known[line[0]], key) and holding.issuperset(line[1:])
            ]
            for key, lines in choices.items()
        }
        return {key: Lead(known[lines[0][0]], tuple(lines[0][1:])) for key, lines in fitting.items() if lines}

    def get(self, identifier: str) -> Record | None:
        """Return one record, or None where it is missing or torn."""
        data = self.records.get(identifier)
        return None if data is None else Record.from_bytes(data, identifier)

    def is_complete(self, record: Record) -> bool:
        """Whether everything that the record's call made is still in the store."""
        cids = list(cids_in(record.outputs))
        return None not in cids and self.records.dirs.has_all(cid for cid in cids if cid is not None)

    def results(self, record: Record, named: type | None = None) -> Any:
        """Return the result of a recorded call: handles that know their store, and the record of what made them."""
        if record.wires:
            return decode(record.outputs, lambda data: self._made_by(read_asset(data), record), named)
        source = StoreSource(self.url, record.id or None)
        return decode(record.outputs, lambda data: read_asset(data, source), named)

    def _made_by(self, asset: Asset, record: Record) -> Asset:
        return self.records.assets.handle(asset, record.makers.get(asset.id) or None)

    def readers(self, keys: Iterable[str]) -> tuple[str, ...] | None:
        """Ids of the records that calls rely on which read what no key tells, by the plan keys of these calls.

        That a call relies on nothing is asked once a second: of a list with 10,000 elements, each that is taken by a
        call would read the record of the whole. What was given came of the record that led there before, at the latest.

        Returns
        -------
        tuple or None
            None where it cannot be told of some call, for its plan key does not lead anywhere.
        """
        now, whose = time.monotonic(), (self.url, self.accept)
        wanted = [key for key in keys if _relies_on_nothing.get((*whose, key), -FRESH) < now - FRESH]
        behind = self.records.behind(wanted) if wanted else {}
        free = {key for key, (name, _) in behind.items() if name and key in _read_nothing.get(name, ())}
        found = self._leads({key: each for key, each in behind.items() if key not in free})
        if any(key not in free and key not in found for key in wanted):
            return None
        free |= {key for key, lead in found.items() if not lead.readers}
        _note(_relies_on_nothing, {(*whose, key): now for key in free})
        return tuple(dict.fromkeys(name for key in wanted if key not in free for name in found[key].readers))

    @staticmethod
    def _note_reads(records: Iterable[Record]) -> None:
        """Note records that were read and accepted, and whose bodies read nothing: their bytes say so for ever.

        What is noted need not be parsed again where calls rely on it. That a key leads there is asked each time.
        """
        _note(_read_nothing, {each.id: (each.plan_key, each.content_key) for each in records if not each.reads})

    def append(self, record: Record, before: tuple[str, ...] | None = (), *, newest: bool = False) -> Record:
        """Write a record and point its keys at it; a failed one gets no keys.

        Parameters
        ----------
        record
            Of a call that has just ended.
        before
            From `readers`, of the calls whose results it took; None where these are not known.
        newest
            It was asked for again: where its result differs from the earlier one, it is the one that counts.

        Returns
        -------
        Record
            The record that counts: an earlier one of the same content key if its outputs still exist.
        """
        if record.status != "ok":
            return self._sign(record)
        is_new = not self.records.get_keys([record.content_key])
        first = None if is_new else self.lookup([record.content_key]).get(record.content_key)
        forgotten = None if is_new or first is not None else self.forgotten(record.content_key)
        earlier = first or forgotten
        if earlier is None:
            return self.point(self._sign(record), record.plan_key, before=before)
        differs = earlier.outputs != record.outputs
        kept = first is not None and self._is_whole_truth(first, record) and not (newest and differs)
        if differs:
            record = record._replace(differs_from=earlier.id)
            fate = "is kept" if kept else "no longer counts" if newest or forgotten else "was lost"
            warnings.warn(_difference(record, earlier, fate), NotDeterministic, stacklevel=2)
        written = self._sign(record)
        return self.point(
            first if kept and first is not None else written, record.plan_key, record.producers, before=before
        )

    def _is_whole_truth(self, first: Record, record: Record) -> bool:
        """Whether an earlier record is as good as a new one: its results are there, and it tells all that was read."""
        return self.is_complete(first) and first.reads.keys() >= record.reads.keys()

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
        given = [each for record in records for each in (record, *self._holding(record))]
        unwanted = {each.id for record in given for each in (record, *self.repeats(record))}
        found = 0
        for keys in self.records.key_names():
            values = {key: value.decode("ascii", "replace") for key, value in self.records.get_keys(keys).items()}
            dead = {key: left for key, value in values.items() if (left := _without(value, unwanted)) is not None}
            self.records.set_keys(dead)
            found += len(dead)
        return found

    def _holding(self, record: Record) -> list[Record]:
        """Records of the calls that wired one: with them its result would be known still."""
        found = [each for cid in record.output_cids for each in self.consumers(cid)]
        return [each for each in found if each.wires and record.id in each.makers.values()]

    def forgotten(self, key: str) -> Record | None:
        """Return the record that a key led to before it was forgotten; None where it was not."""
        value = self.records.get_keys([key]).get(key, b"").decode("ascii", "replace")
        return self.get(value.removeprefix(FORGOTTEN)) if value.startswith(FORGOTTEN) else None

    def _not_forgotten(self, keys: list[str]) -> list[str]:
        """Keys that others may be asked about: what was forgotten here is not believed of others either."""
        values = self.records.get_keys(keys)
        return [key for key in keys if not values.get(key, b"").startswith(FORGOTTEN.encode())]

    def point(
        self,
        record: Record,
        plan_key: str,
        producers: dict[str, str] | None = None,
        *,
        before: tuple[str, ...] | None = (),
    ) -> Record:
        """Let a further plan key lead to what a record tells: the same bytes were reached on another way.

        Parameters
        ----------
        record
            Of the run.
        plan_key
            The key.
        producers
            Ids of the records that the inputs came from on that way, by the inputs' asset ids; the run's by default.
        before
            From `readers`, of the calls before it in that wiring: a plan key stands for all of them. Where these are
            not known, the plan key does not lead here: the call is looked up anew by its content.

        Returns
        -------
        Record
            The same record; under another plan key than its own, one that repeats it.
        """
        own = (record.id,) if record.reads else ()
        ways = own if before is None else tuple(dict.fromkeys([*own, *before]))
        is_own = plan_key in (record.plan_key, record.content_key)
        if is_own and (before is None or ways == own):
            keys = {record.content_key} if before is None else {record.content_key, plan_key}
            self.records.link_keys(keys, record.id, own)
            self._note_reads([record])
            return record
        if is_own:
            self.records.link_keys([record.content_key], record.id, own)
        elif before is not None:
            told = record.producers if producers is None else producers
            record = self._sign(record._replace(plan_key=plan_key, producers=told, same_as=record.same_as or record.id))
        if before is not None and plan_key != record.content_key:
            self.records.link_keys([plan_key], record.id, ways)
        return record

    def repeats(self, record: Record) -> list[Record]:
        """The other records that tell of the same run, under other plan keys."""
        run = record.same_as or record.id
        cid = next(iter(record.output_cids), None)
        found = self._where(output=cid, limit=ALL) if cid else self._where(task=record.task, limit=ALL)
        return [each for each in found if run in (each.id, each.same_as) and each.id != record.id]

    def newest(self, task: str, limit: int = 20) -> list[Record]:
        """Return the newest successful records of a task."""
        found = self._where(task=task, limit=limit)
        return _once(filter(_is_result, found))

    def producers(self, cid: str) -> list[Record]:
        """Return all records that made a CID, newest first."""
        return _once(filter(_is_result, self._where(output=cid, limit=ALL)))

    def makers(self, asset: Asset) -> list[Record]:
        """Return the record that a handle came from, or else all that made its bytes, newest first."""
        own = asset.source.record if asset.source is not None else None
        record = self.get(own) if own else None
        return [record] if record is not None else self.producers(asset.cid or "")

    def consumers(self, cid: str) -> list[Record]:
        """Return all records that read a CID, newest first."""
        return self._where(input=cid, limit=ALL)

    def of_task(self, task: str) -> list[Record]:
        """Return all successful records of a task, newest first."""
        return self.newest(task, ALL)

    def tried(self, task: str | None = None, limit: int | None = None) -> list[Record]:
        """Return what was really run, newest first, failures too: of one task, or of all."""
        conditions = {} if task is None else {"task": task}
        return [record for record in self._where(limit=limit or ALL, **conditions) if not record.same_as]

    def everything(self) -> list[Record]:
        """Return all successful records, newest first."""
        return list(filter(_is_result, self._where(limit=ALL)))

    def starting(self, digits: str) -> list[Record]:
        """Return the records, of failures too, whose ids begin with these hexadecimal digits."""
        return self._where(start=digits, limit=2)

    def _sign(self, record: Record) -> Record:
        """Write what was done here, and vouch for it."""
        from stargazer.ledger.signatures import sign_made

        written = self._write(record)
        sign_made(self.records, written.id)
        return written

    def _write(self, record: Record) -> Record:
        return record._replace(id=self.records.put(record.to_bytes()))

    def _where(self, **conditions: Any) -> list[Record]:
        found = (Record.from_bytes(data, identifier) for identifier, data in self.records.where(**conditions))
        return [record for record in found if record is not None]


_relies_on_nothing: dict[tuple[str, str, str], float] = {}
"""When a call was last seen to rely on no reads: by store, whose results are accepted, and plan key."""


_read_nothing: dict[str, tuple[str, str]] = {}
"""Keys of records whose bodies read nothing, by the records' ids."""


def _note(notes: dict[K, T], found: Mapping[K, T]) -> None:
    if len(notes) > MOST_NOTED:
        notes.clear()
    notes.update(found)


def _choices(data: bytes) -> list[list[str]]:
    """Records that one key leads to, each with those of what was read; what is no name of a record is passed over."""
    lines = (line.split(" ") for line in data.decode("ascii", "replace").split("\n"))
    return [line for line in lines if all(map(is_name, line))]


def _without(value: str, unwanted: Collection[str]) -> bytes | None:
    """Value of a key that leads to some records no more; None where it led to none of them."""
    lines = value.split("\n")
    left = [line for line in lines if line.partition(" ")[0] not in unwanted]
    if len(left) == len(lines):
        return None
    return ("\n".join(left) or f"{FORGOTTEN}{lines[0].partition(' ')[0]}").encode()


def _names(record: Record | None, key: str) -> bool:
    """Whether a key stands in the record that it leads to."""
    return record is not None and key in (record.plan_key, record.content_key)


def _once(records: Iterable[Record]) -> list[Record]:
    """Records of runs, without those that repeat another of them."""
    listed = list(records)
    there = {record.id for record in listed}
    return [record for record in listed if record.same_as not in there]


def _is_result(record: Record | None) -> TypeGuard[Record]:
    """Whether a record tells of a call that gave something."""
    return record is not None and record.status == "ok" and record.outputs is not None


def _difference(record: Record, first: Record, fate: str) -> str:
    then, now = _compared(first, record)
    return (
        f"{record.task} is not deterministic: the same inputs, parameters, code and tools gave {now} "
        f"where they gave {then} before (record {first.id[:12]}). "
        f"The first result {fate}; look for dates, paths, threads or random seeds in what it writes, and for files, "
        "variables and networks that it reads beside its inputs"
        + (
            ""
            if fate != "no longer counts"
            else f". What was made of it is known still: stargazer forget {first.id[:12]} --down"
        )
    )


def _compared(first: Record, record: Record) -> tuple[str, str]:
    """What two results hold where they differ: bytes may be the same, and a plain value or a name another."""
    told: tuple[list[str], list[str]] = ([], [])
    for place, *values in differences(first.outputs, record.outputs):
        for texts, value in zip(told, values, strict=True):
            texts.append(value if place == "result" else f"{value} as {place}")
    then, now = (text if len(text := ", ".join(texts)) <= 200 else f"{text[:200]}…" for texts in told)
    return then, now
