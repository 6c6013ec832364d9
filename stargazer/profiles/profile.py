"""What a profile says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "QUEUES",
    "DriverJob",
    "Kind",
    "Offer",
    "Profile",
    "Range",
    "cores",
    "is_queue",
    "offer_of",
    "offers",
    "resources_of",
]

QUEUES = ("htcondor", "lsf", "moab", "oar", "pbs", "sge", "slurm")
"""Batch systems of dask-jobqueue; others by the name of their class."""


class Range(NamedTuple):
    """Number of workers: as many as there is work for, between two limits.

    Parameters
    ----------
    minimum, maximum
        Equal where the number is fixed.
    """

    minimum: int
    maximum: int

    @property
    def is_fixed(self) -> bool:
        """Whether it is one number."""
        return self.minimum == self.maximum

    def __str__(self) -> str:
        return str(self.maximum) if self.is_fixed else f"{self.minimum}-{self.maximum}"


class DriverJob(NamedTuple):
    """The job in which the driver of a run of its own works: what the profile's option ``driver`` says.

    Parameters
    ----------
    cpus, memory
        Processors, and bytes.
    walltime
        Seconds after which the batch system ends it; before, it submits the next, which goes on.
    queue
        Of the batch system; None for that of the workers.
    directives
        Further lines for the head of the script, as those for mail.
    times
        Jobs that one run may take, one after the other.
    """

    cpus: int = 1
    memory: int = 2 << 30
    walltime: float | None = None
    queue: str | None = None
    directives: tuple[str, ...] = ()
    times: int = 20


DRIVER = DriverJob()


@dataclass(frozen=True)
class Profile:
    """Where calls run.

    Parameters
    ----------
    name
        Under which it stands in the settings.
    kind
        ``"threads"``, ``"local"``, ``"address"``, ``"allocation"``, ``"executor"``, or a batch system that
        dask-jobqueue knows: ``"slurm"``, ``"pbs"``, …
    address
        Of a scheduler that runs: ``tcp://…`` or ``tls://…``.
    workers
        How many; None for the kind's own choice.
    cpus
        Threads of each worker.
    memory
        Bytes of each worker.
    gpus
        Of each worker.
    names
        Tasks with ``worker="…"`` run on workers that have that name.
    walltime
        Seconds after which the batch system ends a worker.
    queue, account, interface
        As the batch system and dask-jobqueue take them.
    tls
        Whether connections to the workers of a batch system are encrypted; None for: they are. Those of this machine's
        processes always are.
    env
        Environment variables that tools get on its workers, from where the workers run.
    dashboard
        Where Dask's dashboard listens, as ``":8787"`` (for everybody who reaches this machine); None for: on any port,
        for this machine alone.
    store
        ``"auto"``: the store is served to workers that do not see it; ``"served"``: to all; ``"shared"``: to none.
    shared
        Directory that this machine and the workers see: keys of encryption, logs of workers.
    directives, prologue
        Further lines for the head of the batch script, and shell commands to run before the worker.
    python
        Interpreter of the workers.
    options
        Further arguments of dask-jobqueue's class, as they are.
    patience
        Seconds to wait for the first worker before it is told that none comes.
    idle
        Seconds after which a worker that has nothing to do is given back, where their number may change.
    job_name
        With which the names of jobs, workers and logs begin.
    submit_rate
        Submissions in any minute, at most.
    queue_size
        Jobs at once, those that run and those that wait; None for as many as ``workers`` allows.
    pools
        Profiles whose workers one client has side by side; of such a profile nothing else is read.
    driver
        The job of the driver of a run that is submitted.
    url, token, runtime, trust, largest, pull
        Of an executor, of kind ``"executor"``: where it is asked; the environment variable that holds its token; what
        tells its software from any other; whether pickles go there; bytes that go there or come back at once;
        where it fetches its inputs from this machine, if it does.
    """

    name: str
    kind: str = "local"
    address: str | None = None
    workers: Range | None = None
    cpus: int | None = None
    memory: int | None = None
    gpus: int = 0
    names: tuple[str, ...] = ()
    walltime: float | None = None
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    env: tuple[str, ...] = ()
    tls: bool | None = None
    dashboard: str | None = None
    store: str = "auto"
    shared: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    patience: float = 60.0
    idle: float = 60.0
    job_name: str = "stargazer"
    submit_rate: int = 20
    queue_size: int | None = None
    pools: tuple[str, ...] = ()
    driver: DriverJob = DRIVER
    url: str | None = None
    token: str | None = None
    runtime: str | None = None
    trust: bool = False
    largest: int | None = None
    pull: str | None = None

    @property
    def is_queue(self) -> bool:
        """Whether workers are started by a batch system."""
        return is_queue(self.kind)

    @property
    def resources(self) -> dict[str, float]:
        """What each of its workers has, as Dask counts resources: one processor and no memory where it does not say."""
        return resources_of(self.cpus or 1, self.memory or 0, self.gpus, self.names)


def is_queue(kind: str) -> bool:
    """Whether a kind of profiles is a batch system."""
    return kind.lower() in QUEUES or kind.endswith("Cluster")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# What the workers of a client have, and what its profile may still start.


class Kind(NamedTuple):
    """One kind of workers of a client that has several.

    Parameters
    ----------
    pool
        Name of its profile.
    each
        Resources of each worker.
    walltime
        Seconds after which its workers are ended.
    """

    pool: str
    each: dict[str, float]
    walltime: float | None = None


@dataclass(frozen=True)
class Offer:
    """What one client was connected to.

    Parameters
    ----------
    profile
        Its profile.
    each
        Resources of each worker that the profile starts, as Dask counts them; None where it starts none.
    trouble
        Says why no worker comes, if that is known.
    ended
        Says how workers ended that nobody gave back, in the order in which that was noticed.
    named
        Takes the id of a run and what it makes: workers that are hired from then on are named after it.
    kinds
        The kinds of workers, where there are several.
    """

    profile: Profile
    each: dict[str, float] | None = None
    trouble: Callable[[], str | None] = field(default=lambda: None)
    ended: Callable[[], list[str]] = field(default=list)
    named: Callable[[str, str], None] = field(default=lambda run, what: None)
    kinds: tuple[Kind, ...] = ()

    @property
    def where(self) -> str:
        """The profile, or the profiles, in a word."""
        return ",".join(kind.pool for kind in self.kinds) or self.profile.name


_offers: WeakKeyDictionary[Any, Offer] = WeakKeyDictionary()


def offers(client: Any, offer: Offer) -> None:
    """Remember what a client was connected to."""
    _offers[client] = offer


def offer_of(client: Any) -> Offer | None:
    """What a client was connected to; None of one that was made without a profile."""
    return _offers.get(client)


def resources_of(cpus: int, memory: int, gpus: int, names: tuple[str, ...]) -> dict[str, float]:
    """Return what a worker has, as Dask counts resources.

    Parameters
    ----------
    cpus, gpus
        Numbers of each.
    memory
        Bytes.
    names
        That it answers to; any number of tasks may ask for a name at once.
    """
    named = {f"worker:{name}": float(cpus) for name in names}
    return {"cpus": float(cpus), "memory": float(memory), **({"gpus": float(gpus)} if gpus else {}), **named}
