"""Older layouts become the one with ``.src/`` and ``.myst/``; folders of notebooks stay what they were."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.edits import with_paths
from stargazer.notebook.flow.files import write_all
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.place import SOURCES, Book, Flow, find_flows, relative
from stargazer.notebook.plaintext import read_plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Migrated", "migrate"]

SHOWN = ("demo", "validate")


class Migrated(NamedTuple):
    """Where the files of a notebook go, or went.

    Parameters
    ----------
    flow, name
        Names.
    path
        Of the source, by then.
    moves
        Files from and to, from the flow's folder.
    done
        Whether they were moved.
    """

    flow: str
    name: str
    path: str
    moves: tuple[tuple[str, str], ...]
    done: bool = False

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return self._asdict()


def migrate(where: str | Path = ".", flow: str | None = None, yes: bool = False) -> list[Migrated]:
    """Move percent sources into ``.src/``, and MyST files into ``.myst/``.

    A notebook that stands in a folder stays there, so what it reads beside it is where it was; one that stands in
    ``notebooks/`` itself goes to ``explore/`` or ``demo/``, by its kind. marimo's files are never moved.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.
    yes
        Do it; else it is only said.

    Raises
    ------
    NotebookError
        A ``notebook.yml`` is wrong, or something stands where a file would go; nothing was moved.
    """
    return [found for each in find_flows(where, flow) for found in _migrated(each, yes)]


def _migrated(flow: Flow, yes: bool) -> list[Migrated]:
    books = [book for book in flow.books if book.source.parent.name != SOURCES and book.source.exists()]
    pairs = [(book, _target(book)) for book in books if format_of(book).paired]
    moves = {book: _moves(book, target) for book, target in pairs}
    _check([move for each in moves.values() for move in each])
    if yes and pairs:
        _move(flow, pairs, [move for each in moves.values() for move in each])
    root = flow.root
    return [
        Migrated(flow.name, book.name, target.entry.path, tuple(_told(root, move) for move in moves[book]), yes)
        for book, target in pairs
    ]


def _told(root: Path, move: tuple[Path, Path]) -> tuple[str, str]:
    return os.path.relpath(move[0], root), os.path.relpath(move[1], root)


def _target(book: Book) -> Book:
    """The notebook as it will stand."""
    import dataclasses

    folder, flow = book.source.parent, book.flow
    if folder == flow.folder:
        folder = folder / ("demo" if book.entry.kind in SHOWN else "explore")
    path = relative(folder / SOURCES / book.source.name, flow.root)
    return Book(flow, dataclasses.replace(book.entry, path=path))


def _moves(book: Book, target: Book) -> list[tuple[Path, Path]]:
    pairs = [(book.source, target.source), (book.ipynb, target.ipynb), (book.myst, target.myst)]
    pairs += [(book.noted(kind, ending), target.noted(kind, ending)) for kind, ending in NOTED]
    return [(old, new) for old, new in pairs if old != new and old.exists()]


NOTED = (("sync", ".json"), ("ran", ".json"), ("executed", ".ipynb"))


def _check(moves: Sequence[tuple[Path, Path]]) -> None:
    taken = [str(new) for _, new in moves if new.exists()]
    targets = [new for _, new in moves]
    taken += sorted({str(new) for new in targets if targets.count(new) > 1})
    if taken:
        raise NotebookError(f"nothing was moved: something stands already, or would, at {', '.join(taken)}")


def _move(flow: Flow, pairs: Sequence[tuple[Book, Book]], moves: Sequence[tuple[Path, Path]]) -> None:
    """Move all, or none: what was moved goes back if a later move fails."""
    text = read_plain(flow.file)
    changed = with_paths(text, {book.entry.path: target.entry.path for book, target in pairs}, str(flow.file))
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in moves:
            new.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old, new)
            done.append((old, new))
        write_all(flow, {flow.file: changed}, {flow.file: text})
    except (OSError, NotebookError) as error:
        for old, new in reversed(done):
            os.rename(new, old)
        raise NotebookError(f"nothing was moved: {error}") from error
