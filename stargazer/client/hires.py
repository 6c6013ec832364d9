"""What is said of workers and their jobs: where each stands, what scheduler and batch system tell, what may be asked.

Facts and words alone; what follows from them is decided in `stargazer.client.staffing`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "ACTIVE", "ARRAY", "COUNTED", "ENDING", "UNKNOWN", "WAITING", "Action", "Ask", "Cancel", "End", "Hire", "Limits",
    "Pool", "Present", "Retire", "State", "Submit", "Told",
]  # fmt: skip

ARRAY = 100
"""Workers that are asked for with one command at most."""

ACTIVE = frozenset(
    "CONFIGURING PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING RUNNING SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED".split()  # noqa: E501, SIM905
)
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
UNKNOWN, ENDING = "UNKNOWN", "COMPLETING"
"""What is told of a job that the batch system says it does not have, and of one that is ending."""


class State(enum.Enum):
    """Where a worker stands."""

    ASKED = "asked for"
    UNSURE = "asked for, without an answer"
    PENDING = "has a job, has not come"
    HERE = "here"
    RETIRING = "moves what it holds to others"
    MISSING = "came, and is gone"
    LEAVING = "given up; the batch system has not confirmed it"


COUNTED = (State.ASKED, State.UNSURE, State.PENDING, State.HERE, State.MISSING)


@dataclass(frozen=True)
class Pool:
    """One kind of workers.

    Parameters
    ----------
    name
        Of its profile.
    idle
        Seconds without anything to do after which a worker is given back.
    is_fixed
        Whether their number is one that somebody set; more are given back as soon as they have nothing to do.
    """

    name: str
    idle: float = 60.0
    is_fixed: bool = False


class Limits(NamedTuple):
    """What is asked of the batch system at most.

    Parameters
    ----------
    rate
        Submissions in any 60 s.
    queue_size
        Jobs at once, those that run and those that wait; None for as many as the pools allow.
    array
        Workers in one submission.
    can_tell
        Whether the batch system can be asked after jobs.
    """

    rate: int = 20
    queue_size: int | None = None
    array: int = ARRAY
    can_tell: bool = True


class Present(NamedTuple):
    """What the scheduler says of a worker.

    Parameters
    ----------
    rests
        Seconds since it did something last; None while it does.
    takes
        Whether it takes calls; one that will be ended soon takes none.
    job
        Number of its job, as it says itself.
    """

    rests: float | None = None
    takes: bool = True
    job: str | None = None


class Told(NamedTuple):
    """What the batch system says of a job.

    Parameters
    ----------
    state
        In SLURM's words; `UNKNOWN` if it says that it has no such job.
    reason, exit, log
        Why it waits or ended, its exit code, and where its log is; empty where nobody said.
    job
        Its number, where it was asked after by name.
    """

    state: str
    reason: str = ""
    exit: str = ""
    log: str = ""
    job: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the batch system says that the job has ended."""
        return self.state not in ACTIVE and self.state not in (UNKNOWN, ENDING)


class End(NamedTuple):
    """How a worker ended that was not given back."""

    name: str
    pool: str
    job: str
    told: Told
    came: bool

    def __str__(self) -> str:
        known = [self.told.state, self.told.reason, f"exit code {self.told.exit}", f"its log: {self.told.log}"]
        said = [self.told.state != UNKNOWN, self.told.reason not in ("", "None"), bool(self.told.exit), self.told.log]
        words = [word for word, is_said in zip(known, said, strict=True) if is_said]
        return f"{self.name} (job {self.job}) ended: {', '.join(words) or 'the batch system does not know why'}"


@dataclass
class Hire:
    """One worker, from the moment in which it is asked for until the batch system has confirmed that it is gone."""

    name: str
    pool: str
    since: float
    state: State = State.ASKED
    job: str | None = None
    doubts: int = 0
    accepted: int = 0
    tries: int = 0
    after: float = 0.0
    log: str = ""
    takes: bool = True

    def turn(self, state: State, now: float) -> None:
        """Enter another state."""
        self.state, self.since, self.doubts, self.after = state, now, 0, now


class Submit(NamedTuple):
    """Ask for workers of one pool, with one command."""

    pool: str
    names: tuple[str, ...]


class Ask(NamedTuple):
    """Ask after workers, with one command."""

    names: tuple[str, ...]


class Cancel(NamedTuple):
    """Give jobs up, with one command."""

    names: tuple[str, ...]


class Retire(NamedTuple):
    """Move what workers hold to others, and let them take nothing more."""

    names: tuple[str, ...]


Action = Submit | Ask | Cancel | Retire
