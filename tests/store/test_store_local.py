"""What only a local disk has: links, inodes, full disks."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.assets import Asset
from stargazer.cid import cid_of_bytes
from stargazer.errors import BlobLost, StoreFull
from stargazer.store import Store, layout
from stargazer.store.blobs.base import dag_size

File = Callable[..., Path]
LARGE = b"0123456789abcdef" * 40_000


def overwrite(path: Path | str, data: bytes) -> None:
    """Change bytes in place, with size and mtime as they were."""
    before = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(data)
    os.chmod(path, 0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("content", [b"small bytes" * 1000, LARGE], ids=["small", "large"])
def test_corruption_that_keeps_size_and_mtime_is_noticed(local: Store, file: File, content: bytes) -> None:
    stored = local.add(file("a", content))
    assert local.read(str(stored.cid)) == content
    overwrite(local.backend.path(layout.blob(str(stored.cid))), b"X")
    for store in (local, Store(local.url)):
        with pytest.raises(BlobLost):
            store.stage(stored, file("work/x").parent)


@pytest.mark.parametrize("content", [b"small bytes" * 1000, LARGE], ids=["small", "large"])
def test_a_corrupt_blob_does_not_stand_in_the_way_of_a_good_one(local: Store, file: File, content: bytes) -> None:
    stored = local.add(file("a", content))
    overwrite(local.backend.path(layout.blob(str(stored.cid))), b"X")
    local.add(file("a", content))
    assert local.read(str(stored.cid)) == content
    overwrite(local.backend.path(layout.blob(str(stored.cid))), b"X")
    local.blobs.put_bytes(content)
    assert local.read(str(stored.cid)) == content


def test_a_tool_may_touch_or_replace_its_input(local: Store, file: File, tmp_path: Path) -> None:
    stored = local.add(file("ref.fa", LARGE))
    staged = local.stage(stored, tmp_path / "in")
    os.utime(staged.path)
    local.staging.check(staged)
    staged.path.unlink()
    staged.path.write_text("the tool's own")
    local.staging.check(staged)
    assert local.read(str(stored.cid)) == LARGE


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def test_a_known_file_is_not_read_again_not_even_by_another_process(local: Store, file: File) -> None:
    stored = local.add(file("a", LARGE))
    start = bytes_read()
    local.blobs.path(str(stored.cid))
    assert bytes_read() - start < 10_000
    code = (
        "import sys, stargazer.cid; from test_store_local import bytes_read; from stargazer.store import Store; "
        "s = Store(sys.argv[1]); s.context.cache; start = bytes_read(); s.blobs.path(sys.argv[2]); "
        "print(bytes_read() - start)"
    )
    env = {
        **os.environ,
        "DASK_STARGAZER__CACHE": str(local.context.cache.parent.parent),
        "PYTHONPATH": os.path.dirname(__file__),
    }
    run = subprocess.run(
        [sys.executable, "-c", code, local.url, str(stored.cid)], check=True, capture_output=True, env=env
    )
    assert int(run.stdout) < 100_000
    overwrite(local.backend.path(layout.blob(str(stored.cid))), LARGE[:1])
    start = bytes_read()
    local.blobs.path(str(stored.cid))
    assert bytes_read() - start > len(LARGE)


def test_linked_inputs_given_back_are_stored_by_name(local: Store, file: File, tmp_path: Path) -> None:
    stored = local.add(file("a", LARGE))
    staged = local.stage(stored, tmp_path / "in")
    assert os.path.islink(staged.path)
    again = local.save(Asset(path=staged.path))
    assert again.cid == stored.cid
    assert os.path.islink(staged.path)


def test_a_file_with_another_name_is_copied_not_moved(local: Store, file: File) -> None:
    local.blobs.put_bytes(b"")
    work = local.context.scratch / "work"
    work.mkdir(parents=True)
    (work / "out").write_text("out")
    os.link(work / "out", work / "other name")
    stored = local.save(Asset(path=work / "out"))
    (work / "other name").write_text("changed")
    assert local.read(str(stored.cid)) == b"out"


def test_all_files_have_one_date_so_that_none_gets_into_results(local: Store, file: File, tmp_path: Path) -> None:
    """An index that is older than its file is refused by some tools; gzip copies the date."""
    os.utime(file("a.bam.bai", "index"), (1e9, 1e9))
    stored = local.add(file("a.bam", LARGE), companions=[file("a.bam.bai", "index")])
    assert local.save(Asset(path=_work(local, "out"))).cid
    for copy in (False, True):
        staged = local.stage(stored, tmp_path / f"in-{copy}", copy=copy)
        assert staged.path.stat().st_mtime == staged.companions[0].path.stat().st_mtime
    assert len({os.stat(local.backend.path(entry.place)).st_mtime for entry in local.backend.entries("blobs")}) == 1


def _work(store: Store, name: str) -> Path:
    store.context.scratch.mkdir(parents=True, exist_ok=True)
    path = store.context.scratch / name
    path.write_text(name)
    return path


def test_added_files_are_not_taken_away_or_shared(local: Store, file: File) -> None:
    path = file("a", "a")
    stored = local.add(path)
    path.write_text("b")
    assert local.read(str(stored.cid)) == b"a"
    blob = Path(local.backend.path(layout.blob(str(stored.cid))))
    assert blob.stat().st_mode & 0o222 == 0
    assert blob.parent.name == str(stored.cid)[-3:-1]


def test_special_files_and_loops_are_refused(local: Store, file: File) -> None:
    folder = file("d/a", "a").parent
    os.mkfifo(folder / "fifo")
    with pytest.raises(Exception, match="regular file"):
        local.add(folder)
    (folder / "fifo").unlink()
    (folder / "loop").symlink_to(folder)
    with pytest.raises(Exception, match="no end"):
        local.save(Asset(path=folder))


def test_a_limit_on_file_size_is_a_full_store_and_leaves_nothing(local: Store, file: File) -> None:
    path = file("big", LARGE)
    small = local.add(file("small", "small"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreFull, match=r"no space left while writing .*big"):
            local.add(path)
        with pytest.raises(StoreFull):
            local.blobs.put_bytes(LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert local.find() == [small]
    assert [entry.place for entry in local.backend.entries("blobs")] == [layout.blob(str(small.cid))]
    assert os.listdir(local.context.scratch) == []
    assert local.read(str(local.add(path).cid)) == LARGE


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, file: File) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        store = Store(mount / "store")
        kept = store.add(file("a", LARGE[:300_000]))
        for _ in range(3):
            with pytest.raises(StoreFull, match="no space left"):
                store.add(file("b", bytes(800_000)))
        assert store.find() == [kept]
        assert store.fsck().ok
        fits = store.add(file("c", bytes(200_000)))
        while True:
            try:
                store.records.put(b"x" + os.urandom(3000))  # begins like no JSON
            except StoreFull:
                break
        checked = store.fsck()
        assert checked.ok
        assert store.read(str(fits.cid)) == bytes(200_000)
        assert os.listdir(store.context.scratch) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_every_write_is_synced_where_it_must_last(tmp_path: Path, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    store = Store(tmp_path / "s", durable=True)
    stored = store.add(file("a", "a"))
    assert os.path.dirname(store.backend.path(layout.blob(str(stored.cid)))) in synced
    assert sum("/tmp/" in path for path in synced) >= 3
    synced.clear()
    Store(tmp_path / "quick").add(file("a", "a"))
    assert synced == []


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 262_144 * 174, 262_144 * 174 + 1, 262_144 * 400 + 5])
def test_the_size_of_all_blocks_follows_from_the_length(local: Store, size: int) -> None:
    from stargazer.cid.unixfs import Layout

    layout = Layout(local.context.profile)
    for start in range(0, size, 262_144):
        layout.add(bytes(32), min(262_144, size - start))
    assert dag_size(size, local.context.profile) == layout.finish().dag_size


def test_bytes_named_by_another_profile_are_good_too(tmp_path: Path, file: File) -> None:
    store = Store(tmp_path / "s")
    cid = "bafkrei" + cid_of_bytes(LARGE, Store(tmp_path / "o", profile="unixfs-v1-2025").context.profile)[7:]
    store.backend.replace(layout.blob(cid), LARGE)
    assert store.read(cid) == LARGE
    assert store.fsck().ok


def test_keys_are_links_and_pointers_where_there_are_no_links(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = local.records.put(b'{"n": 1}')
    place = Path(local.backend.path(layout.record(identifier)))
    local.records.link_keys(["linked"], identifier)
    assert place.stat().st_nlink == 2

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", refused)
    local.records.link_keys(["pointed"], identifier)
    assert place.stat().st_nlink == 2
    assert local.records.behind(["linked", "pointed"]) == dict.fromkeys(
        ["linked", "pointed"], (identifier, b'{"n": 1}')
    )
    place.chmod(0o644)
    place.write_bytes(b'{"n": 7}')
    assert local.records.behind(["linked", "pointed"]) == {}
    assert sorted(local.fsck().torn) == sorted([layout.record(identifier), layout.key("linked")])
