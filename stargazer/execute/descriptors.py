"""What open descriptors stand for: no audit event of a file below an open folder (``dir_fd=``) names that folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["open_folders", "place_of"]

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
