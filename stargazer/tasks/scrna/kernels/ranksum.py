"""Wilcoxon rank-sum test of every gene, each group of cells against all others, from sparse columns.

Only non-zero values are sorted; zeros are one block of ties whose ranks follow from their number (as in presto,
Korsunsky et al. 2019, bioRxiv 653253). A value and its cell's group are packed into one integer, so that one sort of
integers does for both. Scores, p-values and fold changes are those of
``scanpy.tl.rank_genes_groups(method="wilcoxon")``, a normal approximation (Wilcoxon 1945, Biometrics Bulletin 1:80;
ties: Lehmann 1975, Nonparametrics, §1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.markers import Markers, Sums, group_sizes, markers
from stargazer.tasks.scrna.kernels.threads import ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import CSC, Ints

__all__ = ["rank_sum"]

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
    pieces = list(ordered_map(partial(_piece, sizes=sizes), _pieces(columns, labels), threads))
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


def _pieces(columns: Iterable[CSC], labels: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.uint64], Ints]]:
    """Cut gene blocks into pieces of some hundred thousand packed values, with the pointers to their columns."""
    for block in columns:
        if block.shape[0] != len(labels):
            raise DataError(f"{len(labels)} group labels do not fit {block.shape[0]} cells")
        start = 0
        while start < block.shape[1]:
            stop = int(np.searchsorted(block.indptr, block.indptr[start] + PIECE_ENTRIES, side="right")) - 1
            stop = min(max(stop, start + 1), block.shape[1])
            pointers = block.indptr[start : stop + 1]
            entries = slice(pointers[0], pointers[-1])
            yield _packed(block.data[entries], labels[block.indices[entries]], pointers - pointers[0])
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


def _piece(piece: tuple[NDArray[np.uint64], Ints], sizes: Ints) -> _Piece:
    packed, pointers = piece
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
    return n**3 - n
