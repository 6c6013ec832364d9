"""Exact nearest neighbours of cells in a space of few dimensions, a block of cells at a time.

Squared distances of a block to all cells come from one matrix product in single precision. It only serves to pick
candidates: a few more than wanted, whose distances are then computed in double precision, and whose ties go to the
lower index. Where the product's rounding could have hidden a nearer cell, that cell's row is computed again in double
precision, so the result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.threads import one_blas_thread, ordered_map
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSR, Floats, Ints

__all__ = [
    "Neighbors",
    "Points",
    "approximate_neighbors",
    "connectivities",
    "distance_matrix",
    "exact_neighbors",
    "joined",
    "nearest",
    "smallest",
]

BLOCK_ENTRIES = 1 << 24
SPARE = 8
SAMPLE = 1 << 11


@dataclass(frozen=True)
class Neighbors:
    """Nearest neighbours of each cell.

    Attributes
    ----------
    indices
        Cells × neighbours, nearest first; the first is the cell itself, as in scanpy.
    distances
        Euclidean, in single precision.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]


class Points:
    """Coordinates laid out so that one matrix product gives squared distances, less the square of the query.

    Parameters
    ----------
    coordinates
        Points × dimensions.

    Raises
    ------
    DataError
        If a coordinate is not finite.
    """

    def __init__(self, coordinates: Floats) -> None:
        if not np.isfinite(coordinates).all():
            raise DataError("the coordinates have NaN or infinite entries: there are no distances between them")
        exact = coordinates.astype(np.float64)
        self.exact = exact - exact.mean(axis=0) if len(exact) else exact
        self.rounded = self.exact.astype(np.float32)
        self.norms = np.einsum("ij,ij->i", self.exact, self.exact)
        columns = np.vstack([self.rounded.T, self.norms.astype(np.float32)])
        self.columns = np.ascontiguousarray(columns)
        self.rounding = 4.0 * (coordinates.shape[1] + 4) * 2.0**-24 * float(self.norms.max(initial=0.0))

    def __len__(self) -> int:
        return len(self.exact)

    def products(self, queries: Ints) -> NDArray[np.float32]:
        """Squared distances of some of the points to all, less the squared norm of each query."""
        rows = np.hstack([-2.0 * self.rounded[queries], np.ones((len(queries), 1), np.float32)])
        return np.asarray(rows @ self.columns)

    def squared(self, queries: Ints, candidates: Ints) -> NDArray[np.float64]:
        """Squared distances in double precision of each query to its own candidates (queries × candidates)."""
        differences = np.take(self.exact, candidates, axis=0) - self.exact[queries][:, None, :]
        return np.asarray(np.einsum("ijk,ijk->ij", differences, differences))


