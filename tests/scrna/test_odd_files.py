"""Files that are old, damaged, or not quite of the usual form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
from scrna_files import CELLS, GENES, h5ad, old_h5ad, tenx_folder, tenx_h5

import stargazer as sg
from stargazer.errors import DataError
from stargazer.store import Store


def test_files_of_old_versions_come_in(store: Store, tmp_path: Path, counts: Any) -> None:
    view = sg.add(old_h5ad(tmp_path / "old.h5ad", counts), sg.AnnData()).open()
    assert (counts != view.X).nnz == 0
    assert view.obs["line"].tolist() == ["H1975", "HCC827"] * 15
    assert view.obs["score"].tolist() == [0.5 * i for i in range(30)]
    assert (view.obs_names.tolist(), view.var_names.tolist()) == (CELLS, GENES)


def test_half_precision_comes_in(store: Store, tmp_path: Path, counts: Any) -> None:
    path = h5ad(tmp_path / "a.h5ad", counts.toarray().astype(np.float16))
    assert (counts != sg.add(path, sg.AnnData()).open().X).nnz == 0


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize(("harm", "word"), [("lost", "0 of 1 chunks"), ("cut", "incomplete or damaged")])
def test_a_zarr_without_all_its_chunks_is_refused(
    store: Store, tmp_path: Path, counts: Any, harm: str, word: str
) -> None:
    with anndata.settings.override(zarr_write_format=2, auto_shard_zarr_v3=False):
        anndata.read_h5ad(h5ad(tmp_path / "a.h5ad", counts)).write_zarr(tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr" / "X" / "indices" / "0"
    chunk.write_bytes(chunk.read_bytes()[:30])
    if harm == "lost":
        chunk.unlink()
    with pytest.raises(DataError, match=word):
        sg.add(tmp_path / "a.zarr", sg.AnnData())


def test_folders_as_archives_have_them(store: Store, tmp_path: Path, counts: Any) -> None:
    path = tenx_folder(tmp_path / "c", counts, zipped=True)
    for file in list(path.iterdir()):
        file.rename(path / f"GSM1_s1_{file.name}")
    assert (counts != anndata.read_zarr(sg.add(path, sg.AnnData()).fetch()).X).nnz == 0
    with pytest.raises(DataError, match=r"give .*c\b"):
        sg.add(tmp_path, sg.AnnData())
    with pytest.raises(DataError, match="matrix without names: give the folder"):
        sg.add(path / "GSM1_s1_matrix.mtx.gz", sg.AnnData())
    (path / "GSM2_matrix.mtx").write_text("")
    with pytest.raises(DataError, match="several matrix"):
        sg.add(path, sg.AnnData())


def test_genes_of_two_genomes_are_refused(store: Store, tmp_path: Path, counts: Any) -> None:
    path = tenx_h5(tmp_path / "a.h5", counts, ["Gene Expression"] * 20)
    with h5py.File(path, "r+") as file:
        del file["matrix/features/genome"]
        file["matrix/features/genome"] = np.array(["GRCh38"] * 10 + ["mm10"] * 10, "S")
    with pytest.raises(DataError, match=r"genes of 2 genomes \(GRCh38, mm10\)"):
        sg.add(path, sg.AnnData())
