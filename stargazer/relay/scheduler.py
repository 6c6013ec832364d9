"""At the scheduler: where workers that do not see the store ask for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from stargazer.relay.protocol import HOME
from stargazer.relay.server import RelayServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stargazer.relay.protocol import Comm

__all__ = ["FILES", "INPUTS", "OFFER", "WORTH", "Placement", "RelayScheduler"]

OFFER = "stargazer-offer"
"""Name of the handler by which clients offer to answer, where the scheduler sees no store."""

PATIENCE = 10.0
"""Seconds in which a client answers, or has another connection to wait here."""


class RelayScheduler(SchedulerPlugin):
    """Answers workers where the scheduler's process sees their store, and passes the others on to clients that do.

    Clients dial in, since a cluster cannot call a laptop: each leaves some connections here to wait.
    """

    name = "stargazer-desk"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Take calls."""
        self.home = RelayServer()
        self._waiting: dict[str, list[Comm]] = {}
        scheduler.handlers[HOME] = self._called
        scheduler.handlers[OFFER] = self._offered

    async def close(self) -> None:
        """The scheduler ends."""
        self.home.close()
        for comm in [comm for comms in self._waiting.values() for comm in comms]:
            comm.abort()

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Hang up on a client that is gone."""
        for comm in self._waiting.pop(client, ()):
            comm.abort()

    async def _called(self, comm: Comm, url: str, identifier: str) -> Any:
        """Serve a worker, or pass it on."""
        from distributed.core import Status

        with contextlib.suppress(OSError):
            if await self.home.sees(url, identifier):
                await self.home.serve(comm, url)
            elif (other := await self._passed_on(url, identifier)) is not None:
                await comm.write({"home": True})
                await _join(comm, other)
            else:
                await comm.write({"home": False})
        comm.abort()
        return Status.dont_reply

    async def _offered(self, comm: Comm, client: str) -> Any:
        """Let a client's connection wait for a worker."""
        from distributed.core import Status

        await comm.write({"noted": True})
        self._waiting.setdefault(client, []).append(comm)
        while not comm.closed():
            await asyncio.sleep(_LOOKS)
        return Status.dont_reply

    async def _passed_on(self, url: str, identifier: str) -> Comm | None:
        """A connection to a client that sees the store; one whose connections are all taken soon has others."""
        refused: set[str] = set()
        for _ in range(int(PATIENCE / _PAUSE)):
            for client in self._waiting.keys() - refused:
                while self._waiting.get(client):
                    comm = self._waiting[client].pop()
                    with contextlib.suppress(OSError):
                        if await _agrees(comm, url, identifier):
                            return comm
                        refused.add(client)
                        break
            if self._waiting.keys() <= refused:
                break
            await asyncio.sleep(_PAUSE)
        return None


_LOOKS = 1.0
_PAUSE = 0.05


async def _agrees(comm: Comm, url: str, identifier: str) -> bool:
    """Whether the client at the other end sees a store; hangs up if it does not, or does not answer."""
    agrees = False
    try:
        await comm.write({"url": url, "identifier": identifier})
        agrees = bool((await asyncio.wait_for(comm.read(), PATIENCE)).get("home"))
    finally:
        if not agrees:
            comm.abort()
    return agrees


