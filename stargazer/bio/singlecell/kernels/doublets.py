"""Doublets by comparison with simulated ones (Scrublet: Wolock, Lopez and Klein 2019, Cell Systems 8:281).

The steps are those of `scanpy.pp.scrublet`, on sparse counts throughout: variable genes of the batch, doublets made by
adding up the counts of two cells, counts of these genes normalised to a million, principal components of their
z-scores, neighbours among observed and simulated cells together. Neighbours are exact and a cell is not its own (as in
the paper; scanpy counts it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import select, size_factors
from stargazer.bio.singlecell.kernels.hvg import dispersions, highly_variable, in_bounds
from stargazer.bio.singlecell.kernels.moments import gene_moments, leading_components, mean_and_deviation, to_a_million
from stargazer.bio.singlecell.kernels.neighbors import BLOCK_ENTRIES, Points, smallest
from stargazer.bio.singlecell.kernels.qc import qc_metrics
from stargazer.bio.singlecell.kernels.threads import one_blas_thread, ordered_map
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSR, Bools, Ints

__all__ = ["MIN_CELLS", "OBSERVED_WEIGHT", "Doublets", "doublet_threshold", "scrublet", "simulated_neighbors"]

MIN_CELLS = 50
MIN_GENES = 50
FALLBACK_GENES = 2000
SIMULATED_ROWS = 4096
MOST_TIMES = 5.0
"""Times the expected rate above which calls are not believed: so many doublets are rarer than a false threshold."""
MOST_SHARE = 0.5
"""Share of the cells above which calls are not believed either, unless more are expected."""
NOT_CALLED = "no cell is called a doublet"


@dataclass(frozen=True)
class Doublets:
    """Doublet scores of the cells of one batch.

    Attributes
    ----------
    scores
        Likelihood of each cell to be a doublet, given the expected rate; NaN if the batch could not be scored.
    simulated_scores
        The same of the simulated doublets.
    threshold
        Score above which a cell is called a doublet; None if none tells simulated doublets from cells, or if more
        than five times as many cells lie above it as are expected.
    predicted
        Cells above the threshold; none without one.
    note
        Why there are no scores or no threshold; empty if there are both.
    n_neighbors, n_genes
        Neighbours looked at and genes used.
    """

    scores: NDArray[np.float64]
    simulated_scores: NDArray[np.float64]
    threshold: float | None
    predicted: Bools
    note: str = ""
    n_neighbors: int = 0
    n_genes: int = 0

    @property
    def detected_rate(self) -> float:
        """Fraction of cells called doublets."""
        return float(self.predicted.mean()) if len(self.predicted) else 0.0

    @property
    def detectable_fraction(self) -> float:
        """Fraction of the simulated doublets above the threshold: those that can be seen; NaN without a threshold."""
        return float((self.simulated_scores > self.threshold).mean()) if self.threshold is not None else float("nan")


def scrublet(
    blocks: Iterable[CSR],
    n_genes: int,
    *,
    expected_doublet_rate: float = 0.05,
    sim_doublet_ratio: float = 2.0,
    n_pcs: int = 30,
    n_neighbors: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Doublets:
    """Score the cells of one batch as doublets.

    Parameters
    ----------
    blocks
        Raw counts of the batch's kept cells; iterated three times.
    n_genes
        Columns of the blocks.
    expected_doublet_rate
        Fraction of doublets among the cells.
    sim_doublet_ratio
        Simulated doublets over cells.
    n_pcs
        Principal components.
    n_neighbors
        Neighbours among the cells; half the root of their number if None. As many more are taken as there are
        simulated doublets.
    threshold
        Score above which a cell is a doublet; found from the simulated scores if None.
    seed
        Of the pairs that make up the doublets.
    threads
        Blocks worked on at once; they change no bit of the result.

    Returns
    -------
    Doublets
        With NaN for scores and a note for batches of less than 50 cells or with next to no variable genes.

    Raises
    ------
    DataError
        If a value is no count, or a rate is out of range.
    """
    if not 0 < expected_doublet_rate < 1 or not sim_doublet_ratio > 0:
        raise DataError(
            f"expected_doublet_rate is {expected_doublet_rate} and sim_doublet_ratio {sim_doublet_ratio}: the rate "
            "lies between 0 and 1, and the ratio above 0"
        )
    observed = _variable_genes(blocks, n_genes)
    n_cells = observed.shape[0]
    if n_cells < MIN_CELLS:
        return _unscored(n_cells, f"{n_cells} cells are too few to look for doublets: at least {MIN_CELLS} are needed")
    if observed.shape[1] < 3:
        return _unscored(n_cells, "too few genes vary to look for doublets")
    pairs = _pairs(n_cells, max(int(n_cells * sim_doublet_ratio), 1), seed)
    points = _manifold(observed, pairs, n_pcs, seed)
    k = n_neighbors or max(round(0.5 * np.sqrt(n_cells)), 1)
    k = min(round(k * (1 + len(pairs) / n_cells)), len(points) - 1)
    fraction = simulated_neighbors(points, n_cells, k, threads=threads) / k
    scores = _likelihoods(fraction, k, expected_doublet_rate, len(pairs) / n_cells)
    found = _threshold(scores[:n_cells], scores[n_cells:], expected_doublet_rate) if threshold is None else threshold
    return _called(scores[:n_cells], scores[n_cells:], found, k, observed.shape[1])


def _unscored(n_cells: int, note: str) -> Doublets:
    return Doublets(np.full(n_cells, np.nan), np.zeros(0), None, np.zeros(n_cells, bool), note)


def _threshold(scores: NDArray[np.float64], simulated: NDArray[np.float64], rate: float) -> float | str:
    """The threshold, or why there is none."""
    found = doublet_threshold(scores, simulated, rate)
    if found is None:
        return f"simulated doublets score no higher than cells: {NOT_CALLED}"
    share = float((scores > found).mean())
    if share <= min(MOST_TIMES * rate, max(MOST_SHARE, rate)):
        return found
    return (
        f"{share:.0%} of the cells score like doublets, far more than the expected {rate:.1%}: "
        f"{NOT_CALLED}; give expected_doublet_rate, if there are so many"
    )


def _called(
    scores: NDArray[np.float64], simulated: NDArray[np.float64], found: float | str, k: int, n_genes: int
) -> Doublets:
    if isinstance(found, str):
        return Doublets(scores, simulated, None, np.zeros(len(scores), bool), found, k, n_genes)
    return Doublets(scores, simulated, found, scores > found, "", k, n_genes)


def _variable_genes(blocks: Iterable[CSR], n_genes: int) -> CSR:
    """Counts of the batch's variable genes: scanpy's default cutoffs, or the first 2,000 where these leave few."""
    qc = qc_metrics(blocks, n_genes, min_cells=3)
    n_cells = len(qc.cells)
    if n_cells < MIN_CELLS or not qc.genes.any() or not qc.total_counts.any():
        return sparse.csr_matrix((n_cells, 0))
    genes = np.flatnonzero(qc.genes)
    target = float(np.median(qc.total_counts)) or 1.0
    moments = gene_moments(select(blocks, genes=genes), size_factors(qc.total_counts, target), len(genes))
    if not (moments.variance[0] > 0).any():
        return sparse.csr_matrix((n_cells, 0))
    chosen = in_bounds(dispersions(moments.mean[0], moments.variance[0]))
    if chosen.sum() < MIN_GENES:
        chosen = highly_variable(moments, FALLBACK_GENES).mask
    parts = [part.astype(np.float64) for part in select(blocks, genes=genes[chosen])]
    return sparse.vstack(parts, format="csr")


def _pairs(n_cells: int, n_pairs: int, seed: int) -> Ints:
    """Cells to add up: each is used as often as any other, give or take one, which makes scores less noisy."""
    rng = np.random.default_rng(seed)
    rounds = -(-n_pairs // n_cells)
    first, second = (np.concatenate([rng.permutation(n_cells) for _ in range(rounds)])[:n_pairs] for _ in range(2))
    return np.column_stack([first, np.where(first == second, (second + 1) % n_cells, second)])


def _manifold(observed: CSR, pairs: Ints, n_pcs: int, seed: int) -> Points:
    """Observed and then simulated cells along the principal components of the observed ones' z-scores."""
    values = to_a_million(observed)
    mean, deviation = mean_and_deviation(values)
    with one_blas_thread():
        axes = leading_components(values, mean, deviation, n_pcs, seed) / deviation[:, None]
        parts = [values @ axes]
        for start in range(0, len(pairs), SIMULATED_ROWS):
            first, second = pairs[start : start + SIMULATED_ROWS].T
            parts.append(to_a_million(observed[first] + observed[second]) @ axes)
    return Points(np.concatenate(parts) - mean @ axes)


