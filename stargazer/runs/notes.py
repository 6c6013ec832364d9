"""Notes on runs, in the store: which there were, which there are, and how each went."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import os
import platform
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from stargazer.store import layout

if TYPE_CHECKING:
    from stargazer.store import Store

__all__ = ["LOST_AFTER", "Note", "noted_runs"]

LOST_AFTER = 120.0
"""Seconds without a word after which a run is taken for dead."""


@dataclass(frozen=True)
class Note:
    """What is noted of a run.

    Parameters
    ----------
    id
        Of the run; newer ones sort behind older ones.
    started
        When, as ISO 8601 in UTC.
    user, host, pid
        Whose process it is, and where.
    where
        Threads of the process, or what the client was connected to.
    state
        ``"running"``, ``"done"``, ``"failed"``, ``"cancelled"``, or ``"lost"``: its process died.
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
    updated
        Seconds since the epoch, when this was written.
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
    updated: float = 0.0

    @classmethod
    def new(cls, where: str, known: int) -> Note:
        """Begin the note of a run of this process."""
        now = datetime.datetime.now(datetime.UTC)
        name = f"{now:%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}"
        return cls(name, now.isoformat(timespec="seconds"), _user(), platform.node(), os.getpid(), where, known=known)

    def write(self, store: Store) -> None:
        """Put it into the store, over the one before."""
        _ = store.header
        data = json.dumps(asdict(replace(self, updated=time.time())))
        store.backend.replace(layout.run(self.id), data.encode())

    @property
    def calls(self) -> int:
        """Number of calls that had to run."""
        return sum(number for states in self.tasks.values() for number in states.values())

    def count(self, state: str) -> int:
        """Number of calls in a state."""
        return sum(states.get(state, 0) for states in self.tasks.values())


def noted_runs(store: Store, limit: int = 20) -> list[Note]:
    """Return the newest runs, the newest first; those that are silent for long are ``"lost"``.

    Parameters
    ----------
    store
        In which they ran.
    limit
        How many.
    """
    names = sorted(store.backend.names("runs"), reverse=True)[:limit]
    found = store.backend.read_many(map(layout.run, names))
    notes = []
    for name in names:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            notes.append(_judged(Note(**json.loads(found[layout.run(name)]))))
    return notes


def _judged(note: Note) -> Note:
    silent = time.time() - note.updated
    return replace(note, state="lost") if note.state == "running" and silent > LOST_AFTER else note


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
