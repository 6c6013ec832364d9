"""A percent script and its ``.ipynb`` in step: by what both last agreed on, cell by cell; no clock is asked."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.files import ignored_folder, keep_old, read_file, write_all
from stargazer.notebook.flow.merge import Clash, merge
from stargazer.notebook.flow.texts import (
    Part,
    myst_text,
    notebook_text,
    parts_of_ipynb,
    parts_of_py,
    py_text,
    read_ipynb,
    shared_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.notebook.flow.place import Book

__all__ = ["Direction", "Sides", "Synced", "diff_pair", "kernelspec", "look", "sync_pair"]

Direction = Literal["auto", "py2nb", "nb2py"]

IN_STEP, PY_AHEAD, NB_AHEAD, BOTH = "in step", "py ahead", "ipynb ahead", "both changed"
CONFLICT, NEVER, NO_NB, NO_PY, NOTHING = "conflict", "never synced", "no ipynb", "no py", "no files"
ASK = "say which counts with --direction py2nb or nb2py; what is lost is kept"


class Sides(NamedTuple):
    """What stands on both sides, and what they last agreed on.

    Parameters
    ----------
    state
        ``in step``, ``py ahead``, ``ipynb ahead``, ``both changed`` (in different cells), ``conflict``,
        ``never synced``, ``no ipynb``, ``no py`` or ``no files``.
    py, nb
        Text of each file; None where it is not there.
    mine, theirs, base
        Cells of the script and of the ``.ipynb``, and what both last were; None where there are none.
    merged
        What both come to.
    clashes
        Cells that both changed.
    notes
        What is noted of the last time, beside the cells.
    """

    state: str
    py: str | None
    nb: str | None
    mine: list[Part] | None
    theirs: list[Part] | None
    base: list[Part] | None
    merged: list[Part]
    clashes: list[Clash]
    notes: dict[str, Any]


class Synced(NamedTuple):
    """What became of one notebook.

    Parameters
    ----------
    name
        Of the notebook.
    state
        As `Sides.state`, before.
    action
        What was done, or would be: ``py → ipynb``, ``ipynb → py``, ``merged``; empty where nothing was to do.
    wrote
        Files, from the flow's folder.
    kept
        Copies of what was written over and was nowhere else.
    problem
        Why nothing was written; empty where all is well.
    clashes
        Cells that both sides changed.
    """

    name: str
    state: str
    action: str = ""
    wrote: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    problem: str = ""
    clashes: tuple[Clash, ...] = ()

    @property
    def success(self) -> bool:
        """Whether both sides are in step now."""
        return not self.problem

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**self._asdict(), "clashes": [clash.to_dict() for clash in self.clashes], "success": self.success}


def look(book: Book) -> Sides:
    """Compare both sides of a notebook with what they last agreed on; nothing is written.

    Raises
    ------
    NotebookError
        A file cannot be read.
    """
    py, nb, (base, notes) = read_file(book.source), read_file(book.ipynb), _base(book)
    mine = parts_of_py(py) if py is not None else None
    shared = shared_of(mine, base)
    theirs = parts_of_ipynb(read_ipynb(nb, str(book.ipynb)), shared) if nb is not None else None
    state, merged, clashes = _state(mine, theirs, base)
    return Sides(state, py, nb, mine, theirs, base, merged, clashes, notes)


def _state(
    mine: list[Part] | None, theirs: list[Part] | None, base: list[Part] | None
) -> tuple[str, list[Part], list[Clash]]:  # fmt: skip
    if mine is None or theirs is None:
        return (NO_NB if mine is not None else NO_PY if theirs is not None else NOTHING), mine or theirs or [], []
    if mine == theirs:
        return IN_STEP, mine, []
    if base is None:
        return NEVER, [], []
    if theirs == base:
        return PY_AHEAD, mine, []
    if mine == base:
        return NB_AHEAD, theirs, []
    merged, clashes = merge(base, mine, theirs)
    return (CONFLICT if clashes else BOTH), merged, clashes


def _base(book: Book) -> tuple[list[Part] | None, dict[str, Any]]:
    text = read_file(book.noted("sync", ".json"))
    try:
        notes = json.loads(text) if text else {}
        return ([Part(*each) for each in notes["cells"]] if notes else None), notes
    except (ValueError, KeyError, TypeError):
        return None, {}


def sync_pair(
    book: Book, direction: Direction = "auto", dry: bool = False, force: bool = False, ipynb: bool = True
) -> Synced:
    """Bring both sides of a percent notebook in step, and make its MyST file anew.

    Parameters
    ----------
    book
        The notebook.
    direction
        Which side counts: that which changed, by default.
    dry
        Say what would be done.
    force
        The script counts where both changed, and what people wrote into the MyST file is written over.
    ipynb
        Whether an ``.ipynb`` is made where there is none.

    Returns
    -------
    Synced
        Where both sides changed a cell, nothing is written and `Synced.problem` says which.
    """
    sides = look(book)
    action, parts, problem = _decided(book, sides, direction, force)
    if problem:
        return Synced(book.name, sides.state, problem=problem, clashes=tuple(sides.clashes))
    if not ipynb and sides.nb is None:
        action = ""
    texts = _texts(book, sides, action, parts, ipynb)
    texts, problem = _with_myst(book, sides, texts, force)
    if problem:
        return Synced(book.name, sides.state, problem=problem)
    wrote = tuple(book.told(path) for path in texts)
    if dry:
        return Synced(book.name, sides.state, action, wrote)
    kept = _keep_lost(book, sides, action, parts, texts)
    _write(book, sides, texts, parts)
    return Synced(book.name, sides.state, action, wrote, kept)


def _decided(book: Book, sides: Sides, direction: Direction, force: bool) -> tuple[str, list[Part], str]:
    """What to do, the cells that come of it, and why nothing is done."""
    state = sides.state
    mine, theirs = sides.mine or [], sides.theirs or []
    if state == NOTHING:
        return "", [], f"neither {book.told(book.source)} nor {book.told(book.ipynb)} is there"
    if state == NO_PY:
        if direction == "py2nb" or (direction == "auto" and sides.base is not None):
            return "", [], f"{book.told(book.source)} is gone; --direction nb2py makes it again from the .ipynb"
        return "ipynb → py", theirs, ""
    if direction == "nb2py" and state == NO_NB:
        return "", [], f"{book.told(book.ipynb)} is not there"
    if state == IN_STEP:
        return "", mine, ""
    if direction != "auto":
        return ("py → ipynb", mine, "") if direction == "py2nb" else ("ipynb → py", theirs, "")
    if state in (NO_NB, PY_AHEAD) or (force and state in (CONFLICT, NEVER)):
        return "py → ipynb", mine, ""
    if state in (NB_AHEAD, BOTH):
        return ("ipynb → py" if state == NB_AHEAD else "merged"), sides.merged, ""
    if state == NEVER:
        return "", [], f"{book.source.name} and {book.ipynb.name} differ, and were never in step: {ASK}"
    told = "; ".join(clash.told for clash in sides.clashes)
    return "", [], f"both {book.source.name} and {book.ipynb.name} changed the same cell ({told}): {ASK}"


def kernelspec(name: str) -> dict[str, str]:
    """What stands in a notebook's metadata of a kernel."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    shown = name
    with contextlib.suppress(NoSuchKernel):
        shown = KernelSpecManager().get_kernel_spec(name).display_name
    return {"display_name": shown, "language": "python", "name": name}