def exact_neighbors(coordinates: Floats, n_neighbors: int, *, threads: int = 1) -> Neighbors:
    """Nearest neighbours of each cell among all; time grows with the square of the number of cells.

    Parameters
    ----------
    coordinates
        Cells × dimensions, such as principal components.
    n_neighbors
        How many, the cell itself among them; as in scanpy, ``1 + cells // 2`` where there are fewer cells than that.
    threads
        Blocks worked on at once; they change no bit of the result.

    Returns
    -------
    Neighbors
        Equal distances in the order of the cells.

    Raises
    ------
    DataError
        If a coordinate is not finite, or fewer than two neighbours are asked for.
    """
    points, n = Points(coordinates), len(coordinates)
    if n_neighbors < 2 or n < 2:
        raise DataError(f"cannot find {n_neighbors} neighbours of {n} cells: both must be at least 2")
    k = n_neighbors if n_neighbors <= n else 1 + n // 2
    rows = max(BLOCK_ENTRIES // n, 16)
    blocks = (np.arange(start, min(start + rows, n)) for start in range(0, n, rows))
    return joined(list(ordered_map(partial(nearest, points, k=k), blocks, threads)))


def joined(parts: Iterable[Neighbors]) -> Neighbors:
    """Put the neighbours of consecutive cells together."""
    parts = list(parts)
    return Neighbors(np.concatenate([p.indices for p in parts]), np.concatenate([p.distances for p in parts]))


def nearest(points: Points, queries: Ints, k: int) -> Neighbors:
    """Exact neighbours of some of the points among all of them; each is its own first.

    Parameters
    ----------
    points
        Where to search.
    queries
        Indices of the points whose neighbours to find.
    k
        How many; no more than there are points.
    """
    products = points.products(queries)
    found = smallest(products, min(k + SPARE, len(points)))
    squared = points.squared(queries, found)
    squared[found == queries[:, None]] = -1.0
    order = np.lexsort((found, squared), axis=1)[:, :k]
    indices, squared = np.take_along_axis(found, order, axis=1), np.take_along_axis(squared, order, axis=1)
    unsure = _unsure(points, queries, products, found, squared[:, -1])
    for row in np.flatnonzero(unsure):
        indices[row], squared[row] = _row(points, queries[row], k)
    return Neighbors(indices.astype(np.int32), np.sqrt(np.maximum(squared, 0.0)).astype(np.float32))


def smallest(products: NDArray[np.float32], wanted: int) -> NDArray[np.intp]:
    """Columns of the smallest values of each row, in no order.

    A bound taken from a sample of the columns leaves few of them to choose from; a row with too few is searched whole.

    Parameters
    ----------
    products
        Queries × points.
    wanted
        How many.
    """
    rows, columns = np.divmod(np.flatnonzero(products <= _bound(products, wanted)[:, None]), products.shape[1])
    counts = np.bincount(rows, minlength=len(products))
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.full((len(products), max(int(counts.max(initial=0)), wanted)), np.inf, np.float32)
    found = np.zeros(padded.shape, np.intp)
    padded[rows, place], found[rows, place] = products[rows, columns], columns
    chosen = np.take_along_axis(found, np.argpartition(padded, wanted - 1, axis=1)[:, :wanted], axis=1)
    for row in np.flatnonzero(counts < wanted):
        chosen[row] = np.argpartition(products[row], wanted - 1)[:wanted]
    return chosen


def _bound(products: NDArray[np.float32], wanted: int) -> NDArray[np.float32]:
    """Bound at or below which each row has, next to always, as many values as wanted."""
    stride = max(products.shape[1] // SAMPLE, 1)
    if stride == 1:
        return np.asarray(np.partition(products, wanted - 1, axis=1)[:, wanted - 1])
    share = wanted / stride
    sample = np.ascontiguousarray(products[:, ::stride])
    rank = min(int(np.ceil(share + 4.0 * np.sqrt(share) + 4.0)), sample.shape[1]) - 1
    return np.asarray(np.partition(sample, rank, axis=1)[:, rank])


def _unsure(
    points: Points, queries: Ints, products: NDArray[np.float32], found: Ints, furthest: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Rows where a point that was not picked may be as near as the furthest neighbour."""
    if found.shape[1] == len(points):
        return np.zeros(len(queries), bool)
    last = np.take_along_axis(products, found, axis=1).max(axis=1) + points.norms[queries]
    return np.asarray(~(furthest + points.rounding < last))


def _row(points: Points, query: int, k: int) -> tuple[Ints, NDArray[np.float64]]:
    differences = points.exact - points.exact[query]
    squared = np.einsum("ij,ij->i", differences, differences)
    squared[query] = -1.0
    candidates = np.flatnonzero(squared <= np.partition(squared, k - 1)[k - 1])
    chosen = candidates[np.argsort(squared[candidates], kind="stable")[:k]]
    return chosen, squared[chosen]


# Approximate nearest neighbours for very many cells, by inverted lists.
#
# Jégou, Douze and Schmid 2011, IEEE Transactions on Pattern Analysis 33:117. K-means on a sample cuts the cells into
# lists; the neighbours of a list's cells are searched, exactly, in the lists around it. Then the neighbours of
# neighbours are tried, some times over (Dong, Moses and Li 2011, WWW '11:577). Some of the true neighbours are missed:
# about one in a hundred where cells are in clear groups, up to a third where they have no structure at all. None that
# is given is wrong in its distance.


ITERATIONS = 8
SAMPLE_PER_LIST = 64
ASSIGN_ROWS = 4096
REFINED_ROWS = 128
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
    changed = np.ones(n, bool)
    for _ in range(rounds):
        # Where neither the neighbours of a cell nor theirs changed, the same would be found among the same.
        asked = np.flatnonzero(changed | changed[found.indices].any(axis=1))
        blocks = (asked[start : start + REFINED_ROWS] for start in range(0, len(asked), REFINED_ROWS))
        better = joined(ordered_map(partial(_refined, points, found.indices), blocks, threads))
        differs = better.indices != found.indices[asked]
        changed = np.zeros(n, bool)
        changed[asked] = differs.any(axis=1)
        found.indices[asked], found.distances[asked] = better.indices, better.distances
        if differs.sum() < FEW_CHANGES * found.indices.size:
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
    found = nearest(Points(np.take(points, among, axis=0)), np.searchsorted(among, members), k)
    return Neighbors(among[found.indices].astype(np.int32), found.distances)


def _refined(points: NDArray[np.float32], indices: NDArray[np.int32], queries: Ints) -> Neighbors:
    """Nearest of each query's neighbours and their neighbours."""
    k, known = indices.shape[1], indices[queries]
    candidates = np.sort(indices[known].reshape(len(queries), -1), axis=1)  # a cell is its own neighbour
    new = candidates != queries[:, None]
    squared = np.where(new, np.float32(np.inf), np.float32(-1.0))
    new[:, 1:] &= candidates[:, 1:] != candidates[:, :-1]
    squared[new] = _squared(points, queries, new.sum(axis=1), candidates[new])
    squared[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = np.inf
    chosen = np.sort(np.argpartition(squared, k - 1, axis=1)[:, :k], axis=1)
    best = np.take_along_axis(candidates, chosen, axis=1)
    exact = _squared(points, queries, k, best.ravel(), np.float64).reshape(best.shape)
    exact[best == queries[:, None]] = -1.0
    order = np.argsort(exact, axis=1, kind="stable")
    distances = np.sqrt(np.maximum(np.take_along_axis(exact, order, axis=1), 0.0))
    return Neighbors(np.take_along_axis(best, order, axis=1), distances.astype(np.float32))


def _squared(
    points: NDArray[np.float32],
    queries: Ints,
    counts: Ints | int,
    candidates: Ints,
    kind: type[np.floating[Any]] = np.float32,
) -> NDArray[np.floating[Any]]:
    """Squared distances of each query to its own candidates; `take` is four times as quick as an index."""
    differences = np.take(points, candidates, axis=0).astype(kind, copy=False)
    differences -= np.repeat(np.take(points, queries, axis=0), counts, axis=0)
    return np.asarray(np.einsum("jk,jk->j", differences, differences))


# Weights of a neighbour graph: UMAP's fuzzy simplicial set, as `scanpy.pp.neighbors` stores it.
#
# McInnes, Healy and Melville 2018, arXiv:1802.03426, §3.1. The same steps in the same precision as umap-learn, whose
# import alone takes seconds.


BISECTIONS = 64
TOLERANCE = 1e-5
SMALLEST_SCALE = np.float32(1e-3)
LARGEST = np.float32(np.finfo(np.float32).max)


def distance_matrix(neighbors: Neighbors) -> CSR:
    """Distances to the neighbours other than the cell itself (scanpy's ``obsp["distances"]``).

    Parameters
    ----------
    neighbors
        Of all cells.
    """
    n, k = neighbors.indices.shape
    pointers = np.arange(0, n * (k - 1) + 1, k - 1)
    data = neighbors.distances[:, 1:].astype(np.float64).ravel()
    return sparse.csr_matrix((data, neighbors.indices[:, 1:].ravel(), pointers), shape=(n, n))


def connectivities(neighbors: Neighbors) -> CSR:
    """Fuzzy union of each cell's neighbourhood (scanpy's ``obsp["connectivities"]``).

    Parameters
    ----------
    neighbors
        Of all cells.

    Returns
    -------
    CSR
        Cells × cells, symmetric, weights up to 1, in single precision.
    """
    n, k = neighbors.indices.shape
    scales, nearest = _scales(neighbors.distances)
    weights = _memberships(neighbors, scales, nearest)
    rows = np.repeat(np.arange(n, dtype=np.int32), k)
    directed = sparse.coo_matrix((weights.ravel(), (rows, neighbors.indices.ravel())), shape=(n, n)).tocsr()
    directed.eliminate_zeros()
    transposed = directed.T.tocsr()
    union = directed + transposed - directed.multiply(transposed)
    union = sparse.csr_matrix(union)
    union.eliminate_zeros()
    union.sort_indices()
    return union


def _memberships(
    neighbors: Neighbors, scales: NDArray[np.float32], nearest: NDArray[np.float32]
) -> NDArray[np.float32]:
    beyond = neighbors.distances - nearest[:, None]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        weights = np.exp(-(beyond / scales[:, None]))
    weights[(beyond <= 0) | (scales == 0)[:, None]] = 1.0
    weights[neighbors.indices == np.arange(len(weights))[:, None]] = 0.0
    return np.asarray(weights, np.float32)


def _scales(distances: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale of each cell, by bisection so that its memberships add up to log2(k); distance to its nearest other."""
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    nearest = np.where(np.isfinite(nearest), nearest, 0.0).astype(np.float32)
    beyond = np.maximum(distances[:, 1:] - nearest[:, None], 0.0).astype(np.float32)
    scales = _bisected(beyond, float(np.log2(distances.shape[1])))
    means = np.where(nearest > 0, distances.mean(axis=1), distances.mean()).astype(np.float32)
    return np.maximum(scales, SMALLEST_SCALE * means), nearest


def _bisected(beyond: NDArray[np.float32], target: float) -> NDArray[np.float32]:
    low, high = np.zeros(len(beyond), np.float32), np.full(len(beyond), LARGEST)
    middle, active = np.ones(len(beyond), np.float32), np.arange(len(beyond))
    for _ in range(BISECTIONS):
        total = _total(beyond[active], middle[active])
        off = np.abs(total.astype(np.float64) - target) >= TOLERANCE
        active, above = active[off], (total > target)[off]
        if not len(active):
            break
        high[active[above]] = middle[active[above]]
        low[active[~above]] = middle[active[~above]]
        open_end = high[active] >= LARGEST
        with np.errstate(over="ignore"):
            halfway = np.where(open_end, middle[active] * 2, (low[active] + high[active]) / 2)
        middle[active] = halfway
    return middle


def _total(beyond: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[Any]:
    """Sum of memberships, added up one neighbour after another in single precision."""
    total = np.zeros(len(beyond), np.float32)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for column in beyond.T:
            total += np.where(column > 0, np.exp(-(column / scales)), np.float32(1.0))
    return total
