"""How near to each other copies of a cluster lie, by the instruments that the names of reads tell.

On flow cells with a pattern of wells a cluster spreads to wells that are far away, in pixels; on others its copies lie
side by side. Markers of duplicates take one distance for all reads of a sample.
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, NamedTuple

from stargazer.assets import R1, Alignment
from stargazer.workflows.first_records import open_alignment
from stargazer.workflows.lanes import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stargazer.workflows.lanes import Lane

__all__ = ["Optical", "optical_distance"]

PATTERNED, OTHER = 2500, 100
"""Pixels within which duplicates are optical, on flow cells with a pattern of wells and on those without."""

PATTERNED_INSTRUMENTS = re.compile(r"(A|(ST-)?E|J|K|LH|VH|FS|SH)\d{3,}R?$")
"""Names of Illumina's instruments with such flow cells: NovaSeq, HiSeq X, 3000 and 4000, NovaSeq X, NextSeq 2000, iSeq,
MiSeq i100.

Source: read names of public runs, as listed in https://www.biostars.org/p/198143/
"""

NAME = re.compile(r"([^:\s]+)(:[^:\s]+){4,7}")
"""What Illumina's software calls a read: the instrument first, and at the end tile, x, y, and a UMI if there is one."""


class Optical(NamedTuple):
    """Within how many pixels duplicates of a sample are optical.

    Parameters
    ----------
    distance
        In pixels.
    patterned, other
        Instruments of the sample's lanes, with a pattern of wells and without.
    """

    distance: int
    patterned: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What a person should know; empty where the instruments agree."""
        if not (self.patterned and self.other):
            return ""
        return (
            f"lanes come from instruments with a pattern of wells ({', '.join(self.patterned)}) and from others "
            f"({', '.join(self.other)}): optical duplicates are those within {self.distance} pixels on all of them, "
            f"fewer than there are on {', '.join(self.patterned)}, and libraries look smaller than they are"
        )


def optical_distance(lanes: Sequence[Lane]) -> Optical:
    """The distance that fits the instruments of all lanes of a sample, by the first read of each.

    Where they differ, the smaller one: what it calls optical is optical on either. Reads that a task is yet to make,
    and names that are no longer Illumina's, tell nothing.

    Parameters
    ----------
    lanes
        Reads of one sample.
    """
    found = dict.fromkeys(name for name in map(_instrument, lanes) if name)
    patterned = tuple(name for name in found if PATTERNED_INSTRUMENTS.match(name))
    other = tuple(name for name in found if name not in patterned)
    return Optical(PATTERNED if patterned and not other else OTHER, patterned, other)


def _instrument(lane: Lane) -> str:
    """The instrument of a lane; empty where its first read does not tell."""
    if isinstance(lane.r1, R1):
        name = _first_of_fastq(path_of(lane.r1))
    else:
        name = _first_of_alignment(path_of(lane.aligned)) if isinstance(lane.aligned, Alignment) else ""
    told = NAME.match(name)
    return told[1] if told else ""


def _first_of_fastq(path: Path) -> str:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", errors="replace") if packed else path.open(errors="replace") as file:
            return file.readline(1000).removeprefix("@")
    except (OSError, EOFError):
        return ""  # whoever aligns it says what is wrong


def _first_of_alignment(path: Path) -> str:
    try:
        with open_alignment(path) as file:
            return next((str(read.query_name or "") for read in file.fetch(until_eof=True)), "")
    except (OSError, ValueError):
        return ""  # whoever takes it over says what is wrong
