"""Approximate nearest neighbours for very many cells, by inverted lists.

Jégou, Douze and Schmid 2011, IEEE Transactions on Pattern Analysis 33:117. K-means on a sample cuts the cells into
lists; the neighbours of a list's cells are searched, exactly, in the lists around it. Of the true neighbours some in a
hundred are missed; none that is given is wrong in its distance.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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


def approximate_neighbors(
    coordinates: Floats,
    n_neighbors: int,
    *,
    n_lists: int | None = None,
    n_probes: int = 24,
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
    return Neighbors(found.indices[order], found.distances[order])


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
