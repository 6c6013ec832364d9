"""What the first records of a BAM or CRAM tell: whether they are what its header says, and can be called at all.

Only fields that a CRAM has without its reference are read.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (sections 1.4, the records, and 1.3, RG)
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FirstRecords", "first_records", "open_alignment", "quiet"]

MOST = 1000
"""Records that are looked at."""

FARTHEST = 100_000
"""Records among which an aligned one is sought."""

ENDS = 0xC0
"""Flags by which the mates of a pair are told apart."""

UNKNOWN = 255
"""Mapping quality that says that there is none."""

FEW = 20
"""Reads of which none may be aligned though the others are."""

WITHOUT_REFERENCE = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x400 | 0x1000
"""Fields of htslib's ``SAM_…``: name, flag, contig, position, mapping quality, CIGAR, qualities, group."""


class FirstRecords(NamedTuple):
    """What the first records tell.

    Parameters
    ----------
    empty
        Whether there is none at all.
    aligned
        Whether one of many is aligned; true of a few.
    turned
        Whether they are in another order than by coordinate.
    ungrouped, unqualified, unread
        Name of a read without a read group that the header has; of an aligned one without base qualities, or without
        bases; empty where all have them.
    twice
        Name of a read that is there twice, the same end of it; empty if none is.
    qualities
        Lowest and highest base quality.
    unplaced
        Whether aligned reads have no mapping quality (255).
    """

    empty: bool
    aligned: bool
    turned: bool
    ungrouped: str
    unqualified: str
    unread: str
    twice: str
    qualities: tuple[int, int]
    unplaced: bool


@contextmanager
def quiet() -> Iterator[None]:
    """While this is open, htslib does not complain of indices that are not there."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


@contextmanager
def open_alignment(path: Path) -> Iterator[Any]:
    """A BAM, CRAM or SAM open for reading."""
    import pysam

    with quiet():
        fields: list[Any] = [f"required_fields={WITHOUT_REFERENCE:#x}".encode()]  # pysam's stubs want text, pysam bytes
        file = pysam.AlignmentFile(str(path), check_sq=False, format_options=fields)
        try:
            yield file
        finally:
            with suppress(OSError):  # of a damaged file: what was wrong with it is told already
                file.close()


def first_records(path: Path) -> FirstRecords:
    """Look at the first records of an alignment.

    Raises
    ------
    OSError, ValueError
        It cannot be read.
    """
    with open_alignment(path) as file:
        groups = {group.get("ID") for group in file.header.to_dict().get("RG", [])}
        records = file.fetch(until_eof=True)
        first = list(itertools.islice(records, MOST))
        called = [one for one in first if not one.is_unmapped and not one.is_secondary and not one.is_supplementary]
        aligned = len(first) < FEW or any(
            not one.is_unmapped for one in itertools.chain(first, itertools.islice(records, FARTHEST))
        )
        return FirstRecords(
            empty=not first,
            aligned=aligned,
            turned=_is_turned(first),
            ungrouped=_name(one for one in first if groups and _group(one) not in groups),
            unqualified=_name(one for one in called if one.query_qualities is None),
            unread=_name(one for one in called if not file.is_cram and not one.query_length),
            twice=_twice(one for one in first if not one.is_secondary and not one.is_supplementary),
            qualities=_extremes(called),
            unplaced=len(called) >= FEW and all(one.mapping_quality == UNKNOWN for one in called),
        )


def _group(record: Any) -> str:
    return str(record.get_tag("RG")) if record.has_tag("RG") else ""


def _name(records: Iterator[Any]) -> str:
    return next((str(record.query_name) for record in records), "")


def _twice(records: Iterator[Any]) -> str:
    seen: set[tuple[str, int]] = set()
    for one in records:
        end = str(one.query_name), one.flag & ENDS
        if end in seen:
            return end[0]
        seen.add(end)
    return ""


def _extremes(records: list[Any]) -> tuple[int, int]:
    found = {quality for one in records for quality in (one.query_qualities or ())}
    return (min(found), max(found)) if found else (0, 0)


def _is_turned(records: list[Any]) -> bool:
    """Whether places go down, or reads without a place stand before others."""
    last = float("inf")
    places = [(one.reference_id if one.reference_id >= 0 else last, one.reference_start) for one in records]
    return any(left > right for left, right in itertools.pairwise(places))
