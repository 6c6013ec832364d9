"""Transfers that are killed at random moments go on, and leave nothing that is half done."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from gateways import Gateway, blocks_of
from nodes import make, running
from pinata_stand_in import JWT, standing_in
from psutil import pid_exists
from text_tasks import made, wired

import stargazer as sg
from stargazer.remotes import make_bundle, push, read_remote
from stargazer.remotes.kubo import Kubo
from stargazer.store import Store

MIB = 1 << 20
SIZE = 12 * MIB
FULL, SHORT = 40, 3
PAUSE = 0.03
Serve = Callable[..., Gateway]


class Transfers:
    """The program that transfers, and is killed."""

    def __init__(self, process: subprocess.Popen[str], seed: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to: IO[str] = process.stdin
        self._from: IO[str] = process.stdout
        self.random = random.Random(seed)

    def _begin(self, verb: str, **options: Any) -> int:
        self._to.write(json.dumps([verb, options]) + "\n")
        self._to.flush()
        return int(self._from.readline().split()[1])

    def killed(self, verb: str, size: int, **options: Any) -> bool:
        """Begin a transfer and kill it after a random number of bytes, and a moment; whether it was that far."""
        pid = self._begin(verb, **options)
        enough, came, line = self.random.uniform(-0.2, 1) * size, 0, ""
        while came < enough and not line.startswith("ended"):
            line = self._from.readline()
            came += 0 if line.startswith("ended") else int(line)
        time.sleep(self.random.uniform(0, PAUSE))
        if not line.startswith("ended"):
            with suppress(ProcessLookupError):  # it was faster
                os.kill(pid, signal.SIGKILL)
            while not line.startswith("ended"):
                line = self._from.readline()
        code = int(line.split()[1])
        assert code in (0, -signal.SIGKILL)
        return code != 0

    def done(self, verb: str, **options: Any) -> int:
        """Transfer to the end; how many bytes came."""
        self._begin(verb, **options)
        lines = list(iter(lambda: self._from.readline().strip(), "ended 0"))
        assert not [line for line in lines if not line or line.startswith("ended")]
        return sum(map(int, lines))


@contextmanager
def transferring(seed: int) -> Iterator[Transfers]:
    program = Path(__file__).with_name("transfers.py")
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Transfers(process, seed)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def transfers(request: pytest.FixtureRequest) -> Iterator[Transfers]:
    with transferring(sum(request.node.name.encode())) as started:
        yield started


TEMPORARY = re.compile(r"[0-9a-f]+-(\d+)-\d+")


@pytest.fixture(params=[SHORT, pytest.param(FULL, marks=pytest.mark.slow)], ids=["few", "many"])
def kills(request: pytest.FixtureRequest, short: bool) -> int:
    """How often."""
    if request.param == FULL and short:
        pytest.skip("the short form is in the default run")
    return int(request.param)


def contents(folder: Path, number: int) -> Path:
    """A directory that no other number gives: a large file, a smaller one, small ones."""
    root = folder / f"tree-{number}"
    (root / "b").mkdir(parents=True)
    data = hashlib.shake_256(b"kills %d" % number).digest(SIZE)
    (root / "large").write_bytes(data[: SIZE - MIB])
    (root / "b/smaller").write_bytes(data[SIZE - MIB :])
    for name in range(20):
        (root / "b" / str(name)).write_bytes(b"%d" % (number + name))
    return root


def leftovers(store: Store) -> list[str]:
    """What lies about, but for a temporary file whose writer was killed before it got its name: `gc` takes that."""
    names = [path.name for path in store.context.scratch.iterdir()] if store.context.scratch.exists() else []
    return [name for name in names if not ((made := TEMPORARY.fullmatch(name)) and not pid_exists(int(made[1])))]


def rounds(kills: int, transfers: Transfers, begin: Callable[[int], tuple[dict[str, Any], Callable[[], None]]],
           verb: str) -> None:  # fmt: skip
    """Kill transfers until there were enough; each goes on until it is done, then comes the next."""
    count = number = 0
    while count < kills:
        number += 1
        options, check = begin(number)
        while count < kills and transfers.killed(verb, SIZE, **options):
            count += 1
            check()
        transfers.done(verb, **options)
        check()
        assert transfers.done(verb, **options) == 0


@pytest.mark.parametrize("way", ["store", "gateway", "kubo"])
def test_fetches(
    way: str, kills: int, transfers: Transfers, origin: Store, serve: Serve, tmp_path: Path,
    tool: Callable[[str], str],
) -> None:  # fmt: skip
    def begin(number: int) -> tuple[dict[str, Any], Callable[[], None]]:
        cid = str(origin.add(contents(tmp_path, number)).cid)
        if way == "gateway":
            entry["gateway"] = serve(blocks_of(origin, cid), cars=number % 2 == 0, bodies=number % 3 == 0).url
        if way == "kubo":
            push(origin, origin.get(cid), read_remote(entry))
        target = Store(tmp_path / f"target-{number}")

        def check() -> None:
            assert target.fsck().ok
            if target.has(cid):
                assert dict(target.walk(cid)) == dict(origin.walk(cid))
                assert leftovers(target) == []

        return {"store": target.url, "entry": entry, "cid": cid}, check

    entry: dict[str, Any] = {"store": origin.url} if way == "store" else {}
    if way != "kubo":
        rounds(kills, transfers, begin, "fetch")
        return
    with running(make(tool("ipfs"), tmp_path / "kubo")) as node:
        entry = {"kubo": node.rpc, "timeout": 120}
        rounds(kills, transfers, begin, "fetch")


@pytest.mark.parametrize("way", ["store", "kubo"])
def test_pushes(
    way: str, kills: int, transfers: Transfers, origin: Store, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    def begin(number: int) -> tuple[dict[str, Any], Callable[[], None]]:
        cid = str(origin.add(contents(tmp_path, number)).cid)
        lab = Store(tmp_path / f"lab-{number}")
        told = entry or {"store": lab.url}

        def check() -> None:
            assert lab.fsck().ok
            remote = read_remote(told)
            there = remote.is_pinned(cid) if isinstance(remote, Kubo) else remote.has(cid)
            if there:
                other = Store(tmp_path / f"other-{number}")
                sg.remotes.fetch_into(other, cid, [remote])
                assert dict(other.walk(cid)) == dict(origin.walk(cid))

        return {"store": origin.url, "entry": told, "cid": cid}, check

    entry: dict[str, Any] = {}
    if way == "store":
        rounds(kills, transfers, begin, "push")
    else:
        with running(make(tool("ipfs"), tmp_path / "kubo")) as node:
            entry = {"kubo": node.rpc, "timeout": 120}
            rounds(kills, transfers, begin, "push")
    assert origin.fsck().ok


def test_uploads_in_parts(kills: int, origin: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINATA_JWT", JWT)
    with standing_in() as service, transferring(7) as transfers:
        entry = {"pinata": "private", "api": service.url, "uploads": service.url, "timeout": 60}

        def begin(number: int) -> tuple[dict[str, Any], Callable[[], None]]:
            path = contents(tmp_path, number) / "large"
            cid = str(origin.add(path, sg.Asset(facts={"number": str(number)})).cid)

            def check() -> None:
                assert service.bytes.get(cid, path.read_bytes()) == path.read_bytes()
                assert len([each for each in service.files["private"] if each["cid"] == cid]) <= 1

            return {"store": origin.url, "entry": entry, "cid": cid}, check

        rounds(kills, transfers, begin, "push")
        notes = origin.context.cache / "uploads"
        assert not list(notes.iterdir())


def test_bundles(kills: int, transfers: Transfers, origin: Store, tmp_path: Path) -> None:
    def begin(number: int) -> tuple[dict[str, Any], Callable[[], None]]:
        root = contents(tmp_path, number)
        added = [origin.add(root / "large", sg.R1(sample_id=f"s{number}")), origin.add(root)]
        path = tmp_path / f"bundle-{number}.yaml"
        path.write_text(make_bundle("some", added, origin).to_yaml())
        target = Store(tmp_path / f"target-{number}")

        def check() -> None:
            assert target.fsck().ok
            found = target.assemble(asset="r1")
            assert [target.exists(each) for each in found] == [True] * len(found)

        return {"store": target.url, "entry": {"store": origin.url}, "name": str(path)}, check

    rounds(kills, transfers, begin, "bundle")


@pytest.mark.parametrize("verb", ["lineage", "compute"])
def test_results_with_their_history(verb: str, kills: int, transfers: Transfers, store: Store, tmp_path: Path) -> None:
    source, result = made(store, tmp_path, hashlib.shake_256(b"history").hexdigest(MIB))

    def begin(number: int) -> tuple[dict[str, Any], Callable[[], None]]:
        other = Store(tmp_path / f"other-{number}")
        with other:
            call = wired(other.add(tmp_path / "text.txt"))

        def check() -> None:
            assert other.fsck().ok
            if (known := call.known()) is not None:
                assert known[0].fetch().read_bytes() == result.fetch().read_bytes()
                assert len(sg.trace(known[0]).records) == 2

        entry = {"store": store.url if verb == "compute" else other.url, "trust": True}
        used = other if verb == "compute" else store
        return {"store": used.url, "entry": entry, "cid": str(result.cid)}, check

    rounds(kills, transfers, begin, verb)
    assert source.fetch().stat().st_size == 2 * MIB
