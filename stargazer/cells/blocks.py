"""Row blocks of kept cells and chosen genes, iterated again and again: from memory where they fit, else from disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cells.elements import Values
    from stargazer.cells.tree import Tree

__all__ = ["ROWS_AT_ONCE", "SHARE", "Blocks", "cache_bytes"]

ROWS_AT_ONCE = 1_000
"""Cells of a block: at 4,000 counts a cell its double-precision values take 32 MB."""
SHARE = 0.0625
"""Share of a task's memory that blocks may take which are kept for the next pass."""


def cache_bytes(memory: int | None) -> int:
    """Bytes of blocks that a task may keep in memory.

    Parameters
    ----------
    memory
        Bytes that the task may use; half of the machine's if it does not say.
    """
    known = memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return int(known * SHARE)


class Blocks:
    """Counts of some cells and genes by row blocks.

    Parameters
    ----------
    tree
        The tree.
    cells, genes
        Masks; the tree's own if None.
    keep
        Bytes of blocks that may be kept for the next pass, if all of them fit; the blocks are the same either way.
    """

    def __init__(self, tree: Tree, cells: Values | None = None, genes: Values | None = None, keep: int = 0) -> None:
        self.counts = tree.counts
        self.cells = tree.kept("obs") if cells is None else cells
        self.genes = tree.kept("var") if genes is None else genes
        self._most = keep
        self._kept: list[Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes in the blocks."""
        return int(self.cells.sum()), int(self.genes.sum())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._kept) if self._kept is not None else self._read()

    def _read(self) -> Iterator[Any]:
        columns = None if self.genes.all() else np.flatnonzero(self.genes)
        kept: list[Any] = []
        size = 0
        for block in self.counts.blocks(ROWS_AT_ONCE, self.cells):
            part = block if columns is None else block[:, columns]
            size += part.data.nbytes + part.indices.nbytes
            if size <= self._most:
                kept.append(part)
            elif kept:
                self._most, kept = 0, []
            yield part
        if size <= self._most:
            self._kept = kept
