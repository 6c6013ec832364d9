"""At the scheduler: which workers have which files, and which of them a call should therefore run on.

Handles are small, so Dask sees no cost in running a call elsewhere. Here the bytes behind them count. A preference
is put to Dask as a restriction that may be ignored, in the moment in which it chooses a worker, and is taken back when
it has chosen: nothing waits for a worker longer than sending the files would take.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["FILES", "INPUTS", "WORTH", "Places"]

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


class Places(SchedulerPlugin):
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
