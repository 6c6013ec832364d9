"""Workers on the nodes of the job that this process belongs to, started by one ``srun``: one large job for all."""

from __future__ import annotations

import re
import shlex
import sys
import uuid
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.client.jobqueue import DEATH_TIMEOUT, RESERVED, own_folder
from stargazer.client.plugins import Folders, OwningClient, Walltime
from stargazer.client.walls import HERE_ALONE, dashboard_address, session_keys
from stargazer.errors import ConfigError
from stargazer.profiles.profile import Offer, offers, resources_of
from stargazer.tools.apart import Beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed import Client

    from stargazer.profiles.profile import Profile

__all__ = ["allocation_client"]

MEBIBYTE = 1 << 20


def allocation_client(profile: Profile) -> Client:
    """Return a client whose workers run on the nodes of this process's own job, and end with the client.

    Parameters
    ----------
    profile
        Of kind ``allocation``: ``cpus`` of each worker, and how many; by default as many as the nodes have room for.

    Raises
    ------
    ConfigError
        This process belongs to no job of SLURM.
    """
    nodes = config.allocated()
    if nodes is None:
        raise ConfigError(
            f"the profile {profile.name} starts workers within a job of SLURM, and this process belongs to none: let "
            f"the driver be that job, as stargazer run … --submit --on {profile.name}, or work below salloc or sbatch"
        )
    cpus = profile.cpus or 1
    rooms = [count // cpus for count in _counts(nodes["cpus"]) if count >= cpus]
    room = sum(rooms)
    number = profile.workers.maximum if profile.workers else room
    if not number or number > room:
        raise ConfigError(
            f"this job has room for {room} workers of {cpus} processors ({nodes['cpus']} on its nodes), and the "
            f"profile {profile.name} wants {number or 'one'}"
        )
    # Each node that has room gets one at least; how the others lie is SLURM's to say, which may fill a node first.
    per_node = max(1, min(max(rooms), number - (len(rooms) - 1)))
    memory = _memory_each(profile, per_node, _memory_of_node(nodes, cpus * per_node))
    each = resources_of(cpus, memory, profile.gpus, profile.names)
    cluster = _cluster(profile, number, cpus, memory, each)
    try:
        client: Client = OwningClient(cluster)  # type: ignore[no-untyped-call]
        client.register_plugin(Walltime({profile.name: None}))
        client.register_plugin(Folders.of_this_process())
    except BaseException:
        cluster.close()
        raise
    offers(client, Offer(profile, each, trouble=cluster.trouble))
    return client


def _memory_of_node(nodes: Mapping[str, str], cpus: int) -> int:
    """Bytes that the job has on a node for so many processors; 0 where SLURM counts no memory."""
    return (int(nodes["memory"] or 0) or cpus * int(nodes["memory_per_cpu"] or 0)) * MEBIBYTE


def _memory_each(profile: Profile, per_node: int, of_node: int) -> int:
    """Bytes that a worker offers: workers, their nannies and the driver take memory of the job, too.

    Raises
    ------
    ConfigError
        The job has less.
    """
    from dask.utils import format_bytes

    if not of_node:
        return profile.memory or 0
    most = (of_node - RESERVED) // per_node - RESERVED
    if most <= 0 or (profile.memory or 0) > most:
        wanted = f"{format_bytes(profile.memory)} each" if profile.memory else "some"
        raise ConfigError(
            f"this job has {format_bytes(of_node)} of memory on a node, where {per_node} workers of the profile "
            f"{profile.name} want {wanted}: the driver and each worker take {format_bytes(RESERVED)} themselves, which "
            f"leaves {format_bytes(max(0, most))} each; give the job more memory, or the profile fewer workers"
        )
    return profile.memory or most


def _counts(cpus: str) -> list[int]:
    """Processors of each node, as SLURM writes them: ``"2(x3),4"``."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", cpus)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def _cluster(profile: Profile, number: int, cpus: int, memory: int, each: dict[str, float]) -> Any:
    from distributed import LocalCluster
    from distributed.utils import get_ip, get_ip_interface

    class Allocated(LocalCluster):
        """A scheduler here, and the step of this job that runs its workers."""

        step: Beside | None = None

        def trouble(self) -> str | None:
            """Why no worker comes; None where the step runs."""
            code = self.step.ended() if self.step else None
            return None if code is None else f"srun ended with exit code {code}; see {log}"

        async def _close(self) -> None:
            if self.step is not None:
                self.step.end()
                self.step = None
            for file in folder.glob(f"{title}.*.pem"):
                file.unlink(missing_ok=True)
            await super()._close()  # type: ignore[no-untyped-call]

    folder = own_folder(profile.shared)
    title = f"{profile.job_name}-{uuid.uuid4().hex[:8]}"
    log = folder / "logs" / f"{title}.out"
    keys = session_keys() if profile.tls is not False else None
    host = get_ip_interface(profile.interface) if profile.interface else get_ip()
    protocol = "tls://" if keys else "tcp://"
    cluster = Allocated(  # type: ignore[no-untyped-call]
        n_workers=0, host=host, protocol=protocol, security=keys, name=title, **dashboard_address(profile)
    )
    try:
        words = _worker(profile, cluster.scheduler_address, cpus, memory, each, _key_files(keys, folder / title))
        cluster.step = Beside(_srun(number, cpus, _script(profile, words)), log=log)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _srun(number: int, cpus: int, script: str) -> list[str]:
    """One step for all workers, beside this process; options that the outer job has set are said anew."""
    asked = [f"--ntasks={number}", f"--cpus-per-task={cpus}", "--mem=0", "--overlap", "--export=ALL"]
    return ["srun", *asked, "--kill-on-bad-exit=0", "--unbuffered", "/bin/sh", "-c", script]


def _script(profile: Profile, words: list[str]) -> str:
    return "\n".join([*profile.prologue, "export PYTHONSAFEPATH=1", f"exec {shlex.join(words)}"])


def _worker(
    profile: Profile, address: str, cpus: int, memory: int, each: dict[str, float], keys: dict[str, Path]
) -> list[str]:
    resources = ",".join(f"{name}={amount:.0f}" for name, amount in each.items())
    told = ["--nthreads", cpus, "--memory-limit", memory or "auto", "--death-timeout", DEATH_TIMEOUT, "--nanny"]
    told += ["--resources", resources, "--dashboard-address", HERE_ALONE]
    told += ["--interface", profile.interface] if profile.interface else []
    told += [word for name, file in keys.items() for word in (f"--tls-{name}", file)]
    return [
        str(word) for word in (profile.python or sys.executable, "-m", "distributed.cli.dask_worker", address, *told)
    ]


def _key_files(keys: Any, stem: Path) -> dict[str, Path]:
    """Keys of the session in files that nobody else can read, in a folder of the user's own that all nodes see."""
    if keys is None:
        return {}
    found = {}
    for name, text in keys.get_tls_config_for_role("worker").items():
        if name in ("ca_file", "cert", "key"):
            file = stem.with_name(f"{stem.name}.{name}.pem")
            file.touch(0o600)
            file.write_text(text)
            found[name.replace("_", "-")] = file
    return found
