"""How far labels of cells agree, and how well batches are mixed.

References
----------
Hubert L, Arabie P. Comparing partitions. Journal of Classification 2, 193 (1985). Strehl A, Ghosh J. Cluster ensembles.
Journal of Machine Learning Research 3, 583 (2002). Korsunsky I et al. Fast, sensitive and accurate integration of
single-cell data with Harmony. Nature Methods 16, 1289 (2019), for LISI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import Ints
    from stargazer.bio.singlecell.kernels.neighbors import Neighbors

__all__ = ["adjusted_rand", "lisi", "mutual_information"]

PERPLEXITY = 30.0
"""Neighbours that count, of three times as many that are looked at."""


def _table(some: Ints, others: Ints) -> NDArray[np.float64]:
    """How many cells have each pair of labels; cells that lack one of them are left out."""
    known = (some >= 0) & (others >= 0)
    shape = (int(some.max(initial=-1)) + 1, int(others.max(initial=-1)) + 1)
    flat = np.bincount(some[known] * shape[1] + others[known], minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)


def adjusted_rand(some: Ints, others: Ints) -> float:
    """Adjusted Rand index of two partitions: 1 where they are the same, 0 where they agree as by chance.

    Parameters
    ----------
    some, others
        Label of each cell, from 0; -1 for none.
    """
    table = _table(np.asarray(some), np.asarray(others))
    both, rows, columns = _pairs(table), _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    every = _pairs(np.array([table.sum()]))
    expected = rows * columns / every if every else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _pairs(counts: NDArray[np.float64]) -> float:
    return float((counts * (counts - 1) / 2).sum())


def mutual_information(some: Ints, others: Ints) -> float:
    """Mutual information of two partitions over the mean of their entropies: 0 to 1.

    Parameters
    ----------
    some, others
        Label of each cell, from 0; -1 for none.
    """
    table = _table(np.asarray(some), np.asarray(others))
    total = table.sum()
    if not total:
        return 0.0
    rows, columns, joint = (_entropy(each / total) for each in (table.sum(axis=1), table.sum(axis=0), table.ravel()))
    mean = (rows + columns) / 2
    return float(max(rows + columns - joint, 0.0) / mean) if mean > 0 else 1.0


def _entropy(shares: NDArray[Any]) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())


def lisi(neighbors: Neighbors, labels: Ints) -> NDArray[np.float64]:
    """Local inverse Simpson's index: how many labels there are, in effect, around each cell.

    Parameters
    ----------
    neighbors
        Of each cell; it itself, which comes first, does not count.
    labels
        Label of each cell, from 0.

    Returns
    -------
    NDArray[np.float64]
        1 where all neighbours have one label, up to the number of labels where they are evenly mixed.
    """
    indices, distances = neighbors.indices[:, 1:], neighbors.distances[:, 1:].astype(np.float64)
    perplexity = min(PERPLEXITY, indices.shape[1] / 3)
    weights = _weights(distances, np.log(max(perplexity, 1.0)))
    found = np.asarray(labels)[indices]
    sums = np.zeros((len(indices), int(np.max(labels)) + 1))
    for label in range(sums.shape[1]):
        sums[:, label] = (weights * (found == label)).sum(axis=1)
    return np.asarray(1.0 / np.maximum((sums**2).sum(axis=1), 1e-12))


def _weights(distances: NDArray[np.float64], entropy: float) -> NDArray[np.float64]:
    """Gaussian weights of neighbours, as wide as makes their entropy what is wanted (bisection, all cells at once)."""
    beyond = distances - distances.min(axis=1, keepdims=True)
    low, high = np.zeros(len(beyond)), np.full(len(beyond), np.inf)
    beta = 1.0 / np.maximum(beyond.mean(axis=1), 1e-12)
    for _ in range(50):
        weights = np.exp(-beyond * beta[:, None])
        weights /= weights.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = -np.where(weights > 0, weights * np.log(weights), 0.0).sum(axis=1)
        wide = found > entropy
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
        beta = np.where(np.isinf(high), beta * 2.0, (low + high) / 2.0)
    return np.asarray(weights)
