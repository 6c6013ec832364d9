"""Sparse matrices of a tree, written and read by row blocks."""

from __future__ import annotations

import shutil
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.elements import open_group, write_element, write_group
from stargazer.bio.singlecell.layout import ROWS, compressor, matrix_chunk
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.elements import Values

__all__ = [
    "LARGEST_COUNT",
    "Matrix",
    "MatrixWriter",
    "array_blocks",
    "canonical_counts",
    "counts_type",
    "first_wrong",
    "group_blocks",
    "index_type",
    "whole_numbers",
    "write_matrix",
]

_COUNTS = (np.uint8, np.uint16, np.uint32, np.uint64)
LARGEST_COUNT = 2**53
"""Whole numbers above are none in double precision, and no cell has as many molecules."""
_ENCODING = {"encoding-type": "array", "encoding-version": "0.2.0"}


def counts_type(largest: int) -> np.dtype[Any]:
    """Smallest unsigned type that holds a count."""
    return np.dtype(next(kind for kind in _COUNTS if largest <= np.iinfo(kind).max))


def index_type(entries: int) -> np.dtype[Any]:
    """Type of columns and pointers of a matrix with so many entries: one for both, for SciPy and scanpy want that."""
    return np.dtype(np.int32 if entries <= np.iinfo(np.int32).max else np.int64)


