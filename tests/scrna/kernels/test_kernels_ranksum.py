"""Marker genes against scanpy's `rank_genes_groups`."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse, stats

from stargazer.bio.singlecell.kernels.blocks import log_blocks, row_blocks, size_factors
from stargazer.bio.singlecell.kernels.columns import column_blocks
from stargazer.bio.singlecell.kernels.markers import rank_sum, t_test
from stargazer.errors import DataError


@pytest.fixture
def labelled(request, counts):
    """Log-normalised values of genes that some cell expresses, and three groups of cells."""
    counts = counts[:, np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]))]
    groups = np.random.default_rng(5).integers(3, size=counts.shape[0])
    rows = sparse.vstack(list(log_blocks([counts], size_factors(np.ravel(counts.sum(axis=1))))))
    return rows, groups


def compare(found, rows, groups, **options):
    names = np.char.add("g", np.arange(rows.shape[1]).astype(str))
    adata = anndata.AnnData(rows.copy())
    adata.obs["group"] = pd.Categorical(groups.astype(str))
    adata.var_names = names
    sc.tl.rank_genes_groups(adata, "group", pts=True, **options)
    result = adata.uns["rank_genes_groups"]
    for i, group in enumerate(adata.obs["group"].cat.categories):
        of_gene = pd.DataFrame({key: result[key][group] for key in ("scores", "pvals", "pvals_adj", "logfoldchanges")})
        of_gene = of_gene.set_index(result["names"][group]).loc[names]
        np.testing.assert_allclose(found.scores[i], of_gene["scores"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.pvals[i], of_gene["pvals"], rtol=1e-5, atol=1e-300)
        np.testing.assert_allclose(found.pvals_adj[i], of_gene["pvals_adj"], rtol=1e-5, atol=1e-300)
        np.testing.assert_allclose(found.logfoldchanges[i], of_gene["logfoldchanges"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.pct[i], result["pts"][group], rtol=1e-12)
        np.testing.assert_allclose(found.pct_rest[i], result["pts_rest"][group], rtol=1e-12)
        np.testing.assert_allclose(found.scores[i][found.order[i]], result["scores"][group], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tie_correct", [False, True])
def test_rank_sums_are_scanpys(labelled, tie_correct):
    rows, groups = labelled
    found = rank_sum([rows.tocsc()], groups, 3, tie_correct=tie_correct)
    compare(found, rows, groups, method="wilcoxon", tie_correct=tie_correct)
    assert np.abs(found.scores).max() > 3


@pytest.mark.parametrize("overestimate", [False, True])
def test_t_tests_are_scanpys(labelled, overestimate):
    rows, groups = labelled
    found = t_test([rows.tocsc()], groups, 3, overestimate_variance=overestimate)
    compare(found, rows, groups, method="t-test_overestim_var" if overestimate else "t-test")


def test_planted_markers_come_first(cells):
    rows = sparse.vstack(list(log_blocks([cells.counts], size_factors(np.ravel(cells.counts.sum(axis=1))))))
    found = rank_sum([rows.tocsc()], cells.groups, 4)
    assert (found.pvals_adj[np.arange(4), found.order[:, 0]] < 1e-20).all()
    assert (found.logfoldchanges[np.arange(4), found.order[:, 0]] > 1).all()


def test_values_below_zero_and_few_different_ones():
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 4, size=(60, 25)).astype(np.float64) * (rng.random((60, 25)) < 0.7)
    groups = np.repeat([0, 1], 30)
    found = rank_sum([sparse.csc_matrix(values)], groups, 2, tie_correct=True)
    for gene in range(25):
        test = stats.mannwhitneyu(values[:30, gene], values[30:, gene], use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(found.pvals[0, gene], test.pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.scores[0], -found.scores[1], atol=1e-9)


@pytest.mark.parametrize(("piece", "held", "threads"), [(1, 1 << 28, 1), (5_000, 200_000, 2), (10**9, 1, 3)])
def test_same_bits_for_any_blocks_and_threads(monkeypatch, tmp_path, cells, piece, held, threads):
    counts = cells.counts[:300]
    factors = size_factors(np.ravel(counts.sum(axis=1)))
    one = rank_sum(column_blocks(log_blocks([counts], factors)), cells.groups[:300], 4)
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.markers.PIECE_ENTRIES", piece)
    blocks = column_blocks(log_blocks(row_blocks(counts, 64), factors), tmp_path, held, threads)
    other = rank_sum(blocks, cells.groups[:300], 4, threads=threads)
    for name in ("scores", "pvals", "logfoldchanges", "pct", "order"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_cells_of_no_group_count_among_the_others(cells):
    values, groups = cells.counts.tocsc(), cells.groups.copy()
    groups[groups == 3] = -1
    found, whole = rank_sum([values], groups, 3), rank_sum([values], cells.groups, 4)
    np.testing.assert_array_equal(found.scores, whole.scores[:3])
    np.testing.assert_array_equal(found.pct_rest, whole.pct_rest[:3])
    assert (found.n_cells == whole.n_cells[:3]).all()


def test_genes_and_groups_with_nothing_to_tell():
    values = sparse.csc_matrix(np.array([[0.0, 2.0, 1.0], [0.0, 2.0, 0.0], [0.0, 2.0, 5.0]]))
    for method in (rank_sum, t_test):
        found = method([values], np.array([0, 1, 1]), 4)
        assert (found.scores[:, :2] == 0).all()
        assert (found.pvals[:, :2] == 1).all()
        assert (found.scores[2:] == 0).all(), "a group without cells"
        assert np.isfinite(found.pvals_adj).all()
        assert found.n_cells.tolist() == [1, 2, 0, 0]


def test_stored_zeros_are_zeros(cells):
    stored = cells.counts[:, :50].tocsc()
    stored.data[::3] = 0
    clean = stored.copy()
    clean.eliminate_zeros()
    for method in (rank_sum, t_test):
        one, other = method([stored], cells.groups, 4), method([clean], cells.groups, 4)
        assert one.scores.tobytes() == other.scores.tobytes()
        assert one.pct.tobytes() == other.pct.tobytes()


@pytest.mark.parametrize("method", [rank_sum, t_test])
def test_what_cannot_be_tested_is_refused(method):
    eye = sparse.csc_matrix(np.eye(3))
    with pytest.raises(DataError, match="NaN"):
        method([sparse.csc_matrix(np.array([[np.nan], [1.0]]))], np.array([0, 1]), 2)
    with pytest.raises(DataError, match="do not fit"):
        method([eye], np.array([0, 1]), 2)
    with pytest.raises(DataError, match="group codes"):
        method([eye], np.array([0, 1, 2]), 2)
    with pytest.raises(DataError, match="groups"):
        method([eye], np.array([-1, -1, -1]), 0)


@pytest.mark.parametrize("held", [1, 240_000, 1 << 28])
def test_gene_blocks_of_the_wanted_size(monkeypatch, tmp_path, cells, held):
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.columns.ENTRIES_AT_ONCE", 30_000)
    passes = []

    def rows():
        passes.append(1)
        yield from row_blocks(cells.counts, 100)

    blocks = list(column_blocks(rows(), tmp_path, held))
    assert len(passes) == 1
    assert len(blocks) > 3
    assert all(block.format == "csc" and (block.nnz <= 30_000 or block.shape[1] == 1) for block in blocks)
    assert (sparse.hstack(blocks) != cells.counts).nnz == 0
    assert {block.dtype for block in blocks} == {cells.counts.dtype}
    assert not list(tmp_path.iterdir()), "what waits in a file has no name, and is gone"


def test_blocks_of_other_genes_are_refused(cells):
    with pytest.raises(DataError, match="899 genes, not 900"):
        next(column_blocks([cells.counts, cells.counts[:, 1:]]))


def test_no_cells_have_no_columns():
    assert list(column_blocks([])) == []


def test_blocks_of_several_types_keep_all_values(tmp_path):
    small, large = np.array([[1, 0], [2, 3]], np.uint8), np.array([[0, 70_000], [4, 0]], np.int32)
    blocks = [sparse.csr_matrix(small), sparse.csr_matrix(large)]
    for held in (1, 1 << 28):
        whole = sparse.hstack(list(column_blocks(blocks, tmp_path, held)))
        np.testing.assert_array_equal(whole.toarray(), np.vstack([small, large]))
