"""Approximate nearest neighbours for very many cells, by inverted lists.

Jégou, Douze and Schmid 2011, IEEE Transactions on Pattern Analysis 33:117. K-means on a sample cuts the cells into
lists; the neighbours of a list's cells are searched, exactly, in the lists around it. Then the neighbours of neighbours
are tried, some times over (Dong, Moses and Li 2011, WWW '11:577). Some of the true neighbours are missed: about one in
a hundred where cells are in clear groups, up to a third where they have no structure at all. None that is given is
wrong in its distance.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.neighbors import SPARE, Neighbors, Points, joined, nearest
from stargazer.tasks.scrna.kernels.threads import one_blas_thread, ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import Floats, Ints

__all__ = ["approximate_neighbors"]

ITERATIONS = 8
SAMPLE_PER_LIST = 64
ASSIGN_ROWS = 4096
REFINED_ROWS = 256
FEW_CHANGES = 0.01


def approximate_neighbors(
    coordinates: Floats,
    n_neighbors: int,
    *,
    n_lists: int | None = None,
    n_probes: int = 24,
    rounds: int = 3,
    seed: int = 0,
    threads: int = 1,
) -> Neighbors:
    """Nearest neighbours of each cell, most of them the true ones; time grows with cells to the power of 1.5.

    Parameters
    ----------
    coordinates
        Cells × dimensions.
    n_neighbors
        How many, the cell itself among them.
    n_lists
        Lists to cut the cells into; the square root of their number if None.
    n_probes
        Lists searched for each; more find more of the true neighbours and take longer.
    rounds
        Times, at most, that neighbours of neighbours are tried.
    seed
        Of the sample and the first centres.
    threads
        Lists worked on at once; they change no bit of the result.

    Returns
    -------
    Neighbors
        In the order of the cells.

    Raises
    ------
    DataError
        If a coordinate is not finite, or there are fewer cells than neighbours.
    """
    n = len(coordinates)
    if not np.isfinite(coordinates).all():
        raise DataError("the coordinates have NaN or infinite entries: there are no distances between them")
    if n_neighbors < 2 or n < n_neighbors:
        raise DataError(f"cannot find {n_neighbors} neighbours among {n} cells")
    points = np.ascontiguousarray(coordinates, np.float32)
    with one_blas_thread():
        centres = _centres(points, n_lists or max(int(np.sqrt(n)), 1), seed)
        lists = _members(_assigned(points, centres), len(centres))
    plans = _plans(centres, lists, n_probes, n_neighbors + SPARE)
    found = joined(ordered_map(partial(_search, points, n_neighbors), plans, threads))
    order = np.argsort(np.concatenate([members for members in lists if len(members)]), kind="stable")
    found = Neighbors(found.indices[order], found.distances[order])
    for _ in range(rounds):
        blocks = (np.arange(start, min(start + REFINED_ROWS, n)) for start in range(0, n, REFINED_ROWS))
        before, found = found, joined(ordered_map(partial(_refined, points, found.indices), blocks, threads))
        if (found.indices != before.indices).mean() < FEW_CHANGES:
            break
    return found


def _centres(points: NDArray[np.float32], n_lists: int, seed: int) -> NDArray[np.float32]:
    """K-means (Lloyd 1982) of a sample; centres that lose all their points stay where they were."""
    rng = np.random.default_rng(seed)
    sample = points[np.sort(rng.permutation(len(points))[: n_lists * SAMPLE_PER_LIST])]
    centres = sample[np.sort(rng.permutation(len(sample))[:n_lists])].astype(np.float64)
    for _ in range(ITERATIONS):
        nearest_centre = _assigned(sample, centres.astype(np.float32))
        counts = np.bincount(nearest_centre, minlength=len(centres))
        sums = np.stack([np.bincount(nearest_centre, column, len(centres)) for column in sample.T], axis=1)
        centres[counts > 0] = (sums / np.maximum(counts, 1)[:, None])[counts > 0]
    return centres.astype(np.float32)


def _assigned(points: NDArray[np.float32], centres: NDArray[np.float32]) -> Ints:
    norms = np.einsum("ij,ij->i", centres, centres)
    starts = range(0, len(points), ASSIGN_ROWS)
    return np.concatenate([(norms - 2 * (points[i : i + ASSIGN_ROWS] @ centres.T)).argmin(axis=1) for i in starts])


def _members(assigned: Ints, n_lists: int) -> list[Ints]:
    order = np.argsort(assigned, kind="stable")
    return np.split(order, np.cumsum(np.bincount(assigned, minlength=n_lists))[:-1])


def _plans(
    centres: NDArray[np.float32], lists: list[Ints], n_probes: int, at_least: int
) -> Iterator[tuple[Ints, Ints]]:
    """For each list that has cells, these and the cells among which to search, both in order."""
    sizes = np.array([len(members) for members in lists])
    norms = np.einsum("ij,ij->i", centres, centres)
    for i in np.flatnonzero(sizes):
        near = np.argsort(norms - 2 * (centres @ centres[i]), kind="stable")
        near = np.concatenate([[i], near[near != i]])
        enough = int(np.searchsorted(np.cumsum(sizes[near]), min(at_least, sizes.sum()))) + 1
        probed = near[: max(n_probes, enough)]
        yield lists[i], np.sort(np.concatenate([lists[j] for j in probed]))


def _search(points: NDArray[np.float32], k: int, plan: tuple[Ints, Ints]) -> Neighbors:
    members, among = plan
    found = nearest(Points(points[among]), np.searchsorted(among, members), k)
    return Neighbors(among[found.indices].astype(np.int32), found.distances)


def _refined(points: NDArray[np.float32], indices: NDArray[np.int32], queries: Ints) -> Neighbors:
    """Nearest of each query's neighbours and their neighbours."""
    k, known = indices.shape[1], indices[queries]
    candidates = np.sort(indices[known].reshape(len(queries), -1), axis=1)  # a cell is its own neighbour
    squared = _squared(points, queries, candidates)
    squared[candidates == queries[:, None]] = -1.0
    squared[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = np.inf
    chosen = np.sort(np.argpartition(squared, k - 1, axis=1)[:, :k], axis=1)
    best = np.take_along_axis(candidates, chosen, axis=1)
    exact = _squared(points, queries, best, np.float64)
    exact[best == queries[:, None]] = -1.0
    order = np.argsort(exact, axis=1, kind="stable")
    distances = np.sqrt(np.maximum(np.take_along_axis(exact, order, axis=1), 0.0))
    return Neighbors(np.take_along_axis(best, order, axis=1), distances.astype(np.float32))


def _squared(
    points: NDArray[np.float32], queries: Ints, candidates: Ints, kind: type[np.floating[Any]] = np.float32
) -> NDArray[np.floating[Any]]:
    differences = points[candidates].astype(kind, copy=False) - points[queries][:, None, :]
    return np.asarray(np.einsum("ijk,ijk->ij", differences, differences))
