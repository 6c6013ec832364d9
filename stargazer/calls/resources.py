"""What calls need, beside what there is: told before anything is submitted, where it would wait for ever."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter, deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.calls.options import given_needs
from stargazer.calls.walk import needs, walk
from stargazer.errors import BlobLost, MemoryExceeded, NeedUnmet, ToolFailed, ToolMissing, WorkerLost, WorkerOutOfMemory
from stargazer.execute.spec import most, size
from stargazer.ledger import Ledger
from stargazer.ledger.logs import record_of
from stargazer.profiles.profile import cores, offer_of, resources_of
from stargazer.store.context import mark_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from distributed import Client

    from stargazer.calls.call import Call
    from stargazer.execute import Needs


__all__ = [
    "IN_BODY",
    "Capacity",
    "Retry",
    "Slots",
    "amount_text",
    "capacity_of",
    "check_environments",
    "default_client",
    "give_more",
    "give_more_within",
    "granted_here",
    "granted_on",
    "lacked_memory",
    "machine_memory",
    "of_this_process",
    "shared",
    "until_let_go",
]


class Capacity(NamedTuple):
    """What the largest worker has, or may be started with.

    Parameters
    ----------
    largest
        Amount of each resource.
    where
        What the workers are, for messages.
    clamp
        Whether a call that wants more processors than there are takes all.
    walltime
        Seconds after which workers are ended.
    kinds
        Each kind of workers by itself, where there are several, by pool: a call needs one that has all of it.
    """

    largest: Mapping[str, float]
    where: str
    clamp: bool = False
    walltime: float | None = None
    kinds: Mapping[str, Capacity] = {}

    def lacking(self, name: str, needs: Needs) -> dict[str, str]:
        """Say what no worker could ever give a task, by resource; empty where one could run it."""
        if self.kinds:
            return min((kind.lacking(name, needs) for kind in self.kinds.values()), key=len)
        wanted, largest = needs.fitted(self.largest, clamp=self.clamp), self.largest
        short = {resource: amount for resource, amount in wanted.items() if amount > largest.get(resource, 0.0)}
        found = {
            resource: _unmet(name, resource, amount, largest.get(resource, 0.0), self.where)
            for resource, amount in short.items()
        }
        if self.walltime is not None and (needs.walltime or 0.0) > self.walltime:
            found["walltime"] = (
                f"task {name} takes up to {_clock(needs.walltime or 0.0)}, but {self.where} end after "
                f"{_clock(self.walltime)}: give the profile a longer walltime, or the task a shorter one"
            )
        return found

    def unmet(self, name: str, needs: Needs) -> str | None:
        """Say why no worker could ever run a task; None where one could."""
        return next(iter(self.lacking(name, needs).values()), None)

    def check(self, calls: Iterable[Call]) -> None:
        """Refuse calls that no worker could ever run.

        Raises
        ------
        NeedUnmet
            Names the task, the need, and what there is.
        """
        for name, wanted in {(call.name, call.spec.needs): None for call in calls}:
            if message := self.unmet(name, wanted):
                raise NeedUnmet(message)

    def granted(self, calls: Mapping[str, Call]) -> dict[str, dict[str, float]]:
        """Return the resources that calls take, by key."""
        granted = {key: self._taken(call.name, call.spec.needs) for key, call in calls.items()}
        return {key: resources for key, resources in granted.items() if resources}

    def _taken(self, name: str, needs: Needs) -> dict[str, float]:
        """What a call takes; of several kinds of workers, also a place on the smallest that has all of it."""
        fitting = [pool for pool, kind in self.kinds.items() if not kind.lacking(name, needs)]
        if not fitting:
            return needs.fitted(self.largest, clamp=self.clamp)
        pool = min(fitting, key=lambda pool: size(self.kinds[pool].largest))
        return needs.fitted(self.kinds[pool].largest, clamp=False) | {f"pool:{pool}": 1.0}


def granted_on(client: Client, calls: Mapping[str, Call]) -> dict[str, dict[str, float]]:
    """Return the resources that calls take on the workers of a client, by key.

    Empty where any worker will do, or where the workers count nothing: each of their threads is a place then.

    Raises
    ------
    NeedUnmet
        A call would wait for ever.
    """
    if _are_plain(calls) and not _has_kinds(client):
        return {}
    capacity = capacity_of(client)
    capacity.check(calls.values())
    return capacity.granted(calls)


def capacity_of(client: Client) -> Capacity:
    """Return what the workers of a client have, and what its profile may still start."""
    return _capacity(client, *client.run_on_scheduler(_resources_of_workers))


def granted_here(calls: Mapping[str, Call]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """As `granted_on`, for the client that is active, if it was connected to by a profile.

    Returns
    -------
    tuple
        Resources by key, and why some calls could never run, by key.
    """
    client = _profiled_client()
    if client is None or (_are_plain(calls) and not _has_kinds(client)):
        return {}, {}
    for call in calls.values():
        _give_if_known(call)
    # The client is asked nothing here: Dask may hold its locks while it pickles a graph.
    capacity = _capacity(client)
    why = {key: capacity.unmet(call.name, call.spec.needs) for key, call in calls.items()}
    unmet = {key: message for key, message in why.items() if message}
    return capacity.granted({key: call for key, call in calls.items() if key not in unmet}), unmet


def _are_plain(calls: Mapping[str, Call]) -> bool:
    kinds = {call.spec.needs for call in calls.values()}
    return all(needs.are_plain and not needs.walltime for needs in kinds)


def _give_if_known(call: Call) -> None:
    """Ask the functions of a call's needs, if all of its inputs are there; else the worker asks them."""
    spec = call.spec
    if not spec.needs.are_given and not any(True for _ in needs(call)):
        with contextlib.suppress(Exception):  # raised again where the call runs
            call.set_needs(given_needs(spec.name, spec.needs, {**call.inputs, **call.parameters}))


