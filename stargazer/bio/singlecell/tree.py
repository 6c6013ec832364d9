"""Trees of cells: reading one, and writing another that shares with it all that stays as it is.

A stage's draft consists of symbolic links to what it does not change, so saving it reads, writes and hashes only what
is new: a store knows links to its own blobs.
"""

from __future__ import annotations

import json
import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.elements import (
    Categories,
    Values,
    open_group,
    read_element,
    read_labels,
    write_element,
    write_group,
)
from stargazer.bio.singlecell.layout import ABOUT, FORMAT, KEPT, STATE
from stargazer.bio.singlecell.matrix import Matrix, write_matrix
from stargazer.bounded import parse_json
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ROWS_AT_ONCE",
    "SHARE",
    "AnnDataTree",
    "Blocks",
    "TreeDraft",
    "cache_bytes",
    "code_type",
    "column_values",
    "is_draft",
    "unique_names",
    "write_frame",
    "write_table",
]

METADATA = "zarr.json"
STAGES = {
    "ingest": "raw",
    "concat": "raw",
    "qc_filter": "qc_filtered",
    "normalize": "normalized",
    "select_features": "featured",
    "reduce_dimensions": "reduced",
    "embed": "reduced",
    "cluster": "clustered",
    "find_markers": "annotated",
}
GROUPS = ("layers", "obsm", "obsp", "uns", "varm", "varp")


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
        if KEPT in self.columns(frame):
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

    @property
    def stage(self) -> str:
        """How far it has been analysed, as `stargazer.assets.AnnData` names it."""
        return STAGES[next((name for name in reversed(self.stages()) if name in STAGES), "ingest")]

    def stages(self) -> dict[str, dict[str, Any]]:
        """What each stage noted: parameters, numbers, notes; by task, in order."""
        notes, what = read_element(self.group["uns"], STATE), f"what {self.path.name} notes of its stages"
        texts = {name: text for name, text in notes.items() if name not in ("about", "format", "order")}
        found = {name: parse_json(text, what) for name, text in texts.items()}
        return {name: found[name] for name in parse_json(notes["order"], what)}


_drafts: set[str] = set()


def is_draft(path: Path) -> bool:
    """Whether this process made a directory as the draft of a tree, whose links to others are its own."""
    return os.path.realpath(path) in _drafts


class TreeDraft:
    """A new tree, all of it new or mostly links into another.

    Parameters
    ----------
    path
        Directory to make.
    base
        A tree whose elements it shares until they are written anew.
    """

    def __init__(self, path: Path, base: AnnDataTree | None = None) -> None:
        self.path = path
        if base is None:
            write_group(path, "anndata")
            for name in GROUPS:
                write_group(path / name, "dict")
            self._state = {"format": FORMAT, "about": ABOUT, "order": "[]"}
            write_element(path / "uns" / STATE, self._state)
        else:
            _link_members(base.path, path)
            _drafts.add(os.path.realpath(path))

    def own(self, place: str) -> Path:
        """Make a group, and those above it, the draft's own: a directory whose members are still shared."""
        path = self.path
        for name in filter(None, place.split("/")):
            path = path / name
            if path.is_symlink():
                shared = path.resolve()
                path.unlink()
                _link_members(shared, path)
            elif not path.exists():
                write_group(path, "dict")
        return path

    def free(self, place: str) -> Path:
        """Make room for a new element, and return where it goes."""
        parent, _, name = place.rpartition("/")
        path = self.own(parent) / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        return path

    def write(self, place: str, value: Any) -> None:
        """Write an element, such as ``"obsm/X_pca"``, over the one that is there; values as for `write_element`."""
        write_element(self.free(place), value)

    def matrix(self, place: str, matrix: Any, dtype: Any = None) -> None:
        """Write a CSR matrix over what is there; parameters as for `MatrixWriter`."""
        write_matrix(self.free(place), matrix, dtype)

    def frame(self, name: str, index: Values) -> None:
        """Make ``obs`` or ``var`` a table without columns."""
        path = self.free(name)
        write_group(path, "dataframe", _index="_index", column_order=[])
        write_element(path / "_index", np.asarray(index, dtype=object))

    def column(self, frame: str, name: str, values: Any) -> None:
        """Write a column of ``obs`` or ``var``, over the one that is there."""
        self.write(f"{frame}/{name}", values)
        group = open_group(self.path / frame, "r+")
        order = [str(each) for each in group.attrs["column-order"]]
        if name not in order:
            group.attrs["column-order"] = [*order, name]

    def share(self, place: str, tree: AnnDataTree) -> None:
        """Take an element of another tree over, as a link."""
        self.free(place).symlink_to((tree.path / place).resolve())

    def drop(self, place: str) -> None:
        """Take an element out, if it is there."""
        if os.path.lexists(self.path / place):
            self.free(place)

    def note(self, stage: str, members: dict[str, Any]) -> None:
        """Note what a stage did, as JSON values: parameters, numbers, notes."""
        order = json.loads(read_element(open_group(self.path / "uns" / STATE), "order"))
        self.write(f"uns/{STATE}/order", json.dumps([*(each for each in order if each != stage), stage]))
        self.write(f"uns/{STATE}/{stage}", json.dumps(members, sort_keys=True, ensure_ascii=False, allow_nan=False))


