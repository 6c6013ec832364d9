"""Trees of cells, written: a new one, or one that shares with another all that stays as it is.

A stage's draft consists of symbolic links to what it does not change, so saving it reads, writes and hashes only what
is new: a store knows links to its own blobs. What a stage writes it notes as made by it; what others made of what it
writes anew is dropped, and what came with the user's file under the same name is put aside.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.elements import open_group, read_element, write_element, write_group
from stargazer.bio.singlecell.layout import ABOUT, ASIDE, FORMAT, KEPT, METADATA, STATE
from stargazer.bio.singlecell.matrix import write_matrix
from stargazer.bio.singlecell.stages import MADE, USED, Stages
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.bio.singlecell.elements import Values
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["TreeDraft", "is_draft"]

GROUPS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
MEASURES = frozenset({"call_cells", "normalize", "qc_filter"})
"""Stages whose columns of ``obs`` have fixed names: a column whose name somebody chose never takes the place of one."""

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
    stage
        Id of the stage whose draft it is. What it made before, and what followed from that, is dropped. Empty for none:
        what is written then counts as the user's own.
    used
        Elements that the stage relies on, there or not: it is dropped where one of them is made anew.
    """

    def __init__(self, path: Path, base: AnnDataTree | None = None, stage: str = "", used: Iterable[str] = ()) -> None:
        self.path, self._stage, self._used = path, stage, list(used)
        self._made: list[str] = []
        self._aside: list[str] = []
        self._dropped: list[str] = []
        self._record = Stages({} if base is None else dict(base.record.noted))
        if base is None:
            write_group(path, "anndata")
            for name in GROUPS:
                write_group(path / name, "dict")
            write_element(path / "uns" / STATE, {"format": FORMAT, "about": ABOUT, "order": "[]"})
        else:
            _link_members(base.path, path)
            _drafts.add(os.path.realpath(path))
            if int(read_element(base.group[f"uns/{STATE}"], "format")) != FORMAT:
                self._renew()
        if stage in self._record.noted:
            self.forget(stage)

    def _renew(self) -> None:
        """Bring the record of an older format into this one."""
        self.write(f"uns/{STATE}/format", FORMAT)
        self.write(f"uns/{STATE}/about", ABOUT)
        for stage, note in list(self._record.noted.items()):
            self._write_note(stage, note)

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
        if self._stage and not place.startswith(f"uns/{STATE}"):
            self._claim(place)
        return self._freed(place)

    def _freed(self, place: str) -> Path:
        parent, _, name = place.rpartition("/")
        path = self.own(parent) / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        return path

    def _claim(self, place: str) -> None:
        """Note that the stage makes an element; drop what relied on an older one, put the user's own aside."""
        if place in self._made:
            return
        owner = self._record.owner(place)
        if place.startswith("obs/") and owner in MEASURES and self._stage not in MEASURES:
            raise DataError(f"{place} is what {owner} measured: let the new column have another name (key_added=)")
        for follower in self._record.followers(place):
            if follower != self._stage:
                self._forget(follower)
        if not self._record.owner(place) and os.path.lexists(self.path / place):
            self._put_aside(place)
        self._made.append(place)

    def _put_aside(self, place: str) -> None:
        parent, _, name = place.rpartition("/")
        folder = self.own(parent)
        new, number = f"{name}_{ASIDE}", 1
        while os.path.lexists(folder / new):
            number += 1
            new = f"{name}_{ASIDE}_{number}"
        (folder / name).rename(folder / new)
        self._aside.append(f"{place} of the file is now {parent}/{new}")
        if parent in ("obs", "var"):
            group = open_group(folder, "r+")
            group.attrs["column-order"] = [new if each == name else each for each in group.attrs["column-order"]]

    def forget(self, stage: str) -> None:
        """Drop what a stage made, and what followed from it."""
        for place in self._record.noted[stage].get(MADE, ()):
            for follower in self._record.followers(place):
                if follower != stage:
                    self._forget(follower)
        self._forget(stage)
        self._dropped = [each for each in self._dropped if each != stage]

    def _forget(self, stage: str) -> None:
        """Drop what a stage made and nobody else made since, and its note."""
        note = self._record.noted.pop(stage, None)
        if note is None:
            return
        for place in note.get(MADE, ()):
            if place not in self._made and not self._record.owner(place):
                self.drop(place)
        self.drop(f"uns/{STATE}/{stage}")
        self._write_order()
        self._dropped.append(stage)

    def narrow(self, cells: Values, stay: Iterable[str]) -> None:
        """Let fewer cells be kept; of stages that do not stay only columns of ``obs`` remain, as the user's own.

        Parameters
        ----------
        cells
            Mask of all cells.
        stay
            Names of the stages whose results hold for fewer cells too.
        """
        for stage in [name for name in self._record.noted if name.partition(".")[0] not in stay]:
            note = self._record.noted[stage]
            rest = [place for place in note.get(MADE, ()) if not place.startswith("obs/")]
            self._record.noted[stage] = {**note, MADE: rest}
            self._forget(stage)
        self._dropped = []
        path = self._freed(f"obs/{KEPT}") if self._record.owner(f"obs/{KEPT}") else self.free(f"obs/{KEPT}")
        write_element(path, cells)
        group = open_group(self.path / "obs", "r+")
        if KEPT not in group.attrs["column-order"]:
            group.attrs["column-order"] = [*group.attrs["column-order"], KEPT]

    def write(self, place: str, value: Any) -> None:
        """Write an element, such as ``"obsm/X_pca"``, over the one that is there; values as for `write_element`."""
        write_element(self.free(place), value)

    def matrix(self, place: str, matrix: Any, dtype: Any = None) -> None:
        """Write a CSR matrix over what is there; parameters as for `MatrixWriter`."""
        write_matrix(self.free(place), matrix, dtype)

    def frame(self, name: str, index: Values, title: str = "_index") -> None:
        """Make ``obs`` or ``var`` a table without columns.

        Parameters
        ----------
        name
            Of the table.
        index
            Names of its rows.
        title
            What these are called.
        """
        path = self.free(name)
        write_group(path, "dataframe", _index=title, column_order=[])
        write_element(path / title, np.asarray(index, dtype=object))

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

    def adopt(self, stage: str, tree: AnnDataTree) -> None:
        """Take over what a stage made of another tree of the same cells, and its note; columns excepted."""
        note = tree.record.noted[stage]
        mine, made, dropped = self._stage, self._made, self._dropped
        self._stage, self._made = stage, []
        if stage in self._record.noted:
            self.forget(stage)
        for place in note[MADE]:
            self.share(place, tree)
        self._write_note(stage, note)
        self._stage, self._made, self._dropped = mine, made, dropped

    def drop(self, place: str) -> None:
        """Take an element out, if it is there."""
        if not os.path.lexists(self.path / place):
            return
        self._freed(place)
        frame, _, name = place.partition("/")
        if frame in ("obs", "var") and name:
            group = open_group(self.path / frame, "r+")
            group.attrs["column-order"] = [each for each in group.attrs["column-order"] if each != name]

    def note(self, stage: str, members: dict[str, Any]) -> None:
        """Note what a stage did, as JSON values: numbers, ``notes`` that matter, ``remarks`` that do not."""
        said = dict(members)
        if self._stage:
            said |= {MADE: self._made, USED: self._used}
            self._made, self._used = [], []
        if self._dropped:
            said["dropped"] = self._dropped
            kept = [*said.get("notes", []), f"what followed before was dropped: {', '.join(self._dropped)}"]
            said["notes"] = kept
        if self._aside:
            said["remarks"] = [*said.get("remarks", []), *self._aside]
        self._dropped, self._aside = [], []
        self._write_note(stage, said)

    def _write_note(self, stage: str, members: dict[str, Any]) -> None:
        self._record.noted.pop(stage, None)
        self._record.noted[stage] = members
        self._write_order()
        self._write_state(stage, json.dumps(members, sort_keys=True, ensure_ascii=False, allow_nan=False))

    def _write_order(self) -> None:
        self._write_state("order", json.dumps(list(self._record.noted)))

    def _write_state(self, name: str, text: str) -> None:
        write_element(self._freed(f"uns/{STATE}/{name}"), text)


def _link_members(source: Path, target: Path) -> None:
    """A directory whose members are links to another's; zarr's metadata are copied, because they may be written."""
    target.mkdir(parents=True)
    for child in sorted(source.iterdir()):
        if child.name == METADATA:
            (target / METADATA).write_bytes(child.read_bytes())
        else:
            (target / child.name).symlink_to(child.resolve())
