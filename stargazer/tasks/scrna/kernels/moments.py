"""Means and variances of genes, a batch at a time, in one pass over the counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.blocks import CSR, Floats, Ints, cut, log_normalised, normalised, with_factors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Moments", "gene_moments"]

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
    if len(codes) != len(factors):
        raise DataError(f"{len(codes)} batch labels do not fit {len(factors)} cells")
    n_batches = int(codes.max(initial=0)) + 1
    sums = np.zeros((2, n_batches * n_genes))
    start = 0
    for block, part in with_factors(cut(blocks, ROWS_AT_ONCE), factors):
        values = (log_normalised if log else normalised)(block, part).data.astype(np.float64)
        keys = np.repeat(codes[start : start + block.shape[0]] * n_genes, np.diff(block.indptr)) + block.indices
        np.add.at(sums[0], keys, values)
        np.add.at(sums[1], keys, values * values)
        start += block.shape[0]
    return _moments(sums.reshape(2, n_batches, n_genes), np.bincount(codes, minlength=n_batches))


def _moments(sums: NDArray[np.float64], n_cells: Ints) -> Moments:
    if not np.isfinite(sums).all():
        raise DataError("the values have NaN or infinite entries")
    n = n_cells[:, None].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[0] / n
        variance = np.maximum(sums[1] / n - mean * mean, 0.0) * (n / (n - 1.0))
    return Moments(n_cells, mean, variance)