def _link_members(source: Path, target: Path) -> None:
    """A directory whose members are links to another's; zarr's metadata are copied, because they may be written."""
    target.mkdir(parents=True)
    for child in sorted(source.iterdir()):
        if child.name == METADATA:
            (target / METADATA).write_bytes(child.read_bytes())
        else:
            (target / child.name).symlink_to(child.resolve())


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


# Tables of cells and genes: from pandas into a tree.


def unique_names(names: Values) -> tuple[Values, int]:
    """Names made different by ``-1``, ``-2``, … as scanpy does, and how many were changed."""
    seen = set(names)
    if len(seen) == len(names):
        return names, 0
    counts: dict[str, int] = {}
    made, changed = names.copy(), 0
    for position, name in enumerate(names):
        number = counts.get(name, -1) + 1
        while number and f"{name}-{number}" in seen:
            number += 1
        counts[name] = number
        if number:
            made[position], changed = f"{name}-{number}", changed + 1
            seen.add(made[position])
    return made, changed


def write_frame(draft: TreeDraft, name: str, frame: Any) -> list[str]:
    """Write a pandas table as ``obs`` or ``var``.

    Parameters
    ----------
    draft
        The tree.
    name
        ``"obs"`` or ``"var"``.
    frame
        The table; names that occur twice are made different.

    Returns
    -------
    list[str]
        What had to be changed, in words.
    """
    names, changed = unique_names(np.asarray(frame.index.astype(str), dtype=object))
    kind = "cells" if name == "obs" else "genes"
    notes = [f"{changed} {kind} had the name of another; -1, -2, … was added"] if changed else []
    draft.frame(name, names)
    for column in frame.columns:
        title = _title(str(column))
        if title != str(column):
            notes.append(f"column {str(column)!r} of {name} is now {title!r}")
        draft.column(name, title, column_values(frame[column]))
    return notes


def _title(name: str) -> str:
    """Name of a column as a tree can have it: no path, no file of zarr's, not that of the mask."""
    if name == KEPT:
        return f"{KEPT}_before"
    plain = name.replace("/", "_")
    return f"column_{plain.strip('.')}" if plain in ("", ".", "..", "_index", "zarr.json") else plain


def write_table(path: Path, frame: Any) -> None:
    """Write a pandas table at any place of a tree."""
    write_group(path, "dataframe", _index="_index", column_order=[str(name) for name in frame.columns])
    write_element(path / "_index", np.asarray(frame.index.astype(str), dtype=object))
    for name in frame.columns:
        write_element(path / str(name), column_values(frame[name]))


def column_values(series: Any) -> Any:
    """A column as it is stored: numbers and booleans as they are, repeated texts and missing values as categories."""
    kind = series.dtype.kind if isinstance(series.dtype, np.dtype) else ""
    if kind in ("b", "i", "u", "f") and series.dtype != np.float16:
        return series.to_numpy()
    if str(series.dtype) == "category":
        return _categories(series.array)
    if hasattr(series.array, "isna") and str(series.dtype).lower().startswith(("int", "uint", "float", "boolean")):
        missing = bool(series.isna().any())
        return series.to_numpy(float, na_value=np.nan) if missing else series.to_numpy(series.dtype.numpy_dtype)
    texts = series.astype(object).where(series.notna(), None)
    values = np.array([None if value is None else str(value) for value in texts], dtype=object)
    distinct = {value for value in values if value is not None}
    if len(distinct) == len(values):
        return values
    names = np.array(sorted(distinct), dtype=object)
    number = {value: code for code, value in enumerate(names)}
    codes = np.array([-1 if value is None else number[value] for value in values], code_type(len(names)))
    return Categories(codes, names)


def _categories(array: Any) -> Categories:
    names = np.asarray(array.categories)
    if names.dtype.kind not in "biuf":
        names = np.array([str(name) for name in array.categories], dtype=object)
    return Categories(np.asarray(array.codes), names, bool(array.ordered))


def code_type(count: int) -> Any:
    """Type of the codes of so many categories, as pandas chooses it."""
    return np.int8 if count < 128 else np.int16 if count < 32768 else np.int32
