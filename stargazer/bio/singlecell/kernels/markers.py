"""What tests of marker genes have in common, and the t-tests: each group of cells against all others."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stargazer.bio.singlecell.kernels.threads import ordered_map
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSC, Ints

__all__ = [
    "Markers",
    "Sums",
    "adjusted",
    "first",
    "group_sizes",
    "joined",
    "markers",
    "no_markers",
    "rank_sum",
    "t_test",
]


@dataclass(frozen=True)
class Markers:
    """Tests of every gene in every group; all arrays are groups × genes.

    Attributes
    ----------
    scores
        Test statistic: z of the rank-sum test, t of the t-tests.
    pvals, pvals_adj
        Two-sided p-values; the same adjusted for the number of genes in each group (Benjamini and Hochberg).
    logfoldchanges
        ``log2`` of the ratio of ``expm1`` of mean values, in the group and outside, as scanpy defines it.
    pct, pct_rest
        Fractions of cells with a value above (or below) zero, in the group and outside (scanpy's ``pts``).
    order
        Genes of each group by falling score; ties in their order.
    n_cells
        Cells of each group. With few (25 or less) the normal approximation is poor.
    """

    scores: NDArray[np.float64]
    pvals: NDArray[np.float64]
    pvals_adj: NDArray[np.float64]
    logfoldchanges: NDArray[np.float64]
    pct: NDArray[np.float64]
    pct_rest: NDArray[np.float64]
    order: NDArray[np.intp]
    n_cells: Ints


def no_markers(n_genes: int) -> Markers:
    """Tests of no groups, for cells that are all of one."""
    nothing = np.zeros((0, n_genes))
    sizes = np.zeros(0, np.int64)
    return Markers(nothing, nothing, nothing, nothing, nothing, nothing, nothing.astype(np.intp), sizes)


def first(found: Markers) -> Markers:
    """Tests of the first group alone."""
    return Markers(*(getattr(found, each.name)[:1] for each in fields(Markers)))


def joined(parts: list[Markers]) -> Markers:
    """Tests of groups that were made one by one, in that order."""
    return Markers(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Markers)))


@dataclass(frozen=True)
class Sums:
    """Sums over the cells of each group; genes × groups, the last group for cells of none."""

    n_expressing: Ints
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of_entries(
        cls, keys: Ints, values: NDArray[np.float64], shape: tuple[int, int], *, squares: bool = False
    ) -> Sums:
        """Sum non-zero values whose keys are ``gene * groups + group``; their squares (else zero) if asked for."""
        size = shape[0] * shape[1]
        powers = [np.bincount(keys, values, size), np.bincount(keys, values**2, size) if squares else np.zeros(size)]
        total, squared = (power.reshape(shape).astype(np.float64) for power in powers)
        return cls(np.bincount(keys, minlength=size).reshape(shape), total, squared)

    @classmethod
    def joined(cls, pieces: list[Sums], n_groups: int) -> Sums:
        """Put the sums of consecutive genes together."""
        none = cls(np.zeros((0, n_groups + 1), np.int64), *(np.zeros((0, n_groups + 1)) for _ in range(2)))
        names = ("n_expressing", "total", "squares")
        return cls(*(np.concatenate([getattr(piece, name) for piece in pieces or [none]]) for name in names))

    def mean(self, sizes: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of each group and of all other cells, groups × genes; NaN where there is no cell."""
        return _in_and_out(self.total, sizes)

    def fraction(self, sizes: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fraction of expressing cells in each group and among all others, groups × genes."""
        return _in_and_out(self.n_expressing, sizes)

    def variance(self, sizes: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unbiased variance of each group and of all other cells, groups × genes."""
        inside, outside = sizes[:-1, None], (sizes.sum() - sizes[:-1])[:, None]
        results = []
        for n, mean, square in zip((inside, outside), self.mean(sizes), _in_and_out(self.squares, sizes), strict=True):
            with np.errstate(invalid="ignore", divide="ignore"):
                results.append(np.maximum(square - mean**2, 0.0) * (n / (n - 1.0)))
        return results[0], results[1]


def _in_and_out(sums: NDArray[np.generic], sizes: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside = sums[:, :-1].T.astype(np.float64)
    outside = sums.sum(axis=1) - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        return inside / sizes[:-1, None], outside / (sizes.sum() - sizes[:-1])[:, None]


def group_sizes(codes: Ints, n_groups: int) -> Ints:
    """Cells of each group, and last those of none.

    Raises
    ------
    DataError
        If there is no group, or a code is not one of a group.
    """
    codes = np.asarray(codes)
    if n_groups < 1 or n_groups > 65_535:
        raise DataError(f"{n_groups} groups: marker genes need from 1 to 65,535")
    if len(codes) and (codes.min() < -1 or codes.max() >= n_groups):
        raise DataError(f"group codes run from 0 to {n_groups - 1}, and -1 for none; found {codes.min()}…{codes.max()}")
    return np.bincount(np.where(codes < 0, n_groups, codes), minlength=n_groups + 1)


def adjusted(pvals: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted for the false discovery rate.

    Parameters
    ----------
    pvals
        Groups × genes; each row is adjusted by itself.

    References
    ----------
    Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289.
    """
    n = pvals.shape[1]
    order = np.argsort(pvals, axis=1, kind="stable")
    scaled = np.take_along_axis(pvals, order, axis=1) * (n / np.arange(1, n + 1))
    steps = np.minimum.accumulate(scaled[:, ::-1], axis=1)[:, ::-1]
    result = np.empty_like(pvals)
    np.put_along_axis(result, order, np.minimum(steps, 1.0), axis=1)
    return result


def markers(scores: NDArray[np.float64], pvals: NDArray[np.float64] | None, sums: Sums, sizes: Ints) -> Markers:
    """Put scores, p-values (those of a normal distribution if None) and effect sizes together."""
    from scipy.special import ndtr

    pvals = 2.0 * ndtr(-np.abs(scores)) if pvals is None else pvals
    (mean, mean_rest), (pct, pct_rest) = sums.mean(sizes), sums.fraction(sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        changes = np.log2((np.expm1(mean) + 1e-9) / (np.expm1(mean_rest) + 1e-9))
    order = np.argsort(-scores, axis=1, kind="stable")
    return Markers(scores, pvals, adjusted(pvals), changes, pct, pct_rest, order, sizes[:-1])


def t_test(columns: Iterable[CSC], codes: Ints, n_groups: int, *, overestimate_variance: bool = False) -> Markers:
    """Welch's t-test of each group of cells against all others (scanpy's ``"t-test"``).

    Parameters
    ----------
    columns
        Log-normalised values of all cells, some genes at a time (`column_blocks`).
    codes
        Group of each cell, from 0; -1 for cells of no group, which count among the others.
    n_groups
        How many groups.
    overestimate_variance
        Take the group's size for that of the others too (scanpy's ``"t-test_overestim_var"``).

    Returns
    -------
    Markers
        Scores (t), p-values and effect sizes; score 0 and p-value 1 where a group has one cell or nothing varies.

    Raises
    ------
    DataError
        If a value is not finite, or codes do not fit the cells.
    """
    sizes = group_sizes(codes, n_groups)
    labels = np.where(np.asarray(codes) < 0, n_groups, codes).astype(np.int64)
    sums = Sums.joined([_block_sums(block, labels, n_groups + 1) for block in columns], n_groups)
    if not np.isfinite(sums.squares).all():
        raise DataError("the values have NaN or infinite entries")
    scores, pvals = _welch(sums, sizes, overestimate_variance)
    return markers(scores, pvals, sums, sizes)


def _block_sums(block: CSC, labels: Ints, n_labels: int) -> Sums:
    if block.shape[0] != len(labels):
        raise DataError(f"{len(labels)} group labels do not fit {block.shape[0]} cells")
    known = block.data != 0
    keys = np.repeat(np.arange(block.shape[1]) * n_labels, np.diff(block.indptr)) + labels[block.indices]
    values = block.data[known].astype(np.float64)
    return Sums.of_entries(keys[known], values, (block.shape[1], n_labels), squares=True)


def _welch(sums: Sums, sizes: Ints, overestimate: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import stdtr

    (mean, mean_rest), (variance, variance_rest) = sums.mean(sizes), sums.variance(sizes)
    n = sizes[:-1, None].astype(np.float64)
    n_rest = n if overestimate else sizes.sum() - n
    with np.errstate(invalid="ignore", divide="ignore"):
        error, error_rest = variance / n, variance_rest / n_rest
        freedom = (error + error_rest) ** 2 / (error**2 / (n - 1) + error_rest**2 / (n_rest - 1))
        scores = (mean - mean_rest) / np.sqrt(error + error_rest)
        pvals = 2.0 * stdtr(np.where(np.isnan(freedom), 1.0, freedom), -np.abs(scores))
    return np.where(np.isnan(scores), 0.0, scores), np.where(np.isnan(pvals), 1.0, pvals)


# Wilcoxon rank-sum test of every gene, each group of cells against all others, from sparse columns.
#
# Only non-zero values are sorted; zeros are one block of ties whose ranks follow from their number (as in presto,
# Korsunsky et al. 2019, bioRxiv 653253). A value and its cell's group are packed into one integer, so that one sort of
# integers does for both. Scores, p-values and fold changes are those of
# ``scanpy.tl.rank_genes_groups(method="wilcoxon")``, a normal approximation (Wilcoxon 1945, Biometrics Bulletin 1:80;
# ties: Lehmann 1975, Nonparametrics, §1.4).


PIECE_ENTRIES = 1 << 17
CODE_BITS = np.uint64(16)
CODE_MASK = np.uint64(0xFFFF)
POSITIVE = np.uint64(1 << 31)


def rank_sum(
    columns: Iterable[CSC], codes: Ints, n_groups: int, *, tie_correct: bool = False, threads: int = 1
) -> Markers:
    """Rank-sum test of each group of cells against all others.

    Parameters
    ----------
    columns
        Values of all cells, some genes at a time (`column_blocks`), log-normalised for the fold changes to make sense;
        compared in single precision.
    codes
        Group of each cell, from 0; -1 for cells of no group, which count among the others.
    n_groups
        How many groups.
    tie_correct
        Correct the variance for ties. Scanpy's default does not, which makes scores of sparse genes too small.
    threads
        Genes worked on at once.

    Returns
    -------
    Markers
        Scores (z), p-values and effect sizes; a gene that all cells have alike scores 0.

    Raises
    ------
    DataError
        If a value is NaN, or codes do not fit the cells.
    """
    sizes = group_sizes(codes, n_groups)
    labels = np.where(np.asarray(codes) < 0, n_groups, codes).astype(np.uint64)
    pieces = list(ordered_map(partial(_piece, labels=labels, sizes=sizes), _pieces(columns, len(labels)), threads))
    sums = Sums.joined([piece.sums for piece in pieces], n_groups)
    ranks = np.concatenate([piece.ranks for piece in pieces] or [np.zeros((0, n_groups + 1))])[:, :n_groups].T
    ties = np.concatenate([piece.ties for piece in pieces] or [np.zeros(0)])
    return markers(_scores(ranks, ties, sizes[:n_groups], len(codes), tie_correct), None, sums, sizes)


def _scores(
    ranks: NDArray[np.float64], ties: NDArray[np.float64], sizes: Ints, n_cells: int, tie_correct: bool
) -> NDArray[np.float64]:
    n, size = float(n_cells), sizes[:, None].astype(np.float64)
    coefficient = 1.0 - ties / (n**3 - n) if tie_correct and n_cells > 1 else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(coefficient * size * (n - size) * (n + 1) / 12.0)
        scores = (ranks - size * (n + 1) / 2.0) / deviation
    return np.where(np.isfinite(scores), scores, 0.0)


Entries: TypeAlias = "tuple[NDArray[np.generic], Ints, Ints]"
"""Values of some genes, their cells, and pointers to where each gene begins."""


def _pieces(columns: Iterable[CSC], n_cells: int) -> Iterator[Entries]:
    """Cut gene blocks into pieces of some hundred thousand values."""
    for block in columns:
        if block.shape[0] != n_cells:
            raise DataError(f"{n_cells} group labels do not fit {block.shape[0]} cells")
        start = 0
        while start < block.shape[1]:
            stop = int(np.searchsorted(block.indptr, block.indptr[start] + PIECE_ENTRIES, side="right")) - 1
            stop = min(max(stop, start + 1), block.shape[1])
            pointers = block.indptr[start : stop + 1]
            entries = slice(pointers[0], pointers[-1])
            yield block.data[entries], block.indices[entries], pointers - pointers[0]
            start = stop


def _packed(data: NDArray[np.generic], labels: NDArray[np.uint64], pointers: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Integers that sort as the values do, with the group in their last 16 bits; stored zeros are left out."""
    values = data.astype(np.float32)
    if np.isnan(values).any():
        raise DataError("a value is NaN: there is no rank for it")
    if not values.all():
        known = values != 0
        values, labels = values[known], labels[known]
        pointers = np.concatenate([[0], np.cumsum(known)])[pointers]
    bits = values.view(np.uint32)
    bits = np.where(values < 0, ~bits, bits | np.uint32(POSITIVE))
    return (bits.astype(np.uint64) << CODE_BITS) | labels, pointers


def _values(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Undo `_packed`."""
    low = bits.astype(np.uint32)
    return np.where(bits < POSITIVE, ~low, low ^ np.uint32(POSITIVE)).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class _Piece:
    """Genes × groups (the last for cells of none), but for `ties`, the sum of t³ - t of each gene."""

    ranks: NDArray[np.float64]
    ties: NDArray[np.float64]
    sums: Sums


def _piece(piece: Entries, labels: NDArray[np.uint64], sizes: Ints) -> _Piece:
    values, cells, pointers = piece
    packed, pointers = _packed(values, labels[cells], pointers)
    for start, stop in zip(pointers[:-1].tolist(), pointers[1:].tolist(), strict=True):
        packed[start:stop].sort()
    bits = packed >> CODE_BITS
    n_genes, n_labels = len(pointers) - 1, len(sizes)
    genes = np.repeat(np.arange(n_genes), np.diff(pointers))
    keys = genes * n_labels + (packed & CODE_MASK).astype(np.int64)
    sums = Sums.of_entries(keys, _values(bits), (n_genes, n_labels))
    zeros = sizes - sums.n_expressing
    run, starts, lengths = _runs(bits, pointers)
    of_gene, n_zeros = genes[starts], zeros.sum(axis=1)
    below = bits[starts] < POSITIVE
    middle = starts + (lengths + 1) / 2 + (n_zeros - pointers[:-1])[of_gene]
    n_below = np.zeros(n_genes)
    if below.any():
        middle[below] -= n_zeros[of_gene[below]]
        n_below += np.bincount(of_gene[below], lengths[below], n_genes)
    of_entries = np.bincount(keys, middle[run], n_genes * n_labels).reshape(n_genes, n_labels)
    ranks = of_entries + zeros * (n_below + (n_zeros + 1) / 2)[:, None]
    return _Piece(ranks, np.bincount(of_gene, _cubes(lengths), n_genes) + _cubes(n_zeros), sums)


def _runs(bits: NDArray[np.uint64], pointers: Ints) -> tuple[Ints, Ints, Ints]:
    """Runs of equal values within a column: that of each entry, and the start and length of each."""
    new = np.ones(len(bits), bool)
    np.not_equal(bits[1:], bits[:-1], out=new[1:])
    new[pointers[:-1][pointers[:-1] < len(bits)]] = True
    starts = np.flatnonzero(new)
    return np.cumsum(new) - 1, starts, np.diff(starts, append=len(bits))


def _cubes(counts: Ints) -> NDArray[np.float64]:
    n = counts.astype(np.float64)
    return n * n * n - n  # ten times as fast as a power, and the same: n² is exact
