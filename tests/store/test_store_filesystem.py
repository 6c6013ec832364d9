"""``cid://`` for fsspec and zarr."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import _registry

from stargazer.errors import BlobLost
from stargazer.store import Store, layout
from stargazer.store.filesystem import CIDFileSystem

File = Callable[..., Path]


@pytest.fixture(autouse=True)
def known_to_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_registry, "cid", CIDFileSystem)


def test_files_in_directories_are_read_by_path_and_range(store: Store, file: File) -> None:
    stored = store.add(file("d/x/y", "0123456789").parent.parent)
    with store:
        with fsspec.open(f"cid://{stored.cid}/x/y") as opened:
            assert opened.read() == b"0123456789"
        with fsspec.open(f"cid://{stored.cid}/x/y", "rt") as opened:
            assert opened.read() == "0123456789"
        fs = fsspec.filesystem("cid")
        assert fs.find(str(stored.cid)) == [f"{stored.cid}/x/y"]
        assert fs.ls(f"{stored.cid}/x")[0]["size"] == 10
        assert fs.isdir(f"cid://{stored.cid}/x")
        assert fs.exists(f"{stored.cid}/x/y")
        assert not fs.exists(f"{stored.cid}/nope")
        assert fs.cat_file(f"{stored.cid}/x/y", start=2, end=-3) == b"23456"
        with pytest.raises(FileNotFoundError):
            fs.open(f"{stored.cid}/nope")
        with pytest.raises(ValueError, match="never changes"):
            fs.open(f"{stored.cid}/x/y", "wb")
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat_file(f"{stored.cid}/x/y") == b"0123456789"
    assert fsspec.open(f"cid://{stored.cid}/x/y", store=store.url).open().read() == b"0123456789"


def test_corrupt_bytes_are_not_read_through_it(store: Store, file: File) -> None:
    stored = store.add(file("a", "good"))
    store.backend.replace(layout.blob(str(stored.cid)), b"evil")
    with pytest.raises(FileNotFoundError, match="corrupt") as caught:
        CIDFileSystem(store.url).cat_file(str(stored.cid))
    assert isinstance(caught.value.__cause__, BlobLost)


def test_zarr_opens_an_array_by_its_cid(store: Store, file: File) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed (pip install '.[test]')")
    numpy = pytest.importorskip("numpy")
    path = file("a.zarr/x").parent
    (path / "x").unlink()
    array = zarr.create_array(str(path), shape=(50, 40), chunks=(20, 20), dtype="i4")
    array[:] = numpy.arange(2000).reshape(50, 40)
    stored = store.add(path)
    opened = zarr.open(f"cid://{stored.cid}", mode="r", storage_options={"store": store.url})
    assert (opened[10:30, 5:35] == array[10:30, 5:35]).all()
