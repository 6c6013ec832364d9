"""The loop that carries out what `stargazer.client.staffing` decides, and what the scheduler tells it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from stargazer.client.demand import Busy, Load, PoolKind, Work, demand, moves
from stargazer.client.hires import Ask, Cancel, End, Limits, Pool, Present, Retire, State, Submit, Told
from stargazer.client.plugins import JOB
from stargazer.client.staffing import Staffing
from stargazer.client.systems import NoAnswer, Refused
from stargazer.errors import WorkerLost, WorkerOutOfMemory
from stargazer.profiles.profile import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stargazer.client.hires import Action
    from stargazer.client.jobqueue import Asked
    from stargazer.client.systems import System


__all__ = ["COUNTED", "Sight", "WorkerPool", "fail"]

EVERY = 1.0
"""Seconds between two looks."""

CLOSED_WITHIN, CLOSED_EVERY = 60.0, 0.2
"""Seconds in which the batch system may confirm, at the end, that all jobs are gone."""

COUNTED = 5000
"""Calls in Dask's queue that are looked at one by one; more are taken to be like them."""

MOVED = 200
"""Calls that are moved to other workers in one look."""

LONGEST_START = 600.0
"""Seconds that a worker is assumed to take to come at most, however long the last one waited."""

KILLED = 2
"""Times that a worker is ended for memory while it runs a call beside others, until that is taken for the cause."""

WHOLE_LIFE = 0.9
"""Part of a worker's life that a call has run when it counts as all of it."""

log = logging.getLogger("stargazer")


