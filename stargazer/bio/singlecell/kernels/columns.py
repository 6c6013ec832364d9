"""Genes of a matrix that comes cell by cell: row blocks are turned one by one, and wait in a file where they are many.

The rows are read once: of a hundred thousand cells each further pass takes longer than to write what was turned and to
read it again, and of a million there would be forty.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import cut
from stargazer.bio.singlecell.kernels.threads import ordered_map
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSC, CSR, Ints

__all__ = ["column_blocks"]

MAX_BYTES = 1 << 28
ENTRIES_AT_ONCE = 1 << 20
"""Of a block of genes: what is computed of them stays in the processor's cache."""
ROWS_AT_ONCE = 1024
"""Of a piece that is turned: it fits the cache, and is turned several times faster than a whole matrix."""
BYTES_AN_ENTRY = 8
"""Of a value, and of a cell's number."""


def column_blocks(
    blocks: Iterable[CSR], folder: Path | None = None, max_bytes: int = MAX_BYTES, threads: int = 1
) -> Iterator[CSC]:
    """All cells of some consecutive genes at a time.

    Parameters
    ----------
    blocks
        All cells, some at a time; iterated once.
    folder
        Where turned blocks wait that do not fit in memory, in a file that has no name; the system's if None.
    max_bytes
        How much of them is in memory at once.
    threads
        Blocks turned at once.

    Yields
    ------
    CSC
        Cells × genes of the block, genes in their order; about a million values, more only of a single gene.

    Raises
    ------
    DataError
        The blocks have not all the same genes.
    """
    with closing(_Turned(folder, max_bytes)) as turned:
        for part in ordered_map(_csc, cut(blocks, ROWS_AT_ONCE), threads):
            turned.add(part)
        most = max(max_bytes // BYTES_AN_ENTRY, 1)
        for first, last in _cuts(turned.entries, most):
            parts = turned.genes(first, last)
            counts = np.stack([np.diff(part.indptr) for part in parts])
            for start, stop in _cuts(counts.sum(axis=0), min(most, ENTRIES_AT_ONCE)):
                yield _stacked(parts, start, stop)


def _csc(block: CSR) -> CSC:
    return block.tocsc()


def _cuts(entries: Ints, most: int) -> list[tuple[int, int]]:
    """First gene and end of each block that has at most so many entries, or one gene."""
    ends, cuts = np.cumsum(np.asarray(entries, np.int64)), []
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + most, side="right")), start + 1)
        cuts.append((start, stop))
        start = stop
    return cuts


class _Turned:
    """Row blocks as columns, in memory while they fit there, else in a file."""

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self.entries: Ints = np.zeros(0, np.int64)
        self._parts: list[CSC] = []
        self._held = 0
        self._file: Any = None
        self._stored: list[_Stored] = []

    def add(self, part: CSC) -> None:
        """Take the next cells."""
        if not len(self.entries):
            self.entries = np.zeros(part.shape[1], np.int64)
        if part.shape[1] != len(self.entries):
            raise DataError(f"a block has {part.shape[1]} genes, not {len(self.entries)}")
        self.entries += np.diff(part.indptr)
        self._parts.append(part)
        self._held += part.data.nbytes + part.indices.nbytes
        if self._held > self.max_bytes:
            self._store()

    def _store(self) -> None:
        """Write what is held behind what was written."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="columns-", dir=self.folder)  # noqa: SIM115  closed by close
        for part in self._parts:
            self._stored.append(_Stored(part, self._file.tell()))
            part.data.tofile(self._file)
            part.indices.astype(np.uint16).tofile(self._file)  # numbers within a part, of which it has few
        self._parts, self._held = [], 0

    def genes(self, first: int, last: int) -> list[CSC]:
        """All parts of some genes."""
        if self._file is not None and self._parts:
            self._store()
        if self._file is None:
            return [part[:, first:last] for part in self._parts]
        self._file.flush()
        return [stored.genes(self._file, first, last) for stored in self._stored]

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()


class _Stored:
    """A part that lies in a file: its values, and behind them the cells' numbers."""

    def __init__(self, part: CSC, place: int) -> None:
        self.place, self.dtype, self.rows, self.entries = place, part.dtype, part.shape[0], part.nnz
        self.pointers = part.indptr.astype(np.int32)

    def genes(self, file: Any, first: int, last: int) -> CSC:
        """Read some genes."""
        low, high = int(self.pointers[first]), int(self.pointers[last])
        behind = self.place + self.entries * self.dtype.itemsize
        data = _read(file, self.dtype, self.place + low * self.dtype.itemsize, high - low)
        rows = _read(file, np.dtype(np.uint16), behind + 2 * low, high - low).astype(np.int32)
        pointers = self.pointers[first : last + 1] - low
        return sparse.csc_matrix((data, rows, pointers), shape=(self.rows, last - first), copy=False)


def _read(file: Any, dtype: np.dtype[Any], place: int, entries: int) -> NDArray[Any]:
    file.seek(place)
    return np.fromfile(file, dtype, entries)


def _stacked(parts: list[CSC], start: int, stop: int) -> CSC:
    """Put the cells of all parts under one another, for some of their genes."""
    ends = [part.indptr[start : stop + 1].tolist() for part in parts]
    above = np.cumsum([0, *(part.shape[0] for part in parts)])
    rows = [
        part.indices[each[0] : each[-1]] + np.int32(up) for part, each, up in zip(parts, ends, above[:-1], strict=True)
    ]
    lengths = np.array([each[-1] - each[0] for each in ends])
    pointers = np.concatenate([[0], np.cumsum(np.sum([np.diff(each) for each in ends], axis=0))])
    data = [part.data[each[0] : each[-1]] for part, each in zip(parts, ends, strict=True)]
    arrays = [_by_gene(each, ends, int(lengths.sum())) for each in (data, rows)]
    return sparse.csc_matrix((*arrays, pointers), shape=(int(above[-1]), stop - start), copy=False)


def _by_gene(arrays: list[NDArray[Any]], ends: list[list[int]], entries: int) -> NDArray[Any]:
    """Entries of all parts, those of one gene behind one another."""
    pieces = [
        array[each[gene] - each[0] : each[gene + 1] - each[0]]
        for gene in range(len(ends[0]) - 1)
        for array, each in zip(arrays, ends, strict=True)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(entries, arrays[0].dtype)
