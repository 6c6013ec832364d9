"""A store that two users of one machine share, one of whom means ill."""

from __future__ import annotations

import os
import pwd
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from two_users import ALICE, BOB, as_user, meanwhile, needs_root

from stargazer.errors import InputChanged, StoreError, StoreReadOnly
from stargazer.store import Store

pytestmark = needs_root
NOW = -60.0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that both can reach: pytest's own is closed to others whenever another pytest begins."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which everybody may write, with a store of Alice's."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "x").write_text("x" * 100)
    (folder / "big").write_bytes(bytes(400_000))

    def make() -> None:
        os.umask(0)
        store = Store(folder / "store")
        store.add(folder / "x")
        store.add(folder / "big")
        store.pin("p", *store.assemble())

    as_user(ALICE, make, tmp_path)
    return folder


def alice(tmp_path: Path, shared: Path, verb: Callable[[Store], object]) -> object:
    return as_user(ALICE, lambda: verb(Store(shared / "store")), tmp_path)


@pytest.mark.parametrize("name", ["quarantine", "leases", "keys", "trees"])
def test_his_link_in_the_place_of_a_folder_is_refused(tmp_path: Path, shared: Path, name: str) -> None:
    def plant() -> None:
        (shared / "theirs").mkdir()
        (shared / "theirs" / "thesis").write_text("thesis")
        (shared / "store" / name).symlink_to(shared / "theirs")

    as_user(BOB, plant, tmp_path)
    for verb in (lambda store: store.gc(grace=NOW, recent=0), lambda store: store.fsck()):
        with pytest.raises(StoreError, match=f"{name} is a link"):
            alice(tmp_path, shared, verb)
    assert (shared / "theirs" / "thesis").read_text() == "thesis"


def test_his_folder_is_refused_until_somebody_looked(tmp_path: Path, shared: Path) -> None:
    as_user(BOB, lambda: (shared / "store" / "records").mkdir(), tmp_path)
    with pytest.raises(StoreError, match="records belongs to nobody"):
        alice(tmp_path, shared, lambda store: store.gc(grace=NOW))
    os.chown(shared / "store" / "records", -1, (shared / "store").stat().st_gid)
    assert alice(tmp_path, shared, lambda store: store.gc(grace=NOW).kept) == 2


def test_his_own_files_that_she_cannot_read_are_told_of(tmp_path: Path, shared: Path) -> None:
    name = "a" * 64

    def plant() -> None:
        (shared / "store" / "assets" / "aa").mkdir(exist_ok=True)
        place = shared / "store" / "assets" / "aa" / name
        place.write_text("his own")
        place.chmod(0)

    os.chmod(shared / "store" / "assets", 0o777)
    as_user(BOB, plant, tmp_path)
    assert alice(tmp_path, shared, lambda store: len(store.assemble())) == 2
    assert alice(tmp_path, shared, lambda store: store.fsck().torn) == (f"assets/aa/{name}",)


def test_a_blob_that_its_owner_swaps_while_another_reads_fails_the_call(tmp_path: Path, shared: Path) -> None:
    """Bob reads what Alice owns; she writes to it meanwhile, and puts everything back but its ctime."""

    def read() -> None:
        store = Store(shared / "store")
        (asset,) = store.assemble(name="big")
        seen: dict[str, tuple[int, int, int, int]] = {}
        staged = store.stage(asset, tmp_path / BOB / "work", seen=seen)
        (shared / "go").touch()
        while not (shared / "done").exists():
            time.sleep(0.01)
        store.staging.check(staged, seen)

    def swap() -> None:
        while not (shared / "go").exists():
            time.sleep(0.01)
        store = Store(shared / "store")
        blob = Path(store.blobs.file(str(store.assemble(name="big")[0].cid)))
        before = blob.stat()
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.write(b"FORGED")
            file.seek(0)
            file.write(bytes(6))
        blob.chmod(0o444)
        os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
        (shared / "done").touch()

    with meanwhile(ALICE, swap, tmp_path), pytest.raises(InputChanged, match="has its old bytes again"):
        as_user(BOB, read, tmp_path)


