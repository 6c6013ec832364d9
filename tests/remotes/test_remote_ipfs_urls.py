"""ipfs:// through ipfsspec: what it returns is checked, in ranges and in sharded directories too."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from dags import Dag
from gateways import EVIL, Gateway, Request, blocks_of

from stargazer.errors import RemoteError
from stargazer.remotes.filesystem import VerifiedIPFSFileSystem, verify_ipfs
from stargazer.store import Store

pytest.importorskip("ipfsspec")

MIB = 1 << 20


@pytest.fixture
def verified() -> Iterator[None]:
    from fsspec.registry import _registry

    before = _registry.get("ipfs")
    verify_ipfs()
    yield
    _registry.pop("ipfs")
    if before:
        _registry["ipfs"] = before


@pytest.mark.usefixtures("verified")
def test_files_and_ranges(origin: Store, serve: Callable[..., Gateway], random_file: Callable[[int], Path]) -> None:
    path = random_file(3 * MIB + 5)
    cid = str(origin.add(path).cid)
    gateway = serve(blocks_of(origin, cid))
    with fsspec.open(f"ipfs://{cid}", gateway_addr=gateway.url) as stream:
        assert stream.read() == path.read_bytes()
    fs = fsspec.filesystem("ipfs", gateway_addr=gateway.url)
    before = len(gateway.asked)
    assert fs.cat_file(cid, 2 * MIB, 2 * MIB + 10) == path.read_bytes()[2 * MIB : 2 * MIB + 10]
    assert len(gateway.asked) - before <= 3
    assert fs.info(cid)["size"] == 3 * MIB + 5
    with pytest.raises(FileNotFoundError):
        fs.info("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")


def test_sharded_directories(origin: Store, serve: Callable[..., Gateway], tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(3300):
        (root / f"entry number {number} of many, which is a long name").write_text(str(number % 7))
    cid = str(origin.add(root).cid)
    fs = VerifiedIPFSFileSystem(gateway_addr=serve(blocks_of(origin, cid)).url)
    assert len(fs.ls(cid, detail=False)) == 3300
    assert fs.cat(f"{cid}/entry number 1234 of many, which is a long name") == str(1234 % 7).encode()
    with pytest.raises(FileNotFoundError, match="no 'nothing'"):
        fs.info(f"{cid}/nothing")


@pytest.mark.parametrize("evil", ["flipped", "shortened", "wrong", "endless"])
def test_evil_answers_are_refused(
    evil: str, origin: Store, serve: Callable[..., Gateway], random_file: Callable[[int], Path]
) -> None:
    cid = str(origin.add(random_file(MIB)).cid)
    fs = VerifiedIPFSFileSystem(gateway_addr=serve(blocks_of(origin, cid), EVIL[evil]).url)
    with pytest.raises(RemoteError, match=r"GW\(.* sent"):
        fs.cat_file(cid)


def test_who_goes_from_directory_to_directory_has_the_next_ones_ready(
    store: Store, tmp_path: Path, serve: Callable[..., Gateway], configure: Callable[..., None]
) -> None:
    origin = Store(tmp_path / "rows")
    for row in range(12):
        for column in range(3):
            place = tmp_path / f"array/c/{row:02}/{column}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"%d %d" % (row, column))
    cid = str(origin.add(tmp_path / "array").cid)
    blocks = blocks_of(origin, cid)
    gateway = serve(blocks)
    configure({"gateway": gateway.url})
    fs = fsspec.filesystem("cid")
    rows = [origin.resolve(f"{cid}/c/{row:02}") for row in range(12)]
    assert fs.cat_file(f"{cid}/c/00/0") == b"0 0"
    assert not set(rows[1:]) & set(gateway.raw()), "one look is no walk"
    assert fs.cat_file(f"{cid}/c/01/0") == b"1 0"
    deadline = time.monotonic() + 60
    while not set(rows[2:10]) <= set(gateway.raw()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for row in range(12):
        assert fs.cat([f"{cid}/c/{row:02}/{column}" for column in range(3)]) == {
            f"{cid}/c/{row:02}/{column}": b"%d %d" % (row, column) for column in range(3)
        }
    assert sorted(gateway.raw()) == sorted(blocks), "each block was asked for once"


def test_what_we_do_not_read_is_passed_over_on_the_way_to_neighbours(
    store: Store, serve: Callable[..., Gateway], configure: Callable[..., None]
) -> None:
    dag = Dag()
    rows = {name: dag.directory((dag.raw(name), b"0", 1)) for name in (b"a", b"b", b"d", b"e")}
    links = [(cid, name, 1) for name, cid in rows.items()] + [(b"\x01\x71\x12\x20" + bytes(32), b"c", 1)]
    root = dag.directory(*links)
    configure({"gateway": serve(dag).url})
    fs = fsspec.filesystem("cid")
    for name in rows:
        assert fs.cat_file(f"{root}/{name.decode()}/0") == name


def test_callers_with_an_event_loop_read_many_at_once(
    store: Store, tmp_path: Path, serve: Callable[..., Gateway], configure: Callable[..., None]
) -> None:
    origin, together = Store(tmp_path / "many"), threading.Barrier(12, timeout=60)
    for number in range(12):
        place = tmp_path / f"chunks/{number:02}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"chunk %d" % number)
    cid = str(origin.add(tmp_path / "chunks").cid)
    blocks = blocks_of(origin, cid)

    def answer(request: Request, block: bytes) -> None:
        if block.startswith(b"chunk"):
            together.wait()  # twelve are under way, or the test fails
        request.answer(block)

    gateway = serve(blocks, answer)
    configure({"gateway": gateway.url})
    fs = fsspec.filesystem("cid", asynchronous=True)
    assert fs.async_impl

    async def read() -> list[bytes]:
        return list(await asyncio.gather(*(fs._cat_file(f"{cid}/{number:02}") for number in range(12))))

    assert asyncio.run(read()) == [b"chunk %d" % number for number in range(12)]
    assert asyncio.run(fs._info(f"{cid}/03"))["size"] == 7
    assert len(asyncio.run(fs._ls(cid))) == 12
