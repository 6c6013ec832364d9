"""What open descriptors stand for, and how files are opened.

No audit event of a file below an open folder (``dir_fd=``) names that folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["appends", "open_folders", "place_of", "reads", "writes"]

HERE = "/proc/self/fd"
"""Where Linux tells of the open descriptors of a process; others tell nothing."""


def place_of(descriptor: int) -> str | int:
    """Path of what is open under a number; the number, where that is not told."""
    try:
        return os.readlink(f"{HERE}/{descriptor}")
    except OSError:
        return descriptor


def open_folders(opened: Iterable[str]) -> list[str]:
    """Folders that are open in this process, sorted.

    Parameters
    ----------
    opened
        Those that were opened once: they are the answer where the system does not tell which are open still.
    """
    try:
        numbers = os.listdir(HERE)
    except OSError:
        return sorted(opened)
    places = {place_of(int(number)) for number in numbers}
    return sorted(place for place in places if isinstance(place, str) and os.path.isdir(place))


WRITES = frozenset("wax+")


def writes(mode: Any, flags: Any) -> bool:
    """Whether a file that is opened so may be written to."""
    if isinstance(mode, str):
        return not WRITES.isdisjoint(mode)
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def appends(mode: Any, flags: Any) -> bool:
    """Whether what is written goes behind what is there, as in a log."""
    if isinstance(mode, str):
        return "a" in mode
    return isinstance(flags, int) and bool(flags & os.O_APPEND) and not flags & os.O_TRUNC


def reads(mode: Any, flags: Any) -> bool:
    """Whether a file that is opened so is read, or may be: its content before then counts."""
    if isinstance(mode, str):
        return "r" in mode or WRITES.isdisjoint(mode)
    return not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_TRUNC | os.O_EXCL)
