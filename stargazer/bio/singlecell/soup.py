"""Whether barcodes that pass for cells are droplets with nothing but soup.

A matrix of all droplets is noticed as it is added, for most of its barcodes have next to no counts. One that somebody
has cut at a hundred counts, or of nuclei in much soup, is not. But soup has one profile, that of all cells together,
and an empty droplet is a draw from it: genes that tell types apart vary between small cells as they do between large
ones, and between empty droplets by chance alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.droplets import DEEP, SMOOTH, STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["Soup", "find_soup"]

BLOCK, MOST_BLOCKS = 250, 24
"""Barcodes that are read at once, and how often: blocks evenly over the matrix are enough to tell."""
FEWEST = 100
"""Barcodes, of the matrix and of those that would be empty, below which nothing is said."""
SHARE = 0.25
"""Of the barcodes, where fewer have little counts they are damaged cells, and filters take them."""
APART = 4.0
"""Times as many counts as in a droplet with soup that a cell has at least."""
GENES, MEAN, TELLING = 500, 0.02, 50
"""Genes that are looked at: the most frequent, with so many counts a barcode at least; of these, which tell types."""
VARIES, REST = 0.5, 0.25
"""Squared coefficient of variation of such genes between cells, beyond chance; which share of it soup has at most."""
ALIKE = 0.9
"""How alike the profiles of soup and of cells are: 1 is the same (Bhattacharyya)."""


class Soup(NamedTuple):
    """Barcodes that look like empty droplets.

    Parameters
    ----------
    share
        Their share of all barcodes.
    counts
        What a usual one of them has.
    of_cells
        What a usual one of the others has.
    """

    share: float
    counts: float
    of_cells: float


def find_soup(tree: AnnDataTree) -> Soup | None:
    """Tell whether many of the barcodes are empty droplets, from a sample of them; None where nothing says so.

    Parameters
    ----------
    tree
        Counts of a sample as they were added.
    """
    if tree.n_obs < FEWEST:
        return None
    counts = _sampled(tree)
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    limit = _valley(totals)
    low, high = (totals > 0) & (totals < limit), totals >= limit
    if low.sum() < max(FEWEST, SHARE * len(totals)) or high.sum() < FEWEST / 2:
        return None
    middle, of_cells = (float(np.median(totals[mask])) for mask in (low, high))
    if of_cells < APART * middle or not _is_soup(counts, totals, low, high):
        return None
    return Soup(float(low.mean()), middle, of_cells)


def _sampled(tree: AnnDataTree) -> sparse.csr_matrix:
    """Counts of blocks of barcodes, evenly over the matrix."""
    starts = np.arange(0, tree.n_obs, BLOCK)
    chosen = starts[np.unique(np.linspace(0, len(starts) - 1, MOST_BLOCKS).astype(int))]
    blocks = [tree.counts.block(start, min(start + BLOCK, tree.n_obs)) for start in chosen.tolist()]
    return sparse.vstack(blocks, format="csr")


def _valley(totals: NDArray[np.float64]) -> float:
    """Counts that fewest barcodes have, between many with fewer and many with more; 0 where there is no such place.

    The knee of `find_knee` supposes that most droplets are empty, which is what nobody knows here.
    """
    logs = np.log10(totals[totals > 0])
    edges = np.arange(0.0, logs.max(initial=0.0) + 2 * STEP, STEP)
    density = np.convolve(np.histogram(logs, edges)[0], np.ones(SMOOTH) / SMOOTH, mode="same")
    smaller = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    deepest = np.flatnonzero(np.isclose(smaller - density, (smaller - density).max()))
    valley = int(deepest[len(deepest) // 2])
    return float(10.0 ** (edges[valley] + STEP / 2)) if density[valley] < DEEP * smaller[valley] else 0.0


def _is_soup(
    counts: sparse.csr_matrix, totals: NDArray[np.float64], low: NDArray[np.bool_], high: NDArray[np.bool_]
) -> bool:
    """Whether low barcodes are draws from one profile, that of the others together."""
    soup, cells = (np.asarray(counts[mask].sum(axis=0), np.float64).ravel() for mask in (low, high))
    if np.sqrt(soup * cells).sum() < ALIKE * np.sqrt(soup.sum() * cells.sum()):
        return False
    genes = np.argsort(-soup, kind="stable")[:GENES]
    genes = genes[soup[genes] >= MEAN * low.sum()]
    between = _variation(counts[high][:, genes], totals[high])
    telling = np.argsort(-between, kind="stable")[:TELLING]
    if not len(telling) or between[telling].mean() < VARIES:
        return False
    return bool(_variation(counts[low][:, genes[telling]], totals[low]).mean() < REST * between[telling].mean())


def _variation(counts: sparse.csr_matrix, totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared coefficient of variation of each gene's share, beyond that of draws from one profile; 0 without any."""
    found = counts.toarray().astype(np.float64)
    expected = totals[:, None] * (found.sum(axis=0) / totals.sum())
    over = (expected**2).sum(axis=0)
    beyond = ((found - expected) ** 2 - expected).sum(axis=0)
    return np.asarray(np.divide(beyond, over, out=np.zeros_like(over), where=over > 0))
