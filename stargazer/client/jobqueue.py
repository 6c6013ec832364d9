"""Workers that a batch system starts, through dask-jobqueue."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import getpass
import itertools
import logging
import math
import os
import signal
import stat
import tempfile
import time
import uuid
from collections import Counter
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distributed import Client, SchedulerPlugin, WorkerPlugin

from stargazer import config
from stargazer.client.demand import Busy, Load, PoolKind, Work, demand, moves
from stargazer.client.signals import closed_by_signals
from stargazer.client.staffing import Ask, Cancel, End, Limits, Pool, Present, Retire, Staffing, State, Submit, Told
from stargazer.client.systems import NoAnswer, Refused, asked, job_class, system_of
from stargazer.client.walls import HERE_ALONE, dashboard_address, session_keys
from stargazer.errors import ConfigError, WorkerLost, WorkerOutOfMemory
from stargazer.execute.spec import most
from stargazer.profiles.profile import Kind, Offer, Range, offers, resources_of
from stargazer.profiles.settings import bytes_of, clock_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.client.staffing import Action
    from stargazer.client.systems import System
    from stargazer.profiles.profile import Profile

__all__ = ["JOB", "Asked", "OwningClient", "Passes", "Walltime", "WorkerPool", "batch_script", "queue_client"]

SHARED = "~/.stargazer/shared"
PAGES_HERE = ("--dashboard-address", HERE_ALONE)
"""Pages of a worker are for the machine that it runs on; what `jobqueue.yaml` says of them comes after, and counts."""

RESERVED = 200_000_000
"""Bytes of a job that its worker and nanny take themselves: calls may use what is beside them."""

DEATH_TIMEOUT = 30
"""Seconds that a worker looks for its scheduler: one that starts after the client was killed does not wait for long."""

TRIED_WITHIN = 30.0
LOGS_KEPT = 7 * 86400.0
"""Seconds for which logs of jobs that ended well are kept."""


def queue_client(*profiles: Profile) -> Client:
    """Return a client whose workers a batch system starts, and gives back when the client is closed.

    Parameters
    ----------
    *profiles
        One for each kind of workers.

    Raises
    ------
    ConfigError
        dask-jobqueue is missing or does not know the batch system, or that refuses what the profile asks for.
    """
    pools = [Asked(profile, is_one_of_several=len(profiles) > 1) for profile in profiles]
    cluster = _staffed(pools[0].cluster_class)(pools)
    try:
        for each in pools:
            cluster.sync(_try_out, cluster, each)
        client: Client = OwningClient(cluster)  # type: ignore[no-untyped-call]
        client.register_plugin(Walltime({each.pool: each.walltime for each in pools}))
        cluster.staff.start()
    except BaseException:
        cluster.close()
        raise
    closed_by_signals(cluster)
    staff = cluster.staff
    kinds = tuple(Kind(each.pool, each.each, each.walltime) for each in pools) if len(pools) > 1 else ()
    largest = most(each.each for each in pools)
    offers(client, Offer(pools[0].resolved, largest, lambda: staff.trouble, staff.ended, staff.for_run, kinds))
    return client


class Asked:
    """What is asked of the batch system for each worker: the profile, and where it is silent, ``jobqueue.yaml``.

    Parameters
    ----------
    profile
        Of the workers.
    is_one_of_several
        Whether the client has other kinds of workers beside these: each is marked with its pool then.
    """

    def __init__(self, profile: Profile, *, is_one_of_several: bool = False) -> None:
        self.pool = profile.name
        self.cluster_class = _cluster_class(profile.kind)
        self.system = self.cluster_class.job_cls.config_name
        self.cpus = profile.cpus or self._configured(profile, "cpus", "cores", int)
        self.memory = profile.memory or self._configured(profile, "memory", "memory", bytes_of)
        self.total = self.memory + RESERVED
        limit = self._setting("walltime")
        self.walltime = profile.walltime or (seconds_of(f"{limit}{self._seconds}") if limit else None)
        self.resolved = dataclasses.replace(profile, cpus=self.cpus, memory=self.memory, walltime=self.walltime)
        self.shared = own_folder(self.resolved.shared)
        self.logs = Path(self._setting("log-directory") or self.shared / "logs")
        self._is_one_of_several = is_one_of_several

    @property
    def each(self) -> dict[str, float]:
        """Resources of each worker, as Dask counts them."""
        marks = {f"pool:{self.pool}": float(self.cpus)} if self._is_one_of_several else {}
        return resources_of(self.cpus, self.memory, self.resolved.gpus, self.resolved.names) | marks

    def offer_less(self) -> None:
        """Take what worker and nanny need from the memory that was asked for, since nothing has more.

        Raises
        ------
        ConfigError
            Nothing would be left.
        """
        from dask.utils import format_bytes

        if self.memory <= RESERVED:
            raise ConfigError(
                f"workers of {self.pool} have no room in {format_bytes(self.memory)}: a worker and its nanny take "
                f"{format_bytes(RESERVED)} themselves; ask for more memory in the profile"
            )
        self.total, self.memory = self.memory, self.memory - RESERVED
        self.resolved = dataclasses.replace(self.resolved, memory=self.memory)

    def _of_jobs(self) -> dict[str, Any]:
        profile = self.resolved
        given = {
            "cores": self.cpus,
            "memory": f"{self.total} B",
            "job_mem": f"{math.ceil(self.total / (1 << 20))}M" if self.system == "slurm" else None,
            "processes": 1,
            "walltime": clock_of(self.walltime).removesuffix(self._seconds) if self.walltime else None,
            "queue": profile.queue,
            self._account: profile.account,
            "interface": profile.interface,
            "python": profile.python,
            "death_timeout": DEATH_TIMEOUT,
            "job_name": profile.job_name,
            "job_extra_directives": self._directives(),
            "job_script_prologue": [*(self._setting("job-script-prologue") or ()), *profile.prologue],
            "worker_extra_args": [*PAGES_HERE, *(self._setting("worker-extra-args") or ()), *self._resources()],
            "log_directory": str(self.logs),
        }
        return self._accepted({key: value for key, value in given.items() if value is not None}) | profile.options

    def arguments(self) -> dict[str, Any]:
        """Arguments of the class of dask-jobqueue."""
        return {
            "scheduler_options": {**dashboard_address(self.resolved), **(self._setting("scheduler-options") or {})},
            "security": self._security(),
            "shared_temp_directory": str(self.shared),
        } | self._of_jobs()

    def job_arguments(self, names: Sequence[str], comment: str) -> dict[str, Any]:
        """Arguments of one job, which starts the worker of that name, or several as an array."""
        title = self.title(names)
        given = {key: value for key, value in self._of_jobs().items() if key not in OF_SCHEDULER}
        if self.system != "slurm":
            return given | {"job_name": title}
        extra = [f"--output={self.log(names[0], names)}", *([f'--comment="{_plain(comment)}"'] if comment else [])]
        if len(names) > 1:
            extra = [f"--array=0-{len(names) - 1}", f"--output={self.logs / title}.%a.out", *extra[1:]]
        skipped = [*(self._setting("job-directives-skip") or ()), *given.get("job_directives_skip", ())]
        return given | {
            "job_name": title,
            "job_extra_directives": [*given["job_extra_directives"], *extra],
            "job_directives_skip": [*skipped, "#SBATCH -e ", "#SBATCH -o "],
        }

    def worker_name(self, names: Sequence[str]) -> str:
        """Name of the worker, as the batch script says it: the member of an array finds its own."""
        if len(names) == 1:
            return names[0]
        stem, _, first = names[0].rpartition("-")
        return f"{stem}-$(({first} + SLURM_ARRAY_TASK_ID))"

    def title(self, names: Sequence[str]) -> str:
        """Name of the job."""
        return names[0] if len(names) == 1 else f"{names[0]}-{names[-1].rpartition('-')[2]}"

    def log(self, name: str, names: Sequence[str]) -> str:
        """Where the log of a worker is; in this folder, where only the batch system knows its name."""
        if self.system != "slurm":
            return str(self.logs)
        index = f".{names.index(name)}" if len(names) > 1 else ""
        return f"{self.logs / self.title(names)}{index}.out"

    def _directives(self) -> Any:
        """Further lines for the head of the script; HTCondor takes them as names and values."""
        given, ours = self._setting("job-extra-directives") or (), self.resolved.directives
        if self.system != "htcondor":
            return [*given, *ours]
        pairs = (line.partition("=") for line in ours)
        return dict(given) | {name.strip(): value.strip() for name, _, value in pairs}

    @property
    def _seconds(self) -> str:
        """LSF wants hours and minutes alone."""
        return ":00" if self.system == "lsf" else ""

    @property
    def _account(self) -> str:
        """Older batch systems call it a project."""
        return "project" if self.system in ("lsf", "oar", "sge") else "account"

    def _security(self) -> Any:
        if self.resolved.tls is not False:
            return session_keys()
        if config.strict():
            raise ConfigError(
                f"stargazer.profiles.{self.resolved.name}.tls is false: whoever reaches the scheduler's port could run "
                "code as you; the setting stargazer.strict refuses it"
            )
        return None

    def _accepted(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments, if the batch system knows what the profile says."""
        kind = self.resolved.kind
        known = [name for each in self.cluster_class.job_cls.__mro__ for name in signature(each.__init__).parameters]
        for argument in ("walltime", "queue", self._account):
            if argument in given and argument not in known:
                raise ConfigError(
                    f"{kind} knows no {argument}, but the profile {self.resolved.name} has one: leave it out, or say "
                    "it with `directives`"
                )
        return given

    def _resources(self) -> tuple[str, str]:
        return "--resources", ",".join(f"{name}={amount:.0f}" for name, amount in self.each.items())

    def _setting(self, key: str) -> Any:
        import dask.config
        import dask_jobqueue.config  # noqa: F401 - its defaults

        return dask.config.get(f"jobqueue.{self.system}.{key}", default=None)

    def _configured(self, profile: Profile, ours: str, theirs: str, read: Any) -> int:
        value = self._setting(theirs)
        if value is None:
            raise ConfigError(
                f"stargazer.profiles.{profile.name}.{ours} is not set, nor is jobqueue.{self.system}.{theirs}: say "
                f"what each worker asks {self.system} for, as in sg.connect({profile.name!r}, cpus=4, memory='16 GiB')"
            )
        return int(read(value))


