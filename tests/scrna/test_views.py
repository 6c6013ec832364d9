"""Two views of one tree: plain anndata's, with all cells and raw counts, and the one that open() gives."""

from __future__ import annotations

from typing import Any

import anndata
import numpy as np
import pytest

from stargazer.assets import AnnData
from stargazer.errors import AssetError, DataError


@pytest.fixture(scope="module")
def views(stages: dict[str, AnnData]) -> tuple[Any, Any]:
    last = stages["find_markers"]
    return anndata.read_zarr(last.path), last.open()


def test_the_plain_view_has_everything_as_it_came(views: tuple[Any, Any], stages: dict[str, AnnData]) -> None:
    plain, _ = views
    counts = anndata.read_zarr(stages["raw"].path)
    assert plain.shape == counts.shape
    assert (plain.X != counts.X).nnz == 0
    assert "obs['kept']" in plain.uns["stargazer"]["about"]


def test_masks_of_the_plain_view_give_the_opened_one(views: tuple[Any, Any]) -> None:
    plain, opened = views
    cells, genes = plain.obs["kept"].to_numpy(), plain.var["kept"].to_numpy()
    assert 0 < cells.sum() < plain.n_obs
    assert 0 < genes.sum() < plain.n_vars
    assert opened.obs_names.tolist() == plain.obs_names[cells].tolist()
    assert opened.var_names.tolist() == plain.var_names[genes].tolist()
    counts = plain.X[cells][:, genes].astype(np.float32)
    assert (opened.layers["counts"] != counts).nnz == 0
    logs = np.log1p(counts.toarray() / plain.obs["size_factor"].to_numpy()[cells][:, None])
    np.testing.assert_allclose(opened.X.toarray(), logs, rtol=1e-6)
    for name in ("X_pca", "X_umap"):
        np.testing.assert_array_equal(opened.obsm[name], plain.obsm[name][cells])
        assert np.isnan(plain.obsm[name][~cells]).all()
    for name in ("connectivities", "distances"):
        assert (opened.obsp[name] != plain.obsp[name][cells][:, cells]).nnz == 0
        assert plain.obsp[name].nnz == opened.obsp[name].nnz
    assert opened.obs["leiden"].tolist() == plain.obs["leiden"][cells].tolist()
    assert plain.obs["leiden"][~cells].isna().all()
    np.testing.assert_array_equal(opened.varm["PCs"], plain.varm["PCs"][genes])


def test_the_tables_of_the_plain_view_are_the_records_of_the_opened_one(views: tuple[Any, Any]) -> None:
    plain, opened = views
    tables, records = plain.uns["rank_genes_groups"], opened.uns["rank_genes_groups"]
    for row, group in enumerate(tables["groups"]):
        for name in ("scores", "pvals", "pvals_adj", "logfoldchanges"):
            by_gene = dict(zip(tables["genes"], tables[name][row], strict=True))
            assert [by_gene[gene] for gene in records["names"][group]] == records[name][group].tolist()
        assert (np.diff(records["scores"][group]) <= 0).all()


@pytest.mark.parametrize("stage", ["raw", "qc_filter", "find_markers"])
def test_the_lazy_view_is_the_one_in_memory(stages: dict[str, AnnData], stage: str) -> None:
    lazy, eager = stages[stage].open(lazy=True), stages[stage].open()
    assert hasattr(lazy.X, "dask")
    assert hasattr(lazy.layers["counts"], "dask")
    assert (lazy.X.compute() != eager.X).nnz == 0
    assert (lazy.layers["counts"].compute() != eager.layers["counts"]).nnz == 0
    assert lazy.obs.equals(eager.obs)
    part = lazy[10:60].to_memory()
    assert (eager.X[10:60] != part.X).nnz == 0


def test_counts_are_in_x_before_they_are_normalised(stages: dict[str, AnnData]) -> None:
    filtered = stages["qc_filter"].open()
    assert (filtered.layers["counts"] != filtered.X).nnz == 0
    filtered.X.data[:] = 0
    assert filtered.layers["counts"].sum() > 0


def test_an_opened_copy_changes_nothing_that_is_stored(stages: dict[str, AnnData]) -> None:
    first = stages["find_markers"].open()
    first.obs["leiden"] = "gone"
    first.X.data[:] = 0
    assert stages["find_markers"].open().obs["leiden"].nunique() > 1


def test_markers_come_as_one_table(stages: dict[str, AnnData]) -> None:
    table = stages["find_markers"].markers(top=3)
    groups = stages["find_markers"].open().obs["leiden"].cat.categories
    assert table.groupby("group").size().to_dict() == dict.fromkeys(groups, 3)
    assert {"gene", "scores", "pvals_adj", "logfoldchanges"} < set(table)
    with pytest.raises(DataError, match="rank_genes_groups"):
        stages["cluster"].markers()


def test_an_asset_shows_its_stage_and_a_picture(stages: dict[str, AnnData]) -> None:
    shown = stages["find_markers"]._repr_html_()
    assert "annotated" in shown
    assert "<svg" in shown
    assert "<svg" not in stages["raw"]._repr_html_()
    assert AnnData(cid="bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy").picture() == ""
    with pytest.raises(AssetError):
        AnnData().open()
