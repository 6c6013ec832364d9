"""What is kept of runs in the store: notes of which there were, which there are and how each went, and their logs."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import itertools
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.calls.walk import needs
from stargazer.display.timeline import Bar, timeline_svg
from stargazer.errors import NotFound, StargazerError
from stargazer.ledger import Ledger
from stargazer.ledger.logs import SHOWN_DIGITS, log_of, record_of
from stargazer.ledger.signatures import NOT_AS_SIGNED, YOURS, names_of_keys, sign_text, whose_text
from stargazer.store import layout
from stargazer.store.layout import is_name, is_text, read_object
from stargazer.tools.apart import is_alive, machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stargazer.calls.call import Call
    from stargazer.execute import TaskSpec
    from stargazer.ledger import Record
    from stargazer.runs.state import RunState
    from stargazer.store import Store

__all__ = [
    "JOB_UNKNOWN",
    "LOST_AFTER",
    "Event",
    "Logs",
    "Note",
    "RunLog",
    "Timeline",
    "find_run",
    "known_calls",
    "noted_runs",
    "read_events",
    "read_job",
    "whose_may_go_on",
]

SHOWN_COMMIT = 7
LONGEST_NAME = 60

JOB_UNKNOWN = "?"
"""Stands for the number of a job in a note that was written before the job was asked for."""

LOST_AFTER = 120.0
"""Seconds without a word after which a run is taken for dead."""


@dataclass(frozen=True)
class Note:
    """What is noted of a run.

    Parameters
    ----------
    id
        Of the run; ``germline-3f2a1c9-dirty-20261129T101500Z``: workflow, commit, time.
    started
        When, as ISO 8601 in UTC.
    user, host, pid
        Whose process it is, and where.
    where
        Threads of the process, or what the client was connected to.
    state
        ``"pending"``: its driver has not begun; ``"running"``, ``"done"``, ``"failed"``, ``"cancelled"``; or
        ``"lost"``: its process died.
    tasks
        Number of calls in each state, by task.
    known
        Number of calls that the ledger answered when it began.
    seconds
        That it took, or has taken so far.
    failures
        Errors by call, the first few.
    records
        Ids of the records of those failures, by call; `stargazer log` shows what they left.
    lost
        How workers ended that nobody gave back, the last few: what the batch system said, and where their logs are.
    updated
        Seconds since the epoch, when this was written.
    workflow
        Name of the function that wired the calls, or of its script.
    commit, dirty, diff
        Of which commit that code was, if it was under control of git; whether it had been changed; CID of the changes.
    driver
        Of a run of its own: ``pid`` or ``job`` of what drives it, ``machine`` on which that number means something,
        digest of what it was ``given``, and which of its drivers this is.
    whose
        ``yours``, ``signed by NAME``, ``unsigned`` or ``not as signed``; found out when it is read.
    """

    id: str
    started: str
    user: str
    host: str
    pid: int
    where: str
    state: str = "running"
    tasks: dict[str, dict[str, int]] = field(default_factory=dict)
    known: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    updated: float = 0.0
    workflow: str = ""
    commit: str = ""
    dirty: bool = False
    diff: str | None = None
    driver: dict[str, Any] = field(default_factory=dict)
    whose: str = ""

    @classmethod
    def new(cls, where: str, known: int, workflow: str = "", spec: TaskSpec | None = None) -> Note:
        """Begin the note of a run of this process; `spec` is that of one of its calls, stamped with a commit."""
        now = datetime.datetime.now(datetime.UTC)
        commit, dirty, diff = (spec.commit, spec.dirty, spec.diff) if spec else ("", False, None)
        named = re.sub(r"[^A-Za-z0-9_.]+", "_", workflow).strip("._")[:LONGEST_NAME] or "run"
        version = (commit[:SHOWN_COMMIT] or "unknown") + ("-dirty" if dirty else "")
        return cls(
            f"{named}-{version}-{now:%Y%m%dT%H%M%SZ}",
            now.isoformat(timespec="microseconds"),
            _user(),
            platform.node(),
            os.getpid(),
            where,
            known=known,
            workflow=workflow,
            commit=commit,
            dirty=dirty,
            diff=diff,
        )

    def claimed(self, store: Store) -> Note:
        """Put it into the store under an id that no other run has: a second run of one second gets ``-2``."""
        _ = store.context.header
        for number in itertools.count(1):
            note = replace(self, id=self.id if number == 1 else f"{self.id}-{number}")
            data = json.dumps(asdict(replace(note, updated=time.time()))).encode()
            place = layout.run(note.id)
            if store.backend.size(place) is None:
                store.backend.create_once(place, data)
                if store.backend.read(place) == data:
                    return note
        raise AssertionError

    def write(self, store: Store) -> None:
        """Put it into the store, over the one before."""
        _ = store.context.header
        members = asdict(replace(self, updated=time.time()))
        del members["whose"]
        members["signature"] = sign_text(_signed_text(members))
        store.backend.replace(layout.run(self.id), json.dumps(members).encode())

    @property
    def calls(self) -> int:
        """Number of calls that had to run."""
        return sum(number for states in self.tasks.values() for number in states.values())

    def count(self, state: str) -> int:
        """Number of calls in a state."""
        return sum(states.get(state, 0) for states in self.tasks.values())

    @property
    def driver_text(self) -> str:
        """Where its driver is: the process or the job, and the machine."""
        number = f"job {self.driver['job']}" if self.driver.get("job") else f"process {self.pid}" if self.pid else ""
        return " on ".join(filter(None, (number, self.host)))


def noted_runs(store: Store, limit: int = 20) -> list[Note]:
    """Return the newest runs, the newest first; those that are silent for long are ``"lost"``.

    Parameters
    ----------
    store
        In which they ran.
    limit
        How many.
    """
    names = sorted(_ids(store), key=_moment, reverse=True)[:limit]
    found = store.backend.read_many(map(layout.run, names))
    notes = []
    for name in names:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            notes.append(_judged(store, _numbered(store, _read(store, name, found[layout.run(name)]))))
    # Of one second, names do not tell which came first.
    return sorted(notes, key=lambda note: (_moment(note.id)[0], note.started, _moment(note.id)), reverse=True)


def _ids(store: Store) -> Iterable[str]:
    return filter(layout.is_plain, store.backend.names("runs"))


def _read(store: Store, run: str, data: bytes) -> Note:
    """A note of which all members are of their types; `ValueError` or `TypeError` of any other."""
    members = read_object(data)
    if not all(isinstance(members[name], kinds) for name, kinds in _TYPES.items() if name in members):
        raise ValueError("no note of a run")
    if not all(isinstance(states, dict) for states in members.get("tasks", {}).values()):
        raise ValueError("no note of a run")
    signature = members.pop("signature", "")
    signed = signature if isinstance(signature, str) else "?"
    whose = whose_text(_signed_text(members), signed, lambda: store.backend.changed(layout.run(run)))
    return Note(**{name: members[name] for name in members.keys() & _TYPES.keys()}, whose=whose)


def _signed_text(members: Mapping[str, Any]) -> bytes:
    """What is signed of a note: all but the signature."""
    told = {name: value for name, value in members.items() if name != "signature"}
    return b"stargazer run " + json.dumps(told, sort_keys=True).encode()


_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "started", "user", "host", "where", "state", "workflow", "commit"), str),
    **dict.fromkeys(("tasks", "failures", "records", "driver"), dict),
    **dict.fromkeys(("pid", "known"), int),
    **dict.fromkeys(("seconds", "updated"), (int, float)),
    "lost": list,
    "dirty": bool,
    "diff": (str, type(None)),
}


JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.;:@\[\]-]{0,199}")
"""How batch systems call jobs."""


def find_run(store: Store, name: str) -> Note:
    """Return the run with an id, or the one whose id begins like it.

    Raises
    ------
    NotFound
        There is none, or more than one.
    """
    names = [each for each in _ids(store) if each.startswith(name)] if name else []
    found = [name] if name in names else sorted(names, key=_moment, reverse=True)
    if len(found) != 1:
        told = f"several runs begin with {name!r}, the newest is {found[0]}" if found else f"there is no run {name!r}"
        raise NotFound(f"{told} in {store.url}; stargazer runs lists them")
    data = store.backend.read(layout.run(found[0]))
    try:
        return _judged(store, _numbered(store, _read(store, found[0], data or b"")))
    except (ValueError, TypeError) as error:
        raise NotFound(f"the note of run {found[0]} in {store.url} is torn: {error}") from error


def read_job(store: Store, run: str) -> str | None:
    """Return the number of the job that was submitted last to drive a run; None where none was, or it is not known."""
    try:
        job = read_object(store.backend.read(layout.driver(run, "job")) or b"").get("job")
    except ValueError:
        return None
    # It becomes a word of the batch system's commands, and others may have written it: no option, as --user=anna.
    return job if isinstance(job, str) and JOB.fullmatch(job) else None


def _numbered(store: Store, note: Note) -> Note:
    """The note with the number of its driver's job, where that was not known when it was written."""
    if note.driver.get("job") != JOB_UNKNOWN:
        return note
    return replace(note, driver=note.driver | {"job": read_job(store, note.id) or JOB_UNKNOWN})


