"""Normalised values, moments and highly variable genes against scanpy's."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import (
    log_normalised,
    normalised,
    reblock,
    row_blocks,
    select,
    size_factors,
)
from stargazer.bio.singlecell.kernels.hvg import dispersions, highly_variable, in_bounds
from stargazer.bio.singlecell.kernels.moments import gene_moments
from stargazer.errors import DataError


@pytest.fixture
def expressed(counts):
    return counts[:, np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]) >= 3)]


def logged(counts, batches=None):
    adata = anndata.AnnData(counts.copy())
    if batches is not None:
        adata.obs["batch"] = batches.astype(str)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def totals(counts):
    return np.ravel(counts.sum(axis=1))


def test_values_are_scanpys_bit_for_bit(expressed):
    adata = logged(expressed)
    factors = size_factors(totals(expressed))
    ours = sparse.vstack(
        [log_normalised(b, factors[i * 50 : i * 50 + 50]) for i, b in enumerate(row_blocks(expressed, 50))]
    )
    assert ours.dtype == np.float32
    assert (ours != adata.X).nnz == 0


def test_target_sum_and_empty_cells():
    counts = sparse.csr_matrix(np.array([[3, 1], [0, 0], [4, 4]]))
    values = normalised(counts, size_factors(totals(counts), 10_000)).toarray()
    np.testing.assert_allclose(values, [[7500, 2500], [0, 0], [5000, 5000]])
    with pytest.raises(DataError, match="normalise"):
        size_factors(np.array([0, 0, 0, 5]))


def test_same_genes_as_scanpy(expressed):
    adata = logged(expressed)
    sc.pp.highly_variable_genes(adata, n_top_genes=200)
    found = highly_variable(gene_moments([expressed], size_factors(totals(expressed)), expressed.shape[1]), 200)
    assert (found.mask == adata.var["highly_variable"]).all()
    np.testing.assert_allclose(found.means, adata.var["means"], rtol=1e-6)
    np.testing.assert_allclose(found.dispersions, adata.var["dispersions"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.dispersions_norm, adata.var["dispersions_norm"], rtol=1e-5, atol=1e-5)


def test_same_genes_as_scanpy_by_cutoffs(expressed):
    adata = logged(expressed)
    sc.pp.highly_variable_genes(adata)
    moments = gene_moments([expressed], size_factors(totals(expressed)), expressed.shape[1])
    mask = in_bounds(dispersions(moments.mean[0], moments.variance[0]))
    assert 0 < mask.sum() < len(mask)
    assert (mask == adata.var["highly_variable"]).all()


def test_same_genes_as_scanpy_in_batches(expressed):
    batches = np.random.default_rng(3).integers(3, size=expressed.shape[0])
    adata = logged(expressed, batches)
    sc.pp.highly_variable_genes(adata, n_top_genes=300, batch_key="batch")
    moments = gene_moments(row_blocks(expressed, 64), size_factors(totals(expressed)), expressed.shape[1], batches)
    found = highly_variable(moments, 300)
    assert (found.n_batches == adata.var["highly_variable_nbatches"]).all()
    assert (found.intersection == adata.var["highly_variable_intersection"]).all()
    assert (found.mask == adata.var["highly_variable"]).all()
    np.testing.assert_allclose(found.dispersions_norm, adata.var["dispersions_norm"], rtol=1e-5, atol=1e-5)


def test_moments_of_log_values_are_scanpys(expressed):
    mean, std = sc.pp.scale(logged(expressed), zero_center=False, copy=True).var[["mean", "std"]].to_numpy().T
    moments = gene_moments([expressed], size_factors(totals(expressed)), expressed.shape[1], log=True)
    np.testing.assert_allclose(moments.mean[0], mean, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(moments.variance[0]), std, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 33, 10_000])
def test_moments_have_the_same_bits_for_any_blocks(cells, rows):
    factors = size_factors(totals(cells.counts))
    one = gene_moments([cells.counts], factors, 900, cells.batches)
    other = gene_moments(row_blocks(cells.counts, rows), factors, 900, cells.batches)
    assert one.mean.tobytes() == other.mean.tobytes()
    assert one.variance.tobytes() == other.variance.tobytes()


def test_a_batch_of_one_cell_has_no_say(cells):
    batches = cells.batches.copy()
    batches[5] = 2
    factors = size_factors(totals(cells.counts))
    found = highly_variable(gene_moments([cells.counts], factors, 900, batches), 100)
    assert found.skipped == (2,)
    assert found.mask.sum() == 100
    assert found.n_batches.max() == 2


def test_nothing_varies():
    counts = sparse.csr_matrix(np.ones((4, 3)))
    with pytest.raises(DataError, match="no gene varies"):
        highly_variable(gene_moments([counts], np.ones(4), 3), 2)
    with pytest.raises(DataError, match="at least one gene"):
        highly_variable(gene_moments([counts], np.ones(4), 3), 0)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="NaN"):
        gene_moments([sparse.csr_matrix(np.array([[1.0, np.nan]]))], np.ones(1), 2)


@pytest.mark.parametrize("n", [3, 5])
def test_factors_must_fit_the_cells(n):
    with pytest.raises(DataError, match="do not fit"):
        gene_moments(row_blocks(sparse.csr_matrix(np.eye(4)), 2), np.ones(n), 4)


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_blocks_of_one_size_from_any(cells, rows):
    blocks = list(reblock(row_blocks(cells.counts, rows), 64))
    assert [b.shape[0] for b in blocks] == [64] * 10 + [60]
    assert (sparse.vstack(blocks) != cells.counts).nnz == 0


def test_masks_run_along_the_blocks(cells):
    keep, genes = np.arange(700) % 3 == 0, np.arange(900) % 2 == 0
    keep[100:300] = False
    parts = sparse.vstack(list(select(row_blocks(cells.counts, 41), keep, genes)))
    assert (parts != cells.counts[keep][:, genes]).nnz == 0
