"""Simulated cells: the same for the same seed, and true to what they say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scrna_stages import tree_of

from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.cid import cid_of_path

SMALL = Population(n_genes=300, n_types=3, n_markers=10, depth=400)


def test_a_seed_makes_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, again = (simulate_cells(tmp_path / f"{name}.zarr", 300, SMALL) for name in "ab")
    other = simulate_cells(
        tmp_path / "c.zarr", 300, Population(n_genes=300, n_types=3, n_markers=10, depth=400, seed=1)
    )
    assert cid_of_path(first) == cid_of_path(again)
    assert cid_of_path(first / "X") != cid_of_path(other / "X")


def test_more_cells_begin_with_the_same_ones(tmp_path: Path) -> None:
    few = AnnDataTree(simulate_cells(tmp_path / "few.zarr", 5_000, SMALL)).counts.read()
    many = AnnDataTree(simulate_cells(tmp_path / "many.zarr", 5_300, SMALL)).counts.read()
    assert many.shape[0] == 5_300
    assert (many[:5_000] != few).nnz == 0


def test_the_truth_is_in_the_counts(simulated: AnnData, population: Population) -> None:
    tree = tree_of(simulated)
    counts, kinds = tree.counts.read().astype(float), tree.column("obs", "cell_type").codes
    sound = ~tree.column("obs", "doublet") & ~tree.column("obs", "damaged")
    depth = counts.sum(axis=1).A1
    share = counts.multiply(1 / depth[:, None]).tocsr()
    marks = tree.column("var", "marker_of").codes
    for kind in range(population.n_types):
        inside, outside = (share[sound & mask][:, marks == kind].mean() for mask in (kinds == kind, kinds != kind))
        assert 4 < inside / outside < 2 * population.fold
    mt = tree.names("var").astype(str)
    percent = 100 * share[:, np.char.startswith(mt, "MT-")].sum(axis=1).A1
    assert percent[sound].mean() < 8 < 25 < percent[tree.column("obs", "damaged")].mean()
    assert depth[tree.column("obs", "doublet")].mean() > 1.6 * depth[sound].mean()
    assert len(tree.column("obs", "batch").names) == 2
    assert set(np.flatnonzero(np.diff(tree.column("obs", "batch").codes))) == {449}
