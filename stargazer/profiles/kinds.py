"""Kinds of profiles: what the settings may say of one of each, and how it becomes a client; ours, and others'.

All that is particular to a kind stands in one entry of `OWN`, or of an installed package. What an entry names as
``"module:function"`` is imported when it is used: settings are read without Dask.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import plugins
from stargazer.errors import PluginError
from stargazer.profiles.profile import QUEUES, cores, is_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.profiles.profile import Profile

__all__ = ["OWN", "ProfileKind", "Size", "batch_system", "kind_names", "kind_of"]

EVERYWHERE = ("kind", "patience", "store")
OF_WORKERS = ("workers", "cpus", "memory", "gpus", "names", "dashboard", "env")
OF_QUEUES = (
    "walltime", "queue", "account", "interface", "tls", "shared", "directives", "prologue", "python", "options", "idle",
    "job-name", "submit-rate", "queue-size", "driver",
)  # fmt: skip
OF_ALLOCATIONS = (
    "queue", "account", "interface", "tls", "shared", "prologue", "python", "job-name", "driver",
)  # fmt: skip
"""An allocation is the job of the driver itself: ``driver`` says how large it is."""

OF_EXECUTORS = ("url", "token", "runtime", "trust", "walltime", "largest", "pull")
SOME = 10
"""Workers that are reckoned with where nothing tells how many come."""


class Size(NamedTuple):
    """How many workers a profile starts, and how many cores each has.

    Parameters
    ----------
    workers, cpus
        Numbers; at most, where that changes.
    """

    workers: float
    cpus: float


def _some_workers(profile: Profile) -> Size:
    return Size(profile.workers.maximum if profile.workers else SOME, profile.cpus or 1)


def _one_worker(profile: Profile) -> Size:
    return Size(1, profile.cpus or cores())


def _workers_of_this_machine(profile: Profile) -> Size:
    cpus = profile.cpus or 1
    return Size(profile.workers.maximum if profile.workers else max(1, cores() // cpus), cpus)


@dataclass(frozen=True)
class ProfileKind:
    """How profiles of one kind are written, and how they become a client.

    Parameters
    ----------
    connect
        Makes a `distributed.Client` of a profile, or of several of a batch system. Workers should have the resources
        that `Profile.resources` tells.
    options
        Options of its own beside those of all workers (``workers``, ``cpus``, ``memory``, …), each with what makes a
        value of what stands in the settings: it raises `ValueError`, in words that say what must stand there, of what
        is none. They arrive in `Profile.options`.
    takes
        Options that all kinds share and this one has.
    needs
        One of these without which there is nothing to connect to.
    batch_system
        Which takes the job of a driver, by dask-jobqueue's word; none where jobs cannot be submitted.
    is_here
        Whether workers are on this machine: calls that ask for more than it has get all that it has.
    size
        Tells how many workers there are before any is started.
    capacity
        Takes the profiles of one client, and tells what their largest worker has before any is started.
    check
        Takes a profile and tasks, and gives results of checks; in place of connecting to workers.
    """

    connect: Callable[..., Any] | str
    options: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    takes: tuple[str, ...] = EVERYWHERE + OF_WORKERS
    needs: str = ""
    batch_system: str = ""
    is_here: bool = False
    size: Callable[[Profile], Size] = _some_workers
    capacity: Callable[..., Any] | str = ""
    check: Callable[..., Any] | str = ""

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one of the kind's functions, imported now if it is named as a text."""
        function = getattr(self, name)
        return (plugins.imported(function) if isinstance(function, str) else function)(*arguments)


OWN = {
    "threads": ProfileKind(
        "stargazer.client.connect:in_this_process",
        is_here=True,
        size=_one_worker,
        capacity="stargazer.client.capacity:here",
    ),
    "local": ProfileKind(
        "stargazer.client.connect:on_this_machine",
        is_here=True,
        size=_workers_of_this_machine,
        capacity="stargazer.client.capacity:here",
    ),
    "address": ProfileKind("stargazer.client.connect:at_address", takes=(*EVERYWHERE, "address"), needs="address"),
    "allocation": ProfileKind(
        "stargazer.client.allocation:allocation_client",
        takes=EVERYWHERE + OF_WORKERS + OF_ALLOCATIONS,
        batch_system="slurm",
        capacity="stargazer.client.capacity:of_allocation",
    ),
    "executor": ProfileKind(
        "stargazer.client.connect:no_client_of_executor",
        takes=("kind", "patience", *OF_EXECUTORS),
        needs="url",
        check="stargazer.client.checks:check_executor",
    ),
    "pools": ProfileKind("stargazer.client.jobqueue:queue_client", takes=(*EVERYWHERE, "pools"), needs="pools"),
}
"""Our own kinds, but for batch systems."""

QUEUE = ProfileKind(
    "stargazer.client.jobqueue:queue_client",
    takes=EVERYWHERE + OF_WORKERS + OF_QUEUES,
    capacity="stargazer.client.capacity:of_jobs",
)
"""The kind of every batch system."""


def kind_of(name: str) -> ProfileKind | None:
    """Return the kind of a name: ours, a batch system, or what an installed package offers; None where there is none.

    Raises
    ------
    PluginError
        What is offered is no kind of profile, or cannot be imported.
    """
    if name in OWN:
        return OWN[name]
    if is_queue(name):
        return replace(QUEUE, batch_system=name)
    found = plugins.find(plugins.PROFILES, name)
    if found is not None and not isinstance(found, ProfileKind):
        raise PluginError(f"what is offered as the profile kind {name!r} is {found!r}, and no ProfileKind")
    return found


def batch_system(profile: Profile) -> str:
    """Return the batch system to which the job of a driver is submitted; empty where a profile has none."""
    kind = kind_of(profile.kind)
    return kind.batch_system if kind is not None else ""


def kind_names() -> list[str]:
    """Return the names of all kinds; no other package is imported."""
    return [*OWN, *QUEUES, *(each.name for each in plugins.plugins(plugins.PROFILES))]
