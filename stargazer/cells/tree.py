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
from typing import Any

import numpy as np

from stargazer.cells.elements import (
    Categories,
    Values,
    open_group,
    read_element,
    read_labels,
    write_element,
    write_group,
)
from stargazer.cells.layout import ABOUT, FORMAT, KEPT, STATE
from stargazer.cells.matrix import Matrix, write_matrix
from stargazer.errors import DataError

__all__ = ["Tree", "TreeDraft"]

METADATA = "zarr.json"
FRAMES = ("obs", "var")
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


class Tree:
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
        notes = read_element(self.group["uns"], STATE)
        found = {name: json.loads(text) for name, text in notes.items() if name not in ("about", "format", "order")}
        return {name: found[name] for name in json.loads(notes["order"])}


class TreeDraft:
    """A new tree, all of it new or mostly links into another.

    Parameters
    ----------
    path
        Directory to make.
    base
        A tree whose elements it shares until they are written anew.
    """

    def __init__(self, path: Path, base: Tree | None = None) -> None:
        self.path = path
        if base is None:
            write_group(path, "anndata")
            for name in GROUPS:
                write_group(path / name, "dict")
            self._state = {"format": FORMAT, "about": ABOUT, "order": "[]"}
            write_element(path / "uns" / STATE, self._state)
        else:
            _link_members(base.path, path)

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

    def share(self, place: str, tree: Tree) -> None:
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
