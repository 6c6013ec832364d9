"""Files become AnnData assets: what is read, what is refused and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scrna_files import CELLS, GENES, h5ad, tenx_folder, tenx_h5

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.cid import cid_of_path
from stargazer.errors import DataError
from stargazer.store import Store


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("form", ["csr", "csc", "dense", "layer", "raw", "zarr2", "zarr3", "h5", "mtx", "mtx.gz"])
def test_counts_come_in_from_every_form(store: Store, tmp_path: Path, counts: Any, form: str) -> None:
    path = tmp_path / "s1.h5ad"
    if form in ("csr", "csc", "dense"):
        h5ad(path, counts.toarray() if form == "dense" else counts.asformat(form))
    elif form == "layer":
        h5ad(path, counts.log1p(), layers={"counts": counts})
    elif form == "raw":
        adata = anndata.AnnData(counts, pd.DataFrame(index=CELLS), pd.DataFrame(index=GENES))
        kept = adata[:, :5].copy()
        kept.raw = adata
        kept.X = kept.X.log1p()
        kept.write_h5ad(path)
    elif form.startswith("zarr"):
        with anndata.settings.override(zarr_write_format=int(form[-1]), auto_shard_zarr_v3=False):
            anndata.read_h5ad(h5ad(path, counts)).write_zarr(tmp_path / "s1.zarr")
        path = tmp_path / "s1.zarr"
    elif form == "h5":
        path = tenx_h5(tmp_path / "s1.h5", counts, ["Gene Expression"] * 20)
    else:
        path = tenx_folder(tmp_path / "s1", counts, zipped=form == "mtx.gz")
    added = sg.add(path, sg.AnnData(sample_id="s1", organism="human"))
    assert (added.n_obs, added.n_vars, added.stage, added.name) == (30, 20, "raw", "s1.zarr")
    assert added.source_cid == cid_of_path(path)
    plain = anndata.read_zarr(added.fetch())
    assert plain.X.dtype == np.uint16
    assert (counts != plain.X).nnz == 0
    assert plain.obs_names.tolist() == CELLS
    assert plain.var_names.tolist() == GENES
    assert not store.exists(sg.Asset(cid=added.source_cid))


def test_the_same_counts_have_one_cid_of_x(store: Store, tmp_path: Path, counts: Any) -> None:
    first = sg.add(h5ad(tmp_path / "a.h5ad", counts), sg.AnnData())
    second = sg.add(h5ad(tmp_path / "b.h5ad", counts.tocsc()), sg.AnnData())
    third = sg.add(tenx_folder(tmp_path / "c", counts, zipped=True), sg.AnnData())
    assert first.cid == second.cid
    assert store.resolve(f"{first.cid}/X") == store.resolve(f"{third.cid}/X")


def test_everything_else_of_a_file_comes_along(store: Store, tmp_path: Path, counts: Any) -> None:
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(["a", "b", None] * 10, categories=["b", "a"], ordered=True),
            "text": ["x"] * 30,
            "real": np.linspace(0, 1, 30),
            "whole": pd.array([1, 2, None] * 10, dtype="Int64"),
            "kept": True,
        },
        index=CELLS,
    )
    members = {
        "obs": obs,
        "obsm": {"X_pca": np.ones((30, 3)), "table": pd.DataFrame({"q": np.arange(30.0)}, index=CELLS)},
        "obsp": {"near": sparse.eye(30, format="csr")},
        "layers": {"spliced": counts * 0.5},
        "uns": {"colors": np.array(["red", "blue"]), "params": {"k": 5, "by": "type"}, "records": np.zeros(2, "f4,i4")},
    }
    added = sg.add(h5ad(tmp_path / "a.h5ad", counts, **members), sg.AnnData())
    view = added.open()
    assert view.obs["type"].cat.categories.tolist() == ["b", "a"]
    assert view.obs["type"].cat.ordered
    assert view.obs["type"].isna().sum() == 10
    assert view.obs["whole"].fillna(-1).tolist() == [1.0, 2.0, -1.0] * 10
    assert view.obs["kept"].all()
    assert (view.layers["spliced"] != counts * 0.5).nnz == 0
    assert view.obsm["table"]["q"].tolist() == list(range(30))
    assert (view.obsp["near"] != sparse.eye(30)).nnz == 0
    assert view.uns["params"] == {"k": 5, "by": "type"}
    assert view.uns["colors"].tolist() == ["red", "blue"]
    assert str(view.obs["whole"].dtype) == "Int64"
    assert AnnDataTree(added.fetch()).stages()["ingest"]["notes"] == []


def test_an_exported_file_comes_in_again(store: Store, tmp_path: Path, stages: dict[str, sg.AnnData]) -> None:
    done = stages["find_markers"]
    done.write_h5ad(tmp_path / "annotated.h5ad")
    exported = anndata.read_h5ad(tmp_path / "annotated.h5ad")
    assert exported.uns["rank_genes_groups"]["names"].dtype.names == tuple(exported.obs["leiden"].cat.categories)
    added = sg.add(tmp_path / "annotated.h5ad", sg.AnnData(sample_id="again"))
    view = added.open()
    assert (view.layers["counts"] != exported.layers["counts"]).nnz == 0
    assert (added.stage, view.obs["leiden"].tolist()) == ("raw", exported.obs["leiden"].tolist())


def test_a_stage_is_added_as_it_is(store: Store, tmp_path: Path, stages: dict[str, sg.AnnData]) -> None:
    added = sg.add(stages["cluster"].path, sg.AnnData(sample_id="kept"))
    assert added.stage == "clustered"
    assert added.n_obs == stages["qc_filter"].n_obs
    assert sg.add(added.fetch(), sg.AnnData()).cid == added.cid


def test_features_that_are_no_genes_are_left_out(store: Store, tmp_path: Path, counts: Any) -> None:
    types = ["Gene Expression"] * 15 + ["Antibody Capture"] * 5
    added = sg.add(tenx_h5(tmp_path / "a.h5", counts, types), sg.AnnData())
    assert added.n_vars == 15
    assert (counts[:, :15] != anndata.read_zarr(added.fetch()).X).nnz == 0
    assert "5 features" in AnnDataTree(added.fetch()).stages()["ingest"]["notes"][0]


def test_names_that_occur_twice_are_made_different(store: Store, tmp_path: Path, counts: Any) -> None:
    genes = pd.DataFrame(index=["A", "A", "A-1", *GENES[3:]])
    with pytest.warns(UserWarning, match="not unique"):
        path = h5ad(tmp_path / "a.h5ad", counts, var=genes)
    added = sg.add(path, sg.AnnData())
    names = added.open().var_names.tolist()
    assert len(set(names)) == 20
    assert {"A", "A-1"} < set(names)
    assert "1 genes" in AnnDataTree(added.fetch()).stages()["ingest"]["notes"][0]


@pytest.mark.parametrize(("value", "shown"), [(-1.0, "-1.0"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_value_that_is_no_count_is_named(store: Store, tmp_path: Path, counts: Any, value: float, shown: str) -> None:
    dense = counts.toarray()
    dense[7, 11] = value
    with pytest.raises(DataError, match=rf"cell {CELLS[7]}, gene G11 is {shown}.*layers\['counts'\]"):
        sg.add(h5ad(tmp_path / "a.h5ad", dense), sg.AnnData())
    assert sg.assemble(asset="anndata") == []


def test_a_bad_count_beyond_the_first_block_is_found(store: Store, tmp_path: Path) -> None:
    matrix = sparse.csr_matrix(np.ones((5_100, 3)))
    matrix.data[-1] = 0.25
    path = tmp_path / "a.h5ad"
    anndata.AnnData(matrix, pd.DataFrame(index=[f"c{i}" for i in range(5_100)])).write_h5ad(path)
    with pytest.raises(DataError, match="cell c5099, gene 2"):
        sg.add(path, sg.AnnData())


@pytest.mark.parametrize("keep", [100, 3_000, -200])
def test_a_truncated_file_is_refused(store: Store, tmp_path: Path, counts: Any, keep: int) -> None:
    whole = h5ad(tmp_path / "whole.h5ad", counts).read_bytes()
    (tmp_path / "a.h5ad").write_bytes(whole[:keep])
    with pytest.raises(DataError, match=r"truncated|damaged"):
        sg.add(tmp_path / "a.h5ad", sg.AnnData())


def test_a_damaged_file_is_refused(store: Store, tmp_path: Path, counts: Any) -> None:
    path = h5ad(tmp_path / "a.h5ad", counts)
    with h5py.File(path, "r+") as file:
        file["X/indices"][5] = 99
    with pytest.raises(DataError, match="damaged"):
        sg.add(path, sg.AnnData())
    with h5py.File(path, "r+") as file:
        file["X/indices"][5], file["X/indptr"][3] = 0, 10_000
    with pytest.raises(DataError, match="damaged"):
        sg.add(path, sg.AnnData())


def test_files_that_are_no_counts_are_refused(store: Store, tmp_path: Path, counts: Any) -> None:
    (tmp_path / "a.csv").write_text("gene,cell\n")
    with pytest.raises(DataError, match="no table of counts"):
        sg.add(tmp_path / "a.csv", sg.AnnData())
    (tmp_path / "a.pdf").write_text("gene,cell\n")
    with pytest.raises(DataError, match=r"no HDF5 file.*give a \.h5ad"):
        sg.add(tmp_path / "a.pdf", sg.AnnData())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no zarr group"):
        sg.add(tmp_path / "empty", sg.AnnData())
    path = tenx_folder(tmp_path / "c", counts, zipped=True)
    (path / "barcodes.tsv.gz").unlink()
    with pytest.raises(DataError, match=r"has no barcodes.tsv"):
        sg.add(path, sg.AnnData())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(DataError):
        sg.add(tmp_path / "x.h5", sg.AnnData())
    with pytest.raises(sg.errors.NotFound):
        sg.add(tmp_path / "absent.h5ad", sg.AnnData())


def test_files_without_cells_are_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    anndata.AnnData(sparse.csr_matrix((0, 3), dtype=np.float32)).write_h5ad(path)
    with pytest.raises(DataError, match="0 cells and 3 genes"):
        sg.add(path, sg.AnnData())


def test_a_folder_whose_parts_do_not_fit_is_refused(store: Store, tmp_path: Path, counts: Any) -> None:
    path = tenx_folder(tmp_path / "c", counts, zipped=False)
    (path / "barcodes.tsv").write_text("only\n")
    with pytest.raises(DataError, match="does not fit 20 genes, 1 cells"):
        sg.add(path, sg.AnnData())


def test_a_bare_asset_keeps_the_bytes_of_the_file(store: Store, tmp_path: Path, counts: Any) -> None:
    path = h5ad(tmp_path / "a.h5ad", counts)
    converted, kept = sg.add(path, sg.AnnData()), sg.add(path)
    assert kept.cid == converted.source_cid
    assert kept.fetch().read_bytes() == path.read_bytes()


def test_counts_that_stand_twice_add_up(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    anndata.AnnData(sparse.csr_matrix(np.eye(3, dtype=np.uint8))).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X/data"], file["X/indices"], file["X/indptr"]
        file["X/data"] = np.array([200, 100, 0, 7], np.uint8)
        file["X/indices"], file["X/indptr"] = np.array([2, 2, 1, 0], np.int32), np.array([0, 3, 4, 4], np.int32)
    plain = anndata.read_zarr(sg.add(path, sg.AnnData()).fetch())
    assert plain.X.toarray().tolist() == [[0, 0, 300], [7, 0, 0], [0, 0, 0]]
    assert plain.X.nnz == 2
