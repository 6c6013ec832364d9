"""Workers that a batch system starts, through dask-jobqueue."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import getpass
import logging
import math
import os
import re
import signal
import ssl
import stat
import tempfile
import threading
import time
import uuid
import warnings
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from stargazer import config
from stargazer.client.plugins import Folders, OwningClient, Walltime
from stargazer.client.pool import WorkerPool
from stargazer.client.systems import NoAnswer, Refused, asked, job_class, system_of
from stargazer.client.walls import HERE_ALONE, dashboard_address, session_keys
from stargazer.errors import ConfigError
from stargazer.execute.spec import most
from stargazer.profiles.profile import Kind, Offer, Range, offers, resources_of
from stargazer.profiles.settings import bytes_of, clock_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client

    from stargazer.client.hires import End
    from stargazer.profiles.profile import Profile

__all__ = ["Asked", "batch_script", "own_folder", "queue_client"]

SHARED = "~/.stargazer/shared"
PAGES_HERE = ("--dashboard-address", HERE_ALONE)
"""Pages of a worker are for the machine that it runs on; what `jobqueue.yaml` says of them comes after, and counts."""

RESERVED = 200_000_000
"""Bytes of a job that its worker and nanny take themselves: calls may use what is beside them."""

SAFE_PATH = ("export PYTHONSAFEPATH=1",)
"""A worker does not import what lies in the folder where its job was submitted: there may be data. See `Folders`."""

DEATH_TIMEOUT = 30
"""Seconds that a worker looks for its scheduler: one that starts after the client was killed does not wait for long."""

HUNG_UP = (ssl.SSLEOFError, ConnectionResetError)
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
    for told in filter(None, (each.unsaid for each in pools)):
        if config.strict():
            raise ConfigError(told)
        warnings.warn(told, UserWarning, stacklevel=2)
    cluster = _staffed(pools[0].cluster_class)(pools)
    try:
        for each in pools:
            cluster.sync(_try_out, cluster, each)
        client: Client = OwningClient(cluster)  # type: ignore[no-untyped-call]
        client.register_plugin(Walltime({each.pool: each.walltime for each in pools}))
        client.register_plugin(Folders.of_this_process())
        cluster.staff.start()
    except BaseException:
        cluster.close()
        raise
    logging.getLogger("distributed.comm.tcp").addFilter(_was_heard)
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
        self.walltime = self._whole(profile.walltime or (seconds_of(f"{limit}{self._unit(limit)}") if limit else None))
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
            "walltime": self._clock,
            "queue": profile.queue,
            self._account: profile.account,
            "interface": profile.interface,
            "python": profile.python,
            "death_timeout": DEATH_TIMEOUT,
            "job_name": profile.job_name,
            "job_extra_directives": self._directives(),
            "job_script_prologue": [*(self._setting("job-script-prologue") or ()), *profile.prologue, *SAFE_PATH],
            "worker_extra_args": [*PAGES_HERE, *(self._setting("worker-extra-args") or ()), *self._resources()],
            "log_directory": str(self.logs),
        }
        accepted = self._accepted({key: value for key, value in given.items() if value is not None})
        self._check_disk()
        return accepted | profile.options

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

    def _unit(self, limit: Any) -> str:
        """LSF writes hours and minutes alone; a bare number is minutes there and in SLURM, elsewhere seconds."""
        return ":00" if self.system == "lsf" or (self.system == "slurm" and str(limit).isdigit()) else ""

    def _whole(self, walltime: float | None) -> float | None:
        """A limit as the batch system can be asked for it: LSF counts minutes."""
        return walltime and (60.0 * math.ceil(walltime / 60) if self.system == "lsf" else walltime)

    @property
    def _clock(self) -> str | None:
        """The limit as the batch system writes it."""
        clock = clock_of(self.walltime) if self.walltime else None
        return clock[:-3] if clock and self.system == "lsf" else clock

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

    def _check_disk(self) -> None:
        """HTCondor takes no job that does not say how much disk it wants."""
        if self.system == "htcondor" and not (self.resolved.options.get("disk") or self._setting("disk")):
            raise ConfigError(
                f"stargazer.profiles.{self.resolved.name}.options.disk is not set, nor is jobqueue.htcondor.disk: "
                'HTCondor wants to know how much disk a worker takes, as in options: {disk: "20 GB"}'
            )

    @property
    def unsaid(self) -> str:
        """What the script does not ask for, though workers offer it; empty where it asks for all.

        Grid Engine has no names of its own for processors and memory: a site chooses them.
        """
        if self.system != "sge":
            return ""
        spec = self.resolved.options.get("resource_spec") or self._setting("resource-spec")
        lines = [str(line) for line in self._directives()]
        missing = []
        if self.cpus > 1 and not any("-pe" in line.split() for line in lines):
            missing.append(f'"-pe smp {self.cpus}"')
        if not spec and not any("-l" in line.split() and re.search("mem|rss", line) for line in lines):
            missing.append(f'"-l mem_free={math.ceil(self.total / (1 << 20))}M"')
        told = (
            f"workers of {self.pool} offer {self.cpus} processors and {self.memory:,} bytes, but their jobs do not ask "
        )
        told += "Grid Engine for all of that, since each site names it otherwise: add it to `directives`, as "
        return f"{told}{' and '.join(missing)} with the names that your site has" if missing else ""

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
            given = kept | asked.job_arguments(names, comment)
            given["job_script_prologue"] = [*given["job_script_prologue"], *ends_alone(address, asked.system)]
            return self.job_cls(address, name=asked.worker_name(names), **given)

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


def ends_alone(address: str, system: str) -> list[str]:
    """Lines of a script for a job that waited longer than its client lived: it ends before it starts anything.

    A port at which nobody listens is refused at once, while a machine or a network that does not answer proves nothing.
    Where the script is not for bash, it goes on; HTCondor's scripts are arguments, and have no room for it.
    """
    found = re.fullmatch(r"[a-z]+://(?P<host>[\w.-]+):(?P<port>\d+)", address)
    if found is None or system == "htcondor":
        return []
    look = f"exec 3<>/dev/tcp/{found['host']}/{found['port']}"
    return [
        f"if LC_ALL=C timeout 5 bash -c '{look}' 2>&1 | grep -q 'Connection refused'; then",
        f"  echo 'nobody listens at {address} any more: the program that asked for this job has ended'; exit 0",
        "fi",
    ]


def _was_heard(record: logging.LogRecord) -> bool:
    """False for what the scheduler would write of a job that looked whether it lives, and hung up."""
    asks = str(record.msg).startswith("Listener on %r: TLS handshake failed")
    return not (asks and isinstance(record.args, tuple) and isinstance(record.args[-1], HUNG_UP))


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


# A process that is asked to go gives its workers back first.


GONE_WITHIN = 90.0
"""Seconds in which a process may close what it has; then the signal does what it does otherwise."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_open: WeakSet[Any] = WeakSet()


def closed_by_signals(cluster: Any) -> None:
    """Let SIGTERM and SIGHUP give workers back before the process ends.

    Batch systems, ``timeout`` and the shutdown of a machine send SIGTERM, a terminal that goes SIGHUP. Who handles or
    ignores them already (``nohup``) goes on doing that. Python takes signals in the main thread alone: a client that
    is made in another thread is closed only if that thread can be unwound, or the process ends by itself.
    """
    _open.add(cluster)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _go)


def _go(number: int, frame: Any) -> None:
    """Unwind the program, which closes its clients; begin with the jobs at once, and end it if it does not end."""
    for each in ENDING:
        if signal.getsignal(each) is _go:
            signal.signal(each, signal.SIG_IGN)
    for cluster in list(_open):
        cluster.loop.add_callback_from_signal(_leave, cluster)
    threading.Thread(target=_end, args=(number,), name="stargazer-going", daemon=True).start()
    raise SystemExit(128 + number)


async def _leave(cluster: Any) -> None:
    if cluster.status.name == "running":
        await cluster.staff.close()


def _end(number: int) -> None:
    time.sleep(GONE_WITHIN)
    os.kill(os.getpid(), signal.SIGKILL)