def simulated_neighbors(points: Points, n_observed: int, k: int, *, threads: int = 1) -> NDArray[np.int64]:
    """How many of the nearest neighbours of each point are simulated doublets.

    Parameters
    ----------
    points
        Observed cells, then simulated ones.
    n_observed
        How many are observed.
    k
        Neighbours looked at, the point itself not among them.
    threads
        Blocks worked on at once.
    """
    n, rows = len(points), max(BLOCK_ENTRIES // len(points), 16)
    blocks = (np.arange(start, min(start + rows, n)) for start in range(0, n, rows))
    count = partial(_count_simulated, points, n_observed, k)
    return np.concatenate(list(ordered_map(count, blocks, threads)))


def _count_simulated(points: Points, n_observed: int, k: int, queries: Ints) -> NDArray[np.int64]:
    products = points.products(queries)
    products[np.arange(len(queries)), queries] = np.inf
    return np.asarray((smallest(products, k) >= n_observed).sum(axis=1))


def _likelihoods(fraction: NDArray[np.float64], k: int, rate: float, ratio: float) -> NDArray[np.float64]:
    """Bayesian likelihood of a doublet from the fraction of simulated neighbours (Wolock et al. 2019, STAR Methods)."""
    q = (fraction * k + 1) / (k + 2)
    return np.asarray(q * rate / ratio / (1 - rate - q * (1 - rate - rate / ratio)))


# Score above which a cell is called a doublet.


OBSERVED_WEIGHT = 2.25
"""What a cell that is called beyond those expected counts against a simulated doublet that is found."""
LEAST = 0.1


def doublet_threshold(scores: NDArray[np.float64], simulated: NDArray[np.float64], rate: float) -> float | None:
    """The score above which there are most simulated doublets for the fewest cells.

    It maximises the share of simulated doublets above it, less 2.25 times the share of cells above it that are not
    expected to be doublets: Youden's index with a weight. Doublets of two like cells score as cells do, and cancel out.

    Parameters
    ----------
    scores
        Of the cells.
    simulated
        Of the simulated doublets.
    rate
        Fraction of doublets expected among the cells.

    Returns
    -------
    float | None
        Half-way between two scores that occur; None where no threshold tells them apart by a tenth.

    References
    ----------
    Youden 1950, Cancer 3:32.
    """
    candidates = np.unique(np.concatenate([scores, simulated]))
    if len(candidates) < 2 or not len(scores) or not len(simulated):
        return None
    middles = (candidates[1:] + candidates[:-1]) / 2
    found = _above(simulated, middles)
    gain = found - OBSERVED_WEIGHT * (_above(scores, middles) - rate * found)
    best = int(np.argmax(gain))
    return float(middles[best]) if gain[best] >= LEAST else None


def _above(values: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values above each limit."""
    return 1.0 - np.searchsorted(np.sort(values), limits, side="right") / len(values)
