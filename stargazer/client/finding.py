"""What a check of a profile finds."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """One thing that was checked.

    Parameters
    ----------
    what
        Was checked.
    ok
        Whether it is as it should be.
    told
        What was found.
    """

    what: str
    ok: bool
    told: str