def test_a_cache_of_his_is_not_hers(tmp_path: Path, shared: Path) -> None:
    as_user(BOB, lambda: Store(shared / "store").assemble(), tmp_path)
    (tmp_path / BOB / "cache").rename(tmp_path / ALICE / "theirs")

    def look() -> object:
        import dask

        with dask.config.set({"stargazer.cache": str(tmp_path / ALICE / "theirs")}):
            return Store(shared / "store").assemble()

    with pytest.raises(StoreError, match="belongs to nobody, and notes in it are not believed"):
        as_user(ALICE, look, tmp_path)


def test_who_may_only_read_is_told_so(tmp_path: Path, shared: Path) -> None:
    os.umask(os.umask(0))
    for folder in [shared / "store", *(shared / "store").rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)

    def delete(store: Store) -> None:
        store.delete(store.assemble()[0])

    with pytest.raises(StoreReadOnly):
        as_user(BOB, lambda: delete(Store(shared / "store")), tmp_path)
    with pytest.raises(StoreReadOnly):
        as_user(BOB, lambda: Store(shared / "store").unpin("p"), tmp_path)
    assert as_user(BOB, lambda: len(Store(shared / "store").assemble()), tmp_path) == 2


def test_pipes_sockets_and_text_of_his_stop_nothing_of_hers(tmp_path: Path, shared: Path) -> None:
    def plant() -> None:
        for kind in ("assets", "records", "keys", "pins", "leases"):
            folder = shared / "store" / kind if kind in ("pins", "leases") else shared / "store" / kind / "bb"
            folder.mkdir(parents=True, exist_ok=True)
            os.mkfifo(folder / ("b" * 64))
            (folder / ("c" * 61 + "bbc")).write_bytes(b"[" * 200_000 if kind not in ("pins", "leases") else b"")

    for kind in ("assets", "records", "keys", "pins", "leases"):
        (shared / "store" / kind).mkdir(exist_ok=True)
        (shared / "store" / kind).chmod(0o777)
    as_user(BOB, plant, tmp_path)
    assert alice(tmp_path, shared, lambda store: len(store.assemble())) == 2
    torn = alice(tmp_path, shared, lambda store: store.fsck().torn)
    assert isinstance(torn, tuple)
    assert len(torn) == 10
    with pytest.raises(StoreError, match=r"pins/.* is torn"):
        alice(tmp_path, shared, lambda store: store.gc(grace=NOW))


def test_a_link_of_his_where_her_fetch_writes_leads_nowhere(tmp_path: Path, shared: Path) -> None:
    from stargazer.remotes.streams import Partial

    cid = "bafkreibnbvqwfbu7qw43sgrqh54eknzqnu3tyz2zdsrymssuoswaax6tya"
    thesis = tmp_path / "thesis"
    thesis.write_text("thesis")
    os.chown(thesis, pwd.getpwnam(ALICE).pw_uid, -1)
    (shared / "store" / "tmp").chmod(0o777)
    as_user(BOB, lambda: (shared / "store" / "tmp" / f"fetch-{cid}").symlink_to(thesis), tmp_path)

    def fetch(store: Store) -> bytes:
        with Partial(store, cid) as partial:
            partial.write(0, b"fetched")
            return partial.read(0, 7)

    assert alice(tmp_path, shared, fetch) == b"fetched"
    assert thesis.read_text() == "thesis"


def test_a_folder_of_his_where_her_scratch_directory_was_is_not_hers(tmp_path: Path, shared: Path) -> None:
    from stargazer.tools.scratch import Scratch

    (shared / "store" / "tmp").chmod(0o777)

    def work(store: Store) -> None:
        with Scratch(store.context.scratch, "key") as scratch:
            (shared / "there").write_text(str(scratch.path()))
            while not (shared / "done").exists():
                time.sleep(0.01)
            scratch.check()

    def swap() -> None:
        while not (shared / "there").exists() or not (shared / "there").read_text():
            time.sleep(0.01)
        place = Path((shared / "there").read_text())
        place.rename(place.with_name("away"))
        place.mkdir(mode=0o777)
        (shared / "done").touch()

    with meanwhile(BOB, swap, tmp_path), pytest.raises(InputChanged, match="moved away"):
        alice(tmp_path, shared, work)
