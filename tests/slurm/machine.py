"""A SLURM of several nodes on this machine: Debian's slurmctld, slurmd and munged, without systemd and cgroups.

``python tests/slurm/machine.py [COMMAND…]`` runs a command, or a shell, with it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "scontrol")
PATIENCE = 60.0

CONF = """
ClusterName=stargazer
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
EnforcePartLimits=ALL
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""
NODE = "NodeName=n{number} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs={cpus} RealMemory=8000"


@contextlib.contextmanager
def slurm(nodes: int = 3, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Run SLURM; gives the environment in which its commands find it."""
    # Sockets want short paths.
    place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    started: list[int] = []
    try:
        conf = _configure(place, nodes, cpus)
        started.append(_munged(place))
        started.append(_daemon(["slurmctld", "-f", str(conf), "-c"], place / "slurmctld.pid"))
        for number in range(1, nodes + 1):
            name = f"n{number}"
            started.append(_daemon(["slurmd", "-f", str(conf), "-N", name], place / f"slurmd-{name}.pid"))
        env = {"SLURM_CONF": str(conf)}
        _until_idle(nodes, os.environ | env)
        yield env
    finally:
        for pid in reversed(started):
            _end(pid)
        shutil.rmtree(place, ignore_errors=True)


def _configure(place: Path, nodes: int, cpus: int) -> Path:
    (place / "state").mkdir()
    place.chmod(0o755)
    conf, host, (first, *ports) = place / "slurm.conf", socket.gethostname().split(".")[0], _free_ports(nodes + 1)
    lines = [NODE.format(number=number, host=host, port=port, cpus=cpus) for number, port in enumerate(ports, 1)]
    conf.write_text(CONF.format(host=host, port=first, user=getpass.getuser(), place=place, nodes="\n".join(lines)))
    return conf


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def _munged(place: Path) -> int:
    key = place / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    files = {name: f"{place}/munge.{name}" for name in ("key", "socket", "pid", "log", "seed")}
    options = [f"--{name}-file={files[name]}" for name in ("key", "pid", "log", "seed")]
    return _daemon(["munged", *options, f"--socket={files['socket']}", "--force"], Path(files["pid"]))


def _daemon(command: list[str], pid_file: Path) -> int:
    """Start a daemon that goes to the background by itself; gives its number."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} does not start: {done.stderr}{done.stdout}")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return int(pid_file.read_text())
        time.sleep(0.02)
    raise RuntimeError(f"{command[0]} wrote no {pid_file}")


def _until_idle(nodes: int, env: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        command = ["sinfo", "--noheader", "--Node", "--format=%T"]
        found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if found.stdout.split() == ["idle"] * nodes:
            return
        time.sleep(0.1)
    raise RuntimeError(f"the nodes do not come up: {found.stdout}{found.stderr}")


def _end(pid: int) -> None:
    for name in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, name)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not _is_dead(pid):
                time.sleep(0.05)


def _is_dead(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


if __name__ == "__main__":
    with slurm() as environment:
        command = sys.argv[1:] or [os.environ.get("SHELL", "sh")]
        sys.exit(subprocess.run(command, env=os.environ | environment, check=False).returncode)
