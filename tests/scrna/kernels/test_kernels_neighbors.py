"""Neighbours and their weights: exact, in a fixed order, and scanpy's."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc

from stargazer.bio.singlecell.kernels.neighbors import (
    Neighbors,
    Points,
    approximate_neighbors,
    connectivities,
    distance_matrix,
    exact_neighbors,
    smallest,
)
from stargazer.errors import DataError


def points(n=900, dimensions=20, spread=3.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, dimensions)) * spread
    return (centres[rng.integers(6, size=n)] + rng.standard_normal((n, dimensions))).astype(np.float32)


def by_definition(coordinates, k):
    """Each cell first, then the others by distance and index."""
    x = coordinates.astype(np.float64)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, -1)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0))


@pytest.fixture(params=["blobs", "far off", "duplicates", "grid", "all one"])
def coordinates(request):
    x = points(400, 8)
    cases = {
        "blobs": x,
        "far off": x * 1e-3 + 1000,
        "duplicates": np.repeat(x[:40], 10, axis=0),
        "grid": np.indices((20, 20)).reshape(2, -1).T.astype(np.float32),
        "all one": np.ones((60, 3), np.float32),
    }
    return cases[request.param]


@pytest.mark.parametrize("sample", [1 << 11, 32])
def test_exact_whatever_the_ties(monkeypatch, coordinates, sample):
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.neighbors.SAMPLE", sample)
    found, (indices, distances) = exact_neighbors(coordinates, 12), by_definition(coordinates, 12)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6, atol=1e-12)
    if np.ptp(coordinates) < 500:  # else the distances of the definition are rounded too
        np.testing.assert_array_equal(found.indices, indices)


@pytest.mark.slow  # umap-learn takes long to compile
@pytest.mark.parametrize("case", ["duplicates", "grid"])
def test_weights_are_scanpys_for_its_choice_among_ties(case):
    x = np.repeat(points(40, 8), 10, axis=0) if case == "duplicates" else np.indices((20, 20)).reshape(2, -1).T
    adata = anndata.AnnData(np.zeros((400, 1), np.float32), obsm={"X": x.astype(np.float32)})
    sc.pp.neighbors(adata, n_neighbors=12, use_rep="X")
    others, distances = (getattr(adata.obsp["distances"], name).reshape(400, 11) for name in ("indices", "data"))
    indices = np.column_stack([np.arange(400), others]).astype(np.int32)
    found = Neighbors(indices, np.column_stack([np.zeros(400), distances]).astype(np.float32))
    weights = connectivities(found)
    assert abs(weights - adata.obsp["connectivities"]).max() < 2e-5


@pytest.mark.slow
def test_distances_and_weights_are_scanpys():
    x = points()
    adata = anndata.AnnData(np.zeros((900, 1), np.float32), obsm={"X": x})
    sc.pp.neighbors(adata, n_neighbors=15, use_rep="X")
    found = exact_neighbors(x, 15)
    assert abs(distance_matrix(found) - adata.obsp["distances"]).max() < 1e-4
    assert distance_matrix(found).nnz == adata.obsp["distances"].nnz
    weights = connectivities(found)
    assert weights.dtype == adata.obsp["connectivities"].dtype
    assert weights.nnz == adata.obsp["connectivities"].nnz
    assert abs(weights - adata.obsp["connectivities"]).max() < 2e-5
    assert (weights != weights.T).nnz == 0


@pytest.mark.slow
def test_exact_beyond_the_size_where_scanpy_changes_its_method():
    x = points(8_500, 30)
    found = exact_neighbors(x, 15)
    for start in (0, 8_400):
        some = slice(start, start + 100)
        squared = ((x[some, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)
        assert (np.argsort(squared, axis=1, kind="stable")[:, :15] == found.indices[some]).all()


@pytest.mark.parametrize(("entries", "threads"), [(1, 1), (50_000, 2), (1 << 24, 3)])
def test_same_bits_for_any_blocks_and_threads(monkeypatch, entries, threads):
    x = points()
    one = exact_neighbors(x, 15)
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.neighbors.BLOCK_ENTRIES", entries)
    other = exact_neighbors(x, 15, threads=threads)
    assert one.indices.tobytes() == other.indices.tobytes()
    assert one.distances.tobytes() == other.distances.tobytes()


def test_fewer_cells_than_neighbours():
    assert exact_neighbors(points(8, 3), 15).indices.shape == (8, 5), "as scanpy does"
    assert exact_neighbors(points(8, 3), 8).indices.shape == (8, 8)
    assert connectivities(exact_neighbors(points(2, 3), 15)).shape == (2, 2)


@pytest.mark.parametrize(
    ("coordinates", "k", "word"),
    [
        (np.ones((1, 3)), 5, "2"),
        (np.ones((5, 3)), 1, "2"),
        (np.array([[np.nan, 0.0], [1.0, 1.0], [2.0, 2.0]]), 2, "NaN"),
    ],
)
def test_what_has_no_neighbours_is_refused(coordinates, k, word):
    with pytest.raises(DataError, match=word):
        exact_neighbors(coordinates, k)
    with pytest.raises(DataError):
        approximate_neighbors(coordinates, k)


def test_the_smallest_of_each_row_even_where_the_sample_misleads(monkeypatch):
    monkeypatch.setattr("stargazer.bio.singlecell.kernels.neighbors.SAMPLE", 16)
    rng = np.random.default_rng(0)
    values = rng.random((20, 640)).astype(np.float32)
    values[3, ::40] = -1.0  # the sampled columns alone are small
    found = np.sort(np.take_along_axis(values, smallest(values, 60), axis=1), axis=1)
    np.testing.assert_array_equal(found, np.sort(values, axis=1)[:, :60])


def test_approximate_finds_most_and_gives_true_distances():
    x = points(3_000, 20, spread=1.0)
    exact, found = exact_neighbors(x, 15), approximate_neighbors(x, 15, n_probes=20)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact.indices, found.indices, strict=True)]
    assert np.mean(shared) / 15 > 0.95
    assert (found.indices[:, 0] == np.arange(3_000)).all()
    differences = x[found.indices].astype(np.float64) - x[:, None]
    np.testing.assert_allclose(found.distances, np.linalg.norm(differences, axis=2), rtol=1e-5, atol=1e-5)


def test_rounds_find_what_lists_miss():
    x = np.random.default_rng(0).standard_normal((2_000, 12)).astype(np.float32)
    exact = exact_neighbors(x, 15).indices

    def found(rounds):
        near = approximate_neighbors(x, 15, n_probes=8, rounds=rounds).indices
        assert (near[:, 0] == np.arange(2_000)).all()
        assert all(len(set(row)) == 15 for row in near.tolist())
        return np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact, near, strict=True)]) / 15

    assert found(0) < found(1) < found(3)
    assert found(3) > found(0) + 0.1


def test_approximate_is_the_same_with_any_threads_and_exact_with_all_lists():
    x = points(1_000)
    one, other = (approximate_neighbors(x, 10, seed=4, threads=threads) for threads in (1, 3))
    assert one.indices.tobytes() == other.indices.tobytes()
    whole = approximate_neighbors(x, 10, n_probes=100)
    np.testing.assert_array_equal(whole.indices, exact_neighbors(x, 10).indices)


def test_lists_without_enough_cells():
    x = np.repeat(points(5, 3), 20, axis=0)
    found = approximate_neighbors(x, 50, n_lists=30, n_probes=1)
    assert found.indices.shape == (100, 50)
    assert (found.indices[:, 0] == np.arange(100)).all()
    assert all(len(set(row)) == 50 for row in found.indices.tolist())


def test_rounding_is_bounded():
    x = points(300, 10) * 100
    products = Points(x).products(np.arange(300)) + Points(x).norms[:, None]
    true = ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)
    assert np.abs(products - true).max() < Points(x).rounding
