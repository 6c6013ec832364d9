"""As many workers as there should be, though the batch system takes them away."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from stargazer.profiles.profile import Range

__all__ = ["Staff"]

EVERY = 1.0
"""Seconds between two looks."""

ASKED_EVERY = 5.0
"""Seconds between two questions to the batch system about workers that have not come."""

GONE_AFTER = 3.0
"""Seconds after which a worker that the scheduler lost is replaced."""

IDLE = 60.0


class Staff:
    """Hires workers, replaces those that were lost, gives back those that are idle.

    Parameters
    ----------
    cluster
        Of dask-jobqueue; all happens in its event loop.
    """

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.range = Range(0, 0)
        self.idle = IDLE
        self.trouble: str | None = None
        self._came: set[str] = set()
        self._missed: dict[str, float] = {}
        self._asked = self._busy = time.monotonic()
        self._looking: Any = None

    def hire(self, wanted: Range) -> None:
        """Keep this many workers from now on."""
        from tornado.ioloop import PeriodicCallback

        self.range = wanted
        if self._looking is None:
            self._looking = PeriodicCallback(self._look, EVERY * 1000)
            self.cluster.loop.add_callback(self._looking.start)
        self.cluster.scale_to(max(wanted.minimum, len(self.cluster.worker_spec)))

    def refused(self, error: Exception) -> None:
        """The batch system took a worker not on; those that did not start are forgotten."""
        self.trouble = f"the batch system refuses workers: {error}"
        for name in [name for name, job in self.cluster.workers.items() if job.job_id is None]:
            self._forget(name)

    async def _look(self) -> None:
        from distributed.core import Status

        if self.cluster.status != Status.running:
            self._looking.stop()
            return
        here = {str(state.name) for state in self.cluster.scheduler.workers.values()}
        if here - self._came:
            self._came |= here
            self.trouble = None
        await self._let_go()
        await self._replace(here)
        await self._fit()

    async def _let_go(self) -> None:
        """Give those back that take no more work, and have finished what they had."""
        for state in list(self.cluster.scheduler.workers.values()):
            if state.status.name == "closing_gracefully" and not state.processing:
                await self._dismiss(str(state.name))

    async def _replace(self, here: set[str]) -> None:
        """Forget the workers that are gone, so that others are hired."""
        now = time.monotonic()
        lost = {name for name in self.cluster.workers if name in self._came and name not in here}
        self._missed = {name: self._missed.get(name, now) for name in lost}
        for name in [name for name, since in self._missed.items() if now - since >= GONE_AFTER]:
            await self._dismiss(name)
        waiting = {name: job.job_id for name, job in self.cluster.workers.items() if name not in self._came}
        if waiting and now - self._asked > ASKED_EVERY:
            self._asked = now
            for name in await self._vanished(waiting):
                self.trouble = f"{name} ended before it came; its log may say why"
                await self._dismiss(name)

    async def _vanished(self, jobs: dict[str, str]) -> list[str]:
        """Names of those that SLURM does not have any more; other systems are not asked."""
        if self.cluster.job_cls.config_name != "slurm":
            return []
        known: dict[str, str] = {}
        with contextlib.suppress(RuntimeError, OSError):
            told = await self.cluster.job_cls._call(["squeue", "--noheader", "--me", "--format=%i %T %r"])
            known = {line.split()[0]: line for line in told.splitlines()}
            if any("PartitionTimeLimit" in line for line in known.values()):
                self.trouble = "SLURM will never start them: the walltime is longer than the queue allows"
            return [name for name, job in jobs.items() if job and str(job) not in known]
        return []

    async def _fit(self) -> None:
        """Hire at once; give back after a while."""
        wanted, has = self._wanted(), len(self.cluster.worker_spec)
        if wanted >= has:
            self._busy = time.monotonic()
        if wanted > has:
            self.cluster.scale_to(wanted)
        elif wanted < has and time.monotonic() - self._busy > self.idle:
            scheduler = self.cluster.scheduler
            names = scheduler.workers_to_close(target=wanted, attribute="name")
            if names:
                await scheduler.retire_workers(names=names, close_workers=True, remove=True)
                await self.cluster.scale_down(names)

    def _wanted(self) -> int:
        if self.range.is_fixed:
            return self.range.maximum
        return max(self.range.minimum, min(self.range.maximum, self._work()))

    def _work(self) -> int:
        """Workers that would all have something to do."""
        scheduler = self.cluster.scheduler
        ready = [*scheduler.queued, *scheduler.unrunnable]
        ready += [task for state in scheduler.workers.values() for task in state.processing]
        cpus = sum((task.resource_restrictions or {}).get("cpus", 1) for task in ready)
        each = max(1, self.cluster._dummy_job.worker_cores)
        return int(-(-cpus // each))

    async def _dismiss(self, name: str) -> None:
        job = self._forget(name)
        if job is not None:
            await job.close()

    def _forget(self, name: str) -> Any:
        self._missed.pop(name, None)
        self.cluster.worker_spec.pop(name, None)
        return self.cluster.workers.pop(name, None)