def whose_may_go_on(store: Store, note: Note) -> bool:
    """Whether a run is of somebody whose code may run as the user: one's own, and of those whom ``trust`` names.

    Where nobody else may write to the store, any run that is noted there is one's own.
    """
    if config.accept() == "own":
        return note.whose == YOURS
    if note.whose in names_of_keys().values():
        return True
    return config.accept() == "anyone" and note.whose != NOT_AS_SIGNED and store.backend.is_private()


def _moment(name: str) -> tuple[str, int, str]:
    """When a run began, by its id: in the order of time, whatever it is called."""
    found = re.search(r"(\d{8}T\d{6})(?:Z(?:-(\d+))?$|\.(\d+))", name)
    return (found[1], int(found[2] or found[3] or 0), name) if found else ("", 0, name)


def _judged(store: Store, note: Note) -> Note:
    if note.state not in ("running", "pending"):
        return note
    waits = note.state == "pending" and note.driver.get("job")  # a batch system may let it wait for days
    silent = time.time() - note.updated > LOST_AFTER and not waits
    if not (silent or _died(note)):
        since = max(0.0, time.time() - note.updated) if note.state == "running" else 0.0
        return replace(note, seconds=note.seconds + since)  # it is written when a call ends, which may be long ago
    coming = read_job(store, note.id) if note.driver.get("job") else None
    if coming is not None and coming != note.driver["job"]:  # the next driver was submitted, and goes on
        return replace(note, state="pending", driver=note.driver | {"job": coming})
    return replace(note, state="lost")


