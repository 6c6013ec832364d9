"""What an earlier run put into a folder of results, and this one does not make.

Its own manifest lists it. People, and programs that read all of a folder, would take it for results of this run.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

__all__ = ["MANIFEST", "clear_files", "earlier_files", "refuse_others"]

MANIFEST = "manifest.json"
SHOWN = 5


def earlier_files(out: Path, marks: Collection[str]) -> list[str]:
    """Files that an earlier run put into a folder; none where its manifest is not one of ours.

    Parameters
    ----------
    out
        The folder.
    marks
        Fields that such a manifest has beside its files.
    """
    try:
        told = json.loads((out / MANIFEST).read_text("utf-8"))
        return [str(row["file"]) for row in told["files"]] if set(marks) <= told.keys() else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def refuse_others(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which a person has something that would be written over.

    Parameters
    ----------
    out
        The folder.
    names
        What they have there.

    Raises
    ------
    DataError
        They have something.
    """
    if names:
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        raise DataError(
            f"{out} has {shown}, which no earlier run put there and this one would write over: take another folder, or "
            "move them"
        )


def clear_files(out: Path, names: Sequence[str]) -> None:
    """Take files away, and the folders of samples that are empty then; what lies outside of the folder stays."""
    inside = out.resolve()
    for name in names:
        path = out / name
        if ".." in path.parts or not path.parent.resolve().is_relative_to(inside):
            continue  # no manifest of ours names such a file
        with suppress(FileNotFoundError, IsADirectoryError):
            path.unlink()
        with suppress(OSError):
            if path.parent.parent == out / "samples":
                path.parent.rmdir()
