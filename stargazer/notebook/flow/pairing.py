"""Pair, sync and diff over the notebooks of flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.percent import Percent
from stargazer.notebook.flow.place import chosen
from stargazer.notebook.flow.syncing import IN_STEP, Synced, diff_pair, look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stargazer.notebook.flow.formats import NotebookFormat
    from stargazer.notebook.flow.place import Book
    from stargazer.notebook.flow.syncing import Direction

__all__ = ["Difference", "diff", "pair", "sync"]


def pair(
    where: str | Path = ".", flow: str | None = None, names: Sequence[str] = (), force: bool = False
) -> list[Synced]:
    """Make the ``.ipynb`` and MyST files that entries ask for, where they are not there yet.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.
    names
        Only these notebooks.
    force
        Make those that are there anew, of the script; what is written over is kept.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong.
    """
    return [_tried(book, lambda book: _paired(book, force)) for book in chosen(where, flow, names)]


def _tried(book: Book, bring: Callable[[Book], Synced]) -> Synced:
    """Bring one notebook in step; a file that cannot be read is its own problem, and not that of others."""
    try:
        return bring(book)
    except NotebookError as error:
        return Synced(book.name, "unreadable", problem=str(error))


def _paired(book: Book, force: bool) -> Synced:
    form, entry = format_of(book), book.entry
    if not form.paired:
        return form.sync(book)
    lacks_nb = entry.pair_ipynb and not book.ipynb.exists()
    lacks_myst = entry.pair_myst and not book.myst.exists()
    if force and (entry.pair_ipynb or entry.pair_myst):
        return form.sync(book, "py2nb" if entry.pair_ipynb and not lacks_nb else "auto", force=True)
    if not book.source.exists() or lacks_nb or lacks_myst:
        return form.sync(book)
    return Synced(book.name, form.sync(book, dry=True).state if book.ipynb.exists() else "in step")


def sync(
    where: str | Path = ".",
    flow: str | None = None,
    names: Sequence[str] = (),
    direction: Direction = "auto",
    dry: bool = False,
    force: bool = False,
) -> list[Synced]:
    """Bring scripts, ``.ipynb`` and MyST files in step.

    Parameters
    ----------
    where, flow, names
        As for `pair`.
    direction
        Which side counts; by default that which changed since both last agreed.
    dry
        Say what would be done.
    force
        The script counts where both sides changed a cell; what is lost is kept.

    Returns
    -------
    list of Synced
        One a notebook; those with a `Synced.problem` are as they were.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong.
    """
    return [
        _tried(book, lambda book: format_of(book).sync(book, direction, dry, force))
        for book in chosen(where, flow, names)
    ]


class Difference(NamedTuple):
    """How the faces of a notebook differ.

    Parameters
    ----------
    name
        Of the notebook.
    state
        As `stargazer.notebook.flow.syncing.Sides.state`.
    text
        A unified diff from script to ``.ipynb``; empty where they are in step.
    """

    name: str
    state: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return self._asdict()


def diff(where: str | Path = ".", flow: str | None = None, names: Sequence[str] = ()) -> list[Difference]:
    """Say how the ``.ipynb`` of each paired notebook differs from its script, by cells.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong.
    """
    found = (_compared(book) for book in chosen(where, flow, names))
    return [each for each in found if each is not None]


def _compared(book: Book) -> Difference | None:
    """How a notebook's faces differ; None where it has but one."""
    try:
        form = format_of(book)
        if not form.paired or not (book.entry.pair_ipynb or book.ipynb.exists()):
            return None
        return _difference(book, form)
    except NotebookError as error:
        return Difference(book.name, "unreadable", f"{error}\n")


def _difference(book: Book, form: NotebookFormat) -> Difference:
    """Of other formats than ours only the state is known: what their cells are is theirs to say."""
    if isinstance(form, Percent):
        return Difference(book.name, look(book).state, diff_pair(book))
    state = form.sync(book, dry=True).state
    return Difference(book.name, state, "" if state == IN_STEP else f"{book.told(book.ipynb)}: {state}\n")
