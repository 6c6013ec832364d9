"""Counts as they come from files: checked, in canonical CSR, by row blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.cells.layout import ROWS
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stargazer.cells.elements import Values

__all__ = ["array_blocks", "canonical_counts", "first_wrong", "group_blocks", "matrix_blocks"]

COMPRESSED = ("csr_matrix", "csc_matrix")


def first_wrong(values: Values) -> int | None:
    """Position of the first value that is no count: NaN, infinite, negative or fractional."""
    if values.dtype.kind == "b" or values.dtype.kind == "u":
        return None
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values) | (values < 0) | (np.trunc(values) != values)
    else:
        wrong = values < 0
    return int(wrong.argmax()) if wrong.any() else None


def canonical_counts(blocks: Iterable[Any], describe: Callable[[int, int, Any], str]) -> Iterator[Any]:
    """Check that blocks hold counts, and bring them into one form: sorted, no duplicates, no stored zeros.

    Parameters
    ----------
    blocks
        CSR row blocks.
    describe
        Makes the error's text of cell, gene and value.

    Raises
    ------
    DataError
        A value is no count, or a column index is out of range.
    """
    start = 0
    for block in blocks:
        if block.nnz and not 0 <= block.indices.min() <= block.indices.max() < block.shape[1]:
            raise DataError(f"a count belongs to gene {block.indices.max()} of {block.shape[1]}: the file is damaged")
        if not block.has_canonical_format:
            block.data = block.data.astype(np.float64 if block.data.dtype.kind == "f" else np.int64)
            block.sum_duplicates()
        position = first_wrong(block.data)
        if position is not None:
            cell = int(np.searchsorted(block.indptr, position, side="right")) - 1
            raise DataError(describe(start + cell, int(block.indices[position]), block.data[position]))
        if not block.data.all():
            block.eliminate_zeros()
        yield block if block.data.dtype.kind != "f" else _whole(block)
        start += block.shape[0]


def _whole(block: Any) -> Any:
    return sparse.csr_matrix((block.data.astype(np.uint64), block.indices, block.indptr), shape=block.shape)


def matrix_blocks(matrix: Any) -> Iterator[Any]:
    """Row blocks of a matrix in memory, dense or sparse; they are copies."""
    rows = sparse.csr_matrix(matrix)
    for start in range(0, rows.shape[0], ROWS):
        yield rows[start : start + ROWS]


def array_blocks(array: Any) -> Iterator[Any]:
    """Row blocks of a dense array on disk."""
    for start in range(0, array.shape[0], ROWS):
        yield sparse.csr_matrix(_known(np.asarray(array[start : start + ROWS])))


def _known(values: Values) -> Values:
    """SciPy's sparse matrices have no half precision, and want the machine's order of bytes."""
    return values.astype(np.float32 if values.dtype == np.float16 else values.dtype.newbyteorder("="), copy=False)


def group_blocks(group: Any, shape: tuple[int, int]) -> Iterator[Any]:
    """Row blocks of CSR arrays on disk (``data``, ``indices``, ``indptr``), read as they are needed.

    Parameters
    ----------
    group
        An HDF5 or zarr group.
    shape
        Cells, genes.

    Raises
    ------
    DataError
        The arrays do not fit each other.
    """
    pointers = np.asarray(group["indptr"][...], np.int64)
    entries = group["data"].shape[0]
    if len(pointers) != shape[0] + 1 or pointers[0] or pointers[-1] != entries or (np.diff(pointers) < 0).any():
        raise DataError(f"the index pointers do not fit {shape[0]} cells and {entries} counts: the file is damaged")
    for start in range(0, shape[0], ROWS):
        ends = pointers[start : start + ROWS + 1]
        data, indices = (_known(np.asarray(group[name][ends[0] : ends[-1]])) for name in ("data", "indices"))
        block = sparse.csr_matrix((0, shape[1]), dtype=data.dtype)
        block.data, block.indices, block.indptr = data, indices.astype(np.int32), (ends - ends[0]).astype(np.int32)
        block._shape = (len(ends) - 1, shape[1])
        yield block
