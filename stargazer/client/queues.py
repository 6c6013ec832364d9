"""Workers that a batch system starts, through dask-jobqueue."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import tempfile
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.client.staff import Staff
from stargazer.errors import ConfigError
from stargazer.profiles.offers import Offer, offers, resources_of
from stargazer.profiles.profile import Range
from stargazer.profiles.units import bytes_of, clock_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from stargazer.profiles.profile import Profile

__all__ = ["queue_client"]

SHARED = "~/.stargazer/shared"


def queue_client(profile: Profile) -> Client:
    """Return a client whose workers a batch system starts, and gives back when the client is closed.

    Raises
    ------
    ConfigError
        dask-jobqueue is missing or does not know the batch system, or that refuses what the profile asks for.
    """
    from stargazer.client.ends import Ends

    asked = Asked(profile)
    cluster = _staffed(_cluster_class(profile.kind))(**asked.arguments())
    try:
        cluster.sync(_try_out, cluster)
        cluster.staff.idle = profile.idle
        cluster.staff.hire(profile.workers or Range(0, 10))
        client: Client = _client_class()(cluster)
        if asked.walltime:
            client.register_plugin(Ends(asked.walltime))
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
            "worker_extra_args": [*(self._setting("worker-extra-args") or ()), "--resources", self._resources()],
            "scheduler_options": {"dashboard_address": ":0", **(self._setting("scheduler-options") or {})},
            "log_directory": self._setting("log-directory") or str(shared / "logs"),
            "security": _temporary_keys() if profile.tls is not False else None,
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

    def _resources(self) -> str:
        return ",".join(f"{name}={amount:.0f}" for name, amount in self.each.items())

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


def _temporary_keys() -> Any:
    from distributed import Security

    try:
        return Security.temporary()
    except ImportError:
        raise ConfigError(
            "connections to other machines are encrypted, which wants the package cryptography: pip install "
            "'stargazer-dask[slurm]'; or set tls: false in the profile where the network is yours alone"
        ) from None


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
def _client_class() -> Any:
    from distributed import Client

    class QueueClient(Client):
        """Ends its workers when it is closed."""

        def close(self, *timeout: Any) -> Any:
            """Close the client, and give its workers back."""
            cluster, ended = self.cluster, super().close(*timeout)  # type: ignore[no-untyped-call]
            if cluster is not None:
                cluster.close()
            return ended

    return QueueClient


@functools.cache
def _staffed(cluster_class: Any) -> Any:
    class Staffed(cluster_class):  # type: ignore[misc]
        """Replaces workers that the batch system ended, and remembers what it refused."""

        def __init__(self, **arguments: Any) -> None:
            self.staff = Staff(self)
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
