"""Means and variances of genes, a batch at a time, in one pass over the counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stargazer.bio.singlecell.kernels.blocks import (
    CSR,
    Floats,
    Ints,
    cut,
    like,
    log_normalised,
    normalised,
    with_factors,
)
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "GeneSums",
    "Moments",
    "gene_moments",
    "gene_sums",
    "joined_sums",
    "leading_components",
    "mean_and_deviation",
    "to_a_million",
]

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Moments:
    """Means and variances of genes in each batch.

    Attributes
    ----------
    n_cells
        Cells of each batch.
    mean
        Batches × genes.
    variance
        Batches × genes, unbiased (divided by n - 1); NaN in batches of one cell.
    """

    n_cells: Ints
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def gene_moments(
    blocks: Iterable[CSR],
    factors: Floats,
    n_genes: int,
    batches: Ints | None = None,
    *,
    parts: Sequence[int] | None = None,
    log: bool = False,
) -> Moments:
    """Means and variances of normalised (or log-normalised) values of genes, for each batch, in one pass.

    Parameters
    ----------
    blocks
        Counts of kept cells; read once.
    factors
        Size factors of these cells.
    n_genes
        Columns of the blocks.
    batches
        Batch of each cell, from 0; all cells are one batch if None.
    parts
        Cells of each part: each is added up by itself, and the sums in their order; one part if None.
    log
        Of log-normalised values (for scaling) instead of normalised ones (for highly variable genes).

    Returns
    -------
    Moments
        In double precision; the same bits for any cut into blocks.

    Raises
    ------
    DataError
        If a value is not finite, or factors or batches do not fit the cells.
    """
    codes = np.zeros(len(factors), np.int64) if batches is None else np.asarray(batches, np.int64)
    sums = gene_sums(blocks, factors, n_genes, codes, parts=parts, log=log)
    return joined_sums(sums, np.bincount(codes, minlength=1), n_genes)


class GeneSums(NamedTuple):
    """Sums over a part of the cells.

    Attributes
    ----------
    batches
        Those that have cells in it.
    sums
        Of values and of their squares: 2 × these batches × genes.
    """

    batches: Ints
    sums: NDArray[np.float64]


def gene_sums(
    blocks: Iterable[CSR],
    factors: Floats,
    n_genes: int,
    codes: Ints,
    *,
    parts: Sequence[int] | None = None,
    log: bool = False,
) -> Iterator[GeneSums]:
    """Sums of values of genes over each part of the cells, added up in the order of the cells.

    Parameters
    ----------
    blocks, factors, n_genes, parts, log
        As for `gene_moments`.
    codes
        Batch of each cell.

    Raises
    ------
    DataError
        If factors, batches or parts do not fit the cells.
    """
    parts = [len(factors)] if parts is None else parts
    if len(codes) != len(factors) or sum(parts) != len(factors):
        raise DataError(f"{len(codes)} batch labels and parts of {sum(parts)} cells do not fit {len(factors)} cells")
    pairs = with_factors(cut(blocks, ROWS_AT_ONCE), factors)
    for here, pieces in _by_parts(pairs, codes, parts):
        present, places = np.unique(here, return_inverse=True)
        sums, start = np.zeros((2, len(present) * n_genes)), 0
        for block, part in pieces:
            values = (log_normalised if log else normalised)(block, part).data.astype(np.float64)
            rows = places[start : start + block.shape[0]] * n_genes
            keys = np.repeat(rows, np.diff(block.indptr)) + block.indices
            np.add.at(sums[0], keys, values)
            np.add.at(sums[1], keys, values * values)
            start += block.shape[0]
        yield GeneSums(present, sums.reshape(2, len(present), n_genes))


def _by_parts(
    pairs: Iterator[tuple[CSR, Floats]], codes: Ints, parts: Sequence[int]
) -> Iterator[tuple[Ints, Iterator[tuple[CSR, Floats]]]]:
    """Batches and blocks of each part, blocks cut where a part ends; each part is read before the next is asked for."""
    waiting: list[tuple[CSR, Floats]] = []

    def pieces(wanted: int) -> Iterator[tuple[CSR, Floats]]:
        while wanted:
            block, factors = waiting.pop() if waiting else next(pairs)
            if block.shape[0] > wanted:
                waiting.append((block[wanted:], factors[wanted:]))
                block, factors = block[:wanted], factors[:wanted]
            wanted -= block.shape[0]
            yield block, factors

    start = 0
    for size in parts:
        yield codes[start : start + size], pieces(size)
        start += size
    next(pairs, None)  # which checks that there are no more cells than factors


def joined_sums(parts: Iterable[GeneSums], n_cells: Ints, n_genes: int) -> Moments:
    """Means and variances from sums over parts of the cells, which are added up in their order.

    Parameters
    ----------
    parts
        Of all cells.
    n_cells
        Cells of each batch.
    n_genes
        How many genes.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    sums = np.zeros((2, len(n_cells), n_genes))
    for part in parts:
        sums[:, part.batches] += part.sums
    return _moments(sums, n_cells)


def _moments(sums: NDArray[np.float64], n_cells: Ints) -> Moments:
    if not np.isfinite(sums).all():
        raise DataError("the values have NaN or infinite entries")
    n = n_cells[:, None].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[0] / n
        variance = np.maximum(sums[1] / n - mean * mean, 0.0) * (n / (n - 1.0))
    return Moments(n_cells, mean, variance)


# Z-scores of sparse values, and their principal components without ever making them dense.


TARGET_SUM = 1e6


def to_a_million(counts: CSR) -> CSR:
    """Counts of each cell scaled to a million; cells without counts keep none.

    Parameters
    ----------
    counts
        Cells × genes, in double precision.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    factors = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    return like(counts, counts.data * np.repeat(factors, np.diff(counts.indptr)))


def mean_and_deviation(values: CSR) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (n - 1) of each gene; 1 for the deviation of genes that do not vary.

    Parameters
    ----------
    values
        Cells × genes.
    """
    n, n_genes = values.shape
    mean = np.bincount(values.indices, values.data, n_genes) / n
    squares = np.bincount(values.indices, values.data**2, n_genes)
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 0.0) * (n / (n - 1)))
    return mean, np.where(deviation > 0, deviation, 1.0)


def leading_components(values: CSR, mean: Floats, deviation: Floats, n_pcs: int, seed: int) -> NDArray[np.float64]:
    """Leading eigenvectors of the z-scores' covariance, from products with the sparse values alone (Lanczos).

    Parameters
    ----------
    values
        Cells × genes.
    mean, deviation
        Of each gene.
    n_pcs
        Components asked for; no more than ``min(cells, genes) - 1`` are given.
    seed
        Of the vector to start from.

    Returns
    -------
    NDArray[np.float64]
        Genes × components, in order of falling variance.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n, n_genes = values.shape
    transposed = values.T.tocsr()

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = vector.ravel() / deviation
        scores = values @ weights - mean @ weights
        return np.asarray((transposed @ scores - mean * scores.sum()) / deviation)

    operator = LinearOperator((n_genes, n_genes), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n_genes)
    _, vectors = eigsh(operator, k=min(n_pcs, n_genes - 1, n - 1), which="LA", v0=start, tol=1e-6)
    return np.asarray(vectors[:, ::-1])