class WorkerPool:
    """Keeps as many workers of each pool as there is work for.

    Parameters
    ----------
    cluster
        Of dask-jobqueue; all happens in its event loop.
    system
        Its batch system.
    asked
        What is asked for each pool.
    title
        With which names of jobs and workers begin.
    """

    def __init__(self, cluster: Any, system: System, asked: list[Asked], title: str) -> None:
        self.cluster, self.system, self.asked, self.title = cluster, system, {each.pool: each for each in asked}, title
        self.comment, self._prefixes = "", {title}
        self.history: list[End] = []
        self.ranges = {each.pool: each.resolved.workers or Range(0, 10) for each in asked}
        first = asked[0].resolved
        limits = Limits(first.submit_rate, first.queue_size, system.array, system.can_tell)
        pools = {each.pool: Pool(each.pool, each.resolved.idle) for each in asked}
        self.staffing = Staffing(pools, limits, title, first.job_name)
        self._starts: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Future[None] | None = None
        self._looking: Any = None
        self.sight = Sight(lambda name: self.staffing.arrived(name, time.monotonic()))

    @property
    def trouble(self) -> str | None:
        """Why no worker comes, if that is known."""
        return self.staffing.trouble

    @property
    def jobs(self) -> dict[str, str | None]:
        """Numbers of the jobs, by worker."""
        return {name: hire.job for name, hire in self.staffing.hires.items() if hire.state is not State.LEAVING}

    def start(self) -> None:
        """Look from now on."""
        from tornado.ioloop import PeriodicCallback

        self._looking = PeriodicCallback(self._look, EVERY * 1000)
        self.cluster.loop.add_callback(self._start)

    async def _start(self) -> None:
        scheduler = self.cluster.scheduler
        scheduler.add_plugin(self.sight)
        self.sight.scheduler = scheduler
        self._looking.start()
        await self._look()

    def keep(self, wanted: Range, pool: str | None = None) -> None:
        """Keep this many workers of a pool, the first by default, from now on."""
        pool = pool or next(iter(self.ranges))
        self.ranges[pool] = wanted
        self.staffing.pools[pool] = Pool(pool, self.asked[pool].resolved.idle, wanted.is_fixed)

    def for_run(self, run: str, what: str) -> None:
        """Name the workers that are hired from now on after a run."""
        self.staffing.prefix = f"{self.title.rpartition('-')[0]}-{run.rpartition('-')[2]}"
        self.comment = f"stargazer run {run}: {what}"
        self._prefixes.add(self.staffing.prefix)

    def ended(self) -> list[str]:
        """How workers ended that nobody gave back."""
        return [str(end) for end in self.history]

    async def _look(self) -> None:
        if self.staffing.closing or self.cluster.status.name != "running":
            self._looking.stop()
            return
        now = time.monotonic()
        self._carry_out(self.staffing.look(now, self._here(now), self._wanted()))
        self._spread()
        self._tell()

    def _spread(self) -> None:
        """Let calls that wait for memory or cards on one worker run on another that has some."""
        scheduler = self.cluster.scheduler
        stealing = scheduler.extensions.get("stealing")
        loads = [load for ws in scheduler.running if (load := _load(ws)).calls or not ws.processing]
        if stealing is None or all(len(load.calls) <= load.running for load in loads):
            return
        for move in moves(loads)[:MOVED]:
            source, target = (scheduler.workers.get(address) for address in (move.source, move.target))
            task = scheduler.tasks.get(move.call)
            if task is not None and task.processing_on is source and target is not None:
                stealing.move_task_request(task, source, target)

    # What is seen.

    def _here(self, now: float) -> dict[str, Present]:
        return {str(ws.name): self._present(ws, now) for ws in self.cluster.scheduler.workers.values()}

    def _present(self, ws: Any, now: float) -> Present:
        self._note_start(str(ws.name), now)
        takes = ws.status.name not in ("closing_gracefully", "closing")
        job = ws.metrics.get(JOB) if ws.metrics else None
        if ws.processing or ws.executing or ws.actors or ws.long_running:
            return Present(None, takes, job)
        return Present(now - self.sight.worked.get(ws.address, now), takes, job)

    def _note_start(self, name: str, now: float) -> None:
        """How long the last worker of a pool took to come."""
        began = self._asked_at.pop(name, None)
        if began is not None and (hire := self.staffing.hires.get(name)):
            self._starts[hire.pool] = min(LONGEST_START, now - began)

    def _wanted(self) -> dict[str, int]:
        kinds = [
            PoolKind(name, each.each, *self.ranges[name], self._starts.get(name, 0.0))
            for name, each in self.asked.items()
        ]
        return demand(kinds, *self._work())

    def _work(self) -> tuple[list[Busy], list[Work]]:
        """The workers with what they execute, and what waits."""
        scheduler = self.cluster.scheduler
        busy, waiting = [], Counter(map(_needs, scheduler.unrunnable))
        for ws in scheduler.workers.values():
            running = [task for task in ws.processing if task in ws.executing]
            waiting.update(_needs(task) for task in ws.processing if task not in ws.executing)
            if ws.status.name not in ("closing_gracefully", "closing"):
                pool = self._pool_of(ws)
                busy.append(
                    Busy(pool, ws.resources or {"cpus": float(ws.nthreads)}, [dict(_needs(t)[0]) for t in running])
                )
        looked = Counter(map(_needs, itertools.islice(iter(scheduler.queued), COUNTED)))
        more = len(scheduler.queued) / max(1, sum(looked.values()))
        for needs, number in looked.items():
            waiting[needs] += int(number * more + 0.5)
        return busy, [Work(dict(needs), number, _seconds(prefix)) for (needs, prefix), number in waiting.items()]

    def _pool_of(self, ws: Any) -> str:
        marked = next((pool for pool in self.asked if f"pool:{pool}" in ws.resources), None)
        hire = self.staffing.hires.get(str(ws.name))
        return marked or (hire.pool if hire else next(iter(self.asked)))

    # What is done.

    def _carry_out(self, actions: Iterable[Action]) -> None:
        do: dict[type, Any] = {Submit: self._submit, Ask: self._ask, Cancel: self._cancel, Retire: self._retire}
        for action in actions:
            task = asyncio.ensure_future(do[type(action)](action))
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)

    async def _submit(self, action: Submit) -> None:
        now = time.monotonic()
        self._asked_at |= dict.fromkeys(action.names, now)
        try:
            job = self.cluster.job_of(self.asked[action.pool], action.names, self.comment)
            jobs = await self.system.submit(job, len(action.names))
        except Refused as error:
            self.staffing.refused(action.names, str(error), time.monotonic())
        except (NoAnswer, OSError) as error:
            self.staffing.unanswered(action.names, str(error), time.monotonic())
        else:
            self.staffing.taken(action.names, jobs, time.monotonic())
            self.cluster.loop.add_callback(self._look)

    async def _ask(self, action: Ask) -> None:
        jobs = {name: hire.job for name in action.names if (hire := self.staffing.hires.get(name))}
        try:
            found = await self.system.tell(jobs)
            found |= {name: await self._explained(name, jobs[name], told) for name, told in found.items()}
        except (Refused, NoAnswer) as error:
            self.staffing.not_told(str(error), time.monotonic())
        else:
            self.staffing.told(action.names, found, time.monotonic())
            self._draw_conclusions()

    async def _explained(self, name: str, job: str | None, told: Told) -> Told:
        """What a listing says of a job that ended by itself, with its exit code and its log."""
        hire = self.staffing.hires.get(name)
        if not job or told.exit or not told.has_ended or hire is None or hire.state is State.LEAVING:
            return told
        return await self.system.explain(job) or told

    async def _cancel(self, action: Cancel) -> None:
        jobs = [hire.job for name in action.names if (hire := self.staffing.hires.get(name)) and hire.job]
        try:
            await self.system.cancel(jobs)
        except (Refused, NoAnswer) as error:
            self.staffing.not_cancelled(action.names, str(error), time.monotonic())
        else:
            self.staffing.cancelled(action.names, time.monotonic())

    async def _retire(self, action: Retire) -> None:
        """Let workers move what they hold; one that was given something in the same moment finishes it."""
        scheduler = self.cluster.scheduler
        try:
            went = await scheduler.retire_workers(names=list(action.names), close_workers=False, remove=False)
        except (OSError, KeyError, RuntimeError):
            went = {}
        names = {str(info["name"]) for address, info in went.items() if not _is_busy(scheduler.workers.get(address))}
        for name in action.names:
            self.staffing.retired(name, time.monotonic(), went=name in names)

    def _tell(self) -> None:
        while self.staffing.news:
            log.warning("%s", self.staffing.news.pop(0))

    def _draw_conclusions(self) -> None:
        """Remember how workers ended, and let calls fail that their workers were ended for."""
        while self.staffing.ends:
            end = self.staffing.ends.pop(0)
            self.history.append(end)
            if end.came:
                log.warning("%s", end)
            self.cluster.mark_log(end)
            self.sight.ended(end)

    # The end.

    async def close(self) -> None:
        """Give everybody up, until the batch system has confirmed it or has said nothing for long.

        A signal and the end of the program may both ask for it: they wait for the same closing.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._give_up())
        await asyncio.shield(self._closing)

    async def _give_up(self) -> None:
        if self._looking is not None:
            self._looking.stop()
        self.staffing.leave_all(time.monotonic())
        deadline = time.monotonic() + CLOSED_WITHIN
        while self.staffing.hires and time.monotonic() < deadline:
            self._carry_out(self.staffing.look(time.monotonic(), {}, {}))
            if self._doing:
                await asyncio.wait(self._doing, timeout=deadline - time.monotonic())
            if self.staffing.hires:
                await asyncio.sleep(CLOSED_EVERY)
        await self._sweep(deadline)
        self._tell()
        if left := [hire.job or hire.name for hire in self.staffing.hires.values()]:
            log.warning("the batch system has not confirmed that these jobs are gone; cancel them: %s", " ".join(left))
        for task in list(self._doing):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._doing, return_exceptions=True)

    async def _sweep(self, deadline: float) -> None:
        """Cancel what is there by name: a number that the batch system gave may have been wrong, or none."""
        pause = CLOSED_EVERY
        while time.monotonic() < deadline:
            try:
                if not (jobs := await self.system.left(self._prefixes)):
                    return
                await self.system.cancel(jobs)
            except (Refused, NoAnswer) as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    return  # there is no such command here, by which something could have been submitted
            await asyncio.sleep(pause)
            pause = min(10.0, 2 * pause)


class Sight(SchedulerPlugin):
    """Sees when each worker did something last, and what it ran when it was lost."""

    name = "stargazer-sight"
    idempotent = True

    def __init__(self, came: Callable[[str], None]) -> None:
        self.came = came
        self.scheduler: Any = None
        self.worked: dict[str, float] = {}
        self.timed_out: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self.killed: Counter[str] = Counter()
        self._here: dict[str, Any] = {}
        self._lost: dict[str, dict[str, float]] = {}
        self._lived: dict[str, float] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """A worker has come; it rests."""
        self.worked[worker] = self._since[worker] = time.monotonic()
        self._here[worker] = ws = scheduler.workers[worker]
        self.came(str(ws.name))

    def transition(self, key: Any, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        """A worker has finished something."""
        if start == "processing" and (worker := kwargs.get("worker")) in self.worked:
            self.worked[str(worker)] = time.monotonic()

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        """A worker is gone: what it ran is known no longer than now."""
        self.worked.pop(worker, None)
        ws = self._here.pop(worker, None)
        if ws is None:
            return
        events = [event for _, event in scheduler.get_events(worker) if isinstance(event, dict)]
        had = next((e["processing-tasks"] for e in reversed(events) if e.get("action") == "remove-worker"), ())
        ran = {task.key: seconds for task, seconds in ws.executing.items() if task.key in had}
        self._lost[str(ws.name)] = ran or dict.fromkeys(had, 0.0)
        self._lived[str(ws.name)] = time.monotonic() - self._since.pop(worker, math.inf)

    def ended(self, end: End) -> None:
        """It is known why a worker ended: calls that were killed for memory do not start again as they are."""
        ran, lived = self._lost.pop(end.name, {}), self._lived.pop(end.name, math.inf)
        if end.told.state == "OUT_OF_MEMORY":
            for key in ran:
                self._took_too_much(key, end, is_alone=len(ran) == 1)
        elif end.told.state == "TIMEOUT":
            for key in [key for key, seconds in ran.items() if seconds >= WHOLE_LIFE * lived]:
                self._took_too_long(key, end, lived)

    def _took_too_much(self, key: str, end: End, *, is_alone: bool) -> None:
        """One that ran alone is the cause; of several, those that are there when it happens again."""
        self.killed[key] += 1
        if is_alone or self.killed[key] >= KILLED:
            self._fail(key, WorkerOutOfMemory(f"{end}: it and its tools took more memory than the worker has"))

    def _took_too_long(self, key: str, end: End, lived: float) -> None:
        """One that had a worker for all of its life, twice, will never end on such a worker."""
        self.timed_out[key] += 1
        if self.timed_out[key] >= KILLED:
            told = f"{end}: it ran for the {lived:.0f} s that its worker lived, {KILLED} times"
            self._fail(key, WorkerLost(f"{told}; give the profile a longer walltime"))

    def _fail(self, key: str, error: Exception) -> None:
        task = self.scheduler.tasks.get(key)
        if task is not None:
            fail(self.scheduler, task, error)


def fail(scheduler: Any, task: Any, error: Exception) -> None:
    """Let a call fail that Dask would run again, whatever it is doing with it."""
    from distributed.protocol.pickle import dumps

    stimulus = f"stargazer-failed-{time.time()}"
    if task.state == "processing":
        worker = task.processing_on.address
        told = {"exception": dumps(error), "cause": task.key, "worker": worker, "exception_text": repr(error)}
        scheduler.transitions(scheduler.transition(task.key, "erred", stimulus_id=stimulus, **told), stimulus)
        scheduler.worker_send(worker, {"op": "free-keys", "keys": [task.key], "stimulus_id": stimulus})
    elif task.state in ("waiting", "queued", "no-worker"):
        task.exception, task.exception_text, task.exception_blame = dumps(error), repr(error), task
        scheduler.transitions({task.key: "erred"}, stimulus)


def _load(ws: Any) -> Load:
    """What a worker was given that takes resources, what it executes first."""
    given = [task for task in ws.processing if task.resource_restrictions]
    given.sort(key=lambda task: task not in ws.executing)
    running = sum(task in ws.executing for task in given)
    return Load(ws.address, ws.resources, {task.key: task.resource_restrictions for task in given}, running)


def _needs(task: Any) -> tuple[tuple[tuple[str, float], ...], Any]:
    """What a task takes, and what it is one of."""
    return tuple(sorted((task.resource_restrictions or {}).items())), task.prefix


def _seconds(prefix: Any) -> float | None:
    known = prefix.duration_average
    return known if known >= 0 else None


def _is_busy(ws: Any) -> bool:
    return ws is not None and bool(ws.processing)
