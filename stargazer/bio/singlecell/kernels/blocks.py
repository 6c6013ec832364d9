"""Row blocks of a counts matrix: cutting, masks, size factors, log-normalised values, columns.

A block is a CSR matrix of some consecutive cells and all genes, column indices sorted and unique. A sequence of blocks
is any iterable of them; kernels that need two passes say so and take one that can be iterated again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "CSC",
    "CSR",
    "Bools",
    "Floats",
    "Ints",
    "check_counts",
    "cut",
    "like",
    "log_blocks",
    "log_normalised",
    "normalised",
    "reblock",
    "row_blocks",
    "select",
    "size_factors",
    "with_factors",
]

CSR: TypeAlias = Any
"""A `scipy.sparse` CSR matrix (SciPy has no types)."""
CSC: TypeAlias = Any
"""A `scipy.sparse` CSC matrix."""
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]

BLOCK_ROWS = 4096


def row_blocks(matrix: CSR, rows: int = BLOCK_ROWS) -> Iterator[CSR]:
    """Cut a CSR matrix in memory into blocks of rows that share its arrays.

    Parameters
    ----------
    matrix
        Cells × genes.
    rows
        Cells a block.
    """
    for start in range(0, matrix.shape[0], rows):
        yield _rows(matrix, start, min(start + rows, matrix.shape[0]))


def _rows(matrix: CSR, start: int, stop: int) -> CSR:
    first, last = matrix.indptr[start], matrix.indptr[stop]
    arrays = (matrix.data[first:last], matrix.indices[first:last], matrix.indptr[start : stop + 1] - first)
    return sparse.csr_matrix(arrays, shape=(stop - start, matrix.shape[1]), copy=False)


def cut(blocks: Iterable[CSR], rows: int) -> Iterator[CSR]:
    """Cut blocks into smaller ones, so that what is computed from one stays in the processor's cache.

    Parameters
    ----------
    blocks
        Blocks of any sizes.
    rows
        Most cells of each block given back.
    """
    for block in blocks:
        yield from row_blocks(block, rows) if block.shape[0] > rows else (block,)


def select(blocks: Iterable[CSR], cells: Bools | None = None, genes: Bools | Ints | None = None) -> Iterator[CSR]:
    """Apply masks to blocks as they come.

    Parameters
    ----------
    blocks
        All cells, all genes.
    cells
        Mask of all cells: those to keep.
    genes
        Mask or indices of the genes to keep.

    Yields
    ------
    CSR
        Blocks of kept cells and genes; those left without a cell are skipped.
    """
    columns = None if genes is None else np.flatnonzero(genes) if genes.dtype == bool else genes
    start = 0
    for block in blocks:
        part = block if cells is None else _chosen(block, cells[start : start + block.shape[0]])
        start += block.shape[0]
        if part.shape[0]:
            yield part if columns is None else part[:, columns]


def _chosen(block: CSR, cells: Bools) -> CSR:
    return block if cells.all() else block[np.flatnonzero(cells)]


def reblock(blocks: Iterable[CSR], rows: int = BLOCK_ROWS) -> Iterator[CSR]:
    """Cut blocks of any sizes anew into blocks of one size, so that sums over blocks run in one order.

    Parameters
    ----------
    blocks
        Blocks of any sizes.
    rows
        Cells of each block given back; the last may be smaller.
    """
    waiting: list[CSR] = []
    held = 0
    for block in blocks:
        start = 0
        while block.shape[0] - start >= rows - held:
            stop = start + rows - held
            yield _stack([*waiting, _rows(block, start, stop)])
            waiting, held, start = [], 0, stop
        if start < block.shape[0]:
            waiting.append(_rows(block, start, block.shape[0]))
            held += block.shape[0] - start
    if waiting:
        yield _stack(waiting)


def _stack(parts: list[CSR]) -> CSR:
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def like(block: CSR, data: NDArray[Any]) -> CSR:
    """Build a CSR matrix with a block's pattern and other values; the pattern is shared, not copied."""
    return sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape, copy=False)


