"""ipfs:// through ipfsspec: what it returns is checked, in ranges and in sharded directories too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from gateways import EVIL, Gateway, blocks_of

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
