"""A real Kubo node: its CIDs are ours, what we send it has, and what it has we get."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dags import Dag
from gateways import Gateway
from nodes import Node, make

import stargazer as sg
from stargazer.cid import PROFILES
from stargazer.errors import RemoteLacks
from stargazer.remotes import RemoteWarning, fetch_into, push, read_remote
from stargazer.remotes.kubo import Kubo
from stargazer.store import Store
from stargazer.store.directories import OddEntry

MIB = 1 << 20
SMALL = 2 * MIB
Random = Callable[[int], Path]

CHUNKING = {
    "kubo-v1-256k-174": ["--chunker=size-262144", "--max-file-links=174", "--raw-leaves"],
    "unixfs-v1-2025": ["--chunker=size-1048576", "--max-file-links=1024", "--raw-leaves"],
}


def there_and_back(cid: str, store: Store, kubo: Kubo, node: Node, tmp_path: Path) -> Iterator[Store]:
    """Send it, and yield new stores that got it from the RPC and from the gateway."""
    push(store, store.get(cid), kubo)
    assert kubo.is_pinned(cid)
    for name, remote in (("rpc", kubo), ("gateway", read_remote({"gateway": node.gateway}))):
        other = Store(tmp_path / f"from-{name}", profile=store.context.profile.name)
        fetch_into(other, cid, [remote])
        assert other.fsck().ok
        yield other
    kubo.unpin(cid)


@pytest.mark.parametrize("size", [0, 1, 262145, 48 * MIB + 1])
def test_files(size: int, store: Store, kubo: Kubo, node: Node, tmp_path: Path, random_file: Random) -> None:
    path = random_file(size)
    cid = str(store.add(path).cid)
    assert node.only_hash(path) == cid
    for other in there_and_back(cid, store, kubo, node, tmp_path):
        assert other.read(cid) == path.read_bytes()
        assert node.run("cat", cid) == path.read_bytes()


@pytest.mark.parametrize("entries", [7_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_sharded_directories(entries: int, store: Store, kubo: Kubo, node: Node, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(entries):
        (root / f"c.{number}").write_text(str(number % 7))
    cid = str(store.add(root).cid)
    assert node.only_hash(root) == cid
    push(store, store.get(cid), kubo)
    other = Store(tmp_path / "other")
    fetch_into(other, cid, [kubo])
    assert other.fsck().ok
    assert len(other.dirs.entries(cid)) == entries
    assert other.read(other.resolve(f"{cid}/c.5432")) == str(5432 % 7).encode()
    assert len(node.run("ls", "--size=false", "--resolve-type=false", cid).splitlines()) == entries
    lone = Store(tmp_path / "lone")
    fetch_into(lone, f"{cid}/c.6999", [kubo])
    assert not lone.has(cid)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_a_name_that_comes_twice_the_node_gives_the_first_as_we_do(
    order: tuple[int, int], store: Store, kubo: Kubo, node: Node, tmp_path: Path
) -> None:
    dag = Dag()
    twins = [(dag.raw(b"one"), b"name", 3), (dag.raw(b"other"), b"name", 5)]
    cid = dag.directory(*(twins[each] for each in order))
    path = tmp_path / "twins.car"
    path.write_bytes(dag.car(cid))
    node.run("dag", "import", path)
    first = node.run("cat", f"{cid}/name")
    for number, remote in enumerate((kubo, read_remote({"gateway": node.gateway}))):
        with pytest.warns(RemoteWarning, match="'name' appears twice"):
            fetch_into(store, cid, [remote])
        with pytest.warns(OddEntry, match="'name' appears twice"):
            assert store.read(f"{cid}/name") == first
        store = Store(tmp_path / f"next-{number}")
    node.run("pin", "rm", cid)


def test_a_zarr(store: Store, kubo: Kubo, node: Node, tmp_path: Path, configure: Callable[..., None]) -> None:
    zarr = pytest.importorskip("zarr")
    import numpy as np

    values = np.random.default_rng(7).normal(size=(700, 300))
    group = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=2)
    group.create_array("a", shape=values.shape, chunks=(100, 100), dtype="f8")[:] = values
    stored = store.add(tmp_path / "x.zarr")
    cid = str(stored.cid)
    assert node.only_hash(tmp_path / "x.zarr") == cid
    for other in there_and_back(cid, store, kubo, node, tmp_path):
        assert (zarr.open_group(other.fetch(cid), mode="r")["a"][:] == values).all()
    configure({"kubo": node.rpc})
    with Store(tmp_path / "empty") as empty:
        assert (zarr.open_group(f"cid://{cid}", mode="r")["a"][650, 200:] == values[650, 200:]).all()
        assert not empty.made


def test_what_is_not_pinned_goes_and_what_is_stays(store: Store, kubo: Kubo, node: Node, random_file: Random) -> None:
    kept, lost = (str(store.add(random_file(size)).cid) for size in (300_001, 300_002))
    for cid in (kept, lost):
        push(store, store.get(cid), kubo)
    kubo.unpin(lost)
    node.run("repo", "gc")
    assert [kubo.has(cid) for cid in (kept, lost)] == [True, False]
    with pytest.raises(RemoteLacks, match="not pinned"):
        kubo.unpin(lost)
    with pytest.raises(RemoteLacks):
        kubo.pin(lost)
    push(store, store.get(lost), kubo)
    assert kubo.is_pinned(lost)


class Enough(Exception):
    pass


def stop_after(most: int) -> Callable[[int], None]:
    came: list[int] = []

    def count(size: int) -> None:
        came.append(size)
        if sum(came) >= most:
            raise Enough

    return count


def test_what_was_cut_off_goes_on(store: Store, kubo: Kubo, tmp_path: Path, random_file: Random) -> None:
    path = random_file(100 * MIB)
    cid = str(store.add(path).cid)
    with pytest.raises(Enough):
        kubo.push(cid, store, stop_after(60 * MIB))
    assert not kubo.has(cid)
    sent: list[int] = []
    kubo.push(cid, store, sent.append)
    assert sum(sent) < 60 * MIB
    kubo.push(cid, store, sent.append)
    other = Store(tmp_path / "other")
    with pytest.raises(Enough):
        fetch_into(other, cid, [kubo], stop_after(70 * MIB))
    assert not other.has(cid)
    assert other.fsck().ok
    came: list[int] = []
    fetch_into(other, cid, [kubo], came.append)
    assert sum(came) < 35 * MIB
    assert other.fsck().ok
    assert other.read(cid) == path.read_bytes()
    kubo.unpin(cid)


def test_its_gateway_sends_what_is_large(
    store: Store, node: Node, tmp_path: Path, random_file: Random, serve: Callable[..., Gateway]
) -> None:
    path = random_file(10 * MIB)
    cid = str(store.add(path).cid)
    somebody = serve({})
    for port, used in ((node.gateway.rpartition(":")[2], True), (somebody.url.rpartition(":")[2], False)):
        node.run("config", "Addresses.Gateway", f"/ip4/127.0.0.1/tcp/{port}")
        remote = read_remote({"kubo": node.rpc, "name": "home", "timeout": 120})
        assert isinstance(remote, Kubo)
        push(store, store.get(cid), remote)
        assert (remote.gateway is not None) == used
        other = Store(tmp_path / port)
        fetch_into(other, cid, [remote])
        assert other.read(cid) == path.read_bytes()
        remote.unpin(cid)
    node.run("config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/0")
    assert [wanted for wanted, _ in somebody.asked] == ["raw"]


@pytest.fixture(scope="session")
def vectors(shared_data: Path) -> Any:
    return json.loads((shared_data / "cid_vectors.json").read_text())


def vector_files(vectors: Any, folder: Path, *, large: bool) -> Iterator[tuple[Path, dict[str, str]]]:
    sizes = sorted(map(int, vectors["files"]))
    whole = hashlib.shake_256(b"stargazer").digest(sizes[-1] if large else SMALL)
    for size in sizes:
        if (size > SMALL) == large:
            path = folder / str(size)
            path.write_bytes(whole[:size])
            yield path, vectors["files"][str(size)]
            path.unlink()


def both_ways(path: Path, cids: dict[str, str], kubo: Kubo, node: Node, tmp_path: Path) -> None:
    """What Kubo made we read, and what we made Kubo reads."""
    for profile in PROFILES:
        cid = cids[profile.name]
        assert node.add(path, *CHUNKING[profile.name]) == cid
        got = Store(tmp_path / f"{path.name}-{profile.name}-got", profile=profile.name)
        fetch_into(got, cid, [kubo])
        assert got.read(cid) == path.read_bytes()
        node.run("repo", "gc")
        ours = Store(tmp_path / f"{path.name}-{profile.name}-ours", profile=profile.name)
        assert ours.add(path).cid == cid
        push(ours, ours.get(cid), kubo)
        assert node.run("cat", cid) == path.read_bytes()
        kubo.unpin(cid)


def test_small_files_of_the_vectors_both_ways(vectors: Any, kubo: Kubo, node: Node, tmp_path: Path) -> None:
    for path, cids in vector_files(vectors, tmp_path, large=False):
        both_ways(path, cids, kubo, node, tmp_path)


@pytest.mark.slow
def test_large_files_of_the_vectors_both_ways(
    vectors: Any, kubo: Kubo, node: Node, tmp_path: Path, short: bool
) -> None:
    for number, (path, cids) in enumerate(vector_files(vectors, tmp_path, large=True)):
        if number == 1 or not short:
            both_ways(path, cids, kubo, node, tmp_path)


CONTENTS: dict[str, Callable[[], dict[str, bytes | None]]] = {
    "empty": dict,
    "one_file": lambda: {"hello.txt": b"hello world"},
    "nested": lambda: {
        "a.txt": b"",
        "b/c.bin": hashlib.shake_256(b"stargazer").digest(262145),
        "b/d/e.txt": b"hello world\n",
        "b/f": None,
    },
    "flat_1000": lambda: {f"{number:05}": str(number).encode() for number in range(1000)},
    "flat_20000_hamt": lambda: {f"c.{number}": str(number % 7).encode() for number in range(20_000)},
}


def directory(root: Path, contents: dict[str, bytes | None]) -> Path:
    root.mkdir()
    for path, data in contents.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if data is None else target.write_bytes(data)
    return root


ONE_BY_ONE = [pytest.param(name, marks=[pytest.mark.slow] if "20000" in name else []) for name in CONTENTS]


@pytest.mark.parametrize("profile", [each.name for each in PROFILES])
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_directories_of_the_vectors_both_ways(
    name: str, profile: str, vectors: Any, kubo: Kubo, node: Node, tool: Callable[[str], str], tmp_path: Path
) -> None:
    root, cid = directory(tmp_path / name, CONTENTS[name]()), vectors["directories"][name]["cids"][profile]
    options = [] if profile.startswith("kubo") else CHUNKING[profile]
    theirs = make(tool("ipfs"), tmp_path / "theirs", *([] if profile.startswith("kubo") else [profile]))
    assert theirs.add(root, *options) == cid
    ours = Store(tmp_path / "ours", profile=profile)
    assert ours.add(root).cid == cid
    for other in there_and_back(cid, ours, kubo, node, tmp_path):
        assert dict(other.walk(cid)) == dict(ours.walk(cid))
    node.run("repo", "gc")
    (tmp_path / "their.car").write_bytes(theirs.run("dag", "export", cid, "--progress=false"))
    node.run("dag", "import", "--pin-roots=false", tmp_path / "their.car")
    got = Store(tmp_path / "got", profile=profile)
    fetch_into(got, cid, [kubo])
    assert dict(got.walk(cid)) == dict(ours.walk(cid))


def test_real_data(shared_data: Path, store: Store, kubo: Kubo, node: Node, tmp_path: Path) -> None:
    reads = shared_data / "tp53/NA12829_TP53_R1.fq.gz"
    cid = str(store.add(reads, sg.R1(sample_id="NA12829")).cid)
    assert cid == "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"
    for other in there_and_back(cid, store, kubo, node, tmp_path):
        assert other.read(cid) == reads.read_bytes()


FETCH = """
import sys
from stargazer.remotes import RemoteWarning, fetch_into, push, read_remote
from stargazer.store import Store
url, rpc, cid, verb = sys.argv[1:]
store, remote = Store(url), read_remote({"kubo": rpc, "timeout": 120})
told = lambda size: print(size, flush=True)
fetch_into(store, cid, [remote], told) if verb == "fetch" else remote.push(cid, store, told)
"""


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["push", "fetch"])
def test_killed_at_any_moment(
    verb: str, store: Store, kubo: Kubo, node: Node, tmp_path: Path, random_file: Random, short: bool
) -> None:
    path = random_file((64 if short else 256) * MIB)
    cid = str(store.add(path).cid)
    if verb == "fetch":
        push(store, store.get(cid), kubo)
    used = store if verb == "push" else Store(tmp_path / "other")
    command = [sys.executable, "-c", FETCH, used.url, node.rpc, cid, verb]
    for lines in (1, 2) if verb == "push" else (1, 7, 40):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert used.fsck().ok
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert used.fsck().ok
    assert kubo.is_pinned(cid)
    assert used.read(cid) == path.read_bytes()
    kubo.unpin(cid)
