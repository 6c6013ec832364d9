"""Row blocks of cells that tasks of their own go over: which rows, and what they found there.

A block is some consecutive rows of the stored counts, kept or not, the same whoever runs it. What it finds is one file
of arrays in an order of their own, each as NumPy writes it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import RowBlock
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from stargazer.assets import AnnData
    from stargazer.tools import Workdir

__all__ = ["PART_ROWS", "asked", "check_blocks", "read_block", "rows_of", "sizes_of_parts", "write_block"]

PART_ROWS = 10_000
"""Rows that are added up by themselves in double precision, whatever is cut: another number gives other last bits."""


def rows_of(n_rows: int, block: int, blocks: int) -> NDArray[np.bool_]:
    """Mask of the rows of a block: whole parts of `PART_ROWS`, as even as they can be.

    Parameters
    ----------
    n_rows
        Of the matrix.
    block, blocks
        Which, from 0, of how many; more than there are parts leave some without a row.

    Raises
    ------
    DataError
        There is no such block.
    """
    if not 0 <= block < blocks:
        raise DataError(f"block is {block} of {blocks}: blocks are counted from 0")
    parts = -(-n_rows // PART_ROWS)
    first, stop = (PART_ROWS * (parts * each // blocks) for each in (block, block + 1))
    mask = np.zeros(n_rows, bool)
    mask[first:stop] = True
    return mask


def sizes_of_parts(rows: NDArray[np.bool_], kept: NDArray[np.bool_]) -> list[int]:
    """Kept cells in each part of `PART_ROWS` rows of a block.

    Parameters
    ----------
    rows
        Mask of the rows of the block.
    kept
        Mask of the cells that are kept.
    """
    starts = range(0, len(rows), PART_ROWS)
    return [int(kept[start : start + PART_ROWS].sum()) for start in starts if rows[start]]


def asked(*what: Any) -> str:
    """Digest of what a block was asked: numbers, texts and arrays. A block of another question is no answer."""
    digest = hashlib.sha256()
    for each in what:
        given = np.ascontiguousarray(each)
        digest.update(f"{given.dtype} {given.shape} ".encode())
        digest.update(given.tobytes())
    return digest.hexdigest()


def write_block(
    work: Workdir, adata: AnnData, place: tuple[int, int], question: str, arrays: Iterable[NDArray[Any]]
) -> RowBlock:
    """The draft of what was found in a block.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        The cells.
    place
        Which block, of how many.
    question
        From `asked`; empty where nothing could be found, for a reason that the stage itself will tell.
    arrays
        What was found.
    """
    block, blocks = place
    path = work.file(f"{block}-of-{blocks}.npy")
    with open(path, "wb") as file:
        for array in arrays:
            np.save(file, array, allow_pickle=False)
    facts: dict[str, Any] = {"sample_id": adata.sample_id, "source_cid": adata.cid or "", "asked": question}
    return RowBlock(path=path, block=block, blocks=blocks, **facts)


def read_block(found: RowBlock) -> list[NDArray[Any]]:
    """The arrays of a block."""
    arrays = []
    size = found.path.stat().st_size
    with open(found.path, "rb") as file:
        while file.tell() < size:
            arrays.append(np.load(file, allow_pickle=False))
    return arrays


def check_blocks(adata: AnnData, found: Sequence[RowBlock], question: str) -> None:
    """Refuse blocks that are not all of these cells in their order, or answer another question.

    Raises
    ------
    DataError
        What is wrong with them.
    """
    places = [(each.block, each.blocks) for each in found]
    if places != [(number, len(found)) for number in range(len(found))]:
        told = ", ".join(f"{block} of {blocks}" for block, blocks in places)
        raise DataError(f"the row blocks are {told}: all blocks of one cut are wanted, in their order")
    if any(each.source_cid != (adata.cid or "") for each in found):
        raise DataError("the row blocks are of other cells: give those that were made of these")
    if any(each.asked != question for each in found):
        raise DataError("the row blocks were made with other parameters: give them the same as this stage")