async def _join(one: Comm, other: Comm) -> None:
    """Pass messages on both ways, one at a time each, until an end hangs up."""
    ways = [asyncio.create_task(_pump(one, other)), asyncio.create_task(_pump(other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        one.abort()
        other.abort()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: Comm, target: Comm) -> None:
    while True:
        await target.write(await source.read())


# At the scheduler: which workers have which files, and which of them a call should therefore run on.
#
# Handles are small, so Dask sees no cost in running a call elsewhere. Here the bytes behind them count. A preference
# is put to Dask as a restriction that may be ignored, in the moment in which it chooses a worker, and is taken back
# when it has chosen: nothing waits for a worker longer than sending the files would take.


FILES = "stargazer-files"
"""Key of a task's metadata: sizes of the files that its worker has now, by CID."""

INPUTS = "stargazer_inputs"
"""Name of the annotation with the CIDs of stored inputs."""

WORTH = 1 << 20
"""Bytes from which on files matter."""

BANDWIDTH = 100e6
"""Bytes a second that are assumed of the network."""

DURATION = 0.5
"""Seconds that are assumed of a task that never ran."""

MOST = 100_000
"""Files that are remembered."""


class Placement(SchedulerPlugin):
    """Remembers where files lie, and lets calls run there."""

    name = "stargazer-places"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Nothing is known yet."""
        self.scheduler = scheduler
        self.lie: dict[str, dict[str, int]] = {}
        self._made: dict[Any, tuple[str, ...]] = {}
        self._preferred: dict[Any, str] = {}
        self._expected: Counter[str] = Counter()

    def transition(self, key: Any, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        """Look at a task that changes its state."""
        if finish == "memory" and start == "processing":
            self._finished(key, kwargs.get("worker"), (kwargs.get("metadata") or {}).get(FILES) or {})
        elif finish == "waiting":
            task = self.scheduler.tasks[key]
            if not task.waiting_on and (task.annotations or {}).get(INPUTS):
                self._prefer(task)
        elif finish == "forgotten":
            self._made.pop(key, None)
        if key in self._preferred and finish != "waiting":
            self._let_go(key)

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        """Forget what a worker had."""
        for cid in [cid for cid, places in self.lie.items() if places.pop(worker, None) is not None and not places]:
            del self.lie[cid]

    def _finished(self, key: Any, worker: str | None, files: Mapping[str, int]) -> None:
        if files and worker:
            self._made[key] = tuple(files)
            for cid, size in files.items():
                self.lie.setdefault(cid, {})[worker] = size
            while len(self.lie) > MOST:
                del self.lie[next(iter(self.lie))]
        if self.lie:
            for task in self.scheduler.tasks[key].dependents:
                if task.state == "waiting" and all(each.who_has for each in task.dependencies):
                    self._prefer(task)

    def _prefer(self, task: Any) -> None:
        """Let Dask choose the worker with most of a task's files, unless it would wait there for too long."""
        if task.worker_restrictions or task.host_restrictions or task.key in self._preferred:
            return
        has = self._has(self._wanted(task))
        for address, size in sorted(has.items(), key=lambda item: -item[1]):
            worker = self.scheduler.workers.get(address)
            if size < WORTH or worker is None or worker not in self.scheduler.running or not _suffices(worker, task):
                continue
            if self._wait(worker, task) <= size / BANDWIDTH:
                task.worker_restrictions, task.loose_restrictions = {address}, True
                self._preferred[task.key] = address
                self._expected[address] += 1
            return

    def _let_go(self, key: Any) -> None:
        """Take a preference back, now that a worker was chosen."""
        self._expected[self._preferred.pop(key)] -= 1
        if (task := self.scheduler.tasks.get(key)) is not None:
            task.worker_restrictions, task.loose_restrictions = set(), False

    def _wanted(self, task: Any) -> set[str]:
        """Files that a task needs, as far as they are known: stored inputs, and what the calls before it made."""
        return {*((task.annotations or {}).get(INPUTS) or ()), *self._of(task.dependencies)}

    def _of(self, tasks: Iterable[Any]) -> Iterator[str]:
        for each in tasks:
            if each.key in self._made:
                yield from self._made[each.key]
            else:  # an element of what a call made
                yield from (cid for whole in each.dependencies for cid in self._made.get(whole.key, ()))

    def _has(self, cids: Iterable[str]) -> dict[str, int]:
        """Bytes of these files by worker, without those that are everywhere."""
        has: dict[str, int] = defaultdict(int)
        for cid in cids:
            places = self.lie.get(cid, {})
            if len(places) < len(self.scheduler.workers):
                for address, size in places.items():
                    has[address] += size
        return has

    def _wait(self, worker: Any, task: Any) -> float:
        """Seconds until a task would begin on a worker."""
        ahead = len(worker.processing) + self._expected[worker.address] + 1 - worker.nthreads
        each = task.prefix.duration_average if task.prefix.duration_average > 0 else DURATION
        return float(max(0, ahead) * each / worker.nthreads)


def _suffices(worker: Any, task: Any) -> bool:
    """Whether a worker has what a task must have."""
    wanted = task.resource_restrictions or {}
    return all(worker.resources.get(name, 0.0) >= amount for name, amount in wanted.items())