def _texts(book: Book, sides: Sides, action: str, parts: list[Part], ipynb: bool) -> dict[Path, str]:
    """Files that would be other than they are."""
    texts: dict[Path, str] = {}
    if action in ("ipynb → py", "merged"):
        texts[book.source] = py_text(sides.py or "", parts)
    if not ipynb and sides.nb is None:
        return texts
    old = read_ipynb(sides.nb, str(book.ipynb)) if sides.nb is not None else None
    stands = dict(old.metadata.get("kernelspec", {})) if old is not None else {}
    wanted = book.kernel or stands.get("name") or "python3"
    spec = {"kernelspec": kernelspec(wanted)} if wanted != stands.get("name") else {}
    if action in ("py → ipynb", "merged") or (spec and (action or book.kernel)):
        texts[book.ipynb] = notebook_text(old, parts, spec, shared_of(sides.mine, sides.base))
    return texts


def _with_myst(book: Book, sides: Sides, texts: dict[Path, str], force: bool) -> tuple[dict[Path, str], str]:
    if not book.entry.pair_myst:
        return texts, ""
    stands, py = read_file(book.myst), texts.get(book.source, sides.py or "")
    made = myst_text(py, book.kernel or "python3")
    if stands == made:
        return texts, ""
    own = stands is None or _sha(stands) == sides.notes.get("myst") or force
    if not own:
        told = book.told(book.myst)
        return texts, f"{told} was written by others, and is made of {book.source.name}: --force writes it over"
    return {**texts, book.myst: made}, ""


def _keep_lost(
    book: Book, sides: Sides, action: str, parts: list[Part], texts: dict[Path, str]
) -> tuple[str, ...]:  # fmt: skip
    """Keep what is written over and stands nowhere else."""
    lost: list[Path] = []
    if action == "py → ipynb" and sides.theirs is not None and sides.theirs not in (sides.base, parts):
        lost.append(book.ipynb)
    if action == "ipynb → py" and sides.mine is not None and sides.mine not in (sides.base, parts):
        lost.append(book.source)
    stands = read_file(book.myst) if book.myst in texts else None
    if stands is not None and _sha(stands) != sides.notes.get("myst"):
        lost.append(book.myst)
    return tuple(book.told(keep_old(book.flow, path)) for path in lost)


def _write(book: Book, sides: Sides, texts: dict[Path, str], parts: list[Part]) -> None:
    if book.myst in texts and book.myst.parent.name == ".myst":
        ignored_folder(book.myst.parent)
    stands = texts.get(book.myst) or (read_file(book.myst) if book.entry.pair_myst else None)
    notes: dict[str, Any] = {"format": 1, "cells": parts, "myst": _sha(stands) if stands else ""}
    paired = sides.nb is not None or book.ipynb in texts
    noted = book.noted("sync", ".json")
    if paired or stands:
        text = json.dumps(notes, indent=0)
        texts = texts if read_file(noted) == text else {**texts, noted: text}
    if texts:
        write_all(book.flow, texts, {book.source: sides.py, book.ipynb: sides.nb})


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def diff_pair(book: Book) -> str:
    """Return what the ``.ipynb`` has that the script has not, as a unified diff; empty where they are in step."""
    sides = look(book)
    if sides.mine is None or sides.theirs is None:
        lacking = [path for path, text in ((book.source, sides.py), (book.ipynb, sides.nb)) if text is None]
        return "".join(f"{book.told(path)} is not there\n" for path in lacking)
    if sides.mine == sides.theirs:
        return ""
    try:
        other = py_text(sides.py or "", sides.theirs)
    except NotebookError as error:
        return f"{book.told(book.ipynb)}: {error}\n"
    names = book.told(book.source), book.told(book.ipynb)
    lines = difflib.unified_diff((sides.py or "").splitlines(), other.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)
