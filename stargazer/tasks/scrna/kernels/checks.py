"""Counts are whole numbers from 0 up: a check of each block as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.scrna.kernels.blocks import like

if TYPE_CHECKING:
    from stargazer.tasks.scrna.kernels.blocks import CSR

__all__ = ["check_counts"]


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
