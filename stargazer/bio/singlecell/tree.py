"""Trees of cells, read: their elements, what stages made of them, their counts by row blocks."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.elements import Categories, Values, open_group, read_element, read_labels
from stargazer.bio.singlecell.layout import FORMAT, KEPT, METADATA, STATE
from stargazer.bio.singlecell.matrix import Matrix
from stargazer.bio.singlecell.stages import Stages, read_stages
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROWS_AT_ONCE", "SHARE", "AnnDataTree", "Blocks", "cache_bytes"]


class AnnDataTree:
    """A tree of cells, opened for reading.

    Parameters
    ----------
    path
        Its directory.

    Raises
    ------
    DataError
        It is no tree of this format.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not (self.path / "uns" / STATE / METADATA).is_file():
            raise DataError(f"{self.path} is no tree of cells of stargazer: add it to a store first, as sg.AnnData()")
        self.group = open_group(self.path)
        found = read_element(self.group[f"uns/{STATE}"], "format")
        if found > FORMAT:
            raise DataError(
                f"{self.path} has format {found}; this version reads up to {FORMAT}: upgrade stargazer-dask"
            )

    @cached_property
    def counts(self) -> Matrix:
        """Counts of all cells and genes."""
        return Matrix(self.path / "X")

    @property
    def n_obs(self) -> int:
        """Cells, kept or not."""
        return self.counts.rows

    @property
    def n_vars(self) -> int:
        """Genes, kept or not."""
        return self.counts.columns

    def has(self, place: str) -> bool:
        """Whether there is an element, such as ``"obsm/X_pca"``."""
        return (self.path / place / METADATA).is_file()

    def columns(self, frame: str) -> list[str]:
        """Names of the columns of ``"obs"`` or ``"var"``, in order."""
        return [str(name) for name in self.group[frame].attrs["column-order"]]

    def column(self, frame: str, name: str) -> Any:
        """A column: an array, or `Categories`.

        Raises
        ------
        DataError
            There is none of that name.
        """
        self._require(frame, name)
        return read_element(self.group[frame], name)

    def labels(self, frame: str, name: str) -> Categories:
        """A column as categories; errors as in `column`."""
        self._require(frame, name)
        return read_labels(self.group[frame], name)

    def _require(self, frame: str, name: str) -> None:
        if name not in self.columns(frame):
            there = ", ".join(self.columns(frame)) or "none"
            raise DataError(f"there is no column {name!r} in {frame}; there are: {there}")

    def names(self, frame: str) -> Values:
        """Names of the cells (``"obs"``) or genes (``"var"``)."""
        group = self.group[frame]
        return np.asarray(read_element(group, str(group.attrs["_index"])), dtype=object)

    def kept(self, frame: str) -> Values:
        """Mask of the cells or genes that the analysis uses; all, before a filter ran."""
        if self.made(f"{frame}/{KEPT}"):
            return np.asarray(self.column(frame, KEPT), bool)
        return np.ones(self.n_obs if frame == "obs" else self.n_vars, bool)

    def read(self, place: str) -> Any:
        """An element, such as ``"obsm/X_pca"`` or ``"uns/pca"``.

        Raises
        ------
        DataError
            There is none: says which stage makes it.
        """
        if not self.has(place):
            raise DataError(f"there is no {place} in {self.path.name}; run the stage that makes it first")
        parent, _, name = place.rpartition("/")
        if self.group[place].attrs.get("encoding-type") == "csr_matrix":
            return Matrix(self.path / place).read()
        return read_element(self.group[parent] if parent else self.group, name)

    @cached_property
    def record(self) -> Stages:
        """What stages did, and which elements they made."""
        return read_stages(read_element(self.group["uns"], STATE), f"what {self.path.name} notes of its stages")

    @property
    def stage(self) -> str:
        """How far it has been analysed, as `stargazer.assets.AnnData` names it."""
        return self.record.reached

    def stages(self) -> dict[str, dict[str, Any]]:
        """What each stage noted: parameters, numbers, notes; by task, in order."""
        return self.record.noted

    def made(self, place: str) -> bool:
        """Whether an element is there and a stage made it; one of that name may have come with the file."""
        return self.record.owner(place) != "" and self.has(place)


# Row blocks of kept cells and chosen genes, iterated again and again: from memory where they fit, else from disk.


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

    def __init__(
        self, tree: AnnDataTree, cells: Values | None = None, genes: Values | None = None, keep: int = 0
    ) -> None:
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