def _died(note: Note) -> bool:
    """Whether the process that drives a run was on this machine, and is there no more."""
    here = bool(note.pid) and note.driver.get("machine") == machine()
    return here and not is_alive(note.pid)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


# Logs of calls that failed, read once.


class Logs:
    """Logs of calls that failed, by their errors.

    Parameters
    ----------
    store
        In which they ran; None where nothing ran.
    """

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self._read: dict[str, str] = {}

    def log(self, error: BaseException) -> str:
        """Return the whole log; empty where the call left none, or it cannot be read."""
        name = record_of(error)
        if name is None or self.store is None:
            return ""
        if name not in self._read:
            self._read[name] = self._log(Ledger(self.store.records), name)
        return self._read[name]

    @staticmethod
    def _log(ledger: Ledger, name: str) -> str:
        try:
            record = ledger.get(name)
            return log_of(ledger, record) if record is not None else ""
        except (StargazerError, OSError):
            return ""

    def command(self, error: BaseException) -> str:
        """Return the command that shows it; empty where there is none."""
        name = record_of(error)
        if name is None or self.store is None:
            return ""
        from stargazer.config import store_url
        from stargazer.store import Store

        elsewhere = "" if Store.open(store_url()).url == self.store.url else f" --store {self.store.url}"
        return f"stargazer log {name[:SHOWN_DIGITS]}{elsewhere}"


# When each call of a run ran, and where: from the ledger.


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
        records = Ledger(store.records).find_many(plan_keys).values() if store is not None else []
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


# The log of a run: what happened to each of its calls, and when.


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
