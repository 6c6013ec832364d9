"""What this host keeps of an object store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import dask.config
import pytest

from stargazer.assets import Asset
from stargazer.errors import BlobLost, ConfigError
from stargazer.store import Store, layout
from stargazer.store.blobs import cached
from stargazer.store.blobs.cached import Cache

File = Callable[..., Path]


@pytest.fixture
def remote() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}")


def downloaded(store: Store) -> set[str]:
    return {path.name for path in (store.context.cache / "blobs").rglob("*") if path.is_file()}


def test_a_file_is_downloaded_once(remote: Store, file: File) -> None:
    stored = remote.add(file("a", "a"))
    assert downloaded(remote) == set()
    assert stored.fetch().read_text() == "a"
    remote.backend.remove(layout.blob(str(stored.cid)))
    assert stored.fetch().read_text() == "a"
    assert downloaded(remote) == {stored.cid}
    for path in (remote.context.cache / "blobs").rglob("bafk*"):
        path.unlink()
    with pytest.raises(BlobLost):
        stored.fetch()


def test_a_download_that_was_harmed_here_is_downloaded_again(remote: Store, file: File) -> None:
    stored = remote.add(file("a", "good"))
    path = os.path.realpath(stored.fetch())
    os.chmod(path, 0o644)
    Path(path).write_text("evil")
    assert stored.fetch().read_text() == "good"


def test_what_a_task_made_is_not_downloaded_by_the_next(remote: Store) -> None:
    _ = remote.id
    remote.context.scratch.mkdir(parents=True)
    (remote.context.scratch / "out").write_text("out")
    stored = remote.save(Asset(path=remote.context.scratch / "out"))
    assert downloaded(remote) == {stored.cid}


def test_the_cache_does_not_grow_without_bound(remote: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "READ_FOR", 0.0)
    stored = [remote.add(file(str(number), bytes([number]) * 1000)) for number in range(5)]
    with dask.config.set({"stargazer.cache-size": "2500 B"}):
        for asset in stored:
            assert remote.read(str(asset.cid))[:1000] == asset.open().read()
        assert len(downloaded(remote)) == 5, "what was fetched stays for two days"
    monkeypatch.setattr(cached, "LENT_FOR", 0.0)
    shutil.rmtree(remote.context.cache)
    with dask.config.set({"stargazer.cache-size": "2500 B"}):
        for number in (0, 1, 0, 2):
            remote.read(str(stored[number].cid))
            time.sleep(0.01)
        assert downloaded(remote) == {stored[0].cid, stored[2].cid}, "the longest unused went"
        assert [remote.read(str(asset.cid))[:1] for asset in stored] == [b"\0", b"\1", b"\2", b"\3", b"\4"]
        assert len(downloaded(remote)) == 2


def test_what_a_running_task_has_before_it_stays(remote: Store, file: File, tmp_path: Path) -> None:
    stored = [remote.add(file(str(number), bytes([number]) * 5000)) for number in range(4)]
    with dask.config.set({"stargazer.cache-size": 0}):
        with remote.blobs.in_use():
            staged = [remote.stage(asset, tmp_path / "inputs") for asset in stored[:2]]
            limited = {**os.environ, "DASK_STARGAZER__CACHE_SIZE": "0"}
            subprocess.run([sys.executable, "-c", ELSEWHERE, remote.context.cache], check=True, timeout=60, env=limited)
            assert [each.path.read_bytes()[:1] for each in staged] == [b"\0", b"\1"]
            assert downloaded(remote) == {stored[0].cid, stored[1].cid}
        assert downloaded(remote) == set(), "the task has ended, and nothing may be kept"


ELSEWHERE = """
import sys
from pathlib import Path
from stargazer.store.blobs.cached import Cache
cache = Cache(Path(sys.argv[1]))
for number in range(3):
    path = cache.temporary()
    Path(path).write_bytes(bytes(9000))
    cache.adopt(path, f"bafkother{number}")
cache.sweep()
"""
"""Another process that shares the cache, and finds it too full."""


def test_what_a_killed_task_held_goes(remote: Store, file: File) -> None:
    stored = remote.add(file("a", b"a" * 5000))
    remote.read(str(stored.cid))
    held = """
import os, sys
from pathlib import Path
from stargazer.store.blobs.cached import Cache
Cache(Path(sys.argv[1])).hold([sys.argv[2]])
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", held, remote.context.cache, str(stored.cid)], timeout=60)
    assert ended.returncode == -9
    notes = set((remote.context.cache / "held").iterdir())
    assert len(notes) == 2, "this process has one, too"
    mark = next((remote.context.cache / "used").rglob("bafk*"))
    os.utime(mark, (1, 1))
    with dask.config.set({"stargazer.cache-size": 0}):
        Cache(remote.context.cache).sweep()
    assert downloaded(remote) == set()
    assert len(set((remote.context.cache / "held").iterdir()) & notes) == 1


def test_a_limit_that_is_no_size_is_told(remote: Store) -> None:
    with dask.config.set({"stargazer.cache-size": "a lot"}), pytest.raises(ConfigError, match="cache-size is 'a lot'"):
        Cache(remote.context.cache).bound()


def test_what_killed_processes_left_goes_in_time(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(remote.context.cache)
    Path(cache.temporary()).write_bytes(b"half a file")
    work = remote.context.cache / "tmp" / "work-1"
    work.mkdir()
    (work / "out").write_bytes(b"of a killed task")
    cache.tidy()
    assert len(list((remote.context.cache / "tmp").iterdir())) == 2, "somebody may be writing"
    monkeypatch.setattr(Cache, "leftovers_after", 0.0)
    time.sleep(0.02)
    cache.tidy()
    assert list((remote.context.cache / "tmp").iterdir()) == []
