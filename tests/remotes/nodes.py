"""Real Kubo nodes, on loopback and without peers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120


class Node:
    """A node that runs: its RPC, its gateway, and its own command line."""

    def __init__(self, ipfs: str, repo: Path) -> None:
        self.ipfs, self.repo = ipfs, repo
        self.environment = {**os.environ, "IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off"}

    def run(self, *arguments: str | Path, code: int = 0) -> bytes:
        """What a command of Kubo's own prints."""
        done = subprocess.run(
            [self.ipfs, *map(str, arguments)], env=self.environment, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == code, done.stderr.decode()
        return done.stdout

    def add(self, path: Path, *options: str) -> str:
        """The CID that Kubo itself gives."""
        more = ["-r", "--hidden"] if path.is_dir() else []
        return self.run("add", "-Q", "--cid-version=1", "--pin=false", *more, *options, path).decode().strip()

    def only_hash(self, path: Path, *options: str) -> str:
        """The same, of which the node keeps nothing."""
        return self.add(path, "--only-hash", *options)

    @property
    def rpc(self) -> str:
        return f"http://127.0.0.1:{self._read('api').rpartition('/')[2]}"

    @property
    def gateway(self) -> str:
        return self._read("gateway")

    def _read(self, name: str) -> str:
        return (self.repo / name).read_text().strip()


def make(ipfs: str, repo: Path, *profiles: str) -> Node:
    """A node of its own, which knows no other."""
    node = Node(ipfs, repo)
    node.run("init", "--empty-repo", "-p", ",".join(("test", *profiles)))
    addresses = {"API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0", "Swarm": []}
    node.run("config", "Addresses", "--json", json.dumps(addresses))
    return node


@contextmanager
def running(node: Node) -> Iterator[Node]:
    """Start a node, and end it."""
    log = (node.repo / "log").open("wb")
    process = subprocess.Popen([node.ipfs, "daemon", "--offline"], env=node.environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ((node.repo / "api").exists() and b"Daemon is ready" in (node.repo / "log").read_bytes()):
            assert process.poll() is None, (node.repo / "log").read_text()
            assert time.monotonic() < deadline, "Kubo does not start"
            time.sleep(0.05)
        yield node
    finally:
        process.terminate()
        process.wait(PATIENCE)
        log.close()
