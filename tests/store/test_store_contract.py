"""Stores in a folder, in memory and in S3 keep the contract that others can import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.cid import cid_of_path
from stargazer.store import Store
from stargazer.testing.stores import StoreContract

File = Callable[..., Path]


class TestStores(StoreContract):
    """By the fixture ``url``, wherever a store may lie."""


def test_a_directory_of_many_names_is_sharded_and_comes_back(local: Store, file: File) -> None:
    folder = file("many/first").parent
    for number in range(1100):
        (folder / f"{number:04}{'n' * 200}").write_text(str(number))
    stored = local.add(folder)
    assert stored.cid == cid_of_path(folder)
    assert local.read(f"{stored.cid}/0007{'n' * 200}") == b"7"
    assert len(list(local.backend.entries("trees"))) > 100
    local.gc(grace=-60)
    assert local.exists(stored)
    assert local.fsck().ok


def test_a_relative_path_means_another_store_in_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert Store.open("store").url == f"file://{tmp_path}/{name}/store"
