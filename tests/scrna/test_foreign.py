"""A file of cells is data: what reaches beyond it, runs code or claims too much is refused by name."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stargazer as sg
from stargazer.errors import DataError

h5py = pytest.importorskip("h5py")
anndata = pytest.importorskip("anndata")
zarr = pytest.importorskip("zarr")

SECRET = ("private " * 300)[:2400].encode()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.bin"
    path.write_bytes(SECRET)
    return path


def cells() -> Any:
    made = anndata.AnnData(np.ones((60, 40), "f4"))
    made.obs_names = [f"c{i}" for i in range(60)]
    made.var_names = [f"g{i}" for i in range(40)]
    made.uns["note"] = "text"
    return made


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    path = tmp_path / "x.h5ad"
    cells().write_h5ad(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As zarr v2 has it, in which any codec can be named."""
    path = tmp_path / "x.zarr"
    with anndata.settings.override(zarr_write_format=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells().write_zarr(path)
    return path


def instead(path: Path, place: str, make: Callable[[Any, str], Any]) -> None:
    """Put another element in the place of one, with its attributes."""
    with h5py.File(path, "r+") as file:
        attributes = dict(file[place].attrs) if place in file else {}
        if place in file:
            del file[place]
        make(file, place)
        found = file.get(place, getlink=True)
        if isinstance(found, h5py.HardLink):
            file[place].attrs.update(attributes)


def refused(path: Path, why: str) -> None:
    with pytest.raises(DataError, match=why):
        sg.add(path, sg.AnnData(sample_id="s"))


def external(secret: Path) -> Callable[[Any, str], Any]:
    return lambda file, place: file.create_dataset(place, (60, 40), "u1", external=[(str(secret), 0, 2400)])


def virtual(secret: Path) -> Callable[[Any, str], Any]:
    layout = h5py.VirtualLayout((60, 40), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "data", (60, 40), "u1")
    return lambda file, place: file.create_virtual_dataset(place, layout)


@pytest.mark.parametrize("place", ["X", "layers/counts", "obsm/other", "uns/deep/down", "obs/column", "raw/X"])
@pytest.mark.parametrize("kind", ["external", "virtual", "external link", "soft link"])
def test_nothing_of_an_hdf5_file_lies_elsewhere(
    store: sg.Store, h5ad: Path, secret: Path, place: str, kind: str
) -> None:
    ways: dict[str, tuple[Any, str]] = {
        "external": (external(secret), rf"the bytes of /{place} lie outside, in .*secret\.bin"),
        "virtual": (virtual(secret), rf"/{place} is a virtual dataset of .*secret\.bin"),
        "external link": (lambda f, p: f.__setitem__(p, h5py.ExternalLink(str(secret), "/x")), "is an external link"),
        "soft link": (lambda f, p: f.__setitem__(p, h5py.SoftLink("/obs")), rf"/{place} is a soft link to '/obs'"),
    }
    make, why = ways[kind]
    instead(h5ad, place, make)
    refused(h5ad, why)
    assert not [path for path in Path(store.url).rglob("*") if path.is_file() and b"private" in path.read_bytes()]


def test_tenx_files_are_looked_at_as_well(store: sg.Store, tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group.create_dataset("barcodes", (10,), "S8", external=[(str(secret), 0, 80)])
    refused(path, "the bytes of /matrix/barcodes lie outside")


def test_a_group_that_holds_itself_is_refused(store: sg.Store, h5ad: Path) -> None:
    with h5py.File(h5ad, "r+") as file:
        file["uns/self"] = file["uns"]
    refused(h5ad, "a group that stands elsewhere in the file too")


def test_a_shape_that_no_memory_holds_is_refused(store: sg.Store, h5ad: Path) -> None:
    instead(h5ad, "obsm/vast", lambda file, place: file.create_dataset(place, (60, 1 << 40), "f8", chunks=(60, 1024)))
    refused(h5ad, "claims .* GiB of arrays")


def test_groups_without_end_are_refused(store: sg.Store, h5ad: Path) -> None:
    with h5py.File(h5ad, "r+") as file:
        file["uns"].create_group("/".join("d" * 200))
    refused(h5ad, "levels")


@pytest.mark.parametrize("where", ["obs", "X", "uns/note", "secret"])
@pytest.mark.parametrize("to", ["secret.bin", "folder", "missing"])
def test_no_link_of_a_folder_leads_outside(store: sg.Store, folder: Path, secret: Path, where: str, to: str) -> None:
    (folder.parent / "folder").mkdir()
    place = folder / where
    if place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(folder.parent / to)
    refused(folder, f"{where} is a link to .*outside of the folder")


def test_links_to_parents_are_refused(store: sg.Store, folder: Path) -> None:
    (folder / "uns" / "up").symlink_to("../..", target_is_directory=True)
    refused(folder, "is a link to")


def test_links_within_a_folder_stand_for_what_they_are(store: sg.Store, folder: Path) -> None:
    shutil.move(folder / "X", folder / "moved")
    (folder / "X").symlink_to("moved", target_is_directory=True)
    assert sg.add(folder, sg.AnnData(sample_id="s")).n_obs == 60


@pytest.mark.parametrize("special", ["fifo", "socket"])
def test_what_is_no_file_is_not_opened(store: sg.Store, folder: Path, special: str) -> None:
    import socket

    if special == "fifo":
        os.mkfifo(folder / "X" / "0.1")
    else:
        here = Path.cwd()
        os.chdir(folder / "X")
        try:
            socket.socket(socket.AF_UNIX).bind("0.1")
        finally:
            os.chdir(here)
    refused(folder, r"is no regular file")


@pytest.mark.parametrize("member", ["filters", "compressor"])
@pytest.mark.parametrize("codec", [{"id": "pickle", "protocol": 5}, {"id": "own_codec"}])
def test_a_codec_that_runs_code_is_refused(
    store: sg.Store, folder: Path, tmp_path: Path, member: str, codec: dict[str, Any]
) -> None:
    file = folder / "X" / ".zarray"
    told = json.loads(file.read_text())
    told[member] = [codec] if member == "filters" else codec
    file.write_text(json.dumps(told))
    refused(folder, rf"X/\.zarray names the codec '{codec['id']}'")


def test_consolidated_metadata_are_looked_at(store: sg.Store, folder: Path) -> None:
    told = {"zarr_consolidated_format": 1, "metadata": {"X/.zarray": {"filters": [{"id": "pickle"}]}}}
    (folder / ".zmetadata").write_text(json.dumps(told))
    refused(folder, "names the codec 'pickle'")


def test_metadata_of_brackets_are_refused(store: sg.Store, folder: Path) -> None:
    (folder / "X" / ".zattrs").write_text("[" * 200_000)
    refused(folder, "more than 100 lists and mappings")


def test_a_folder_that_claims_too_much_is_refused(store: sg.Store, folder: Path) -> None:
    file = folder / "X" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [1 << 40, 1 << 20]}))
    refused(folder, "claims .* GiB of arrays")


