"""What is done beside a run: its note is kept up to date, and it is told when no worker comes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.calls.graph import known_values
from stargazer.errors import StargazerError
from stargazer.ledger import walk_assets
from stargazer.ledger.logs import record_of
from stargazer.runs.history import Note
from stargazer.runs.state import State
from stargazer.store import Store, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stargazer.calls.call import Call
    from stargazer.runs.history import RunLog
    from stargazer.store.pins import Lease

__all__ = ["Monitor", "held", "is_cancelled"]

EVERY = 2.0
NOTED_EVERY, DRIVEN_NOTED_EVERY = 20.0, 5.0
"""Seconds between two notes; of a run of its own, the note is all that anybody sees."""

PATIENCE = 30.0
"""Seconds without a worker after which it is told."""

SHOWN_FAILURES = 20
DONE = State.DONE.value


class Monitor:
    """A thread beside a run.

    Parameters
    ----------
    run
        The run.
    store
        Where it is noted.
    where
        What it runs on.
    patience
        Seconds to wait for workers before it is told that none comes.
    log
        What happens in the run, call by call.
    note
        Of a run that has one already, for it was asked for before: its driver says how it ends.

    Attributes
    ----------
    id
        Of the run.
    note
        How it stands.
    is_silent
        Whether nothing is written any more: what stands in the store is another driver's.
    """

    def __init__(
        self,
        run: Any,
        store: Store,
        where: str,
        patience: float = PATIENCE,
        log: RunLog | None = None,
        note: Note | None = None,
    ) -> None:
        self.run, self.store, self.patience = run, store, patience
        self.notice: str | None = None
        self.is_silent = False
        self._log, self._is_driven = log, note is not None
        self._done, self._seconds = _done_before(note), note.seconds if note is not None else 0.0
        known = note.known if note is not None and note.tasks else run.known
        self.note = replace(note, where=where, known=known) if note is not None else self._claimed(where)
        if log is not None and note is not None:
            log.continue_after(store, note.id)
        self._since: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stargazer-beside", daemon=True)
        self._write("running")
        self._thread.start()

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.note.id

    def _claimed(self, where: str) -> Note:
        """A note under an id of its own; one that cannot be written is kept here."""
        wired, spec = self.run.wired
        note = Note.new(where, self.run.known, wired, spec)
        if note.dirty:
            logging.getLogger("stargazer").warning(
                "the code that wired %s differs from commit %s; the difference is %s",
                *(note.workflow, note.commit[:12], "kept with the run" if note.diff else "too large to be kept"),
            )
        with contextlib.suppress(OSError, StargazerError):
            return note.claimed(self.store)
        return note

    def end(self, state: str) -> None:
        """The run has ended."""
        self._ended.set()
        self._thread.join()
        self.notice = None
        self._write("running" if self._is_driven else state)

    def _work(self) -> None:
        noted, often = time.monotonic(), DRIVEN_NOTED_EVERY if self._is_driven else NOTED_EVERY
        while not self._ended.wait(EVERY):
            self._look()
            if is_cancelled(self.store, self.id):
                self.run.cancel()
            if time.monotonic() - noted > often:
                noted = time.monotonic()
                self.run.status()  # asks what runs now, which is told by nobody where workers do it
                self._write("running")

    def _look(self) -> None:
        """Notice when work waits and no worker comes; say so once."""
        missing = self.run.waits_for()
        if missing is None:
            self._since = self.notice = None
            return
        self._since = self._since or time.monotonic()
        waited = time.monotonic() - self._since
        if waited >= self.patience:
            if self.notice is None:
                logging.getLogger("stargazer").warning("nothing has run for %.0f s: %s", waited, missing)
            self.notice = missing

    def _write(self, state: str) -> None:
        """Note how it stands; a store that takes no note is no reason to fail."""
        status, failures = self.run.counted(), self.run.failures
        shown = dict(list(failures.items())[:SHOWN_FAILURES])
        told = {label: f"{type(error).__name__}: {error}" for label, error in shown.items()}
        records = {label: record for label, error in shown.items() if (record := record_of(error))}
        tasks = {name: {each.value: number for each, number in states.items()} for name, states in status.tasks.items()}
        for name, number in self._done.items():
            tasks[name] = {**(states := tasks.get(name, {})), DONE: states.get(DONE, 0) + number}
        seconds = round(self._seconds + status.seconds, 3)
        lost = self.run.lost_workers[-SHOWN_FAILURES:]
        self.note = replace(
            self.note, state=state, tasks=tasks, seconds=seconds, failures=told, records=records, lost=lost
        )
        if self.is_silent:
            return
        with contextlib.suppress(OSError, StargazerError):
            self.note.write(self.store)
            if self._log is not None:
                self._log.write(self.store, self.id)


def _done_before(note: Note | None) -> dict[str, int]:
    """Calls, by task, that earlier drivers of a run have done: its next one finds them known, and they are its own."""
    tasks = note.tasks if note is not None else {}
    return {name: number for name, states in tasks.items() if (number := states.get(DONE, 0))}


def is_cancelled(store: Store, run: str) -> bool:
    """Whether somebody asked, anywhere, that a run ends."""
    with contextlib.suppress(OSError, StargazerError):
        return store.backend.size(layout.driver(run, "cancel")) is not None
    return False


# What a run relies on stays, whatever garbage collection runs beside it.


LEASE = 3600.0
"""Seconds for which a lease holds if the run dies without a word."""

RENEWED_EVERY = LEASE / 4


MOST_ROOTS = 1000
"""CIDs that a lease takes when it is written again: of a graph that grows, each round would write all before it."""


@contextlib.contextmanager
def held(graph: dict[str, Any], calls: dict[str, Call]) -> Iterator[Held]:
    """Hold a lease on the known results in a graph and the stored inputs of its calls, renewed as long as it runs."""
    lease = Held(graph, calls)
    if not calls:
        yield lease
        return
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(lease, ended), name="stargazer-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        lease.release()


class Held:
    """What a run relies on, in as many leases as it takes; safe to use from any thread.

    Parameters
    ----------
    graph, calls
        From `stargazer.calls.graph.flatten`, as the run begins.
    """

    def __init__(self, graph: dict[str, Any], calls: dict[str, Call]) -> None:
        self._name = f"run-{uuid.uuid4().hex}"
        self._leases: list[Lease] = []
        self._roots: set[str] = set()
        self._store = next((call.store for call in calls.values()), None)  # of calls of one store
        self._lock = threading.Lock()
        self.add(graph, calls)

    def add(self, graph: dict[str, Any], calls: Mapping[str, Call]) -> None:
        """Hold also what came since: of functions that wired, what the ledger knew, and what their calls are given."""
        with self._lock:
            new = _relied_on(graph, calls) - self._roots
            if self._store is None or (self._leases and not new):
                return
            if self._leases and len(self._leases[-1].roots) + len(new) <= MOST_ROOTS:
                self._leases[-1].renew(*new)
            else:
                name = f"{self._name}-{len(self._leases)}" if self._leases else self._name
                self._leases.append(self._store.lease(name, new, seconds=LEASE))
            self._roots |= new

    def renew(self) -> None:
        """Hold all of it for as long again."""
        with self._lock:
            for lease in self._leases:
                lease.renew()

    def release(self) -> None:
        """Let go."""
        with self._lock:
            for lease in self._leases:
                lease.release()


def _relied_on(graph: dict[str, Any], calls: Mapping[str, Call]) -> set[str]:
    known = [value for node in graph.values() for value in known_values(node)]
    given = [value for call in calls.values() for value in call.inputs.values()]
    return {cid for asset in walk_assets([*known, *given]) for cid in _cids(asset)}


def _cids(asset: Any) -> Iterator[str]:
    if asset.cid:
        yield asset.cid
    for companion in asset.companions:
        yield from _cids(companion)


def _renew(lease: Held, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_EVERY):
        lease.renew()