OF_SCHEDULER = ("security", "shared_temp_directory", "scheduler_options", "scheduler_cls", "n_workers")
"""Arguments of dask-jobqueue's clusters that are none of their jobs."""


def own_folder(shared: str | None) -> Path:
    """Return our own folder, which nobody else can read, inside one that this machine and the workers see.

    Raises
    ------
    ConfigError
        Somebody else has made it.
    """
    around = Path(os.path.expandvars(shared or SHARED)).expanduser().absolute()
    around.mkdir(parents=True, exist_ok=True)
    own = around / f"stargazer-{getpass.getuser()}"
    with contextlib.suppress(FileExistsError):
        own.mkdir(0o700)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(
            f"{own} is not a folder of yours, and keys for encryption would lie there: remove it, or let `shared` of "
            "the profile name another folder that the workers see"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        own.chmod(0o700)
    (own / "logs").mkdir(exist_ok=True)
    return own


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in " .,:;_-+/()" else "_" for letter in text)[:200]


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep dask-jobqueue from what it does when imported: Ctrl-C would end the process without a word.

    In a thread, as notebooks run cells, it could not be imported at all.
    """
    kept, signal.signal = signal.signal, lambda *_: None
    try:
        yield
    finally:
        signal.signal = kept


def _cluster_class(kind: str) -> Any:
    try:
        with _signals_kept():
            import dask_jobqueue
    except ImportError:
        raise ConfigError(f"{kind} wants the package dask-jobqueue: pip install 'stargazer-dask[slurm]'") from None
    classes = {name: each for name, each in vars(dask_jobqueue).items() if getattr(each, "job_cls", None)}
    for name, found in classes.items():
        if kind in (name, name.removesuffix("Cluster").lower()):
            return found
    raise ConfigError(f"dask-jobqueue knows no {kind}; it has {', '.join(sorted(classes))}")


@functools.cache
def _staffed(cluster_class: Any) -> Any:
    from distributed.deploy.cluster import Cluster

    class Staffed(cluster_class):  # type: ignore[misc]
        """Leaves to its staff who is hired, missed and given back: Dask's own way floods a site that refuses."""

        job_cls = job_class(cluster_class.job_cls)

        def __init__(self, pools: list[Asked]) -> None:
            first = pools[0]
            title = f"{first.resolved.job_name}-{uuid.uuid4().hex[:8]}"
            self.staff = WorkerPool(self, system_of(self.job_cls), pools, title)
            for each in pools:
                self.staff.keep(each.resolved.workers or Range(0, 10), each.pool)
                _tidy(each.logs)
            super().__init__(name=title, **first.arguments())

        @property
        def workers(self) -> dict[str, Any]:
            """The workers that are there or asked for, with the numbers of their jobs."""
            return {name: Worker(name, job) for name, job in self.staff.jobs.items()}

        @workers.setter
        def workers(self, _: Any) -> None:
            pass

        @property
        def worker_spec(self) -> dict[str, Any]:
            """As Dask shows how many workers there should be."""
            return dict.fromkeys(self.staff.jobs, self.new_spec)

        @worker_spec.setter
        def worker_spec(self, _: Any) -> None:
            pass

        def scale(self, n: int | None = None, jobs: int = 0, memory: Any = None, cores: Any = None) -> Any:
            """Keep so many workers, whatever becomes of each."""
            if self.status.name not in ("closing", "closed", "failed"):
                sizes = [0 if n is None else n, jobs, _per(memory and bytes_of(memory), self.staff, "memory")]
                wanted = max(*sizes, _per(cores, self.staff, "cpus"))
                self.staff.keep(Range(wanted, wanted))

        def adapt(self, *, minimum: int = 0, maximum: int = 10, **_: Any) -> None:
            """Keep as many workers as there is work for, between two limits."""
            self.staff.keep(Range(minimum, maximum))

        async def scale_down(self, workers: Any) -> None:
            """Who goes is decided by who rests."""

        def job_of(self, asked: Asked, names: Sequence[str], comment: str) -> Any:
            """The job that starts these workers."""
            kept = {key: self._job_kwargs[key] for key in ("config_name", "interface", "protocol", "security")}
            address = getattr(self.scheduler, "contact_address", None) or self.scheduler.address
            for name in set(names) & self.staff.staffing.hires.keys():
                self.staff.staffing.hires[name].log = asked.log(name, names)
            return self.job_cls(address, name=asked.worker_name(names), **kept | asked.job_arguments(names, comment))

        def script_of(self, asked: Asked) -> str:
            """The batch script of a worker."""
            return str(self.job_of(asked, [f"{self.staff.title}-0"], "").job_script())

        def mark_log(self, end: End) -> None:
            """Keep the log of a worker that ended by itself."""
            with contextlib.suppress(OSError):
                if end.told.log and Path(end.told.log).is_file():
                    Path(f"{end.told.log}{KEPT}").touch()

        async def _correct_state_internal(self) -> None:
            self._correct_state_waiting = None

        def _update_worker_status(self, op: str, msg: Any) -> None:
            Cluster._update_worker_status(self, op, msg)

        async def _close(self) -> None:
            if self.status.name == "running":
                await self.staff.close()
            await super()._close()

    return Staffed


