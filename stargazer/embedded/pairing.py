"""What pybwa leaves out of paired alignments, put back from bwa's own insert-size estimate.

bwa mem calls a pair proper if its mates lie in an orientation and at a distance which the insert sizes of the
batch allow (``mem_pestat`` and ``mem_sam_pe`` in bwamem_pair.c). It prints these windows on stderr; here they are read.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pysam import AlignedSegment

    from stargazer.embedded.fastq import Read

__all__ = ["captured_stderr", "complete_pair", "proper_windows", "restore_bases"]

HARD_CLIP = 5
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")

ESTIMATE = re.compile(
    r"\[M::mem_pestat\] (?:"
    r"analyzing insert size distribution for orientation (?P<orientation>[FR]{2})"
    r"|low and high boundaries for proper pairs: \((?P<low>\d+), (?P<high>\d+)\)"
    r"|skip orientation (?P<skipped>[FR]{2})$)",
    re.MULTILINE,
)


@contextmanager
def captured_stderr() -> Iterator[IO[str]]:
    """Everything that is written to stderr, C libraries included; passed on when it ends."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            sys.stderr.write(file.read())


def proper_windows(messages: str) -> dict[str, tuple[int, int]]:
    """Distances of proper pairs in each orientation, from what ``bwa mem`` prints.

    Parameters
    ----------
    messages
        bwa's stderr for one batch.

    Returns
    -------
    dict
        Smallest and largest distance in bases for FF, FR, RF and RR, where there were enough pairs.

    Raises
    ------
    ValueError
        The text has no estimate: another version of the library.
    """
    if "[M::mem_pestat]" not in messages:
        raise ValueError("this version of pybwa does not print insert sizes; use 2.3, or engine='bwa'")
    windows: dict[str, tuple[int, int]] = {}
    orientation = ""
    for line in ESTIMATE.finditer(messages):
        orientation = line["orientation"] or orientation
        if line["low"]:
            windows[orientation] = int(line["low"]), int(line["high"])
        windows.pop(line["skipped"] or "", None)
    return windows


def _geometry(first: AlignedSegment, second: AlignedSegment) -> tuple[str, int]:
    """Orientation of a pair, and the distance of its 5' ends, as ``mem_infer_dir`` has them."""
    # The reverse strand is counted backwards from 0, so that a read always starts at its 5' end.
    start, mate = (-(read.reference_end or 0) if read.is_reverse else read.reference_start for read in (first, second))
    same_strand = first.is_reverse == second.is_reverse
    mate = mate if same_strand else -1 - mate
    names = ("RR", "FF") if same_strand else ("RF", "FR")
    return names[mate > start], abs(mate - start)


def _is_proper(first: AlignedSegment, second: AlignedSegment, windows: Mapping[str, tuple[int, int]]) -> bool:
    if first.is_unmapped or second.is_unmapped or first.reference_id != second.reference_id:
        return False
    orientation, distance = _geometry(first, second)
    low, high = windows.get(orientation, (1, 0))
    return low <= distance <= high


def complete_pair(mates: Sequence[Sequence[AlignedSegment]], windows: Mapping[str, tuple[int, int]]) -> None:
    """Set the flags 0x2, 0x20, 0x40 and 0x80 of the alignments of a pair, in place.

    Parameters
    ----------
    mates
        The alignments of the first and of the second read, each led by its primary one.
    windows
        As `proper_windows` returns them.
    """
    proper = _is_proper(mates[0][0], mates[1][0], windows)
    for number, alignments in enumerate(mates):
        for alignment in alignments:
            alignment.flag |= (0x80 if number else 0x40) | (0x2 if proper else 0)
            if alignment.mate_is_unmapped and alignment.is_reverse:
                alignment.mate_is_reverse = True


def restore_bases(alignment: AlignedSegment, read: Read) -> None:
    """Set the bases of a hard-clipped alignment on the reverse strand, in place."""
    cigar = alignment.cigartuples
    if not cigar or not alignment.is_reverse or HARD_CLIP not in (cigar[0][0], cigar[-1][0]):
        return
    left, right = (length if kind == HARD_CLIP else 0 for kind, length in (cigar[0], cigar[-1]))
    bases = read.sequence.upper().translate(COMPLEMENT)[::-1]
    qualities = alignment.query_qualities
    alignment.query_sequence = bases[left : len(bases) - right]
    alignment.query_qualities = qualities
