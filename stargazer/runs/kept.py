"""Runs as any process sees them that shares their store: how they stand, what they gave; and how to end them."""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import Cancelled, NotFound, RunFailed, RunLost
from stargazer.ledger.record import decode, encode, walk_assets
from stargazer.runs.history import find_run, noted_runs, read_events
from stargazer.runs.monitor import is_cancelled
from stargazer.store import active_store, layout
from stargazer.store.layout import read_object
from stargazer.tools.apart import is_alive

if TYPE_CHECKING:
    import builtins

    from stargazer.runs.history import Event, Note
    from stargazer.store import Store

__all__ = ["ENDED", "KeptRun", "get", "keep_result", "list"]

ENDED = ("done", "failed", "cancelled", "lost")
LOOKED_EVERY = 0.25
LONGEST_PAUSE = 2.0

SETTLED = {"done": "done", "skipped": "skipped", "failed": "failed", "cancelled": "cancelled"}


class KeptRun:
    """A run, as its store knows it; made by `get`, and by `stargazer.run` with ``detach=True``.

    It goes on whatever becomes of this process. Every attribute is read from the store when it is asked for.

    Parameters
    ----------
    store
        In which it runs.
    note
        What is noted of it.
    pid
        Number of its driver on this machine, where this process has started it.
    """

    def __init__(self, store: Store, note: Note, pid: int | None = None) -> None:
        self.store = store
        self._note, self._pid = note, pid

    def __repr__(self) -> str:
        note = self.note
        return f"<run {self.id}: {self._state(note)}, {note.count('done')} of {note.calls} calls>"

    @property
    def id(self) -> str:
        """Name under which it is known, here and everywhere."""
        return self._note.id

    @property
    def note(self) -> Note:
        """All that is noted of it now."""
        self._note = find_run(self.store, self.id)
        return self._note

    @property
    def workflow(self) -> str:
        """Name of the function that wired it."""
        return self._note.workflow

    @property
    def state(self) -> str:
        """``"pending"``, ``"running"``, ``"done"``, ``"failed"``, ``"cancelled"``, or ``"lost"``: its driver died."""
        return self._state(self.note)

    @property
    def started(self) -> str:
        """When it was asked for, as ISO 8601 in UTC."""
        return self._note.started

    @property
    def ended(self) -> str | None:
        """When it ended, as ISO 8601 in UTC; None while it goes on."""
        note = self.note
        return _iso(note.updated) if self._state(note) in ENDED else None

    @property
    def seconds(self) -> float:
        """That it took, or has taken so far, without the time in which nobody drove it."""
        return self.note.seconds

    @property
    def where(self) -> dict[str, Any]:
        """Where its driver is (``host``, ``pid``, ``job``), and on what it runs calls (``on``)."""
        note = self.note
        return {"host": note.host, "pid": note.pid or self._pid, "job": note.driver.get("job"), "on": note.where}

    @property
    def counts(self) -> dict[str, int]:
        """Number of calls in each state, done by all of its drivers, and of those that the ledger knew before."""
        note = self.note
        states = {state for each in note.tasks.values() for state in each}
        return {state: note.count(state) for state in sorted(states)} | {"known": note.known}

    @property
    def progress(self) -> float:
        """Part of the calls that has ended, from 0 to 1."""
        note = self.note
        if not note.calls:
            return float(self._state(note) == "done")
        return sum(note.count(state) for state in SETTLED) / note.calls

    @property
    def failures(self) -> dict[str, str]:
        """Errors by call, the first few; of the driver itself under ``driver``."""
        return self.note.failures

    def events(self) -> builtins.list[Event]:
        """Return what happened in it, call by call."""
        return read_events(self.store, self.id)

    def log(self) -> str:
        """Return what happened in it, a line for each event."""
        lines = [
            "  ".join(filter(None, (event.at[:19], event.what, event.task, event.key[:8], event.error or "")))
            for event in self.events()
        ]
        return "".join(f"{line}\n" for line in lines)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it has come. Ctrl-C leaves the run alive."""
        began, pause = time.monotonic(), LOOKED_EVERY
        while self.state not in ENDED:
            left = None if timeout is None else timeout - (time.monotonic() - began)
            if left is not None and left <= 0:
                return False
            time.sleep(pause if left is None else min(pause, left))
            pause = min(LONGEST_PAUSE, pause * 1.2)
        return True

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the calls gave, in the shape in which they were passed.

        Raises
        ------
        TimeoutError
            It has not ended in time; it goes on.
        RunFailed
            Some calls failed, or the driver; what the others made is in the store.
        Cancelled
            Somebody cancelled it.
        RunLost
            Its driver died; ``stargazer resume`` goes on from there.
        NotFound
            It was no run of its own, whose results only its own process had in this shape.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.id} has not ended within {timeout:g} s; it goes on")
        note = self.note
        self._raise(note, self._state(note))
        data = self.store.backend.read(layout.driver(self.id, "result"))
        if data is None:
            raise NotFound(f"{self.id} was run by a process of its own user, which had the result; see its log()")
        kept = read_object(data)
        records = iter(kept["records"])
        return decode(
            kept["result"], lambda asset: self.store.assets.handle(Asset.from_dict(asset), next(records, None))
        )

    def cancel(self) -> None:
        """Ask its driver, wherever it is, to end what runs and start nothing more; that takes a few seconds."""
        if self.state not in ENDED or self.note.state == "lost":
            self.store.backend.create(layout.driver(self.id, "cancel"), b"{}")

    def _state(self, note: Note) -> str:
        if note.state == "pending" and self._pid and not is_alive(self._pid):
            note = self.note if self.note.state != "pending" else replace(note, state="lost")
        waits = note.state == "lost" or (note.state == "pending" and note.driver.get("job"))
        return "cancelled" if waits and is_cancelled(self.store, note.id) else note.state

    def _raise(self, note: Note, state: str) -> None:
        if state == "cancelled":
            raise Cancelled(f"the run {self.id} was cancelled; stargazer resume {self.id} goes on from there")
        if state == "lost":
            raise RunLost(
                f"the driver of {self.id} ({note.driver_text}) died; stargazer resume {self.id} goes on from there"
            )
        if state == "failed":
            told = "\n".join(f"— {label}: {why}" for label, why in note.failures.items())
            raise RunFailed(f"the run {self.id} failed; what was made is kept\n{told}", {})


def list(store: Store | None = None, limit: int = 20) -> builtins.list[KeptRun]:
    """Return the newest runs of a store, the newest first: those of their own, and those of other processes.

    Parameters
    ----------
    store
        By default the active one.
    limit
        How many.
    """
    store = store or active_store()
    return [KeptRun(store, note) for note in noted_runs(store, limit)]


def get(run: str, store: Store | None = None) -> KeptRun:
    """Return the run with an id, or the one whose id begins like it.

    Parameters
    ----------
    run
        Its id.
    store
        By default the active one.

    Raises
    ------
    NotFound
        There is none, or more than one.
    """
    store = store or active_store()
    return KeptRun(store, find_run(store, run))


def keep_result(store: Store, run: str, result: Any) -> None:
    """Keep what the calls of a run gave, for whoever asks."""
    # Which record an asset came from is no fact of it; `decode` makes them in the order in which they are walked here.
    kept = {
        "result": encode(result),
        "records": [asset.source.record if asset.source else None for asset in walk_assets(result)],
    }
    store.backend.replace(layout.driver(run, "result"), json.dumps(kept).encode())


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds")
