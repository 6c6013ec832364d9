"""Exact nearest neighbours of cells in a space of few dimensions, a block of cells at a time.

Squared distances of a block to all cells come from one matrix product in single precision. It only serves to pick
candidates: a few more than wanted, whose distances are then computed in double precision, and whose ties go to the
lower index. Where the product's rounding could have hidden a nearer cell, that cell's row is computed again in double
precision, so the result is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.threads import ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import Floats, Ints

__all__ = ["Neighbors", "Points", "exact_neighbors", "joined", "nearest", "smallest"]

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
        differences = self.exact[candidates] - self.exact[queries][:, None, :]
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