class Worker(NamedTuple):
    """A worker of a batch system, as `cluster.workers` shows it."""

    name: str
    job_id: str | None


def _per(amount: Any, staff: WorkerPool, resource: str) -> int:
    """Workers that have so much of something."""
    return math.ceil((amount or 0) / next(iter(staff.asked.values())).each[resource])


KEPT = ".kept"
"""Ending of the empty file beside the log of a worker that did not end well."""


def _tidy(logs: Path) -> None:
    """Remove old logs of workers that ended well."""
    with contextlib.suppress(OSError):
        for file in logs.glob("*.out"):
            is_kept = file.with_name(file.name + KEPT).exists()
            if not is_kept and time.time() - file.stat().st_mtime > LOGS_KEPT:
                file.unlink()


def batch_script(profile: Profile) -> str:
    """Return the batch script that would be sent for a worker; the address of the scheduler stands out."""
    each = Asked(profile)
    job_cls = job_class(each.cluster_class.job_cls)
    names = [f"{profile.job_name}-RUN-1"]
    protocol = {} if profile.tls is False else {"protocol": "tls://"}
    return str(
        job_cls(
            "SCHEDULER", name=names[0], **each.job_arguments(names, "stargazer run RUN: ...") | protocol
        ).job_script()
    )


async def _try_out(cluster: Any, each: Asked) -> None:
    """Ask SLURM whether it would ever start such a worker; other systems tell when the first is submitted."""
    if cluster.job_cls.config_name != "slurm":
        return
    if (why := await _refusal(cluster, each)) is None:
        return
    kept = dataclasses.replace(each.resolved)
    if each.memory > RESERVED:
        each.offer_less()
        if await _refusal(cluster, each) is None:
            return
    raise ConfigError(f"SLURM refuses workers of the profile {kept.name}: {why}")


