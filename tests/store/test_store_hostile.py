"""Odd files in a store that others may write to: right, or one clear error, and nothing outside changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import socket
import stat
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stargazer.errors import AssetError, BlobLost, InputChanged, StoreError
from stargazer.store import Store, layout, pins
from stargazer.store.folders import last_change, opened, remove_tree
from stargazer.store.layout import DEEPEST, is_result, read_json
from stargazer.store.names import place_of
from stargazer.store.records import seal

File = Callable[..., Path]
NOW = -60.0
OLD = time.time() - 30 * 86400
NOBODY = 65534


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the store, which must be as it was."""
    folder = tmp_path / "precious"
    (folder / "aa").mkdir(parents=True)
    (folder / "thesis.txt").write_text("thesis")
    (folder / "aa" / ("a" * 64)).write_text("chapter")
    before = snapshot(folder)
    yield folder
    assert snapshot(folder) == before


def snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """What lies in a folder, and when it changed."""
    found = [folder, *sorted(folder.rglob("*"))]
    return {str(path): (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_ctime_ns) for path in found}


def own_place(store: Store, kind: str, data: bytes) -> Path:
    """Plant a record that is what its name says."""
    name = hashlib.sha256(data).hexdigest()
    path = Path(store.backend.path(f"{kind}/{name[-3:-1]}/{name}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["tmp", "quarantine", "blobs", "trees", "assets", "records", "keys", "pins", "leases"])
def test_a_top_folder_that_is_a_link_is_refused(local: Store, file: File, outside: Path, name: str) -> None:
    local.pin("p", local.add(file("x", "x")))
    folder = Path(local.backend.path(name))
    if folder.is_dir():
        folder.rename(folder.with_name(f"real-{name}"))
    folder.symlink_to(outside)
    fresh = Store(local.url)
    for verb in (lambda: fresh.gc(grace=NOW, recent=0), fresh.fsck):
        with pytest.raises(StoreError, match=rf"{name} is a link, or no folder"):
            verb()


@pytest.mark.parametrize("name", ["tmp", "quarantine"])
def test_what_lies_behind_a_link_among_leftovers_stays(local: Store, file: File, outside: Path, name: str) -> None:
    local.add(file("x", "x"))
    below = Path(local.backend.path(name))
    (below / "work" / "deep").mkdir(parents=True)
    (below / "link").symlink_to(outside)
    (below / "work" / "link").symlink_to(outside)
    local.gc(grace=NOW)
    assert list(below.iterdir()) == []


def test_tmp_that_is_a_link_is_put_aside_before_anything_is_written(local: Store, file: File, outside: Path) -> None:
    local.add(file("x", "x"))
    tmp = Path(local.backend.path("tmp"))
    tmp.rmdir()
    tmp.symlink_to(outside)
    stored = local.add(file("y", "y"))
    assert local.read(str(stored.cid)) == b"y"
    assert tmp.is_dir()
    assert not tmp.is_symlink()
    assert [name.startswith("tmp.") for name in local.backend.names("quarantine")] == [True]


@pytest.mark.parametrize("kind", ["blobs", "assets", "records", "keys"])
def test_a_shard_that_is_a_link_is_never_written_through(local: Store, outside: Path, kind: str) -> None:
    _ = local.context.header
    name = "a" * 64
    place = f"{kind}/aa/{name}"
    Path(local.backend.path(kind)).mkdir()
    Path(local.backend.path(f"{kind}/aa")).symlink_to(outside)
    assert list(local.backend.entries(kind)) == []
    assert local.backend.sweep([place], time.time() + 60) == set()
    local.backend.replace(place, b"{}")
    assert local.backend.read(place) == b"{}"
    assert Path(local.backend.path(place)).parent.is_dir()


def test_a_link_to_a_file_is_no_record_and_no_blob(local: Store, file: File, tmp_path: Path) -> None:
    asset = local.add(file("x", "x" * 100))
    blob = Path(local.blobs.file(str(asset.cid)))
    elsewhere = tmp_path / "elsewhere"
    blob.rename(elsewhere)
    blob.symlink_to(elsewhere)
    fresh = Store(local.url)
    assert not fresh.exists(asset)
    with pytest.raises(BlobLost):
        fresh.blobs.path(str(asset.cid))
    assert elsewhere.read_text() == "x" * 100
    assert fresh.add(file("x", "x" * 100)) == asset
    assert not blob.is_symlink()


@pytest.mark.parametrize(
    "identity",
    ["../../../planted", "/etc", "", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "0" * 31 + "\n", 5, None, ["a"], {"a": 1}],
)
def test_the_id_of_a_store_is_32_hexadecimal_digits(tmp_path: Path, identity: object) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    text = json.dumps({"format": 1, "id": identity, "profile": "kubo-v1-256k-174"})
    (evil / "store.json").write_text(text)
    with pytest.raises(StoreError, match=r"store\.json is damaged"):
        Store(evil).assemble(asset="r1")
    assert not list(tmp_path.rglob("planted"))


@pytest.mark.parametrize("header", [b"[" * 100_000, b"[]", b"1e999", b'{"format": 1e999}', b"\xff", b'{"format": NaN}'])
def test_a_header_of_anything_is_one_clear_error(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "store.json").write_bytes(header)
    with pytest.raises(StoreError, match=r"store\.json is damaged"):
        Store(tmp_path)


DEEP = b"[" * 200_000 + b"]" * 200_000
ASSET = {"asset": "asset", "cid": "bafkreiaaa", "companions": [], "facts": {}, "name": "n"}
RECORD = {"task": "t", "status": "ok", "started": "2026-01-01T00:00:00+00:00", "format": 1, "outputs": {"value": 1}}
ODD_RECORDS = [
    b'{"task":' + DEEP + b"}",
    *(
        json.dumps(RECORD | changed).encode()
        for changed in (
            {"task": 5},
            {"status": ["ok"]},
            {"started": "yesterday"},
            {"started": 5},
            {"task": "\ud800"},
            {"outputs": {}},
            {"outputs": None},
            {"outputs": []},
            {"outputs": {"asset": {}}},
            {"outputs": {"asset": ASSET | {"cid": "../../../etc/passwd"}}},
            {"outputs": {"dict": [["a"]]}},
            {"outputs": {"tuple": [], "type": "class", "fields": []}},
            {"outputs": {"tuple": [{"value": 1}], "type": "T", "fields": ["__class__"]}},
            {"outputs": {"float": "text"}},
            {"output_cids": "bafy"},
            {"output_cids": [5]},
            {"input_cids": {"a": 1}},
            {"producers": {"../a": "../b"}},
            {"inputs": {"a": 5}},
            {"inputs": {"a": "../../x"}},
            {"tools": [{"name": "bwa"}]},
            {"tools": "bwa"},
            {"manifest": {"a": 1}},
            {"seconds": "long"},
            {"seconds": True},
            {"peak_bytes": None},
            {"log": "/etc/passwd"},
            {"format": "1"},
        )
    ),
    b'{"seconds": 1e999, "task": "t"}',
    b'{"task": ' + b"9" * 5000 + b"}",
    b"{" + b" " * 1000,
    b'{"task": "\xed\xa0\x80"}',
]
ODD_ASSETS = [
    b'{"asset":"asset","cid":"x","name":"n","facts":{"a":' + DEEP + b"}}",
    *(
        json.dumps(ASSET | changed).encode()
        for changed in (
            {"cid": 5},
            {"cid": "../x"},
            {"cid": ""},
            {"name": None},
            {"name": "\ud800"},
            {"facts": []},
            {"facts": {"\ud800": 1}},
            {"companions": {}},
            {"companions": [{}]},
            {"companions": ["x"]},
            {"asset": ["r1"]},
        )
    ),
    b"[]",
    b"null",
    b"{",
]


@pytest.mark.parametrize("kind", ["records", "assets"])
def test_a_record_of_other_types_is_skipped_and_told_of_and_put_aside(local: Store, file: File, kind: str) -> None:
    kept = local.add(file("x", "x"))
    odd = [own_place(local, kind, data) for data in (ODD_RECORDS if kind == "records" else ODD_ASSETS)]
    fresh = Store(local.url)
    assert fresh.assemble() == [kept]
    assert fresh.records.where() == []
    assert fresh.gc(grace=NOW, dry_run=True).kept == 1
    assert sorted(fresh.fsck().torn) == sorted(str(path.relative_to(fresh.backend.root)) for path in odd)
    assert fresh.fsck().ok
    assert len(fresh.backend.names("quarantine")) == len(odd)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def full_folder(path: Path) -> None:
    (path / "in" / "it").mkdir(parents=True)
    (path / "file").write_text("x")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 42)


KINDS = [pipe, bound, full_folder, endless, loop, huge]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", KINDS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("kind", ["assets", "records", "keys", "trees", "pins", "leases", "runs"])
def test_what_is_no_file_harms_nobody(local: Store, file: File, kind: str, plant: Callable[[Path], None]) -> None:
    kept = local.add(file("x", "x"))
    name = "b" * 64 if kind != "trees" else "bafybeibnbvqwfbu7qw43sgrqh54eknzqnu3tyz2zdsrymssuoswaax6tya"
    place = f"{kind}/odd" if kind in layout.FLAT else f"{kind}/{name[-3:-1]}/{name}"
    path = Path(local.backend.path(place))
    path.parent.mkdir(parents=True, exist_ok=True)
    plant(path)
    fresh = Store(local.url)
    assert fresh.assemble() == [kept]
    assert fresh.records.behind([name]) == {}
    assert fresh.backend.size(place) is None or plant is huge
    unknown = plant is huge and kind in ("pins", "leases")  # it may be somebody's pin: nobody can tell
    if unknown:
        with pytest.raises(StoreError, match="odd"):
            fresh.gc(grace=NOW, dry_run=True)
        assert fresh.fsck().torn == (place,)
        return
    assert fresh.pins() == {}
    assert fresh.gc(grace=NOW, dry_run=True).kept == 1
    if kind != "runs" or plant is not huge:
        assert fresh.fsck().torn == ((place,) if kind != "trees" or plant is not huge else ())
    assert fresh.fsck().ok
    fresh.gc(grace=NOW)
    assert fresh.backend.names("quarantine") == []
    fresh.backend.replace(place, b"written over it")
    assert fresh.backend.read(place) == b"written over it"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", KINDS[:-1], ids=lambda plant: plant.__name__)
def test_what_is_no_blob_is_a_miss_and_is_stored_again(local: Store, file: File, plant: Callable[[Path], None]) -> None:
    for name, text in (("x", "x"), ("empty", "")):
        asset = local.add(file(name, text))
        blob = Path(local.blobs.file(str(asset.cid)))
        blob.unlink()
        plant(blob)
        fresh = Store(local.url)
        assert not fresh.has(str(asset.cid))
        with pytest.raises(BlobLost):
            fresh.blobs.path(str(asset.cid))
        plant(blob)
        assert fresh.add(file(name, text)) == asset
        assert fresh.read(str(asset.cid)) == text.encode()
        blob.unlink()
        plant(blob)
        assert fresh.fsck().torn == (layout.blob(str(asset.cid)),)
        fresh.add(file(name, text))


def test_nesting_is_counted_outside_of_texts_only() -> None:
    assert read_json(json.dumps({"a": "[" * 10_000}).encode()) == {"a": "[" * 10_000}
    assert read_json(json.dumps(['"[\\', "{" * 5000, '\\"[' * 500]).encode())[0] == '"[\\'
    assert read_json(b"[" * DEEPEST + b"]" * DEEPEST)
    assert len(read_json(b"[" + b"[]," * 10_000 + b"[]]")) == 10_001
    for data in (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b'["\\\\",' + b"[" * 101 + b"]" * 102, b"[" * 10**6):
        with pytest.raises(ValueError):
            read_json(data)


def test_results_of_all_forms_are_recognised() -> None:
    from stargazer.assets import Asset
    from stargazer.ledger.record import encode

    asset = Asset(cid="bafkreibnbvqwfbu7qw43sgrqh54eknzqnu3tyz2zdsrymssuoswaax6tya", name="a")
    for result in (asset, (asset, 1), [asset, "x", None], {"a": asset, "b": [1.5]}, float("nan"), True, ()):
        assert is_result(json.loads(json.dumps(encode(result))))


def test_a_record_that_nobody_could_read_is_not_written(local: Store) -> None:
    with pytest.raises(StoreError, match="nested more than 100 deep"):
        local.records.put(b'{"parameters": ' + b"[" * 200 + b"]" * 200 + b"}")


def test_a_lease_that_nobody_renews_ends_whatever_it_says(local: Store, file: File) -> None:
    asset = local.add(file("x", "x"))
    content = {"roots": [asset.cid], "expires": 1e18}
    local.backend.replace("leases/for-ever", seal(json.dumps(content).encode()))
    (lease,) = local.leases()
    assert lease.ends <= time.time() + pins.LONGEST_LEASE
    assert local.roots.held() == {asset.cid}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins, "LONGEST_LEASE", -1.0)
        assert local.roots.held() == set()
    with pytest.raises(StoreError, match="too long"):
        local.lease("mine", [asset], seconds=1e9)
    with pytest.raises(StoreError, match="too long"):
        local.lease("mine", [asset], seconds=float("nan"))
    with local.lease("mine", [asset]):
        assert next(lease.owner for lease in local.leases() if lease.name == "mine").endswith(f"process {os.getpid()}")


