"""QC metrics and filters against scanpy's, in its order."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import check_counts, row_blocks, select
from stargazer.bio.singlecell.kernels.qc import mad_limits, qc_metrics, top_fractions
from stargazer.errors import DataError


def by_scanpy(counts, mt, min_genes, min_cells):
    adata = anndata.AnnData(counts.copy())
    adata.var["mt"] = mt
    sc.pp.filter_cells(adata, min_genes=min_genes)
    sc.pp.filter_genes(adata, min_cells=min_cells)
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=(50, 200), inplace=True)
    return adata


def test_metrics_and_masks_equal_scanpys(counts):
    n_genes = counts.shape[1]
    mt = np.random.default_rng(0).random(n_genes) < 0.05
    min_genes = int(np.quantile(np.diff(counts.indptr), 0.1))
    adata = by_scanpy(counts, mt, min_genes, 5)
    qc = qc_metrics(row_blocks(counts, 97), n_genes, {"mt": mt}, min_genes=min_genes, min_cells=5)
    assert qc.cells.sum() == adata.n_obs < len(qc.cells)
    assert (np.flatnonzero(qc.genes).astype(str) == adata.var_names).all()
    assert qc.genes.sum() < n_genes
    obs, var = adata.obs, adata.var
    assert (qc.n_genes_detected[qc.cells] == obs["n_genes"]).all()
    assert (qc.n_genes[qc.cells] == obs["n_genes_by_counts"]).all()
    assert (qc.total_counts[qc.cells] == obs["total_counts"]).all()
    assert (qc.n_genes[qc.cells] < qc.n_genes_detected[qc.cells]).any(), "the correction was put to the test"
    np.testing.assert_allclose(qc.percent("mt")[qc.cells], obs["pct_counts_mt"], rtol=1e-6)
    assert (qc.n_cells[qc.genes] == var["n_cells_by_counts"]).all()
    assert (qc.gene_counts[qc.genes] == var["total_counts"]).all()
    top = top_fractions(select(row_blocks(counts, 50), qc.cells, qc.genes), (50, 200))
    np.testing.assert_allclose(top * 100, obs[["pct_counts_in_top_50_genes", "pct_counts_in_top_200_genes"]], rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 13, 10_000])
def test_block_size_changes_nothing(cells, rows):
    def run(rows):
        return qc_metrics(row_blocks(cells.counts, rows), 900, {"all": np.ones(900, bool)}, min_genes=230, min_cells=4)

    one, other = run(300), run(rows)
    for name in ("cells", "genes", "n_genes", "total_counts", "n_cells", "gene_counts"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert (one.set_counts["all"] == one.total_counts).all()


def test_excluded_genes_are_counted_in_their_set_alone(cells):
    spikes = np.arange(900) < 30
    without = qc_metrics([cells.counts[:, 30:]], 870, min_genes=200, min_cells=5)
    qc = qc_metrics([cells.counts], 900, {"ercc": spikes}, min_genes=200, min_cells=5, exclude=spikes)
    assert (qc.cells == without.cells).all()
    assert (qc.total_counts == without.total_counts).all()
    assert not qc.genes[:30].any()
    assert (qc.genes[30:] == without.genes).all()
    assert (qc.set_counts["ercc"] == np.ravel(cells.counts[:, :30].sum(axis=1))).all()


def test_cells_and_genes_without_counts():
    counts = sparse.csr_matrix(np.array([[0, 0, 0], [1, 0, 2], [0, 0, 3]]))
    qc = qc_metrics([counts], 3, {"mt": np.array([True, False, False])}, min_genes=1, min_cells=1)
    assert qc.cells.tolist() == [False, True, True]
    assert qc.genes.tolist() == [True, False, True]
    assert np.isnan(qc.percent("mt")[0])
    assert np.isnan(top_fractions([counts], (2,))[0, 0])


def test_no_cells_at_all():
    qc = qc_metrics([], 3, {"mt": np.ones(3, bool)}, min_cells=1)
    assert qc.cells.shape == qc.total_counts.shape == qc.percent("mt").shape == (0,)
    assert not qc.genes.any()


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (-1.0, "-1"), (0.5, "0.5"), (np.inf, "inf")])
def test_what_is_no_count_is_refused_with_its_place(value, word):
    counts = sparse.csr_matrix(np.array([[1.0, 0.0], [0.0, value]]))
    with pytest.raises(DataError, match=f"cell 6, gene 1 is {word}"):
        check_counts(counts, first_cell=5)


def test_duplicate_entries_and_stored_zeros_are_tidied():
    untidy = sparse.csr_matrix((np.array([1, 2, 0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    qc = qc_metrics([untidy], 2)
    assert qc.n_genes.tolist() == [1, 0]
    assert qc.n_cells.tolist() == [0, 1]
    assert untidy.nnz == 3, "the input is left as it was"


def test_mad_limits():
    assert mad_limits(np.array([1.0, 2.0, 3.0, 4.0, 100.0, np.nan]), 3) == (0.0, 6.0)
    with pytest.raises(DataError, match="median"):
        mad_limits(np.array([np.nan]), 3)