def _has_kinds(client: Client) -> bool:
    offer = offer_of(client)
    return offer is not None and bool(offer.kinds)


def _profiled_client() -> Client | None:
    client = default_client()
    return client if client is not None and offer_of(client) else None


def _capacity(client: Client, *present: Mapping[str, float]) -> Capacity:
    """What the profile of a client offers, and its present workers."""
    offer = offer_of(client)
    if offer is None:
        return Capacity(most(present), "the workers of this client")
    from stargazer.profiles.kinds import kind_of

    kind = kind_of(offer.profile.kind)
    largest = most([*present, *([offer.each] if offer.each else [])])
    kinds = {kind.pool: Capacity(kind.each, f"workers of {kind.pool}", False, kind.walltime) for kind in offer.kinds}
    walltime = _longest([kind.walltime for kind in offer.kinds] or [offer.profile.walltime])
    return Capacity(largest, f"workers of {offer.where}", kind is not None and kind.is_here, walltime, kinds)


def _longest(walltimes: list[float | None]) -> float | None:
    return None if None in walltimes else max(each for each in walltimes if each is not None)


def _resources_of_workers(dask_scheduler: Any) -> list[dict[str, float]]:
    return [dict(worker.resources) for worker in dask_scheduler.workers.values()]


def _unmet(task: str, resource: str, wanted: float, has: float, where: str) -> str:
    kind, _, name = resource.partition(":")
    if kind == "worker":
        return f"task {task} wants a worker named {name!r}, but {where} have none: write it in `names` of the profile"
    shown = [amount_text(kind, amount) for amount in (wanted, has)]
    return (
        f"task {task} needs {shown[0]}, but {where} have {shown[1]} at most: "
        f"ask for more in the profile, as in sg.connect(…, {kind}={_written(kind, wanted)})"
    )


def amount_text(kind: str, amount: float) -> str:
    """Return an amount of a resource as people write it: ``8 cpus``, ``16.00 GiB of memory``."""
    if kind != "memory":
        return f"{amount:.0f} {kind}"
    from dask.utils import format_bytes

    return f"{format_bytes(int(amount))} of memory"


def _written(kind: str, amount: float) -> str:
    if kind != "memory":
        return f"{amount:.0f}"
    from dask.utils import format_bytes

    return repr(format_bytes(int(amount)))


def _clock(seconds: float) -> str:
    from stargazer.profiles.settings import clock_of

    return clock_of(seconds)


# Keys that a Dask client holds keep their old inputs and failures: they must go before they can run anew.


WITHIN = 2.0
"""Seconds to wait for futures to go; a user's own futures of the same keys do not."""


def until_let_go(client: Client | None, keys: Iterable[str]) -> None:
    """Wait until a client has noticed that its futures were released."""
    held, deadline = set(keys), time.monotonic() + WITHIN
    while client is not None and held & client.futures.keys() and time.monotonic() < deadline:
        time.sleep(0.001)