@pytest.mark.parametrize(
    "content",
    [
        b"torn",
        seal(b"text"),
        seal(b"{}"),
        seal(b'{"roots": [], "expires": "soon"}'),
        seal(b'{"roots": 5, "expires": 1}'),
    ],
)
def test_a_lease_that_cannot_be_read_stops_the_collection_for_a_week_only(
    local: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = local.context.header
    local.backend.replace("leases/odd", content)
    with pytest.raises(StoreError, match="odd"):
        local.gc(grace=NOW)
    assert local.fsck().torn == ("leases/odd",)
    monkeypatch.setattr(pins, "LONGEST_LEASE", -1.0)
    local.gc(grace=NOW)


@pytest.mark.parametrize("pinned", [b"5", b"{}", b"[5]", b'[{"asset": "asset"}]', b'[{"cid": "../x"}]', b"[" * 500])
def test_a_pin_of_anything_is_one_clear_error(local: Store, pinned: bytes) -> None:
    _ = local.context.header
    local.backend.replace("pins/odd", seal(pinned))
    for verb in (local.pins, lambda: local.gc(grace=NOW)):
        with pytest.raises(StoreError, match="odd"):
            verb()
    assert local.fsck().torn == ("pins/odd",)
    local.unpin("odd")
    assert local.pins() == {}


@pytest.mark.parametrize("name", ["a b", "-rf", "\n", "x" * 250, "é", ".hidden"])
def test_names_that_nothing_in_a_store_has_are_strays(local: Store, file: File, name: str) -> None:
    kept = local.add(file("x", "x"))
    for kind in ("pins", "leases", "runs"):
        folder = Path(local.backend.path(kind))
        folder.mkdir()
        (folder / name).write_bytes(seal(b"[]"))
    assert local.pins() == {}
    assert local.gc(grace=NOW).kept == 1
    assert {place.partition("/")[0] for place in local.fsck().strays} == {"pins", "leases"}
    assert local.assemble() == [kept]


def test_caches_are_their_users_own(local: Store, cache: Path, file: File) -> None:
    os.umask(os.umask(0o002))
    local.add(file("x", "x"))
    local.assemble()
    assert stat.S_IMODE((cache / "stores").stat().st_mode) == 0o700
    assert stat.S_IMODE(local.context.cache.stat().st_mode) == 0o700


def test_a_cache_that_is_a_link_or_somebody_elses_is_not_used(local: Store, cache: Path, tmp_path: Path) -> None:
    _ = local.context.header
    (tmp_path / "theirs").mkdir()
    cache.mkdir()
    (cache / "stores").symlink_to(tmp_path / "theirs")
    with pytest.raises(StoreError, match="caches belong there"):
        local.assemble()
    assert list((tmp_path / "theirs").iterdir()) == []
    if os.geteuid() == 0:
        (cache / "stores").unlink()
        (cache / "stores").mkdir()
        os.chown(cache / "stores", NOBODY, NOBODY)
        with pytest.raises(StoreError, match="notes in it are not believed"):
            Store(local.url).assemble()


def test_notes_that_somebody_else_wrote_are_not_believed(local: Store, file: File) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    asset = local.add(file("big", bytes(400_000)))
    (log,) = (local.context.cache / "verified").iterdir()
    fresh = Store(local.url)
    blob = os.lstat(fresh.blobs.file(str(asset.cid)))
    assert fresh.blobs.memo.knows(str(asset.cid), blob)
    os.chown(log, NOBODY, NOBODY)
    assert not Store(local.url).blobs.memo.knows(str(asset.cid), blob)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away, or be refused for being root")
def test_root_is_asked_before_it_cleans_up_for_somebody_else(local: Store, file: File) -> None:
    local.add(file("x", "x"))
    os.chown(local.backend.root, NOBODY, NOBODY)
    for verb in (local.gc, local.fsck):
        with pytest.raises(StoreError, match="--yes-as-root"):
            verb()
        verb(yes_as_root=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_a_stranger_is_refused_and_one_of_the_group_is_not(local: Store, file: File) -> None:
    local.add(file("x", "x"))
    daemon = pwd.getpwnam("daemon")
    tmp = local.backend.path("tmp")
    os.chown(tmp, daemon.pw_uid, NOBODY)
    for verb in (local.gc, local.fsck):
        with pytest.raises(StoreError, match=r"tmp belongs to daemon.*share no group"):
            verb()
    os.chown(local.backend.root, 0, NOBODY)
    os.chmod(local.backend.root, 0o2775)
    local.gc()
    assert local.fsck().ok


@pytest.mark.parametrize("how", ["same bytes again", "replaced by an equal file", "mtime set back", "size"])
def test_an_input_that_moved_under_a_call_fails_it(local: Store, file: File, tmp_path: Path, how: str) -> None:
    asset = local.add(file("big", bytes(400_000)))
    seen: dict[str, tuple[int, int, int, int]] = {}
    staged = local.stage(asset, tmp_path / "work", seen=seen)
    local.staging.check(staged, seen)
    blob = Path(local.blobs.file(str(asset.cid)))
    before = blob.stat()
    time.sleep(0.02)
    if how == "replaced by an equal file":
        blob.with_name("other").write_bytes(bytes(400_000))
        blob.with_name("other").rename(blob)
    else:
        blob.chmod(0o644)
        with blob.open("r+b") as opened_blob:
            opened_blob.write(b"FORGED")
            opened_blob.flush()
            opened_blob.seek(0)
            opened_blob.write(bytes(6))
            if how == "size":
                opened_blob.truncate(400_001)
                opened_blob.truncate(400_000)
        blob.chmod(before.st_mode & 0o777)
        os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputChanged, match="has its old bytes again"):
        local.staging.check(staged, seen)
    assert local.read(str(asset.cid)) == bytes(400_000)


def test_another_writer_of_the_same_bytes_moves_nothing(local: Store, file: File, tmp_path: Path) -> None:
    """Holding a blob for a second writer must not look like a change to the calls that read it."""
    from stargazer.store.blobs import local as localblobs

    asset = local.add(file("big", bytes(400_000)))
    seen: dict[str, tuple[int, int, int, int]] = {}
    staged = local.stage(asset, tmp_path / "work", seen=seen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localblobs, "HELD_AFTER", -1.0)
        Store(local.url).add(file("again", bytes(400_000)))
    local.staging.check(staged, seen)
    assert local.backend.sweep([layout.blob(str(asset.cid))], time.time() + 60) == set()


def test_files_below_a_directory_count_as_well(local: Store, file: File, tmp_path: Path) -> None:
    folder = local.add(file("d/x/y", bytes(5000)).parent.parent)
    seen: dict[str, tuple[int, int, int, int]] = {}
    staged = local.stage(folder, tmp_path / "work", seen=seen)
    (child,) = [cid for _, cid in local.walk(str(folder.cid)) if cid]
    time.sleep(0.02)
    os.utime(local.blobs.file(child))
    with pytest.raises(InputChanged):
        local.staging.check(staged, seen)


def test_a_folder_however_deep_is_removed_and_no_link_in_it_followed(tmp_path: Path, outside: Path) -> None:
    deep = tmp_path / "top"
    deep.mkdir()
    (deep / "file").write_text("x")
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        os.symlink(outside, "link", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.fchmod(fd, 0o500)
    os.close(fd)
    with opened(str(tmp_path), "") as above:
        assert last_change("top", above) > OLD
        remove_tree("top", above)
    assert not deep.exists()
    assert not list(tmp_path.glob("gone-*"))


def test_a_swap_of_a_folder_for_a_link_in_the_midst_deletes_nothing_elsewhere(
    local: Store, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that paths lose: the folder becomes a link after it was looked at."""
    cid = local.blobs.put_bytes(b"garbage")
    shard = Path(local.backend.path(layout.blob(cid))).parent
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                shard.rename(shard.with_name("moved"))
                shard.symlink_to(outside)
                shard.unlink()
                shard.with_name("moved").rename(shard)

    (outside.parent / "copy").mkdir()
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(50):
            with contextlib.suppress(StoreError):
                local.gc(grace=NOW)
    finally:
        stop.set()
        thread.join()


def test_a_name_in_a_directory_that_leads_out_is_no_name(local: Store, tmp_path: Path) -> None:
    from stargazer.assets import Asset

    for name in ("..", "a/b", "/etc/passwd", "a\0b"):
        with pytest.raises(AssetError):
            local.stage(Asset(cid=local.blobs.put_bytes(b"x"), name=name), tmp_path / "work")


@pytest.mark.parametrize("plant", KINDS[:-1], ids=lambda plant: plant.__name__)
def test_what_is_no_version_of_a_name_does_not_end_the_name(
    local: Store, file: File, plant: Callable[[Path], None]
) -> None:
    first, second = local.add(file("a", "a")), local.add(file("b", "b"))
    local.names.set("x/y", first)
    plant(Path(local.backend.path(place_of("x/y", 2))))
    fresh = Store(local.url)
    assert fresh.names.get("x/y") == first
    assert fresh.names.set("x/y", second).version == 2
    assert fresh.names.get("x/y") == second
    assert len(fresh.backend.names("quarantine")) == 1
    assert fresh.fsck().ok


def test_many_large_files_do_not_fill_the_memory_of_who_looks(local: Store, file: File) -> None:
    kept, size = local.add(file("x", "x")), 8 << 20
    for kind in ("records", "assets"):
        folder = Path(local.backend.path(f"{kind}/aa"))
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(20):
            with (folder / f"{number:061x}aaa").open("wb") as planted:
                planted.truncate(size)
    fresh = Store(local.url)
    tracemalloc.start()
    try:
        assert fresh.assemble() == [kept]
        assert fresh.records.where() == []
        assert tracemalloc.get_traced_memory()[1] < 8 * size
    finally:
        tracemalloc.stop()