class _Vector:
    """A one-dimensional array that grows; whole chunks are written as they fill."""

    def __init__(self, path: Path, dtype: np.dtype[Any], chunk: int) -> None:
        self.path, self.dtype, self.chunk = path, dtype, chunk
        self._waiting: list[NDArray[Any]] = []
        self._held = self._written = 0
        self._array = open_group(path.parent, "r+").create_array(
            path.name,
            shape=(0,),
            dtype=dtype,
            chunks=(chunk,),
            compressors=compressor(dtype.itemsize),
            attributes=_ENCODING,
            config={"write_empty_chunks": False},
        )

    def extend(self, values: NDArray[Any]) -> None:
        self._waiting.append(values.astype(self.dtype, copy=False))
        self._held += len(values)
        if self._held >= self.chunk:
            self._flush(self._held // self.chunk * self.chunk)

    def finish(self) -> None:
        self._flush(self._held)

    def _flush(self, count: int) -> None:
        if not count:
            return
        joined = np.concatenate(self._waiting)
        self._array.resize((self._written + count,))
        self._array[self._written :] = joined[:count]
        self._waiting, self._held = [joined[count:].copy()], self._held - count
        self._written += count

    def widened(self, dtype: np.dtype[Any]) -> _Vector:
        """The same values so far, in a wider type; this vector must not be used any more."""
        narrow = self.path.with_name(f"{self.path.name}-{self.dtype}")
        self.path.rename(narrow)
        wide = _Vector(self.path, dtype, self.chunk)
        if self._written:
            old = open_group(narrow.parent)[narrow.name]
            for start in range(0, self._written, self.chunk):
                wide.extend(old[start : start + self.chunk])
        for values in self._waiting:
            wide.extend(values)
        shutil.rmtree(narrow)
        return wide


class MatrixWriter:
    """Writes a CSR matrix block by block, in constant memory.

    Parameters
    ----------
    path
        Where in a tree; nothing lies here.
    columns
        How many the matrix has.
    dtype
        Type of the values; None for counts, which take the smallest type that holds them all.
    """

    def __init__(self, path: Path, columns: int, dtype: Any = None) -> None:
        self.path, self.columns = path, columns
        self._widens = dtype is None
        self._dtype = np.dtype(dtype or np.uint8)
        self._ends: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self.rows = self.entries = 0
        self._group = write_group(path, "csr_matrix", shape=[0, columns])
        self._data: _Vector | None = None

    def append(self, block: Any) -> None:
        """Add rows: all blocks but the last have `ROWS`; column indices are sorted and unique."""
        if self.rows % ROWS:
            raise DataError(f"a block of {self.rows % ROWS} rows was written to {self.path.name}, and was not the last")
        if self._widens and block.nnz:
            self._widen(counts_type(int(block.data.max())))
        if self._data is None:
            chunk = matrix_chunk(block.nnz)
            self._data = _Vector(self.path / "data", self._dtype, chunk)
            self._indices = _Vector(self.path / "indices", np.dtype(np.int32), chunk)
        self._data.extend(block.data)
        self._indices.extend(block.indices)
        self._ends.append(block.indptr[1:].astype(np.int64) + self.entries)
        self.rows, self.entries = self.rows + block.shape[0], self.entries + block.nnz

    def _widen(self, dtype: np.dtype[Any]) -> None:
        if dtype.itemsize > self._dtype.itemsize:
            self._dtype = dtype
            self._data = self._data and self._data.widened(dtype)

    def finish(self) -> None:
        """Write what is left, and the shape."""
        if self._data is None:
            self.append(sparse.csr_matrix((0, self.columns), dtype=self._dtype))
        pointers = index_type(self.entries)
        if pointers != np.int32:
            self._indices = self._indices.widened(pointers)
        for vector in (self._data, self._indices):
            vector.finish()  # type: ignore[union-attr]
        write_element(self.path / "indptr", np.concatenate(self._ends).astype(pointers))
        self._group.attrs["shape"] = [self.rows, self.columns]


def write_matrix(path: Path, matrix: Any, dtype: Any = None) -> None:
    """Write a CSR matrix that is in memory; parameters as for `MatrixWriter`."""
    ordered = matrix.sorted_indices()
    writer = MatrixWriter(path, matrix.shape[1], dtype)
    for start in range(0, matrix.shape[0], ROWS):
        writer.append(ordered[start : start + ROWS])
    writer.finish()


class _Chunked:
    """Reads ranges of an array in order, decoding each chunk once."""

    def __init__(self, array: Any) -> None:
        self._array, self._length = array, array.chunks[0]
        self._number, self._values = -1, np.empty(0)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if stop <= start:
            return np.empty(0, self._array.dtype)
        numbers = range(start // self._length, (stop - 1) // self._length + 1)
        parts = [self._part(number, start, stop) for number in numbers]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, number: int, start: int, stop: int) -> NDArray[Any]:
        first = number * self._length
        if number != self._number:
            self._values = np.empty(0)  # the old chunk goes before the new one comes
            self._number, self._values = number, self._array[first : first + self._length]
        return self._values[max(start - first, 0) : stop - first]


class Matrix:
    """A CSR matrix of a tree, read by row blocks.

    Parameters
    ----------
    path
        Where in a tree.
    """

    def __init__(self, path: Path) -> None:
        group = open_group(path)
        self.path = path
        self.rows, self.columns = (int(length) for length in group.attrs["shape"])
        self._data, self._indices, self._indptr = group["data"], group["indices"], group["indptr"]
        self.dtype: np.dtype[Any] = self._data.dtype

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Where each row begins."""
        return np.asarray(self._indptr[...], np.int64)

    @property
    def entries(self) -> int:
        """Stored values."""
        return int(self._data.shape[0])

    def blocks(self, rows: int = ROWS, wanted: NDArray[np.bool_] | None = None) -> Iterator[Any]:
        """Rows in order, `rows` at a time. Blocks share memory and must not be written to.

        Parameters
        ----------
        rows
            Of each block but the last.
        wanted
            Mask of rows: of each block only these are given, and blocks without any are not read.
        """
        data, indices = _Chunked(self._data), _Chunked(self._indices)
        for start in range(0, self.rows, rows):
            stop = min(start + rows, self.rows)
            chosen = None if wanted is None or wanted[start:stop].all() else np.flatnonzero(wanted[start:stop])
            if chosen is None or len(chosen):
                block = self._block(data, indices, start, stop)
                yield block if chosen is None else block[chosen]

    def block(self, start: int, stop: int) -> Any:
        """Some rows."""
        return self._block(_Chunked(self._data), _Chunked(self._indices), start, min(stop, self.rows))

    def _block(self, data: _Chunked, indices: _Chunked, start: int, stop: int) -> Any:
        ends = self.indptr[start : stop + 1]
        values, columns = data.read(ends[0], ends[-1]), indices.read(ends[0], ends[-1])
        pointers = (ends - ends[0]).astype(np.int32)
        block = sparse.csr_matrix((values, columns, pointers), shape=(stop - start, self.columns), copy=False)
        block.has_sorted_indices = block.has_canonical_format = True
        return block

    def read(self) -> Any:
        """The whole matrix."""
        return stack(self.blocks(), self.columns, self.dtype)


def stack(blocks: Iterable[Any], columns: int, dtype: Any) -> Any:
    """One CSR matrix of row blocks; an empty one of none."""
    parts = list(blocks)
    if not parts:
        return sparse.csr_matrix((0, columns), dtype=dtype)
    return parts[0].copy() if len(parts) == 1 else sparse.vstack(parts, format="csr")


# Counts as they come from files: checked, in canonical CSR, by row blocks.


def first_wrong(values: Values) -> int | None:
    """Position of the first value that is no count: NaN, infinite, negative, fractional, or beyond all reads."""
    if values.dtype.kind == "b" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
        return None
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values) | (values < 0) | (np.trunc(values) != values) | (values > LARGEST_COUNT)
    else:
        wrong = (values < 0) | (values > LARGEST_COUNT)
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
        if block.data.dtype.kind not in "biuf":
            raise DataError(f"values are of the type {block.data.dtype}, and counts are whole numbers")
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


def whole_numbers(blocks: Iterable[Any]) -> Iterator[Any]:
    """Blocks whose values are rounded to the nearest whole number, those at a half to the even one."""
    for block in blocks:
        rounded = sparse.csr_matrix(block, dtype=np.float64, copy=True)
        rounded.sum_duplicates()
        rounded.data = np.rint(rounded.data)
        yield rounded


def _whole(block: Any) -> Any:
    return sparse.csr_matrix((block.data.astype(np.uint64), block.indices, block.indptr), shape=block.shape)


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
        if len(indices) and not 0 <= indices.min() <= indices.max() < shape[1]:
            raise DataError(f"a count belongs to gene {indices.max()} of {shape[1]}: the file is damaged")
        block = sparse.csr_matrix((0, shape[1]), dtype=data.dtype)
        block.data, block.indices, block.indptr = data, indices.astype(np.int32), (ends - ends[0]).astype(np.int32)
        block._shape = (len(ends) - 1, shape[1])
        yield block
