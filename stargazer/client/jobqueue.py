"""Workers that a batch system starts, through dask-jobqueue."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import tempfile
import time
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client, WorkerPlugin

from stargazer import config
from stargazer.client.walls import HERE_ALONE, dashboard_address, session_keys
from stargazer.errors import ConfigError
from stargazer.profiles.profile import Offer, Range, offers, resources_of
from stargazer.profiles.settings import bytes_of, clock_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.profiles.profile import Profile

__all__ = ["OwningClient", "Passes", "Walltime", "WorkerPool", "queue_client"]

SHARED = "~/.stargazer/shared"
PAGES_HERE = ("--dashboard-address", HERE_ALONE)
"""Pages of a worker are for the machine that it runs on; what `jobqueue.yaml` says of them comes after, and counts."""


def queue_client(profile: Profile) -> Client:
    """Return a client whose workers a batch system starts, and gives back when the client is closed.

    Raises
    ------
    ConfigError
        dask-jobqueue is missing or does not know the batch system, or that refuses what the profile asks for.
    """
    asked = Asked(profile)
    cluster = _staffed(_cluster_class(profile.kind))(**asked.arguments())
    try:
        cluster.sync(_try_out, cluster)
        cluster.staff.idle = profile.idle
        cluster.staff.hire(profile.workers or Range(0, 10))
        client: Client = OwningClient(cluster)  # type: ignore[no-untyped-call]
        if asked.walltime:
            client.register_plugin(Walltime(asked.walltime))
    except BaseException:
        cluster.close()
        raise
    offers(client, Offer(asked.resolved, asked.each, lambda: cluster.staff.trouble))
    return client


class Asked:
    """What is asked of the batch system for each worker: the profile, and where it is silent, ``jobqueue.yaml``."""

    def __init__(self, profile: Profile) -> None:
        import dataclasses

        self.system = _cluster_class(profile.kind).job_cls.config_name
        self.cpus = profile.cpus or self._configured(profile, "cpus", "cores", int)
        self.memory = profile.memory or self._configured(profile, "memory", "memory", bytes_of)
        limit = self._setting("walltime")
        self.walltime = profile.walltime or (seconds_of(f"{limit}{self._seconds}") if limit else None)
        self.each = resources_of(self.cpus, self.memory, profile.gpus, profile.names)
        self.resolved = dataclasses.replace(profile, cpus=self.cpus, memory=self.memory, walltime=self.walltime)

    def arguments(self) -> dict[str, Any]:
        """Arguments of the class of dask-jobqueue."""
        profile, shared = self.resolved, _shared(self.resolved)
        given = {
            "cores": self.cpus,
            "memory": f"{self.memory} B",
            "processes": 1,
            "walltime": clock_of(self.walltime).removesuffix(self._seconds) if self.walltime else None,
            "queue": profile.queue,
            self._account: profile.account,
            "interface": profile.interface,
            "python": profile.python,
            "job_extra_directives": [*(self._setting("job-extra-directives") or ()), *profile.directives],
            "job_script_prologue": [*(self._setting("job-script-prologue") or ()), *profile.prologue],
            "worker_extra_args": [*PAGES_HERE, *(self._setting("worker-extra-args") or ()), *self._resources()],
            "scheduler_options": {**dashboard_address(profile), **(self._setting("scheduler-options") or {})},
            "log_directory": self._setting("log-directory") or str(shared / "logs"),
            "security": self._security(),
            "shared_temp_directory": str(shared),
        }
        return self._accepted({key: value for key, value in given.items() if value is not None}) | profile.options

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
        known = [name for each in _cluster_class(kind).job_cls.__mro__ for name in signature(each.__init__).parameters]
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


def _shared(profile: Profile) -> Path:
    shared = Path(os.path.expandvars(profile.shared or SHARED)).expanduser().absolute()
    (shared / "logs").mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        shared.chmod(0o700)
    return shared


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
    class Staffed(cluster_class):  # type: ignore[misc]
        """Replaces workers that the batch system ended, and remembers what it refused."""

        def __init__(self, **arguments: Any) -> None:
            self.staff = WorkerPool(self)
            super().__init__(name=f"stargazer-{os.getpid()}", **arguments)

        def scale(self, n: int | None = None, jobs: int = 0, memory: Any = None, cores: Any = None) -> Any:
            """Keep so many workers, whatever becomes of each."""
            if memory is None and cores is None:
                wanted = jobs if n is None else n
                self.staff.range = Range(wanted, wanted)
            return super().scale(n, jobs, memory, cores)

        def adapt(self, *, minimum: int = 0, maximum: int = 10, **_: Any) -> None:
            """Keep as many workers as there is work for, between two limits."""
            self.staff.hire(Range(minimum, maximum))

        def scale_to(self, number: int) -> None:
            """Scale now; the range that was asked for stays."""
            super().scale(jobs=number)

        async def _correct_state_internal(self) -> None:
            try:
                await super()._correct_state_internal()
            except RuntimeError as error:
                self.staff.refused(error)

    return Staffed


async def _try_out(cluster: Any) -> None:
    """Ask SLURM whether it would ever start such a worker; other systems tell when the first is submitted."""
    if cluster.job_cls.config_name != "slurm":
        return
    with tempfile.NamedTemporaryFile("w", suffix=".sh", prefix="stargazer-") as script:
        script.write(cluster.job_script())
        script.flush()
        try:
            await asyncio.wait_for(cluster.job_cls._call(["sbatch", "--test-only", script.name]), 30)
        except (RuntimeError, OSError) as error:
            raise ConfigError(f"SLURM refuses workers of this profile: {_said(error)}") from None
        except TimeoutError:
            raise ConfigError("SLURM does not answer: sbatch said nothing for 30 s") from None


def _said(error: Exception) -> str:
    said = [line.strip() for line in str(error).splitlines() if "error: " in line or "failure: " in line]
    return "; ".join(said) or str(error)


# As many workers as there should be, though the batch system takes them away.


EVERY = 1.0
"""Seconds between two looks."""

ASKED_EVERY = 5.0
"""Seconds between two questions to the batch system about workers that have not come."""

GONE_AFTER = 3.0
"""Seconds after which a worker that the scheduler lost is replaced."""

IDLE = 60.0


class WorkerPool:
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


# What workers are told when they come, and clients that end them.
#
# A worker knows when the batch system will end it, and which variables of its environment tools get.


class OwningClient(Client):
    """Walltime its workers when it is closed."""

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
    walltime
        Seconds from the start of its batch script.
    """

    name = "stargazer-ends"

    def __init__(self, walltime: float) -> None:
        self.walltime = walltime

    def setup(self, worker: Any) -> None:
        """Note when the worker will be ended; a worker that was started again has less time than its process is old."""
        import psutil  # type: ignore[import-untyped]

        process = psutil.Process()
        nanny = process.parent() if worker.nanny else None
        worker.stargazer_ends = (nanny or process).create_time() + self.walltime


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
