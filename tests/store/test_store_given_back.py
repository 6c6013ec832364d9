"""Inputs that a task gives back as they are: links, clones and copies of blobs are known without being hashed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from stargazer.assets import Asset
from stargazer.store import Store


@pytest.fixture(params=["links", "copies"])
def laid(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How inputs are staged: as links, or as on a file system that has none (clones are like copies there)."""
    if request.param == "copies":

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "symlink", refuse)
    return str(request.param)


def make(directory: Path) -> Path:
    (directory / "deep").mkdir(parents=True)
    (directory / "big").write_bytes(os.urandom(600_000))
    (directory / "deep" / "small").write_bytes(b"small")
    return directory


def hashed(monkeypatch: pytest.MonkeyPatch, store: Store) -> list[str]:
    found: list[str] = []
    whole = store.blobs.hashed
    monkeypatch.setattr(store.blobs, "hashed", lambda path, *rest: (found.append(str(path)), whole(path, *rest))[1])
    return found


def test_unchanged_members_are_not_hashed(
    store: Store, tmp_path: Path, laid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.add(make(tmp_path / "tree"))
    staged = store.stage(stored, store.context.scratch / "work")
    seen = hashed(monkeypatch, store)
    assert store.save(Asset(path=staged.path, name="tree")).cid == stored.cid
    assert seen == []


def test_a_member_that_was_changed_is_hashed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = store.add(make(tmp_path / "tree"))
    staged = store.stage(stored, store.context.scratch / "work")
    small = staged.path / "deep" / "small"
    small.unlink()
    small.write_bytes(b"SMALL")
    seen = hashed(monkeypatch, store)
    changed = store.save(Asset(path=staged.path, name="tree"))
    assert changed.cid != stored.cid
    assert store.read(f"{changed.cid}/deep/small") == b"SMALL"
    assert [Path(path).name for path in seen] == ["small"]


def test_a_copy_that_was_written_to_is_hashed(
    store: Store, tmp_path: Path, laid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if laid == "links":
        pytest.skip("writing to a link harms the blob, which check_staged finds")
    stored = store.add(make(tmp_path / "tree"))
    staged = store.stage(stored, store.context.scratch / "work")
    big = staged.path / "big"
    os.chmod(big, 0o644)
    with open(big, "r+b") as file:
        file.write(b"other")
    changed = store.save(Asset(path=staged.path, name="tree"))
    assert store.read(f"{changed.cid}/big").startswith(b"other")
    assert not store.read(f"{stored.cid}/big").startswith(b"other")
