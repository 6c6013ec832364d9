"""Leiden, Harmony and UMAP against scanpy on the same graph."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from stargazer.bio.singlecell.kernels.cluster import harmony, leiden
from stargazer.bio.singlecell.kernels.embedding import curve, umap
from stargazer.bio.singlecell.kernels.neighbors import connectivities, exact_neighbors
from stargazer.errors import DataError


def neighbourhood(n=400, n_groups=3, spread=0.8, seed=0):
    """Cells in groups, near enough to one another for one connected graph if `spread` is small."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n)
    x = rng.standard_normal((n_groups, 10))[groups] * spread + rng.standard_normal((n, 10))
    adata = anndata.AnnData(np.zeros((n, 1), np.float32), obsm={"X": x.astype(np.float32)})
    adata.obsp["connectivities"] = connectivities(exact_neighbors(adata.obsm["X"], 10))
    keys = {"connectivities_key": "connectivities", "params": {"method": "umap", "use_rep": "X"}}
    adata.uns["neighbors"] = keys
    return adata, groups


def pieces(graph):
    return sparse.csgraph.connected_components(graph)[0]


@pytest.mark.parametrize("resolution", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", [0, 7])
def test_partition_is_scanpys(resolution, seed):
    adata, _ = neighbourhood()
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False, resolution=resolution, random_state=seed)
    found = leiden(adata.obsp["connectivities"], resolution, seed=seed)
    assert (found.astype(str) == adata.obs["leiden"]).all()


def test_partition_is_the_same_from_several_threads_at_once():
    graph = neighbourhood()[0].obsp["connectivities"]
    alone = leiden(graph, 1.0, seed=3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: leiden(graph, 1.0, seed=seed), [3, 4, 3, 5, 3, 3]))
    assert all((found[i] == alone).all() for i in (0, 2, 4, 5))


def test_cells_that_nothing_connects_stand_alone():
    assert leiden(sparse.csr_matrix((4, 4), dtype=np.float32), 0.5).tolist() == [0, 1, 2, 3]


def test_leiden_refuses_what_has_no_communities():
    with pytest.raises(DataError, match="finite"):
        leiden(sparse.csr_matrix(np.array([[0, np.nan], [np.nan, 0]])), 0.5)
    with pytest.raises(DataError, match="resolution"):
        leiden(sparse.csr_matrix(np.eye(2)), -1.0)


@pytest.mark.slow  # umap-learn takes long to compile
@pytest.mark.filterwarnings("ignore:Graph is not fully connected")  # umap-learn's
@pytest.mark.parametrize(("spread", "n_groups", "n_pieces"), [(0.5, 3, (1, 1)), (6, 3, (2, 4)), (6, 7, (5, 8))])
def test_coordinates_are_scanpys(spread, n_groups, n_pieces):
    adata, _ = neighbourhood(spread=spread, n_groups=n_groups)
    assert n_pieces[0] <= pieces(adata.obsp["connectivities"]) <= n_pieces[1]
    sc.tl.umap(adata, maxiter=60, random_state=5)
    found = umap(adata.obsm["X"], adata.obsp["connectivities"], n_epochs=60, seed=5)
    np.testing.assert_allclose(found, adata.obsm["X_umap"], atol=1e-3)


def test_coordinates_keep_groups_apart_and_repeat():
    adata, groups = neighbourhood(spread=4)
    graph = connectivities(exact_neighbors(adata.obsm["X"], 10))
    found = umap(adata.obsm["X"], graph, n_epochs=100)
    assert found.tobytes() == umap(adata.obsm["X"], graph, n_epochs=100).tobytes()
    near = exact_neighbors(found, 5).indices[:, 1:]
    assert (groups[near] == groups[:, None]).mean() > 0.99


def test_pieces_too_small_for_eigenvectors():
    x = np.concatenate([np.arange(30) * 0.1, 1000 + np.arange(3)])[:, None] * np.ones((1, 3))
    graph = connectivities(exact_neighbors(x, 3))
    assert pieces(graph) > 1
    assert np.isfinite(umap(x, graph, n_epochs=20)).all()


def test_umap_refuses_what_has_no_place():
    with pytest.raises(DataError, match="3 cells"):
        umap(np.eye(3), sparse.csr_matrix(np.ones((3, 3))))
    with pytest.raises(DataError, match="finite"):
        umap(np.eye(5), sparse.csr_matrix(np.full((5, 5), np.nan)))


def test_curve_of_scanpys_defaults():
    np.testing.assert_allclose(curve(0.5, 1.0), (0.583030, 1.334167), rtol=1e-5)


def test_harmony_brings_batches_together():
    pytest.importorskip("harmonypy")
    rng = np.random.default_rng(0)
    groups, batches = rng.integers(3, size=600), rng.integers(2, size=600)
    x = rng.standard_normal((3, 12))[groups] * 6 + rng.standard_normal((2, 12))[batches] * 2
    x = x + rng.standard_normal((600, 12))
    found = harmony(x, batches, seed=1)

    def mixed(points):
        near = exact_neighbors(points, 20).indices[:, 1:]
        return (batches[near] != batches[:, None]).mean(), (groups[near] == groups[:, None]).mean()

    assert mixed(x)[0] < 0.2
    assert mixed(found)[0] > 0.35
    assert mixed(found)[1] > 0.95
    assert found.tobytes() == harmony(x, batches, seed=1).tobytes()


def test_harmony_with_nothing_to_do():
    x = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    np.testing.assert_array_equal(harmony(x, np.zeros(10, int)), x)
    with pytest.raises(DataError, match="each of 10 cells"):
        harmony(x, np.zeros(9, int))
