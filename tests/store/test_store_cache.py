"""What this host keeps of an object store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.assets import Asset
from stargazer.errors import BlobLost
from stargazer.store import Store, layout
from stargazer.store.cache import Cache

File = Callable[..., Path]


@pytest.fixture
def remote() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}")


def downloaded(store: Store) -> set[str]:
    return {path.name for path in (store.cache / "blobs").rglob("*") if path.is_file()}


def test_a_file_is_downloaded_once(remote: Store, file: File) -> None:
    stored = remote.add(file("a", "a"))
    assert downloaded(remote) == set()
    assert stored.fetch().read_text() == "a"
    remote.backend.remove(layout.blob(str(stored.cid)))
    assert stored.fetch().read_text() == "a"
    assert downloaded(remote) == {stored.cid}
    for path in (remote.cache / "blobs").rglob("bafk*"):
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
    remote.scratch.mkdir(parents=True)
    (remote.scratch / "out").write_text("out")
    stored = remote.save(Asset(path=remote.scratch / "out"))
    assert downloaded(remote) == {stored.cid}


def test_the_cache_does_not_grow_without_bound(remote: Store, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "most_bytes", 2500)
    stored = [remote.add(file(str(number), bytes([number]) * 1000)) for number in range(4)]
    for asset in stored:
        asset.fetch()
    assert len(downloaded(remote)) == 4, "files used a moment ago may be in use still"
    monkeypatch.setattr(Cache, "kept_for", -1.0)
    stored[0].fetch()
    Cache(remote.cache).sweep()
    assert downloaded(remote) == {stored[0].cid, stored[3].cid}
    assert [asset.fetch().read_bytes()[:1] for asset in stored] == [b"\0", b"\1", b"\2", b"\3"]
