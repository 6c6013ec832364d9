"""What the first reads of a lane tell: whether this pipeline is for such reads, and whether another lane has them.

Aligners and callers take any letters for a person's genome. Reads of treated DNA, barcodes in place of mates and long
reads all give a VCF, and nothing in it says so.

References
----------
Illumina, "FASTQ files explained": the eighth field of a read's name is its UMI.
NCBI, "SRA data formats": SRA Lite has the quality 30 (``?``) for every base of a read that passed.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stargazer.embedded.fastq import Read

__all__ = ["Note", "notes_on", "problems_with"]

FEW = 20
"""Reads that tell something of all, at least."""

SHORT, USUAL = 30, 50
"""Bases below which no aligner takes a read for aligned, and from which on the other end has its own."""

LONG = 1000
"""Bases of reads that are none of Illumina's."""

HARDLY, PLENTY = 0.03, 0.10
"""Shares of bases: of C after treatment, and of G at the same time."""

UMI = re.compile(r"(?:[^:]+:){7}r?[ACGTN]{3,}(?:[+_-]r?[ACGTN]{3,})?|.*[_:][ACGTN]{6,}(?:[+_-][ACGTN]{3,})?")


class Note(str):
    """What a person should know of a lane: no reason to stop, nor to leave it out."""

    __slots__ = ()


def problems_with(names: Sequence[str], ends: Sequence[Sequence[Read]]) -> Iterator[str]:
    """Yield why reads cannot be called.

    Parameters
    ----------
    names
        Of the files.
    ends
        First reads of each file: of one, or of both ends.
    """
    if len(ends) == 2 and all(len(end) >= FEW for end in ends):
        for one, other in ((0, 1), (1, 0)):
            longest, shortest = max(_lengths(ends[one])), min(_lengths(ends[other]))
            if longest < SHORT and shortest >= USUAL:
                yield (
                    f"{names[one]} has reads of up to {longest} bases, {names[other]} of {shortest} and more: they are "
                    "barcodes or UMIs, no mates; of three files give the first and the last (R1 and R3)"
                )
    for name, end, (lost, kept) in zip(names, ends, (("C", "G"), ("G", "C")), strict=False):
        counts = Counter(base for read in end for base in read.sequence)
        total = sum(counts[base] for base in "ACGT")
        if len(end) >= FEW and total >= FEW * USUAL and counts[lost] < HARDLY * total <= PLENTY * total < counts[kept]:
            yield (
                f"{name} has {counts[lost] / total:.1%} {lost} among its bases, and {counts[kept] / total:.0%} {kept}: "
                "reads of bisulfite or enzymes that convert bases, each of which would be called as a variant"
            )


def notes_on(ends: Iterable[Sequence[Read]]) -> Iterator[Note]:
    """Yield what a person should know; the same words for every lane of which it is true."""
    seen = [end for end in ends if len(end) >= FEW]
    if any(max(_lengths(end)) > LONG for end in seen):
        yield Note(
            f"there are reads of more than {LONG:,} bases; they are aligned and called as short ones, and what is made "
            "for long reads finds more, and less that is not there"
        )
    if any(len({*"".join(read.quality for read in end)}) == 1 and sum(_lengths(end)) >= FEW * USUAL for end in seen):
        yield Note(
            "all bases have one quality, as SRA Lite has them: errors weigh as much as good bases; take the file with "
            "the qualities of the sequencer, if there is one"
        )
    if any(all(UMI.fullmatch(read.name) for read in end) for end in seen):
        yield Note(
            "names of reads end in UMIs; duplicates are marked by their places alone, so that molecules of one place "
            "count as one"
        )


def _lengths(end: Sequence[Read]) -> list[int]:
    return [len(read.sequence) for read in end]
