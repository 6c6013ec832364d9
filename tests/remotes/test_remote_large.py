"""Files larger than memory should be: every way takes constant memory, and tells how far it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes import Node, make, running
from pinata_stand_in import JWT, standing_in

from stargazer.store import Store

MIB = 1 << 20
LARGE, SHORT = 5 * 1024 * MIB, 224 * MIB
MOST_GROWN, MOST_SENT = 100, 200
"""MiB: a part of 48 MB on its way to Pinata; batches of 8 MiB to Kubo leave holes: 160 MiB of 0.5 GB, and of 5 GB."""

MEASURED = """
import json, resource, sys
import transfers
came = []
transfers.told = came.append
verb, options = json.loads(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
small = options.pop("small")
transfers.do(verb, **{**options, "cid": small})
before = peak()
came.clear()
transfers.do(verb, **options)
print(json.dumps([sum(came), len(came), peak() - before]))
"""


def measured(verb: str, store: Store, entry: dict[str, Any], cid: str, small: str) -> tuple[int, int, int]:
    """Bytes and times that progress was told, and by how many MiB memory grew, after a small file went the same way."""
    wanted = json.dumps([verb, {"store": store.url, "entry": entry, "cid": cid, "small": small}])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, wanted], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    came, times, grown = json.loads(done.stdout)
    return came, times, grown


@pytest.fixture
def large(origin: Store, tmp_path: Path, short: bool) -> tuple[str, str, int]:
    """CIDs of a large file of which no two chunks are equal, and of one of 3 MiB; and the size of the former."""
    size = SHORT if short else LARGE
    names = []
    for name, many in (("small", 12), ("large", size >> 18)):
        path = tmp_path / name
        with path.open("wb") as file:
            for number in range(many):
                file.write(name.encode() + number.to_bytes(8, "big") + bytes((1 << 18) - 8 - len(name)))
        names.append(str(origin.add(path).cid))
        path.unlink()
    return names[1], names[0], size


@pytest.fixture
def node(tool: Callable[[str], str], tmp_path: Path) -> Iterator[Node]:
    with running(make(tool("ipfs"), tmp_path / "kubo")) as started:
        yield started


def check(told: tuple[int, int, int], size: int, most: int = MOST_GROWN) -> None:
    came, times, grown = told
    assert came == size
    assert times > 1
    assert grown < most


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_stores(origin: Store, large: tuple[str, str, int], tmp_path: Path) -> None:
    cid, small, size = large
    lab, mine = Store(tmp_path / "lab"), Store(tmp_path / "mine")
    check(measured("push", origin, {"store": lab.url}, cid, small), size)
    origin.backend.remove(f"blobs/{cid[-3:-1]}/{cid}")
    check(measured("fetch", mine, {"store": lab.url}, cid, small), size)
    assert mine.fsck().ok
    assert mine.has(cid)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kubo_and_its_gateway(origin: Store, large: tuple[str, str, int], tmp_path: Path, node: Node) -> None:
    cid, small, size = large
    check(measured("push", origin, {"kubo": node.rpc, "timeout": 300}, cid, small), size, MOST_SENT)
    origin.backend.remove(f"blobs/{cid[-3:-1]}/{cid}")
    for entry in ({"kubo": node.rpc, "timeout": 120}, {"gateway": node.gateway, "timeout": 120}):
        mine = Store(tmp_path / "mine")
        check(measured("fetch", mine, entry, cid, small), size)
        assert mine.fsck().ok
        assert mine.has(cid)
        mine.backend.remove(f"blobs/{cid[-3:-1]}/{cid}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_pinata(origin: Store, large: tuple[str, str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cid, small, size = large
    monkeypatch.setenv("PINATA_JWT", JWT)
    mine = Store(tmp_path / "mine")
    with standing_in() as service:
        entry = {"pinata": "public", "api": service.url, "uploads": service.url, "gateway": service.url, "timeout": 300}
        check(measured("push", origin, entry, cid, small), size)
        check(measured("fetch", mine, entry, cid, small), size)
    assert mine.fsck().ok
    assert mine.has(cid)
