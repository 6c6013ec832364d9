"""A store that is reached by a line alone, and what becomes of harmed bytes, broken lines and full disks."""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.config
import pytest
from houses import House

from stargazer.assets import Asset
from stargazer.errors import BlobLost, CIDMismatch, StoreError, StoreFull, StoreUnseen
from stargazer.ledger.signatures import own_key, sign_made
from stargazer.relay import connection as line_module
from stargazer.relay.protocol import CHUNK, WINDOW
from stargazer.store import Store, layout

File = Callable[..., Path]
LARGE = 4 * CHUNK + 12_345


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def leftovers(*stores: Store) -> list[str]:
    """Files that are half there, on either side; not what a task's own directory holds."""
    found = [store.context.scratch for store in stores] + [store.context.cache / "tmp" for store in stores]
    return [str(path) for place in found if place.exists() for path in place.glob("*") if path.is_file()]


def output(far: Store, name: str, data: bytes) -> Asset:
    _ = far.context.scratch.mkdir(parents=True, exist_ok=True)
    work = far.context.scratch / f"work-{name}"
    work.mkdir()
    (work / name).write_bytes(data)
    return Asset(path=work / name)


@pytest.mark.parametrize("size", [0, 1, 5000, CHUNK, CHUNK + 1, LARGE])
def test_a_file_comes_and_goes_whole(far: Store, store: Store, file: File, tmp_path: Path, size: int) -> None:
    stored = store.add(file("a", some(size)))
    staged = far.stage(stored, tmp_path / "inputs")
    assert staged.path.read_bytes() == some(size)
    saved = far.save(output(far, "b", some(size, 2)))
    assert (saved.source.url, store.read(str(saved.cid))) == (store.url, some(size, 2))
    assert store.fsck().ok
    assert leftovers(store, far) == []


def test_directories_and_companions_come_along(far: Store, store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    for number in range(300):
        (tree / f"{number}").write_bytes(some(number, number))
    (tree / "deep" / "large").write_bytes(some(LARGE))
    stored = store.add(tree, companions=[Asset(path=tree / "7", name="beside")])
    staged = far.stage(stored, tmp_path / "inputs")
    assert {path.name: path.read_bytes() for path in staged.path.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in tree.iterdir() if path.is_file()
    }
    assert (staged.path / "deep" / "large").read_bytes() == some(LARGE)
    assert (tmp_path / "inputs" / "beside").read_bytes() == some(7, 7)

    made = far.context.scratch / "work-tree"
    made.parent.mkdir(parents=True, exist_ok=True)
    tree.rename(made)
    (made / "new").write_text("new")
    saved = far.save(Asset(path=made))
    assert store.has(str(saved.cid))
    assert {entry.name for entry in store.dirs.entries(str(saved.cid))} == {*map(str, range(300)), "deep", "new"}
    assert store.fsck().ok


def test_what_lies_there_is_neither_fetched_nor_sent_again(
    house: House, far: Store, store: Store, file: File, tmp_path: Path
) -> None:
    stored = store.add(file("a", some(LARGE)))
    far.stage(stored, tmp_path / "one")
    sent = []
    house.read = house.written = lambda message: sent.append("part" in message) or message
    far.stage(stored, tmp_path / "two")
    house.worker().stage(stored, tmp_path / "three")
    saved = far.save(output(far, "a", some(LARGE)))
    assert saved.cid == stored.cid
    far.stage(far.save(Asset(path=output(far, "b", b"made here").path)), tmp_path / "four")
    assert sum(sent) == 1, "only what was made here went over the line"


def test_records_and_keys_are_looked_up_at_once(house: House, far: Store, store: Store) -> None:
    names = [store.records.put(b'{"n": %d}' % number) for number in range(50)]
    for number, name in enumerate(names):
        store.records.link_keys([f"key{number}"], name)
    asked = []
    house.written = lambda message: asked.append(message) or message
    found = far.records.behind([f"key{number}" for number in range(60)])
    assert {name for name, _ in found.values()} == set(names)
    assert len(asked) == 1
    name = far.records.put(b'{"n": "far"}')
    far.records.link_keys(["far"], name)
    assert store.records.behind(["far"]) == {"far": (name, b'{"n": "far"}')}


def test_what_a_worker_made_is_signed_at_home(far: Store, store: Store, tmp_path: Path) -> None:
    """Whose workers these are has a key at home; the worker's machine needs none. What merely arrives is not signed."""
    others = far.records.put(b'{"n": "of somebody else"}')
    assert store.records.signers([others]) == {}
    mine = far.records.put(b'{"n": "made here"}')
    sign_made(far.records, mine)
    key = own_key().public_key().public_bytes_raw().hex()
    assert store.records.signers([others, mine]) == {mine: {key}}
    assert far.records.get_signatures([mine], [key]) == store.records.get_signatures([mine], [key])


def flipped(times: int, only: Callable[[Any], bool] = lambda message: True) -> Callable[[Any], Any]:
    """Flip one bit of the first parts that pass."""
    left = [times]

    def flip(message: Any) -> Any:
        if "part" not in message or not left[0] or not only(message):
            return message
        left[0] -= 1
        (index, data), *rest = message["part"]
        place = len(data) // 2
        return {"part": [(index, data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]), *rest]}

    return flip


