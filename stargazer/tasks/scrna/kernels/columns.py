"""Gene blocks (CSC) of a matrix that comes in row blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.blocks import cut, log_normalised, with_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stargazer.tasks.scrna.kernels.blocks import CSC, CSR, Floats, Ints

__all__ = ["column_blocks", "log_blocks"]

MAX_ENTRIES = 30_000_000
ENTRIES_AT_ONCE = 1 << 20
ROWS_AT_ONCE = 1024


def log_blocks(blocks: Iterable[CSR], factors: Floats) -> Iterator[CSR]:
    """Log-normalised values of blocks of counts, as they come.

    Parameters
    ----------
    blocks
        Counts.
    factors
        Size factors of all their cells.
    """
    return (log_normalised(block, part) for block, part in with_factors(blocks, factors))


def column_blocks(
    open_blocks: Callable[[], Iterable[CSR]], entries: Ints, max_entries: int = MAX_ENTRIES
) -> Iterator[CSC]:
    """All cells of some consecutive genes at a time, in as few passes over the row blocks as memory allows.

    A pass gathers some genes by row blocks, which are then put together a few genes at a time: pieces that fit the
    processor's cache are turned several times faster than a whole matrix.

    Parameters
    ----------
    open_blocks
        Starts a pass over the row blocks.
    entries
        Non-zero values of each gene (`QC.n_cells`, or an upper bound of it): they decide where to cut.
    max_entries
        Non-zero values to gather in a pass; each takes some 8 bytes.

    Yields
    ------
    CSC
        Cells × genes of the block, genes in their order; about a million values, more only of a single gene.

    Raises
    ------
    DataError
        If a pass gives blocks with another number of genes.
    """
    for first, last in _cuts(entries, max_entries):
        blocks = cut(open_blocks(), ROWS_AT_ONCE)
        parts = [_columns(block, first, last, len(entries)).tocsc() for block in blocks]
        if parts:
            counts = np.stack([np.diff(part.indptr) for part in parts])
            for start, stop in _cuts(counts.sum(axis=0), min(max_entries, ENTRIES_AT_ONCE)):
                yield _stack(parts, counts[:, start:stop], start, stop)


def _cuts(entries: Ints, max_entries: int) -> list[tuple[int, int]]:
    ends, cuts = np.cumsum(np.asarray(entries, np.int64)), []
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + max_entries, side="right")), start + 1)
        cuts.append((start, stop))
        start = stop
    return cuts


def _columns(block: CSR, first: int, last: int, n_genes: int) -> CSR:
    if block.shape[1] != n_genes:
        raise DataError(f"a block has {block.shape[1]} genes, not {n_genes}")
    return block if (first, last) == (0, n_genes) else block[:, first:last]


def _stack(parts: list[CSC], counts: Ints, start: int, stop: int) -> CSC:
    """Put the cells of all parts under one another, for some of their genes."""
    pointers = np.concatenate([[0], np.cumsum(counts.sum(axis=0, dtype=np.int64))])
    data = np.empty(pointers[-1], np.result_type(*(part.dtype for part in parts)))
    rows = np.empty(pointers[-1], np.int32)
    place, above = pointers[:-1].copy(), 0
    for part, count in zip(parts, counts, strict=True):
        begin, end = part.indptr[start], part.indptr[stop]
        to = np.repeat(place - (part.indptr[start:stop] - begin), count) + np.arange(end - begin)
        data[to], rows[to] = part.data[begin:end], part.indices[begin:end] + above
        place += count
        above += part.shape[0]
    return sparse.csc_matrix((data, rows, pointers), shape=(above, stop - start), copy=False)
