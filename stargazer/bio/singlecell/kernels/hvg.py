"""Highly variable genes, as scanpy selects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stargazer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import Bools, Ints
    from stargazer.bio.singlecell.kernels.moments import Moments

__all__ = ["Dispersions", "HighlyVariable", "dispersions", "highly_variable", "in_bounds"]

N_BINS = 20


@dataclass(frozen=True)
class Dispersions:
    """Dispersions of genes in one batch.

    Attributes
    ----------
    means
        ``log(1 + mean)`` of normalised values.
    dispersions
        ``log(variance / mean)``; NaN where a gene does not vary.
    dispersions_norm
        The same less its mean and over its standard deviation among genes of like mean; NaN where undefined.
    """

    means: NDArray[np.float64]
    dispersions: NDArray[np.float64]
    dispersions_norm: NDArray[np.float64]


@dataclass(frozen=True)
class HighlyVariable:
    """Highly variable genes of all batches, in the columns that `scanpy.pp.highly_variable_genes` writes.

    Attributes
    ----------
    mask
        The chosen genes (``highly_variable``).
    means, dispersions, dispersions_norm
        Of the one batch, or their means over batches (0 where a batch does not express the gene).
    n_batches
        Batches in which a gene is highly variable (``highly_variable_nbatches``).
    intersection
        Genes highly variable in every batch.
    skipped
        Batches that had no say, because no gene's dispersion is defined there (those of one cell).
    """

    mask: Bools
    means: NDArray[np.float64]
    dispersions: NDArray[np.float64]
    dispersions_norm: NDArray[np.float64]
    n_batches: Ints
    intersection: Bools
    skipped: tuple[int, ...] = ()


def dispersions(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> Dispersions:
    """Dispersions of genes normalised within 20 bins of mean expression.

    Parameters
    ----------
    mean, variance
        Of normalised values, not of their logarithms.

    References
    ----------
    Satija et al. 2015, Nature Biotechnology 33:495 (Seurat's first method, the default of scanpy).
    """
    mean = np.where(mean == 0, 1e-12, mean)
    ratio = variance / mean
    log_ratio = np.log(np.where(ratio == 0, np.nan, ratio))
    log_mean = np.log1p(mean)
    average, deviation = _of_bins(_mean_bins(log_mean), log_ratio)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Dispersions(log_mean, log_ratio, (log_ratio - average) / deviation)


def _mean_bins(means: NDArray[np.float64]) -> Ints:
    """Bin of each gene: equal widths from lowest to highest mean, right-closed, as `pandas.cut` does."""
    low, high = float(means.min()), float(means.max())
    if low == high:
        margin = 0.001 * abs(low) if low else 0.001
        edges = np.linspace(low - margin, high + margin, N_BINS + 1)
    else:
        edges = np.linspace(low, high, N_BINS + 1)
        edges[0] -= (high - low) * 0.001
    return np.searchsorted(edges, means, side="left") - 1


def _of_bins(bins: Ints, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of the bin of each gene; a bin with one gene gives it a normalised dispersion of 1."""
    known = ~np.isnan(values)
    count = np.bincount(bins[known], minlength=N_BINS).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.bincount(bins[known], values[known], N_BINS) / count
        squares = np.bincount(bins[known], (values[known] - average[bins[known]]) ** 2, N_BINS)
        deviation = np.sqrt(squares / (count - 1))
    alone = count == 1
    average[alone], deviation[alone] = 0.0, average[alone]
    return average[bins], deviation[bins]


def highly_variable(moments: Moments, n_top_genes: int) -> HighlyVariable:
    """Choose highly variable genes by normalised dispersion; with batches, those chosen in most of them first.

    Parameters
    ----------
    moments
        Means and variances of normalised values, from `gene_moments`.
    n_top_genes
        How many. Without batches all genes tied with the last are chosen too, as scanpy does.

    Returns
    -------
    HighlyVariable
        Mask and columns. Ties between batches are broken by the order of the genes.

    Raises
    ------
    DataError
        If no batch has genes that vary.
    """
    if n_top_genes < 1:
        raise DataError(f"n_top_genes is {n_top_genes}: choose at least one gene")
    valid = [i for i in range(len(moments.n_cells)) if moments.n_cells[i] > 1 and (moments.variance[i] > 0).any()]
    if not valid:
        raise DataError("no gene varies in any batch: there is nothing to choose from; are there at least two cells?")
    skipped = tuple(i for i in range(len(moments.n_cells)) if i not in valid)
    if len(moments.n_cells) == 1:
        one = dispersions(moments.mean[0], moments.variance[0])
        mask = _top(one.dispersions_norm, n_top_genes)
        return HighlyVariable(mask, one.means, one.dispersions, one.dispersions_norm, mask.astype(np.int64), mask)
    return _joined([_of_batch(moments, i, n_top_genes) for i in valid], n_top_genes, skipped)


def _top(values: NDArray[np.float64], n: int) -> Bools:
    known = np.sort(values[~np.isnan(values)])
    cutoff = known[max(len(known) - n, 0)]
    return np.asarray(np.where(np.isnan(values), -np.inf, values) >= cutoff)


def _of_batch(moments: Moments, batch: int, n_top_genes: int) -> NDArray[np.float64]:
    """Means, dispersions, normalised dispersions and choice in one batch; 0 for genes it does not express."""
    expressed = moments.mean[batch] > 0
    found = dispersions(moments.mean[batch][expressed], moments.variance[batch][expressed])
    rows = np.zeros((4, len(expressed)))
    rows[:, expressed] = (
        found.means,
        found.dispersions,
        found.dispersions_norm,
        _top(found.dispersions_norm, n_top_genes),
    )
    return rows


def _joined(batches: list[NDArray[np.float64]], n_top_genes: int, skipped: tuple[int, ...]) -> HighlyVariable:
    stack = np.stack(batches)
    known = (~np.isnan(stack)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, spread, normed, _ = np.nansum(stack, axis=0) / known
    votes = stack[:, 3].sum(axis=0).astype(np.int64)
    order = np.lexsort((-np.where(np.isnan(normed), -np.inf, normed), -votes))
    mask = np.zeros(len(votes), bool)
    mask[order[:n_top_genes]] = True
    return HighlyVariable(mask, means, spread, normed, votes, votes == len(batches), skipped)


def in_bounds(
    found: Dispersions, mean: tuple[float, float] = (0.0125, 3.0), dispersion: tuple[float, float] = (0.5, np.inf)
) -> Bools:
    """Genes whose mean and normalised dispersion lie between limits (scanpy's choice without ``n_top_genes``).

    Parameters
    ----------
    found
        Of one batch.
    mean, dispersion
        Lower and upper limits, both excluded.
    """
    normed = np.nan_to_num(found.dispersions_norm)
    within = (found.means > mean[0]) & (found.means < mean[1])
    return np.asarray(within & (normed > dispersion[0]) & (normed < dispersion[1]))