def cut(after: int, times: int = 1) -> Callable[[Any], Any]:
    """Break the connection at the n-th part, some times."""
    left, seen = [times], [0]

    def count(message: Any) -> Any:
        seen[0] += "part" in message
        if left[0] and "part" in message and seen[0] > after:
            left[0], seen[0] = left[0] - 1, 0
            raise ConnectionResetError("cut by the test")
        return message

    return count


@pytest.mark.parametrize(
    "spoil",
    [lambda: flipped(1), lambda: flipped(2), lambda: cut(0), lambda: cut(2, times=2)],
    ids=["a bit", "two bits", "cut at once", "cut midway, twice"],
)
@pytest.mark.parametrize("way", ["read", "written"])
def test_harmed_bytes_and_broken_lines_are_tried_again(
    house: House, far: Store, store: Store, file: File, tmp_path: Path, spoil: Callable[[], Any], way: str
) -> None:
    stored = store.add(file("a", some(LARGE)))
    setattr(house, way, spoil())
    assert far.stage(stored, tmp_path / "inputs").path.read_bytes() == some(LARGE)
    saved = far.save(output(far, "b", some(LARGE, 2)))
    assert store.read(str(saved.cid)) == some(LARGE, 2)
    assert store.fsck().ok
    assert leftovers(store, far) == []


def test_a_line_that_harms_everything_fails_clearly_and_keeps_nothing(
    house: House, far: Store, store: Store, file: File, tmp_path: Path
) -> None:
    stored = store.add(file("a", some(LARGE)))
    house.read = flipped(1000)
    with pytest.raises(CIDMismatch, match=r"harmed on its way"):
        far.stage(stored, tmp_path / "inputs")
    house.read, house.written = lambda message: message, flipped(1000)
    with pytest.raises(CIDMismatch, match=r"harmed on its way"):
        far.save(output(far, "b", some(LARGE, 2)))
    time.sleep(0.1)
    assert [path.name for path in (far.context.cache / "blobs").rglob("*") if path.is_file()] == []
    assert store.fsck().files == 1
    assert leftovers(store, far) == []
    assert (far.context.scratch / "work-b" / "b").read_bytes() == some(LARGE, 2), "what the task made is still there"


def test_nobody_at_home(
    house: House, far: Store, store: Store, file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "PATIENCE", 1.0)
    stored = store.add(file("a", b"a"))
    house.run(house.server.close())
    house.read = cut(0)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(StoreUnseen, match="the client that served it has ended"),
    ):
        far.stage(stored, tmp_path / "inputs")


def test_a_file_that_the_home_lost_is_lost(far: Store, store: Store, file: File, tmp_path: Path) -> None:
    stored, other = store.add(file("a", some(LARGE))), store.add(file("b", b"b"))
    blob = Path(store.backend.path(layout.blob(str(stored.cid))))
    blob.chmod(0o644)
    blob.write_bytes(b"evil")
    with pytest.raises(BlobLost) as caught:
        far.stage(stored, tmp_path / "inputs")
    assert caught.value.cid == stored.cid
    store.backend.remove(layout.blob(str(other.cid)))
    with pytest.raises(BlobLost, match="missing"):
        far.stage(other, tmp_path / "inputs")