async def _refusal(cluster: Any, each: Asked) -> str | None:
    """Why SLURM would never start such a worker; None if it would."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", prefix="stargazer-") as script:
        script.write(cluster.script_of(each))
        script.flush()
        try:
            await asked(["sbatch", "--test-only", script.name], TRIED_WITHIN)
        except Refused as error:
            return str(error)
        except NoAnswer as error:
            raise ConfigError(f"SLURM does not answer: {error}") from None
    return None


# The loop that carries out what `stargazer.client.staffing` decides: it looks, asks the batch system, and tells it.


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
        """Give everybody up, until the batch system has confirmed it or has said nothing for long."""
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
            except (Refused, NoAnswer):
                pass
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


# Clients that end their workers, and what workers are told when they come: when the batch system will end them,
# which variables of their environment tools get; and they say which job is theirs.


JOB = "stargazer-job"
"""Under which a worker's metrics have the number of its job."""


class OwningClient(Client):
    """End its workers when it is closed."""

    def close(self, *timeout: Any) -> Any:
        """Close the client, and give its workers back."""
        cluster, ended = self.cluster, super().close(*timeout)  # type: ignore[no-untyped-call]
        if cluster is not None:
            cluster.close()
        return ended


class Walltime(WorkerPlugin):
    """Tells a worker when its walltime is over, so that it starts nothing that cannot end before.

    Parameters
    ----------
    walltimes
        Seconds from the start of the batch script, by pool; None for those that have no set end.
    """

    name = "stargazer-ends"

    def __init__(self, walltimes: Mapping[str, float | None]) -> None:
        self.walltimes = dict(walltimes)

    def setup(self, worker: Any) -> None:
        """Note when the worker will be ended; a worker that was started again has less time than its process is old."""
        worker.metrics[JOB] = _job
        walltime = self._walltime(worker.state.total_resources)
        if walltime is not None:
            import psutil  # type: ignore[import-untyped]

            process = psutil.Process()
            nanny = process.parent() if worker.nanny else None
            worker.stargazer_ends = (nanny or process).create_time() + walltime

    def _walltime(self, resources: Mapping[str, float]) -> float | None:
        found = [walltime for pool, walltime in self.walltimes.items() if f"pool:{pool}" in resources]
        return found[0] if found else next(iter(self.walltimes.values()))


def _job(worker: Any) -> str | None:
    return config.batch_job()


class Passes(WorkerPlugin):
    """Passes environment variables to the tools that a worker starts, with the values that they have there.

    Parameters
    ----------
    names
        Of the variables.
    """

    name = "stargazer-passes"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def setup(self, worker: Any) -> None:
        """Add them to the worker's settings."""
        import dask.config

        from stargazer.config import passed_names

        self._set = dask.config.set({"stargazer.env": sorted({*passed_names(), *self.names})})

    def teardown(self, worker: Any) -> None:
        """Leave the settings as they were: the worker may live in the process of its client."""
        self._set.__exit__(None, None, None)
