"""A store is one, by whatever path it is reached; its caches work on whatever disk a home is."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import dask.config
import pytest

import stargazer as sg
from stargazer.store import Store, context, index
from stargazer.store.backends import mounts
from stargazer.store.blobs import cached

File = Callable[..., Path]


@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    work.file("n.txt").write_text(str(i))
    return sg.Asset(path=work.file("n.txt"))


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    work.file("n.txt").write_text(str(sum(int(each.path.read_text()) for each in numbers)))
    return sg.Asset(path=work.file("n.txt"))


def test_a_link_to_a_store_is_the_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "above").symlink_to(tmp_path)
    spellings = [tmp_path / "real", tmp_path / "link", tmp_path / "above" / "link", f"file://{tmp_path}/link"]
    assert len({Store(each).url for each in spellings}) == 1
    assert len({id(Store.open(each)) for each in spellings}) == 1
    with sg.Store(tmp_path / "real"):
        stored, call = number(i=1).compute(), number(i=2)
    with sg.Store(tmp_path / "link"):
        assert total([stored, call, number(i=3)]).compute().fetch().read_text() == "6"
        assert number(i=1).known() is not None
    with dask.config.set({"stargazer.store": str(tmp_path / "above" / "link")}):
        assert total([stored, number(i=2), number(i=3)]).known() is not None


def kind_of(path: Path) -> str:
    return mounts._kind_of(os.path.realpath(path))


def test_the_file_system_of_a_path_is_told_by_the_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("this system does not tell its mounts")
    assert kind_of(Path("/proc")) == "proc"
    assert not mounts.is_on_network("/proc/not/there")
    told = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    assert not told.startswith("ext") or kind_of(tmp_path).startswith("ext")
    lines = [
        "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
        "2 1 0:1 / /home\\040of rw shared:1 - nfs4 server:/home rw\n",
        "3 1 0:2 / /data rw - fuse.sshfs host: rw\n",
    ]
    assert dict(mounts._mounts(lines)) == {"/": "ext4", "/home of": "nfs4", "/data": "fuse.sshfs"}
    monkeypatch.setattr(mounts, "_kind_of", lambda place: "nfs4")
    assert mounts.is_on_network(tmp_path / "not" / "there")
    monkeypatch.setattr(mounts, "_kind_of", lambda place: "fuse.sshfs")
    assert mounts.is_on_network(tmp_path)


@pytest.fixture
def on_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all disks were of the network."""
    for module in (context, index):
        monkeypatch.setattr(module, "is_on_network", lambda path: True)


@pytest.mark.usefixtures("on_network")
def test_a_home_of_the_network_has_a_cache_for_each_machine_and_no_wal(tmp_path: Path, file: File) -> None:
    store = Store(tmp_path / "store")
    stored = store.add(file("a", "a"))
    assert store.find() == [stored]
    assert os.uname().nodename in store.context.cache.parts
    (found,) = store.context.cache.glob("index-*.sqlite")
    connection = sqlite3.connect(found)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert not list(store.context.cache.glob("index-*-wal"))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_PROTOCOL, 3850, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY])
def test_an_index_that_cannot_be_where_it_should_is_elsewhere(
    store: Store, file: File, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    """As a disk of the network says that has no locks, or a home that cannot be written to."""
    stored, real = store.add(file("a", "a")), index._open
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def opened(path: Path | str) -> sqlite3.Connection:
        if str(store.context.cache) in str(path):
            error = sqlite3.OperationalError("no")
            error.sqlite_errorcode = code
            raise error
        return real(path)

    monkeypatch.setattr(index, "_open", opened)
    assert store.find() == [stored]
    (place,) = (tmp_path / "tmp").iterdir()
    assert place.stat().st_mode & 0o777 == 0o700


def test_locks_that_a_disk_does_not_have_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with cached.locked(str(tmp_path / "lock")):
        pass
    held = cached.Holds(str(tmp_path / "holds"))
    held.add(["a"])
    assert cached.Holds(str(tmp_path / "holds")).all() == {"a"}  # nobody is taken for dead