@pytest.mark.parametrize("room", [CHUNK, LARGE - 1], ids=["after a part", "within the last part"])
def test_a_full_disk_of_the_worker_is_told(far: Store, store: Store, file: File, tmp_path: Path, room: int) -> None:
    stored = store.add(file("a", some(LARGE)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(StoreFull, match="no space left while writing"):
            far.stage(stored, tmp_path / "inputs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert leftovers(far) == []
    assert far.stage(stored, tmp_path / "inputs").path.stat().st_size == LARGE


@pytest.mark.parametrize(
    ("do", "values"),
    [
        ("read", [["pins/mine"]]),
        ("read", [["assets/../../../etc/passwd"]]),
        ("sizes", [["tmp/x"]]),
        ("put", [{"records/ab/x1abc": b"{}"}]),
        ("put", [{f"assets/00/{'0' * 64}": b"{}"}]),
        ("put", [{"store.json": b"{}"}]),
        ("put_record", ["0" * 64, b"{}"]),
        ("lead", [["key"], "0" * 64]),
        ("sign", ["0" * 64]),
        ("read", [["signatures/00/../../store.json"]]),
        ("gc", []),
    ],
)
def test_the_home_believes_no_worker(far: Store, store: Store, house: House, do: str, values: Any) -> None:
    with pytest.raises(StoreError):
        house.line().ask(do, *values)
    assert store.fsck().ok


def test_queries_are_not_for_workers(far: Store) -> None:
    with pytest.raises(StoreError, match="done where it is"):
        far.backend.names("pins")


def test_no_more_is_under_way_than_the_other_end_has_written(
    house: House, far: Store, store: Store, file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who sends counts parts when they leave, the one who writes when they are on the disk."""
    from stargazer.relay.protocol import Upload

    guard, sent, landed, most = threading.Lock(), [0], [0], [0]
    take = Upload.take

    def slow(self: Upload, part: Any) -> None:
        time.sleep(0.03)
        take(self, part)
        with guard:
            landed[0] += 1

    def leaving(message: Any) -> Any:
        with guard:
            sent[0] += "part" in message
            most[0] = max(most[0], sent[0] - landed[0])
        return message

    monkeypatch.setattr(Upload, "take", slow)
    house.written = leaving
    far.save(output(far, "b", some(12 * CHUNK, 2)))
    assert (sent[0], most[0]) == (12, WINDOW)


def test_two_tasks_that_want_one_file_fetch_it_once(house: House, store: Store, file: File, tmp_path: Path) -> None:
    stored, stores = store.add(file("a", some(LARGE))), [house.worker() for _ in range(4)]
    parts = []
    house.read = lambda message: parts.append("part" in message) or message
    threads = [
        threading.Thread(target=each.stage, args=(stored, tmp_path / str(number))) for number, each in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(parts) == 5
    assert all((tmp_path / str(number) / "a").read_bytes() == some(LARGE) for number in range(4))


def test_a_store_travels_by_its_url(far: Store, store: Store) -> None:
    import pickle

    assert (far.url, far.id) == (store.url, store.id)
    assert pickle.loads(pickle.dumps(far)) is Store.open(store.url)
    assert os.path.dirname(str(far.context.cache)) != os.path.dirname(str(store.context.cache))


def test_the_cache_of_a_worker_keeps_its_limit(far: Store, store: Store, file: File, tmp_path: Path) -> None:
    """Ten files of 100 kB, of which 350 kB may stay; a task that takes five has them all while it runs."""
    stored = [store.add(file(str(number), some(100_000, number))) for number in range(10)]
    blobs = far.context.cache / "blobs"

    def cached() -> int:
        return sum(path.stat().st_size for path in blobs.rglob("*") if path.is_file())

    with dask.config.set({"stargazer.cache-size": "350 kB"}):
        for number, asset in enumerate(stored):
            with far.blobs.in_use():
                far.stage(asset, tmp_path / "one" / str(number))
            assert 0 < cached() <= 350_000
        with far.blobs.in_use():
            staged = [far.stage(asset, tmp_path / "all") for asset in stored[:5]]
            far.save(output(far, "made", some(100_000, 99)))
            assert cached() == 600_000
            assert [each.path.read_bytes() for each in staged] == [some(100_000, number) for number in range(5)]
        assert 0 < cached() <= 350_000
    (far.context.cache / "lock").unlink()
    with dask.config.set({"stargazer.cache-size": "100 kB"}), far.blobs.in_use():
        far.stage(stored[9], tmp_path / "last")
    assert cached() <= 100_000, "what lay there before is counted"
