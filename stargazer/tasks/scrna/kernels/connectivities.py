"""Weights of a neighbour graph: UMAP's fuzzy simplicial set, as `scanpy.pp.neighbors` stores it.

McInnes, Healy and Melville 2018, arXiv:1802.03426, §3.1. The same steps in the same precision as umap-learn, whose
import alone takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import CSR
    from stargazer.tasks.scrna.kernels.neighbors import Neighbors

__all__ = ["connectivities", "distance_matrix"]

ITERATIONS = 64
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
    for _ in range(ITERATIONS):
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
