"""Principal components against scanpy's."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import row_blocks, size_factors
from stargazer.bio.singlecell.kernels.moments import gene_moments
from stargazer.bio.singlecell.kernels.pca import Scaling, fit_pca, project
from stargazer.errors import DataError


@pytest.fixture
def chosen(counts):
    return counts[:, np.argsort(-np.bincount(counts.indices, minlength=counts.shape[1]), kind="stable")[:400]]


def factors_of(counts):
    return size_factors(np.ravel(counts.sum(axis=1)))


def logged(counts):
    adata = anndata.AnnData(counts.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def agree(ours, pca, adata):
    correlations = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(ours.T, adata.obsm["X_pca"].T, strict=True)]
    assert min(correlations) > 0.9999
    np.testing.assert_allclose(pca.variance, adata.uns["pca"]["variance"], rtol=1e-4)
    np.testing.assert_allclose(pca.variance_ratio, adata.uns["pca"]["variance_ratio"], rtol=1e-4)


def test_components_are_scanpys(chosen):
    adata = logged(chosen)
    sc.pp.pca(adata, n_comps=30)
    factors = factors_of(chosen)
    pca = fit_pca(row_blocks(chosen, 60), factors, 30)
    ours = project([chosen], factors, pca)
    agree(ours, pca, adata)
    np.testing.assert_allclose(ours, adata.obsm["X_pca"], atol=0.02 * np.abs(ours).max())


@pytest.mark.filterwarnings("ignore:zero-centering a sparse")
@pytest.mark.parametrize("max_value", [None, 2.0])
def test_scaled_components_are_scanpys(cells, max_value):
    chosen = cells.counts[:, :200]
    adata = logged(chosen)
    sc.pp.scale(adata, max_value=max_value)
    sc.pp.pca(adata, n_comps=10)
    factors = factors_of(chosen)
    moments = gene_moments([chosen], factors, 200, log=True)
    scaling = Scaling(moments.mean[0], np.sqrt(moments.variance[0]), max_value)
    pca = fit_pca([chosen], factors, 10, scaling=scaling)
    agree(project([chosen], factors, pca), pca, adata)


@pytest.mark.parametrize(("rows", "threads"), [(1, 1), (97, 2), (5000, 3)])
def test_same_bits_for_any_blocks_and_threads(monkeypatch, cells, rows, threads):
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.pca.BLOCK_ROWS", 128)
    chosen, factors = cells.counts[:, :300], factors_of(cells.counts)
    one = fit_pca([chosen], factors, 20)
    other = fit_pca(row_blocks(chosen, rows), factors, 20, threads=threads)
    assert one.components.tobytes() == other.components.tobytes()
    again = project(row_blocks(chosen, rows), factors, other, threads=threads)
    assert again.tobytes() == project([chosen], factors, one).tobytes()


def test_signs_depend_on_the_loadings_alone(cells):
    factors = factors_of(cells.counts)
    loadings = fit_pca([cells.counts[:, :100]], factors, 10).components
    assert (loadings[np.abs(loadings).argmax(axis=0), range(10)] > 0).all()


def test_more_components_than_there_can_be(cells):
    assert fit_pca([cells.counts[:8, :300]], factors_of(cells.counts[:8]), 50).components.shape == (300, 7)
    assert fit_pca([cells.counts[:, :6]], factors_of(cells.counts), 50).components.shape == (6, 5)


def test_cells_that_do_not_differ_have_no_variance():
    counts = sparse.csr_matrix(np.tile([1.0, 2.0, 0.0], (5, 1)))
    pca = fit_pca([counts], np.ones(5), 2)
    np.testing.assert_allclose(pca.variance, 0, atol=1e-12)
    assert np.isfinite(pca.variance_ratio).all()


@pytest.mark.parametrize(
    ("counts", "n_pcs", "word"),
    [
        (np.array([[1.0, 2.0]]), 2, "two cells"),
        (np.array([[1.0], [2.0]]), 2, "two genes"),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), 2, "NaN"),
        (np.eye(3), 0, "at least one"),
    ],
)
def test_what_has_no_components_is_refused(counts, n_pcs, word):
    with pytest.raises(DataError, match=word):
        fit_pca([sparse.csr_matrix(counts)], np.ones(len(counts)), n_pcs)
