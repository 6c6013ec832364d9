"""What does verifying cost? A file from a real Kubo on loopback into a file on disk, in turns with others who do it.

Ours (hashed against the CID, into a store) beside a plain HTTP GET of the same gateway, beside hashlib's SHA-256 of the
same bytes, beside ``ipfs get`` and beside ipfsspec: its GET, of which nothing is verified, and its reader of CARs.
Aims: at least 0.8 of the slower of the first two, and twice the bytes a second of ipfsspec's CARs. Of a node
we take what its gateway sends; its RPC alone stands beside a plain POST of the same. Kubo must be on PATH as ``ipfs``.

Reading the whole file through ``cid://`` stands beside fetching it (aim: half as fast at least), and a zarr of 100
chunks is read from a gateway of our own that waits 20 ms before each answer (aim: one second at most).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.config
import fsspec
import httpx

from benchmarks.rounds import PROGRAMS, Ratio, compare, in_turns, temporary
from stargazer.errors import ToolMissing
from stargazer.remotes import fetch_into, push, read_remote
from stargazer.store import Store

__all__ = ["measure"]

AIM, AIM_IPFSSPEC = 0.8, 2.0
AIM_READ, AIM_ZARR = 0.5, 1.0
LATENCY, CHUNKS = 0.02, 100
MIB = 1 << 20
PATIENCE = 60.0


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        A small file and few rounds: for trying out, not for quoting.
    """
    with temporary() as directory:
        yield measure_zarr(directory / "zarr", 3 if quick else 7)
    with temporary() as directory, node(directory / "kubo") as addresses:
        yield from Remotes(directory, (64 if quick else 1024) * MIB, 3 if quick else 7, *addresses).ratios()


def measure_zarr(directory: Path, rounds: int) -> Ratio:
    """Read a zarr of many chunks through ``cid://``, each time by a remote that remembers nothing."""
    import numpy
    import zarr

    array = numpy.arange(CHUNKS * 1000, dtype="i4").reshape(CHUNKS, 1000)
    zarr.create_array(str(directory / "array.zarr"), data=array, chunks=(1, 1000))
    origin = Store(directory / "origin")
    cid = str(origin.add(directory / "array.zarr").cid)

    def read(number: int) -> float:
        remote = {"gateway": url, "name": f"slow-{number}"}
        with dask.config.set({"stargazer.remotes": [remote]}), Store(directory / f"target-{number}"):
            start = time.perf_counter()
            found = zarr.open_array(f"cid://{cid}", mode="r")[:]
            took = time.perf_counter() - start
        assert (found == array).all()
        return took

    with slow_gateway(directory / "origin", cid) as url:
        read(-1)
        seconds = [read(number) for number in range(rounds)]
    case = f"a zarr of {CHUNKS} chunks at {1000 * LATENCY:.0f} ms"
    return compare("remotes", case, "a second", seconds, [1.0] * rounds, "s", aim=AIM_ZARR)


