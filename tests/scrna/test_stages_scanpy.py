"""Each stage against the same step of scanpy on the same input: real cells, simulated ones, many of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scanpy as sc
from scrna_stages import all_stages, raw

from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.ingest import ingest

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def scanpys(adata: AnnData) -> Any:
    """Counts for scanpy, without spike-ins, which we leave out."""
    counts = anndata.read_zarr(adata.path)
    counts.X = counts.X.astype(np.float32)
    return counts[:, ~counts.var_names.str.startswith("ERCC-")].copy()


def filtered_by_scanpy(adata: AnnData, mt: Any) -> Any:
    theirs = scanpys(adata)
    sc.pp.filter_cells(theirs, min_genes=100)
    sc.pp.filter_genes(theirs, min_cells=3)
    theirs.var["mt"] = theirs.var_names.isin(mt)
    sc.pp.calculate_qc_metrics(theirs, qc_vars=["mt"], percent_top=None, inplace=True)
    return theirs[theirs.obs["pct_counts_mt"] < 20].copy()


@pytest.fixture(scope="module", params=["simulated", "real", "many"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Our view of the last stage, and scanpy's cells after its filters."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "real":
        made = ingest(request.getfixturevalue("real_file"), directory)
        cells, mt = raw(made.path, organism="human"), None
    elif request.param == "many":  # above 8,192 cells scanpy searches neighbours approximately
        population = Population(n_genes=400, n_types=4, n_markers=20, depth=600)
        cells = raw(simulate_cells(directory / "cells.zarr", 8_600, population), organism="human")
    else:
        cells = request.getfixturevalue("simulated")
    made = all_stages(directory, cells, doublets=False, umap=request.param == "simulated")
    ours = made["find_markers"].open()
    assert request.param != "many" or ours.n_obs > 8_192
    mt = ours.var_names[ours.var["mt"]]
    return ours, filtered_by_scanpy(cells, mt)


def test_the_same_cells_and_genes_are_kept(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    assert ours.obs_names.tolist() == theirs.obs_names.tolist()
    assert ours.var_names.tolist() == theirs.var_names.tolist()


def test_metrics_are_scanpys(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    for name in (
        "n_genes",
        "n_genes_by_counts",
        "total_counts",
        "total_counts_mt",
        "pct_counts_mt",
        "log1p_total_counts",
    ):
        np.testing.assert_allclose(ours.obs[name], theirs.obs[name], rtol=1e-5, err_msg=name)
    for name in ("n_cells_by_counts", "total_counts", "mean_counts", "pct_dropout_by_counts", "log1p_mean_counts"):
        np.testing.assert_allclose(ours.var[name], theirs.var[name], rtol=1e-5, atol=1e-9, err_msg=name)


def test_normalised_values_are_scanpys_bit_for_bit(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    theirs = theirs.copy()
    theirs.layers["counts"] = theirs.X.copy()
    sc.pp.normalize_total(theirs)
    sc.pp.log1p(theirs)
    assert (ours.layers["counts"] != theirs.layers["counts"]).nnz == 0
    assert (ours.X != theirs.X).nnz == 0


def test_the_same_genes_are_highly_variable(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    theirs = theirs.copy()
    sc.pp.normalize_total(theirs)
    sc.pp.log1p(theirs)
    wanted = min(2_000, theirs.n_vars)
    sc.pp.highly_variable_genes(theirs, n_top_genes=wanted)
    assert ours.var["highly_variable"].equals(theirs.var["highly_variable"])
    np.testing.assert_allclose(ours.var["dispersions_norm"], theirs.var["dispersions_norm"], rtol=1e-3, atol=1e-4)


def test_components_are_scanpys(both: tuple[Any, Any]) -> None:
    ours, _ = both
    theirs = anndata.AnnData(ours.X.copy(), ours.obs[[]], ours.var[["highly_variable"]])
    sc.pp.pca(theirs, n_comps=50)
    n = min(20, ours.obsm["X_pca"].shape[1])
    same = [abs(np.corrcoef(ours.obsm["X_pca"][:, i], theirs.obsm["X_pca"][:, i])[0, 1]) for i in range(3)]
    assert min(same) > 0.9999
    np.testing.assert_allclose(ours.uns["pca"]["variance"][:n], theirs.uns["pca"]["variance"][:n], rtol=1e-3)


@pytest.mark.slow  # umap-learn takes long to compile
def test_the_graph_is_scanpys_exact_one(both: tuple[Any, Any]) -> None:
    ours, _ = both
    if ours.n_obs > 8_192:
        pytest.skip("scanpy's neighbours are approximate above 8,192 cells")
    theirs = anndata.AnnData(ours.X, ours.obs[[]], obsm={"X_pca": ours.obsm["X_pca"]})
    sc.pp.neighbors(theirs, n_neighbors=15, n_pcs=50)
    assert abs(ours.obsp["connectivities"] - theirs.obsp["connectivities"]).max() < 1e-4
    assert abs(ours.obsp["distances"] - theirs.obsp["distances"]).max() < 1e-4


def test_clusters_are_scanpys(both: tuple[Any, Any]) -> None:
    ours, _ = both
    theirs = ours.copy()
    sc.tl.leiden(theirs, flavor="igraph", n_iterations=2, resolution=0.5, directed=False, key_added="theirs")
    assert theirs.obs["theirs"].tolist() == ours.obs["leiden"].tolist()


def test_markers_are_scanpys(both: tuple[Any, Any]) -> None:
    ours, _ = both
    theirs = ours.copy()
    sc.tl.rank_genes_groups(theirs, "leiden", method="wilcoxon")
    tables = (sc.get.rank_genes_groups_df(each, None).astype({"group": str}) for each in (ours, theirs))
    mine, other = (table.set_index(["group", "names"]).sort_index() for table in tables)
    np.testing.assert_allclose(mine["scores"], other["scores"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mine["logfoldchanges"], other["logfoldchanges"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mine["pvals"], other["pvals"], rtol=1e-4, atol=1e-300)
    np.testing.assert_allclose(mine["pvals_adj"], other["pvals_adj"], rtol=1e-4, atol=1e-300)


def test_scanpy_plots_what_we_open(both: tuple[Any, Any], tmp_path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    ours, _ = both
    with mpl.rc_context({"backend": "Agg", "savefig.directory": str(tmp_path)}):
        if "X_umap" in ours.obsm:
            sc.pl.umap(ours, color=["leiden", "total_counts"], show=False)
        sc.pl.rank_genes_groups(ours, n_genes=3, show=False)
        sc.pl.rank_genes_groups_dotplot(ours, n_genes=2, show=False)
        sc.pl.pca_variance_ratio(ours, show=False)
        sc.pl.highly_variable_genes(ours, show=False)
        sc.pl.violin(ours, ["n_genes_by_counts", "pct_counts_mt"], show=False)
        plt.close("all")
