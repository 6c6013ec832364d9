"""Gene blocks (CSC) of a matrix that comes in row blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.blocks import log_normalised, with_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stargazer.tasks.scrna.kernels.blocks import CSC, CSR, Floats, Ints

__all__ = ["column_blocks", "log_blocks"]

MAX_ENTRIES = 30_000_000


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

    Parameters
    ----------
    open_blocks
        Starts a pass over the row blocks; called once a gene block.
    entries
        Non-zero values of each gene (`QC.n_cells`, or an upper bound of it): they decide where to cut.
    max_entries
        Non-zero values of a gene block; 16 bytes each are needed while it is made. A gene with more has a block alone.

    Yields
    ------
    CSC
        Cells × genes of the block, genes in their order.

    Raises
    ------
    DataError
        If a pass gives blocks with another number of genes.
    """
    for first, last in _cuts(entries, max_entries):
        parts = [_columns(block, first, last, len(entries)) for block in open_blocks()]
        if parts:
            yield sparse.vstack(parts, format="csr").tocsc()


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