@contextmanager
def slow_gateway(place: Path, cid: str) -> Iterator[str]:
    """A gateway of raw blocks that waits before each answer, in a process of its own as all gateways are: its URL."""
    command = [sys.executable, str(PROGRAMS / "remotes_gateway.py"), str(place), cid, str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if not (url := process.stdout.readline().strip()):
                raise RuntimeError(f"{command} did not start")
            yield url
        finally:
            process.terminate()


@contextmanager
def node(repo: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A Kubo without peers: URLs of its RPC and its gateway, and the environment for its commands."""
    if shutil.which("ipfs") is None:
        raise ToolMissing("ipfs is not on PATH: PATH=$PATH:$(.ci/kubo) builds it and puts it there")
    environment = {**os.environ, "IPFS_PATH": str(repo)}
    addresses = {"API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0", "Swarm": []}
    for command in (["init", "--empty-repo", "-p", "test"], ["config", "Addresses", "--json", json.dumps(addresses)]):
        subprocess.run(["ipfs", *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    daemon = subprocess.Popen(["ipfs", "daemon", "--offline"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ((repo / "api").exists() and (repo / "gateway").exists()) and time.monotonic() < deadline:
            time.sleep(0.1)
        port = (repo / "api").read_text().rpartition("/")[2].strip()
        gateway = (repo / "gateway").read_text().strip()
        told = ["config", "Addresses.Gateway", f"/ip4/127.0.0.1/tcp/{gateway.rpartition(':')[2]}"]
        subprocess.run(["ipfs", *told], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield f"http://127.0.0.1:{port}", gateway, environment
    finally:
        daemon.terminate()
        daemon.wait()


class Remotes:
    """One file at a node, and the ways to have it."""

    def __init__(
        self, directory: Path, size: int, rounds: int, rpc: str, gateway: str, environment: dict[str, str]
    ) -> None:
        self.directory, self.size, self.rounds = directory, size, rounds
        self.gateway, self.environment = gateway, environment
        self.client = httpx.Client(timeout=PATIENCE)
        self.rpc = rpc
        self.remotes = {"gateway": read_remote({"gateway": gateway}), "node": read_remote({"kubo": rpc})}
        self.remotes["RPC alone"] = alone = read_remote({"kubo": rpc})
        alone.gateway = None
        self.path = directory / "bytes"
        with self.path.open("wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
        store = Store(directory / "origin")
        self.cid = str(store.add(self.path).cid)
        push(store, store.get(self.cid), self.remotes["node"])

    def ratios(self) -> Iterator[Ratio]:
        """All of them, in the same rounds."""
        others: dict[str, Callable[[], None]] = {"GET": self.plain, "SHA-256": self.sha256, "ipfs get": self.ipfs_get}
        others |= {"POST": self.plain_rpc, **self.ipfsspec()}
        others["cid://"] = self.read
        ours = {name: lambda name=name: self.fetch(name) for name in self.remotes}
        found = in_turns(
            {name: lambda work=work: self.rate(work) for name, work in {**ours, **others}.items()}, self.rounds
        )
        case = f"{self.size // MIB} MiB read through cid://"
        yield self.ratio(case, "fetch", found["cid://"], found["gateway"], aim=AIM_READ)
        slower = [min(pair) for pair in zip(found["GET"], found["SHA-256"], strict=True)]
        for name in self.remotes:
            case = f"{self.size // MIB} MiB from a Kubo's {name}"
            if name == "RPC alone":
                slowest = [min(pair) for pair in zip(found["POST"], found["SHA-256"], strict=True)]
                yield self.ratio(case, "the slower of POST and SHA-256", found[name], slowest, aim=AIM)
            aim = None if name == "RPC alone" else AIM
            yield self.ratio(case, "the slower of GET and SHA-256", found[name], slower, aim=aim)
            yield self.ratio(case, "ipfs get", found[name], found["ipfs get"])
            if "ipfsspec" in found:
                yield self.ratio(case, "ipfsspec (nothing verified)", found[name], found["ipfsspec"])
                yield self.ratio(case, "ipfsspec's CARs", found[name], found["ipfsspec's CARs"], aim=AIM_IPFSSPEC)

    def ratio(self, case: str, beside: str, ours: list[float], theirs: list[float], **options: Any) -> Ratio:
        return compare("remotes", case, beside, ours, theirs, "MB/s", better="higher", **options)

    def rate(self, work: Callable[[], None]) -> float:
        """Megabytes a second."""
        start = time.perf_counter()
        work()
        return self.size / 1e6 / (time.perf_counter() - start)

    def fetch(self, name: str) -> None:
        """Ours: verified, into an empty store."""
        target = self.directory / "target"
        fetch_into(Store(target), self.cid, [self.remotes[name]])
        shutil.rmtree(target)

    def read(self) -> None:
        """Ours: verified, the whole file at once, and nothing stored."""
        remotes = dask.config.set({"stargazer.remotes": [{"gateway": self.gateway}]})
        with remotes, Store(self.directory / "empty"), fsspec.open(f"cid://{self.cid}") as file:
            assert len(file.read()) == self.size

    def plain(self) -> None:
        """A GET of the file, to disk."""
        self._plain("GET", f"{self.gateway}/ipfs/{self.cid}")

    def plain_rpc(self) -> None:
        """The same of the RPC."""
        self._plain("POST", f"{self.rpc}/api/v0/cat?arg={self.cid}")

    def _plain(self, method: str, url: str) -> None:
        with self.client.stream(method, url) as answer, self.out() as out:
            for piece in answer.iter_raw():
                out.write(piece)

    def sha256(self) -> None:
        """hashlib over the same bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while piece := file.read(MIB):
                digest.update(piece)

    def ipfs_get(self) -> None:
        """Kubo's own command, to disk."""
        target = self.directory / "got"
        command = ["ipfs", "get", self.cid, "-o", str(target), "--progress=false"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        target.unlink()

    def ipfsspec(self) -> dict[str, Callable[[], None]]:
        """ipfsspec, to disk, and its reader of CARs; nothing where it is not installed."""
        try:
            from ipfsspec import AsyncIPFSFileSystem
            from ipfsspec.car import read_car
        except ImportError:
            return {}
        files = AsyncIPFSFileSystem(gateway_addr=self.gateway)

        def whole() -> None:
            with self.out() as out:
                out.write(files.cat_file(self.cid))

        def cars() -> None:
            answer = self.client.get(f"{self.gateway}/ipfs/{self.cid}?format=car&dag-scope=all")
            _, blocks = read_car(answer.content)
            with self.out() as out:
                for _, data, _ in blocks:
                    out.write(data)

        return {"ipfsspec": whole, "ipfsspec's CARs": cars}

    @contextmanager
    def out(self) -> Iterator[Any]:
        target = self.directory / "plain"
        with target.open("wb") as file:
            yield file
        target.unlink()
