"""Doublet scores against scanpy's Scrublet, and against planted doublets."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from kernel_cells import simulate
from scipy import sparse
from sklearn.metrics import roc_auc_score

from stargazer.bio.singlecell.kernels import doublets
from stargazer.bio.singlecell.kernels.blocks import row_blocks
from stargazer.bio.singlecell.kernels.doublets import doublet_threshold, scrublet
from stargazer.errors import DataError


@pytest.fixture(scope="module")
def planted():
    """Cells of six groups, the last 60 doublets of two of them."""
    cells = simulate(n_cells=1060, n_genes=1500, n_groups=6, seed=8, depth=2000)
    rng = np.random.default_rng(0)
    first = rng.integers(1000, size=60)
    second = np.array([rng.choice(np.flatnonzero(cells.groups[:1000] != cells.groups[i])) for i in first])
    counts = sparse.vstack([cells.counts[:1000], cells.counts[first] + cells.counts[second]], format="csr")
    return counts, np.arange(1060) >= 1000


def by_scanpy(counts, seed=0):
    adata = anndata.AnnData(counts.copy())
    sc.pp.scrublet(adata, random_state=seed, verbose=False)
    return adata


@pytest.mark.slow
def test_planted_doublets_are_found_no_worse_than_by_scanpy(planted):
    counts, truth = planted
    ours, theirs = (
        np.mean([roc_auc_score(truth, scores(seed)) for seed in range(3)])
        for scores in (
            lambda seed: scrublet([counts], 1500, seed=seed).scores,
            lambda seed: by_scanpy(counts, seed).obs["doublet_score"],
        )
    )
    assert ours > 0.95
    assert ours >= theirs - 0.002


def test_calls(planted):
    counts, truth = planted
    found = scrublet([counts], 1500)
    assert found.threshold is not None
    assert found.note == ""
    assert found.predicted[truth].mean() > 0.7
    assert found.predicted[~truth].mean() < 0.05
    assert found.detectable_fraction > 0.5
    assert found.detected_rate == found.predicted.mean()


def test_neighbours_are_those_of_scanpy_for_the_same_doublets(planted):
    counts, _ = planted
    adata = by_scanpy(counts)
    pairs = adata.uns["scrublet"]["doublet_parents"]
    k = round(round(0.5 * np.sqrt(1060)) * 3)
    points = doublets._manifold(doublets._variable_genes([counts], 1500), pairs, 30, 0)
    ours = doublets.simulated_neighbors(points, 1060, k - 1)  # scanpy counts the cell itself as one of k
    scores = np.concatenate([adata.obs["doublet_score"], adata.uns["scrublet"]["doublet_scores_sim"]])
    rho, ratio = 0.05, 2.0
    q = scores * (1 - rho) / (rho / ratio + scores * (1 - rho - rho / ratio))
    theirs = q * (k + 2) - 1
    theirs[1060:] -= np.median(theirs[1060:] - ours[1060:])  # itself, if scanpy got it into the first column
    np.testing.assert_allclose(ours, theirs, atol=2.01)
    assert np.mean(np.abs(ours - theirs) < 0.01) > 0.98


@pytest.mark.parametrize(("rows", "threads"), [(33, 1), (500, 2), (2000, 3)])
def test_same_bits_for_any_blocks_and_threads(monkeypatch, planted, rows, threads):
    counts, _ = planted
    one = scrublet([counts[:300]], 1500)
    other = scrublet(list(row_blocks(counts[:300], rows)), 1500, threads=threads)
    assert one.scores.tobytes() == other.scores.tobytes()
    assert one.threshold == other.threshold
    monkeypatch.setattr(doublets, "BLOCK_ENTRIES", 100_000)
    assert scrublet([counts[:300]], 1500, threads=threads).scores.tobytes() == one.scores.tobytes()


def test_every_cell_takes_part_equally():
    pairs = doublets._pairs(50, 120, seed=3)
    assert pairs.shape == (120, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(np.bincount(pairs[:, 0], minlength=50)) <= {2, 3}


def test_no_threshold_is_said_and_nothing_called():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (120, 300)))
    found = scrublet([counts], 300)
    assert found.threshold is None
    assert "no cell is called a doublet" in found.note
    assert not found.predicted.any()
    assert np.isfinite(found.scores).all()
    assert np.isnan(found.detectable_fraction)
    given = scrublet([counts], 300, threshold=float(np.median(found.scores)))
    assert given.threshold == np.median(found.scores)
    assert 0 < given.detected_rate < 1


def test_far_more_calls_than_expected_are_not_believed(planted):
    counts, truth = planted
    found = scrublet([counts], 1500, expected_doublet_rate=0.005)
    assert found.threshold is None
    assert not found.predicted.any()
    assert "far more than the expected 0.5%" in found.note
    assert roc_auc_score(truth, found.scores) > 0.95


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (sparse.csr_matrix(np.ones((1, 5))), "1 cells are too few"),
        (sparse.csr_matrix((0, 5)), "0 cells are too few"),
        (sparse.csr_matrix(np.ones((80, 5))), "too few genes"),
        (sparse.csr_matrix((80, 5)), "too few genes"),
    ],
)
def test_batches_that_cannot_be_scored(counts, word):
    found = scrublet([counts], 5)
    assert word in found.note
    assert np.isnan(found.scores).all()
    assert len(found.scores) == len(found.predicted) == counts.shape[0]
    assert not found.predicted.any()


def test_cells_without_counts_do_no_harm(planted):
    counts = planted[0][:200].copy()
    counts = sparse.vstack([counts, sparse.csr_matrix((3, 1500))], format="csr")
    assert np.isfinite(scrublet([counts], 1500).scores).all()


def test_what_is_no_count_or_no_rate_is_refused(planted):
    with pytest.raises(DataError, match=r"0\.5"):
        scrublet([planted[0] * 0.5], 1500)
    for options in ({"expected_doublet_rate": 1.0}, {"expected_doublet_rate": 0.0}, {"sim_doublet_ratio": 0.0}):
        with pytest.raises(DataError, match="rate"):
            scrublet([planted[0]], 1500, **options)


def test_a_threshold_leaves_cells_and_takes_doublets():
    rng = np.random.default_rng(0)
    alike, unlike = rng.normal(0, 1, 1500), rng.normal(8, 2, 500)
    cells = np.concatenate([rng.normal(0, 1, 950), rng.normal(8, 2, 50)])
    found = doublet_threshold(cells, np.concatenate([alike, unlike]), 0.05)
    assert 2.0 < found < 5.0
    assert found not in cells


def test_unlike_doublets_of_several_kinds_are_all_above_the_threshold():
    """A threshold in the widest gap of the simulated scores would lie above all of them."""
    rng = np.random.default_rng(0)
    cells = np.concatenate([rng.normal(1, 0.2, 960), rng.normal(3, 0.2, 40)])
    simulated = np.concatenate([rng.normal(1, 0.2, 700), rng.normal(3, 0.2, 700), np.full(600, 9.0)])
    assert 1.5 < doublet_threshold(cells, simulated, 0.05) < 2.6


@pytest.mark.parametrize(
    ("scores", "simulated"),
    [([], [1.0]), ([1.0], []), ([1.0, 1.0], [1.0]), (range(100), range(100)), (range(50, 150), range(100))],
)
def test_no_threshold(scores, simulated):
    assert doublet_threshold(np.array(scores, float), np.array(simulated, float), 0.05) is None
