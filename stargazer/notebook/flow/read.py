"""Files that a notebook read, as its pages name them: anybody with the same checkout can tell whether they changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.ledger.reads import CHANGED, MISSING, TREE, file_value, folder_value
from stargazer.notebook.flow.place import project_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.notebook.flow.place import Book

__all__ = ["compare_files", "files_of"]

OTHERS = ("$", "@", "!", ">")
"""How names of what is no file begin in a record: variables, libraries, programs."""


def files_of(book: Book, reads: Mapping[str, str]) -> dict[str, str]:
    """Return those files and folders of what cells read that lie in the notebook's project.

    Others lie elsewhere on other machines, or not at all; and what is Stargazer's own is no data of the notebook.

    Parameters
    ----------
    book
        The notebook.
    reads
        As records have it: CIDs by absolute paths, digests of the names in folders.

    Returns
    -------
    dict
        By the paths from the flow's folder; those of folders end in ``/``.
    """
    project, own, source = (
        Path(os.path.realpath(each)) for each in (project_of(book.flow.root), book.flow.own, book.source)
    )
    found: dict[str, str] = {}
    for name, value in sorted(reads.items()):
        if name.startswith(OTHERS) or name.endswith(TREE) or value in (MISSING, CHANGED):
            continue
        place = Path(os.path.realpath(name))
        if place.is_relative_to(project) and not place.is_relative_to(own) and place != source:
            found[os.path.relpath(place, book.flow.root) + ("/" if name.endswith("/") else "")] = value
    return found


def compare_files(book: Book, noted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of files that are others by now, and of those that are not here."""
    changed, absent = list[str](), list[str]()
    for name, value in sorted(noted.items()):
        place = str(book.flow.root / name)
        now = folder_value(place) if name.endswith("/") else file_value(place, value)
        if now == MISSING:
            absent.append(name)
        elif now != value:
            changed.append(name)
    return changed, absent