def size_factors(total_counts: Ints | Floats, target_sum: float | None = None) -> NDArray[np.float32]:
    """Size factors of cells, as `scanpy.pp.normalize_total` takes them.

    Parameters
    ----------
    total_counts
        Counts of each cell over the kept genes.
    target_sum
        Counts of each cell after normalising; the median of all cells if None.

    Returns
    -------
    NDArray[np.float32]
        Total counts over the target; 1 for cells without counts.

    Raises
    ------
    DataError
        If the target is not positive, as when most cells have no counts.
    """
    totals = np.asarray(total_counts).astype(np.float32)
    target = np.float32(np.median(totals) if target_sum is None and len(totals) else target_sum or 0)
    if len(totals) and not target > 0:
        raise DataError(
            f"cannot normalise to {target} counts a cell: filter cells without counts, or give a target sum"
        )
    factors = totals / target if len(totals) else totals
    factors[factors == 0] = 1
    return factors


def normalised(block: CSR, factors: Floats) -> CSR:
    """Counts over size factors, in single precision (bit for bit those of `scanpy.pp.normalize_total`).

    Parameters
    ----------
    block
        Counts.
    factors
        Size factors of the block's cells.
    """
    values = block.data.astype(np.float32)
    values /= np.repeat(np.asarray(factors, np.float32), np.diff(block.indptr))
    return like(block, values)


def log_normalised(block: CSR, factors: Floats) -> CSR:
    """Logarithms ``log(1 + count / size factor)`` (bit for bit those of `scanpy.pp.log1p` after `normalize_total`).

    Parameters
    ----------
    block
        Counts.
    factors
        Size factors of the block's cells.
    """
    result = normalised(block, factors)
    np.log1p(result.data, out=result.data)
    return result


def with_factors(blocks: Iterable[CSR], factors: Floats) -> Iterator[tuple[CSR, Floats]]:
    """Pair each block with the size factors of its cells.

    Raises
    ------
    DataError
        If there are more or fewer factors than cells.
    """
    start = 0
    for block in blocks:
        stop = start + block.shape[0]
        if stop > len(factors):
            break
        yield block, factors[start:stop]
        start = stop
    else:
        stop = start
    if stop != len(factors):
        raise DataError(f"{len(factors)} size factors do not fit {stop} or more cells: mask both with the same cells")


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


# Counts are whole numbers from 0 up: a check of each block as it comes.


def check_counts(block: CSR, first_cell: int = 0) -> CSR:
    """Check that a block holds counts: finite, not negative, whole.

    Entries for the same gene are added up, explicit zeros taken out.

    Parameters
    ----------
    block
        Cells × genes, integers or floats.
    first_cell
        Index of the first cell of the block, for the message.

    Returns
    -------
    CSR
        The block, of an integer type.

    Raises
    ------
    DataError
        If a value is NaN, infinite, negative or fractional.
    """
    data = block.data
    if data.dtype.kind == "f":
        wrong = ~np.isfinite(data) | (data < 0) | (np.trunc(data) != data)
    else:
        wrong = data < 0 if data.dtype.kind == "i" else np.zeros(len(data), bool)
    if wrong.any():
        raise DataError(_describe(block, int(np.flatnonzero(wrong)[0]), first_cell))
    if data.dtype.kind == "f":
        block = like(block, data.astype(np.int64))
    return block if block.has_canonical_format and block.data.all() else _canonical(block)


def _describe(block: CSR, position: int, first_cell: int) -> str:
    cell = int(np.searchsorted(block.indptr, position, side="right")) - 1
    return (
        f"the value of cell {first_cell + cell}, gene {block.indices[position]} is {block.data[position]}: counts are "
        "whole numbers from 0 up; give the raw counts (in a normalised file often layers['counts'] or .raw)"
    )


def _canonical(block: CSR) -> CSR:
    copy = block.copy()
    copy.sum_duplicates()
    copy.eliminate_zeros()
    return copy