def tenx_folder(path: Path) -> Path:
    path.mkdir()
    (path / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 3\n")
    (path / "barcodes.tsv").write_text("a\nb\n")
    (path / "genes.tsv").write_text("g1\tG1\ng2\tG2\n")
    return path


def test_a_line_that_unpacks_without_end_is_refused(store: sg.Store, tmp_path: Path) -> None:
    folder = tenx_folder(tmp_path / "tenx")
    (folder / "barcodes.tsv").unlink()
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(b"a" * (64 << 20)))
    refused(folder, "a line of more than")


def test_rows_without_end_are_not_all_read(store: sg.Store, tmp_path: Path) -> None:
    folder = tenx_folder(tmp_path / "tenx")
    (folder / "genes.tsv").unlink()
    (folder / "genes.tsv.gz").write_bytes(gzip.compress(b"g\tG\n" * (4 << 20)))
    refused(folder, "does not fit 4 genes")


def test_a_matrix_that_claims_too_much_is_refused(store: sg.Store, tmp_path: Path) -> None:
    folder = tenx_folder(tmp_path / "tenx")
    header = "%%MatrixMarket matrix coordinate integer general\n"
    (folder / "matrix.mtx").write_text(f"{header}9999999 9999999 99999999999999\n1 1 3\n")
    with pytest.raises(DataError):
        sg.add(folder, sg.AnnData(sample_id="s"))


def test_usual_files_are_taken(store: sg.Store, h5ad: Path, folder: Path) -> None:
    assert sg.add(h5ad, sg.AnnData(sample_id="s")).n_obs == 60
    taken = sg.add(folder, sg.AnnData(sample_id="s"))
    assert sg.add(taken.fetch(), sg.AnnData(sample_id="s")).cid == taken.cid
