"""Two hosts on this machine: network namespaces joined by a cable, with directories that only one of them sees."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME, FAR = "10.213.7.1", "10.213.7.2"
HERE = Path(__file__).parent


class Hosts:
    """A home and a far host; processes that were started on them end with them.

    Parameters
    ----------
    name
        Of the pair.
    folder
        Where keys and logs lie.
    hidden
        Directory of which the far host sees an empty one of its own.
    """

    def __init__(self, name: str, folder: Path, hidden: Path) -> None:
        self.name, self.folder, self.hidden = name, folder, hidden
        self.env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", **keys(folder)}
        self._started: list[subprocess.Popen[bytes]] = []

    def connect(self) -> None:
        """Lay the cable."""
        ends = [f"{self.name}h", f"{self.name}f"]
        for host, end, address in zip(self.netns, ends, (HOME, FAR), strict=True):
            _ip("netns", "add", host)
            if end == ends[0]:
                _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            _ip("link", "set", end, "netns", host)
            _ip("-n", host, "address", "add", f"{address}/24", "dev", end)
            for each in ("lo", end):
                _ip("-n", host, "link", "set", each, "up")

    @property
    def netns(self) -> tuple[str, str]:
        """Names of the namespaces: home, far."""
        return f"{self.name}-home", f"{self.name}-far"

    def cable(self, state: str) -> None:
        """Plug the cable in (``"up"``) or out (``"down"``)."""
        _ip("-n", self.netns[0], "link", "set", f"{self.name}h", state)

    def start(self, host: int, *argv: Any, small_cache: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Start Python on a host: 0 is home; 1 is far, with an empty directory over the hidden one."""
        command = ["ip", "netns", "exec", self.netns[host], sys.executable, *map(str, argv)]
        if host:
            script = 'mount -t tmpfs none "$0" && '
            script += f'mount -t tmpfs -o size=8m none "{small_cache}" && exec "$@"' if small_cache else 'exec "$@"'
            command = ["unshare", "-m", "sh", "-c", script, str(self.hidden), *command]
        with (self.folder / f"log-{len(self._started)}").open("wb") as log:
            process = subprocess.Popen(command, env=self.env | env, stdout=log, stderr=subprocess.STDOUT)
        self._started.append(process)
        return process

    def logs(self) -> str:
        """What all processes wrote."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("log-*")))

    def end(self) -> None:
        """End all processes, and take the hosts away."""
        for process in self._started:
            process.kill()
            process.wait()
        for host in self.netns:
            pids = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True, check=False).stdout
            for pid in pids.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)


@contextlib.contextmanager
def two_hosts(folder: Path, hidden: Path) -> Iterator[Hosts]:
    """Hosts that are there while the test runs."""
    hosts = Hosts(f"sg{uuid.uuid4().hex[:6]}", folder, hidden)
    try:
        hosts.connect()
        yield hosts
    finally:
        hosts.end()


def refused() -> str | None:
    """Why this machine makes no hosts; None if it does."""
    name = f"sg{uuid.uuid4().hex[:6]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces here: {getattr(error, 'stderr', b'') or error!r}"
    return None


def keys(folder: Path) -> dict[str, str]:
    """Variables by which all processes encrypt what they send."""
    from distributed import Security

    made = Security.temporary()
    (folder / "key.pem").write_text(made.tls_client_key)
    (folder / "ca.pem").write_text(made.tls_ca_file)
    found = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / "ca.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        found[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(folder / "key.pem")
        found[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(folder / "ca.pem")
    return found | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}


def wait_for(path: Path, seconds: float = 60.0) -> str:
    """Content of a file that is to come."""
    deadline = time.monotonic() + seconds
    while not path.exists() or not path.read_text().endswith("\n"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} has not come")
        time.sleep(0.05)
    return path.read_text().strip()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