def default_client() -> Client | None:
    """Return the client that Dask computes with by default, if there is one; never makes one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client as find

    try:
        client: Client = find()
    except ValueError:
        return None
    return client


# More memory for calls that had not enough, where their tasks name more.


def lacked_memory(failure: BaseException | None) -> bool:
    """Whether a call failed for want of memory."""
    if isinstance(failure, WorkerLost):
        return failure.memory
    return isinstance(failure, MemoryExceeded) or (isinstance(failure, ToolFailed) and failure.killed)


def give_more(call: Call) -> bool:
    """Let the next attempt of a call have more memory; False where its task names no more."""
    more = call.spec.needs.after_more_memory()
    if more is not None:
        call.set_needs(more)
    return more is not None


def give_more_within(root: Call, failure: BaseException) -> bool:
    """As `give_more`, for that call among those which `root` needs that failed; False where it lacked no memory."""
    name = record_of(failure) if lacked_memory(failure) else None
    record = Ledger(root.store.records).get(name) if name else None
    starved = [call for call in walk(root) if record is not None and call.plan_key == record.plan_key]
    return any(list(map(give_more, starved)))


# Failures that are worth another try: what was lost is made again, what lacked memory gets more.


MOST_KILLS = 2
"""Jobs that a batch system ends for the memory of one call, which then ends, whatever sizes its task still names."""


class Retry:
    """Remembers what was tried, so that each cause is tried once."""

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self._killed: Counter[str] = Counter()

    def is_worth_it(self, failures: Mapping[str, BaseException], calls: Iterable[Call]) -> bool:
        """Whether some of these failures may end otherwise if the calls are planned again; gives them more memory.

        Parameters
        ----------
        failures
            Errors by plan key.
        calls
            That ran.
        """
        errors = [error for error in failures.values() if isinstance(error, BlobLost)]
        lost = {error.cid for error in errors} - self._lost
        self._lost |= lost
        for error in errors:
            mark_unavailable(error)
        starved = [call for call in calls if self._may_have_more(call, failures.get(call.plan_key))]
        given = list(map(give_more, starved))
        return bool(lost) or any(given)

    def _may_have_more(self, call: Call, failure: BaseException | None) -> bool:
        """Whether more memory is worth a try; a job of a shared queue, with all that ran there, goes twice at most."""
        if isinstance(failure, WorkerOutOfMemory):
            self._killed[call.plan_key] += 1
            if self._killed[call.plan_key] >= MOST_KILLS:
                failure.add_note(f"{MOST_KILLS} jobs were ended for it, so no larger size of memory=[…] is tried")
                return False
        return lacked_memory(failure)


# What this process has, handed out to the calls that it runs itself.


IN_BODY: ContextVar[bool] = ContextVar("in_body", default=False)
"""Whether a body runs, or what it started: it holds slots already, and waiting for more of the same might never end."""

EVERY = 0.5
"""Seconds between two looks at whether a call that waits was given up."""


class Slots:
    """Processor cores, memory and the like: a call of four cores takes four; who came first is served first.

    Parameters
    ----------
    has
        Amount of each resource.
    """

    def __init__(self, has: Mapping[str, float]) -> None:
        self.has = dict(has)
        self._free = dict(has)
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, wanted: Mapping[str, float], given_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for so much of everything, and hold it; go on with nothing where it was given up meanwhile."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            while not (given_up() or (self._queue[0] is turn and self._fits(wanted))):
                self._changed.wait(EVERY)
            self._queue.remove(turn)
            taken = {} if given_up() else wanted
            self._add(taken, -1)
        try:
            yield
        finally:
            with self._changed:
                self._add(taken, 1)

    def look_again(self) -> None:
        """Something was given up."""
        with self._changed:
            self._changed.notify_all()

    def _fits(self, wanted: Mapping[str, float]) -> bool:
        return all(self._free.get(name, 0.0) >= amount for name, amount in wanted.items())

    def _add(self, wanted: Mapping[str, float], sign: int) -> None:
        for name, amount in wanted.items():
            self._free[name] += sign * amount
        self._changed.notify_all()


_shared: dict[tuple[object, ...], Slots] = {}


def shared() -> Slots:
    """What this process may use, handed out to all its runs together."""
    has = of_this_process()
    # A forked child has runs of its own; what its parent's hold is given back there.
    place = os.getpid(), *sorted(has.items())
    return _shared.get(place) or _shared.setdefault(place, Slots(has))


def of_this_process() -> dict[str, float]:
    """What this process may use: the machine, unless the profile ``threads`` says otherwise."""
    if (config.setting("profiles", dict) or {}).get("threads") in (None, {"kind": "threads"}):
        return resources_of(cores(), machine_memory(), 0, ())
    from stargazer.profiles.settings import find_profile

    profile = find_profile("threads")
    return resources_of(profile.cpus or cores(), profile.memory or machine_memory(), profile.gpus, profile.names)


def machine_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# Environments of tools, which calls need as well.


def check_environments(calls: Iterable[Call], client: Client | None = None) -> None:
    """Refuse calls whose tools run in an environment that nothing here runs, or that was not built.

    Parameters
    ----------
    calls
        Those that would run.
    client
        Whose workers would run them, those that are there now; threads of this process by default.

    Raises
    ------
    ToolMissing
        Names all such environments, and what to do.
    """
    specs = {id(call.spec): call.spec for call in calls}.values()
    names = sorted({tool.name for spec in specs for tool in spec.tools if tool.is_environment})
    if not names:
        return
    from stargazer.tools.enclosure import unready

    told = [unready(names)] if client is None else client.run(unready, names).values()
    if why := dict.fromkeys(message for found in told for message in found.values()):
        raise ToolMissing("; ".join(why))
