"""Twenty functions of scanpy on the plain view, the opened one and an export: they work, and agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata
import numpy as np
import pytest
import scanpy as sc
from odd_cells import cells, saved
from scipy import sparse
from scrna_stages import raw, run

import stargazer as sg
from stargazer.bio.singlecell.matrix import index_type
from stargazer.tasks.scrna import cluster, find_markers, normalize, qc_filter, reduce_dimensions, select_features


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Any]]:
    """All cells and genes are kept, so that the three have the same."""
    here = tmp_path_factory.mktemp("views")
    with sg.Store(here / "store"):
        added: Any = sg.add(saved(cells(), here / "a.h5ad"), sg.AnnData())
        made = run(qc_filter, here, raw(added.fetch()), min_genes=0, min_cells=0, max_pct_mt=100.0, doublets=False)
    made = run(select_features, here, run(normalize, here, made), n_top_genes=80)
    made = run(reduce_dimensions, here, made, n_pcs=10, umap=False)
    done = run(find_markers, here, run(cluster, here, made))
    done.write_h5ad(here / "e.h5ad")
    return {
        "plain": lambda: anndata.read_zarr(done.path),
        "open": done.open,
        "export": lambda: anndata.read_h5ad(here / "e.h5ad"),
    }


def counted(adata: Any) -> Any:
    """Counts in X, as each view has them, without any conversion."""
    if "counts" in adata.layers:
        adata.X = adata.layers["counts"].copy()
    adata.uns.pop("log1p", None)
    return adata


def logs(adata: Any) -> Any:
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def array(values: Any) -> Any:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def qc(a: Any) -> Any:
    a.var["mito"] = a.var_names.str.startswith("MT-")
    obs, var = sc.pp.calculate_qc_metrics(a, qc_vars=["mito"], percent_top=[20])
    return np.concatenate([obs.to_numpy(float).ravel(), var.to_numpy(float).ravel()])


def graph(a: Any) -> Any:
    sc.pp.neighbors(a, n_neighbors=10, use_rep="X_pca")
    return a.obsp["connectivities"]


def done(
    function: Callable[..., Any], *arguments: Any, read: Callable[[Any], Any], **options: Any
) -> Callable[[Any], Any]:
    def use(a: Any) -> Any:
        function(a, *arguments, **options)
        return read(a)

    return use


ON_COUNTS: dict[str, Callable[[Any], Any]] = {
    "calculate_qc_metrics": qc,
    "filter_cells": done(sc.pp.filter_cells, min_counts=500, read=lambda a: a.obs_names.tolist()),
    "filter_genes": done(sc.pp.filter_genes, min_cells=30, read=lambda a: a.var_names.tolist()),
    "normalize_total": done(sc.pp.normalize_total, read=lambda a: a.X),
    "downsample_counts": done(
        sc.pp.downsample_counts, counts_per_cell=200, random_state=0, read=lambda a: a.X.sum(axis=1)
    ),
    "tocoo": lambda a: a.X.tocoo(),
    "nonzero": lambda a: np.stack(a.X.nonzero()),
    "transpose": lambda a: a.X.T.tocsr().sum(axis=1),
    "sample": lambda a: sc.pp.sample(a, n=50, rng=0, copy=True).X,
    "concat": lambda a: anndata.concat([a, a]).X,
    "copy and slice": lambda a: a[a.obs["truth"] == "t0", :40].copy().X,
}
ON_LOGS: dict[str, Callable[[Any], Any]] = {
    "log1p": lambda a: a.X,
    "highly_variable_genes": done(
        sc.pp.highly_variable_genes, n_top_genes=50, read=lambda a: a.var["dispersions_norm"]
    ),
    "scale": done(sc.pp.scale, read=lambda a: a.X),
    "pca": done(sc.pp.pca, n_comps=5, read=lambda a: np.abs(a.obsm["X_pca"])),
    "score_genes": done(
        sc.tl.score_genes, [f"GENE{i:04d}" for i in range(20)], random_state=0, read=lambda a: a.obs["score"]
    ),
    "rank_genes_groups": done(
        sc.tl.rank_genes_groups, "truth", method="wilcoxon", read=lambda a: a.uns["rank_genes_groups"]["scores"]["t0"]
    ),
    "obs_df": lambda a: sc.get.obs_df(a, keys=["GENE0001"]).to_numpy(),
    "aggregate": lambda a: sc.get.aggregate(a, "truth", func="sum").layers["sum"],
}
ON_GRAPHS: dict[str, Callable[[Any], Any]] = {
    "neighbors": graph,
    "leiden": done(
        sc.tl.leiden,
        flavor="igraph",
        n_iterations=2,
        directed=False,
        key_added="l",
        read=lambda a: a.obs["l"].astype(int),
    ),
    "paga": done(sc.tl.paga, "truth", read=lambda a: a.uns["paga"]["connectivities"]),
    "diffmap": done(sc.tl.diffmap, n_comps=4, read=lambda a: np.abs(a.obsm["X_diffmap"])),
    "dendrogram": done(
        sc.tl.dendrogram, "truth", use_rep="X_pca", read=lambda a: a.uns["dendrogram_truth"]["correlation_matrix"]
    ),
}
FUNCTIONS = {**ON_COUNTS, **ON_LOGS, **ON_GRAPHS}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_scanpy_works_on_every_view_and_they_agree(views: dict[str, Callable[[], Any]], name: str) -> None:
    found = {}
    for view, opened in views.items():
        adata = counted(opened())
        found[view] = FUNCTIONS[name](logs(adata) if name in ON_LOGS else adata)
    first = found["open"]
    for view in ("plain", "export"):
        if isinstance(first, list):
            assert found[view] == first
        else:
            np.testing.assert_allclose(array(found[view]), array(first), rtol=2e-4, atol=2e-5)


def test_there_are_twenty_functions() -> None:
    assert len(FUNCTIONS) >= 20


def test_columns_and_pointers_have_one_type(views: dict[str, Callable[[], Any]]) -> None:
    for opened in views.values():
        adata = opened()
        matrices = {"X": adata.X, **adata.layers, **adata.obsp}
        for name, matrix in matrices.items():
            assert matrix.indices.dtype == matrix.indptr.dtype == np.int32, name
    assert index_type(2**31 - 1) == np.int32
    assert index_type(2**31) == np.int64


def test_what_multiplies_small_counts_in_their_own_type_is_told_of(views: dict[str, Callable[[], Any]]) -> None:
    plain = views["plain"]()
    assert plain.X.dtype == np.uint8
    assert "adata.X.astype('float32')" in plain.uns["stargazer"]["about"]
    assert views["open"]().X.dtype == np.float32
