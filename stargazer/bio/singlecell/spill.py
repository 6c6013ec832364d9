"""Matrices whose entries do not come cell by cell, brought into row blocks by way of the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.layout import ROWS
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.bio.singlecell.elements import Values

__all__ = ["column_entries", "row_blocks_of"]

AT_ONCE = 4_000_000
"""Entries that are sorted at once; with their places they take some 100 MB."""
ENTRY = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f8")])


def row_blocks_of(
    entries: Iterable[tuple[Values, Values, Values]], shape: tuple[int, int], directory: Path | None = None
) -> Iterator[Any]:
    """Row blocks of a matrix of its entries in any order, in the memory of one block.

    Parameters
    ----------
    entries
        Rows, columns and values, some at a time.
    shape
        Rows, columns.
    directory
        Where the entries wait, in a folder that goes afterwards.

    Yields
    ------
    scipy.sparse.csr_matrix
        `ROWS` rows each; entries that stand twice are added up.
    """
    with tempfile.TemporaryDirectory(prefix="spill-", dir=directory) as scratch:
        folder = Path(scratch)
        for rows, columns, values in entries:
            for places, length in ((rows, shape[0]), (columns, shape[1])):
                if len(places) and not 0 <= places.min() <= places.max() < length:
                    raise DataError(f"an entry lies at {places.max()}, outside of a matrix of {shape}: it is damaged")
            _spill(folder, rows, columns, values)
        for start in range(0, shape[0], ROWS):
            yield _block(folder / str(start // ROWS), start, (min(ROWS, shape[0] - start), shape[1]))


def _spill(folder: Path, rows: Values, columns: Values, values: Values) -> None:
    """Append entries to the file of the block that each belongs to."""
    known = values != 0
    table = np.empty(int(known.sum()), ENTRY)
    table["row"], table["column"], table["value"] = rows[known], columns[known], values[known]
    numbers = table["row"] // ROWS
    order = np.argsort(numbers, kind="stable")
    table, numbers = table[order], numbers[order]
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    for part in np.split(table, cuts):
        if len(part):
            with open(folder / str(int(part["row"][0]) // ROWS), "ab") as file:
                part.tofile(file)


def _block(path: Path, start: int, shape: tuple[int, int]) -> Any:
    table = np.fromfile(path, ENTRY) if path.exists() else np.empty(0, ENTRY)
    places = (table["row"] - start, table["column"])
    block = sparse.coo_matrix((table["value"], places), shape=shape).tocsr()
    block.sort_indices()
    return block


def column_entries(element: Any, columns: int) -> Iterator[tuple[Values, Values, Values]]:
    """Entries of a CSC matrix on disk, some columns at a time.

    Parameters
    ----------
    element
        A group with ``data``, ``indices`` and ``indptr``.
    columns
        How many it has.
    """
    pointers = np.asarray(element["indptr"][...], np.int64)
    entries = element["data"].shape[0]
    if len(pointers) != columns + 1 or pointers[0] or pointers[-1] != entries or (np.diff(pointers) < 0).any():
        raise DataError(f"the index pointers do not fit {columns} columns and {entries} values: the file is damaged")
    start = 0
    while start < columns:
        stop = max(int(np.searchsorted(pointers, pointers[start] + AT_ONCE, side="right")) - 1, start + 1)
        stop = min(stop, columns)
        low, high = int(pointers[start]), int(pointers[stop])
        for first in range(low, high, AT_ONCE):
            last = min(first + AT_ONCE, high)
            places = np.arange(first, last)
            found = np.searchsorted(pointers[start : stop + 1], places, side="right") - 1 + start
            yield np.asarray(element["indices"][first:last]), found, np.asarray(element["data"][first:last])
        start = stop
