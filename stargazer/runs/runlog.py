"""One log a run: what was known when it began, what was started, made, and what failed."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.walk import needs
from stargazer.ledger import Ledger
from stargazer.ledger.logs import record_of
from stargazer.store import layout
from stargazer.store.layout import is_name, is_text, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.calls.call import Call
    from stargazer.ledger import Record
    from stargazer.runs.state import RunState
    from stargazer.store import Store

__all__ = ["Event", "RunLog", "known_calls", "read_events"]

WRITTEN = {"at", "what", "task", "key", "record", "error"}
"""Members of a line of the log; the others come from the ledger."""

WORDS = {"running": "started", "done": "made"}
"""What is said of a call that came into a state, where that is not the state's own name."""


class Event(NamedTuple):
    """What happened to a call.

    Parameters
    ----------
    at
        When, as ISO 8601 in UTC; of what was known, when the run began.
    what
        ``"known"``, ``"started"``, ``"made"``, ``"failed"``, ``"skipped"`` or ``"cancelled"``.
    task, key
        Name of the task, and plan key of the call.
    record
        Id of the record that tells of it, as far as there is one.
    outputs
        CIDs of what it made.
    seconds, host
        How long it took, and where.
    error, scratch
        Of a call that failed: why, and where its scratch directory stays.
    differs_from
        Id of the record of an earlier result for the same call, which was another one.
    """

    at: str
    what: str
    task: str
    key: str
    record: str | None = None
    outputs: tuple[str, ...] = ()
    seconds: float | None = None
    host: str = ""
    error: str | None = None
    scratch: str | None = None
    differs_from: str | None = None


class RunLog:
    """Writes the events of a run into its store, as lines of JSON.

    Parameters
    ----------
    watch
        Knows what happened.
    known
        Calls that the ledger answered when the run began.
    """

    def __init__(self, watch: RunState, known: Iterable[Call]) -> None:
        began = _iso(datetime.datetime.now(datetime.UTC).timestamp())
        self._watch, self._told, self._written = watch, 0, -1
        self._lines = [_line(at=began, what="known", task=call.name, key=call.plan_key) for call in known]

    def continue_after(self, store: Store, run: str) -> None:
        """Let what an earlier driver of the run has told stand before; calls that were known then are told once."""
        before = (store.backend.read(layout.run_log(run)) or b"").decode("utf-8", "replace").splitlines(keepends=True)
        told = {event.key for event in _parsed("".join(before).encode()) if event.what in ("known", "made")}
        fresh = [line for line in self._lines if json.loads(line)["key"] not in told]
        self._lines = [*(line for line in before if line.endswith("\n")), *fresh]

    def write(self, store: Store, run: str) -> None:
        """Put what has happened so far into the store."""
        events = self._watch.events[self._told :]
        self._told += len(events)
        self._lines += [self._told_of(*event) for event in events]
        if len(self._lines) != self._written:
            store.backend.replace(layout.run_log(run), "".join(self._lines).encode())
            self._written = len(self._lines)

    def _told_of(self, at: float, state: str, key: str) -> str:
        error = self._watch.failures.get(key) if state == "failed" else None
        why = {"error": f"{type(error).__name__}: {error}", "record": record_of(error)} if error else {}
        return _line(at=_iso(at), what=WORDS.get(state, state), task=self._watch.name(key), key=key, **why)


def known_calls(roots: Iterable[Call], missing: dict[str, Call]) -> list[Call]:
    """Return the calls that the ledger answered: of those wanted, and of those that the missing ones need."""
    wanted = [*(call.whole for call in roots), *(needed.whole for call in missing.values() for needed in needs(call))]
    return list({call.key: call for call in wanted if call.key not in missing}.values())


def read_events(store: Store, run: str) -> list[Event]:
    """Return what happened in a run, in spec; what it made and where comes from the ledger.

    Parameters
    ----------
    store
        In which it ran.
    run
        Its id.
    """
    parsed = list(_parsed(store.backend.read(layout.run_log(run)) or b""))
    # Dask gives a failure to all that needs the call, before it is known which one is to blame.
    skipped = {event.key for event in parsed if event.what == "skipped"}
    told = [event for event in parsed if event.what != "failed" or event.key not in skipped]
    ledger = Ledger(store.records)
    records = ledger.lookup(dict.fromkeys(event.key for event in told if event.what in ("known", "made")))
    failed = {event.record: ledger.get(event.record) for event in told if event.record}
    events = [_with(event, failed.get(event.record or "") or records.get(event.key)) for event in told]
    return sorted(events, key=lambda event: event.at)


def _parsed(data: bytes) -> Iterator[Event]:
    for line in data.splitlines():
        try:
            members = read_object(line)
        except ValueError:  # the last line, where the machine went down
            continue
        if members.keys() <= WRITTEN and all(map(is_text, members.values())) and _is_named(members):
            yield Event(**members)


def _is_named(members: dict[str, Any]) -> bool:
    """Whether what a line names can be looked up; others may have written it."""
    ids = [members.get("key"), *([members["record"]] if "record" in members else [])]
    return {"at", "what", "task"} <= members.keys() and all(map(is_name, ids))


def _with(event: Event, record: Record | None) -> Event:
    if record is None or event.what == "started":
        return event
    seconds = record.seconds if event.what != "known" else None
    return event._replace(
        record=record.id,
        outputs=tuple(record.output_cids),
        seconds=seconds,
        host=record.host,
        scratch=record.scratch,
        differs_from=record.differs_from,
    )


def _line(**members: Any) -> str:
    return json.dumps({name: value for name, value in members.items() if value is not None}) + "\n"


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")
