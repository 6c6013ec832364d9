"""Where a reference is cut for work that is scattered, and what else is done with regions.

A plan depends on the reference (and the target) alone, never on how many workers there are: results must not. It cuts
where nothing is called if such a place is near: in runs of N, between contigs, between targets.
"""

from __future__ import annotations

import bisect
import gzip
import itertools
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import lines_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "UNKNOWN_SEX",
    "Region",
    "bed_lines",
    "bed_text",
    "called_regions",
    "intersect",
    "merge",
    "other_names",
    "overlapping",
    "parse_bed",
    "parse_region",
    "plan",
    "runs_of_n",
    "sex_notes",
    "sex_regions",
    "subtract",
]

SHORTEST_RUN = 100
"""Bases that a run of N has at least to be a place to cut."""

NEAR = 0.25
"""How far, in shares of an interval, a natural place to cut may be from where equal parts would end."""

N_RUN = re.compile(rb"[Nn]{%d,}" % SHORTEST_RUN)


class Region(NamedTuple):
    """Bases of a contig, 0-based and half-open as in BED."""

    contig: str
    start: int
    end: int


def runs_of_n(fasta: Iterable[bytes]) -> Iterator[tuple[str, int, list[tuple[int, int]]]]:
    """Name, length and long runs of N of each contig in the lines of a FASTA."""
    for name, lines in _contigs(fasta):
        sequence = b"".join(line.strip() for line in lines)
        yield name, len(sequence), [found.span() for found in N_RUN.finditer(sequence)]


def _contigs(fasta: Iterable[bytes]) -> Iterator[tuple[str, Iterable[bytes]]]:
    name = ""
    for header, lines in itertools.groupby(fasta, lambda line: line.startswith(b">")):
        if header:
            name = next(iter(list(lines)[-1][1:].split()), b"").decode("utf-8", "replace")
        else:
            yield name, lines


def called_regions(contigs: Iterable[tuple[str, int, Sequence[tuple[int, int]]]]) -> list[Region]:
    """What lies between the runs of N."""
    found = []
    for name, length, runs in contigs:
        edges = [0, *itertools.chain.from_iterable(runs), length]
        found += [Region(name, *pair) for pair in zip(edges[::2], edges[1::2], strict=True) if pair[0] < pair[1]]
    return found


def plan(lengths: Mapping[str, int], called: Sequence[Region], shards: int) -> list[list[Region]]:
    """Cut a reference into so many parts of about equally many called bases; together they are all of it.

    Parameters
    ----------
    lengths
        Bases of each contig, in order.
    called
        Where something can be called, in the same order.
    shards
        How many parts.

    Raises
    ------
    DataError
        There are not enough bases for that.
    """
    offsets = dict(zip(lengths, itertools.accumulate(lengths.values(), initial=0), strict=False))
    spans = [(offsets[one.contig] + one.start, offsets[one.contig] + one.end) for one in called]
    total = sum(end - start for start, end in spans)
    if not 0 < shards <= max(1, total // 4):
        raise DataError(f"{total} bases cannot be cut into {shards} parts")
    cuts = _cuts(spans, {0, *offsets.values()}, total, shards)
    edges = [0, *cuts, sum(lengths.values())]
    return [_between(lengths, offsets, start, end) for start, end in itertools.pairwise(edges)]


def _cuts(spans: Sequence[tuple[int, int]], ends: set[int], total: int, shards: int) -> list[int]:
    """Places in the reference, as if its contigs were one."""
    before = list(itertools.accumulate((end - start for start, end in spans), initial=0))
    natural, contig_ends = [], sorted(ends)
    for number, ((_, end), (start, _)) in enumerate(itertools.pairwise(spans), 1):
        within = contig_ends[bisect.bisect_left(contig_ends, end) : bisect.bisect_right(contig_ends, start)]
        natural.append((before[number], within[0] if within else (end + start) // 2))
    cuts = []
    for wanted in (total * number // shards for number in range(1, shards)):
        near = [one for one in natural if abs(one[0] - wanted) <= NEAR * total / shards]
        if near:
            cuts.append(min(near, key=lambda one: (abs(one[0] - wanted), one))[1])
        else:
            number = bisect.bisect_right(before, wanted) - 1
            cuts.append(spans[number][0] + wanted - before[number])
    return cuts


def _between(lengths: Mapping[str, int], offsets: Mapping[str, int], start: int, end: int) -> list[Region]:
    parts = (
        Region(name, max(start - offsets[name], 0), min(end - offsets[name], length))
        for name, length in lengths.items()
    )
    return [part for part in parts if part.start < part.end]


def overlapping(parts: Sequence[Sequence[Region]], overlap: int) -> list[list[Region]]:
    """Parts that reach so far into their neighbours where they touch, at most to the middle of the region there."""
    found = [list(part) for part in parts]
    for number, (before, after) in enumerate(itertools.pairwise(parts)):
        if before and after and before[-1].contig == after[0].contig and before[-1].end == after[0].start:
            left, right = (min(overlap, (one.end - one.start) // 2) for one in (before[-1], after[0]))
            found[number][-1] = found[number][-1]._replace(end=before[-1].end + right)
            found[number + 1][0] = found[number + 1][0]._replace(start=after[0].start - left)
    return found


def merge(regions: Iterable[Region], lengths: Mapping[str, int], padding: int = 0) -> list[Region]:
    """Regions in the order of the reference, longer on both sides, those that meet as one.

    Raises
    ------
    DataError
        One is not in the reference.
    """
    order = {name: number for number, name in enumerate(lengths)}
    found: list[Region] = []
    given = list(regions)
    for one in given:
        if one.contig not in lengths:
            why = other_names(one.contig, lengths)
            raise DataError(f"{one.contig}:{one.start + 1}-{one.end} is not in the reference: {why}")
        if not 0 <= one.start < one.end <= lengths[one.contig]:
            there = f"{one.contig} has {lengths[one.contig]:,} bases"
            raise DataError(f"{one.contig}:{one.start + 1}-{one.end} is not in the reference: {there}")
    for one in sorted(given, key=lambda one: (order[one.contig], one.start)):
        start, end = max(one.start - padding, 0), min(one.end + padding, lengths[one.contig])
        if found and found[-1].contig == one.contig and start <= found[-1].end:
            found[-1] = Region(one.contig, found[-1].start, max(end, found[-1].end))
        else:
            found.append(Region(one.contig, start, end))
    return found


def other_names(contig: str, lengths: Mapping[str, int]) -> str:
    """Why a reference may not have a contig, and what to do."""
    other = contig.removeprefix("chr") if contig.startswith("chr") else f"chr{contig}"
    if other in lengths:
        return f"it calls this contig {other}; rename the contigs of one of the two, or take files of one source"
    return f"it has {', '.join(list(lengths)[:3])}{', …' if len(lengths) > 3 else ''}"


def intersect(regions: Iterable[Region], others: Iterable[Region]) -> list[Region]:
    """What lies in both; each of the two is sorted within its contigs and does not overlap itself."""
    by_contig: dict[str, list[Region]] = {}
    for one in others:
        by_contig.setdefault(one.contig, []).append(one)
    ends = {name: [one.end for one in there] for name, there in by_contig.items()}
    found = []
    for one in regions:
        there = by_contig.get(one.contig, [])
        for other in there[bisect.bisect_right(ends.get(one.contig, []), one.start) :]:
            if other.start >= one.end:
                break
            found.append(Region(one.contig, max(one.start, other.start), min(one.end, other.end)))
    return found


def subtract(regions: Iterable[Region], others: Sequence[Region]) -> list[Region]:
    """What lies in the first alone; the others are sorted within their contigs and do not overlap each other."""
    found = []
    for one in regions:
        start = one.start
        for other in intersect([one], others):
            found.append(Region(one.contig, start, other.start))
            start = other.end
        found.append(Region(one.contig, start, one.end))
    return [one for one in found if one.start < one.end]


def bed_text(path: Path) -> list[str]:
    """Lines of a BED file, gzipped or not.

    Raises
    ------
    DataError
        It is damaged, or no text.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig") as lines:
            return list(lines_of(lines, path.name))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as BED: {error}") from error


def parse_bed(lines: Iterable[str]) -> list[Region]:
    """Regions of a BED file; those of no length, which some programs write, are left out.

    Raises
    ------
    DataError
        A line is malformed.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(("#", "track", "browser")):
            name, *places = line.split("\t")[:3]
            if len(places) != 2 or not all(place.strip().isdecimal() for place in places):
                told = f"line {number} of the BED file is malformed: {line.rstrip()!r:.60}"
                raise DataError(f"{told}; wanted are contig, start and end, with tabs between them")
            start, end = map(int, places)
            if start > end:
                raise DataError(f"line {number} of the BED file ends before it starts: {line.rstrip()!r:.60}")
            if start < end:
                found.append(Region(name, start, end))
    return found


def bed_lines(regions: Iterable[Region]) -> str:
    """Regions as a BED file."""
    return "".join(f"{one.contig}\t{one.start}\t{one.end}\n" for one in regions)


def parse_region(text: str, lengths: Mapping[str, int]) -> Region:
    """``chr1`` or ``chr1:1001-2000``, 1-based and inclusive; names of contigs may have colons.

    Raises
    ------
    DataError
        There is no such region.
    """
    if text in lengths:
        return Region(text, 0, lengths[text])
    name, _, span = text.rpartition(":")
    start, _, end = span.replace(",", "").partition("-")
    if name not in lengths or not start.isdecimal() or not end.isdecimal():
        raise DataError(f"{text!r} is no region of the reference: CONTIG, or CONTIG:FIRST-LAST")
    return Region(name, int(start) - 1, int(end))


# Which regions of X and Y a person has once, and not at all.


X, Y = ("chrX", "X"), ("chrY", "Y")
PSEUDOAUTOSOMAL = {
    156_040_895: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
    155_270_560: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    154_259_566: ((0, 2_394_410), (153_925_834, 154_259_566)),
}
"""Regions of X that males have twice, by the length of X: GRCh38, GRCh37, T2T-CHM13 (0-based, half-open).

Source: Genome Reference Consortium, https://www.ncbi.nlm.nih.gov/grc/human; T2T-CHM13v2.0 analysis set.
"""
PSEUDOAUTOSOMAL_Y = {
    57_227_415: ((10_000, 2_781_479), (56_887_902, 57_217_415)),
    59_373_566: ((10_000, 2_649_520), (59_034_049, 59_363_566)),
    62_460_029: ((0, 2_458_320), (62_122_809, 62_460_029)),
}
"""The same of Y."""


def sex_regions(lengths: Mapping[str, int], sex: str) -> tuple[list[Region], list[Region]]:
    """Regions that a person of this sex has once, and not at all.

    Parameters
    ----------
    lengths
        Bases of each contig. X and Y are known by name and length: GRCh37, GRCh38, T2T-CHM13.
    sex
        ``"XX"`` or ``"XY"``; nothing is known of others.
    """
    x = [Region(name, 0, lengths[name]) for name in X if lengths.get(name) in PSEUDOAUTOSOMAL]
    y = [Region(name, 0, lengths[name]) for name in Y if lengths.get(name) in PSEUDOAUTOSOMAL_Y]
    if sex == "XX":
        return [], y
    if sex != "XY":
        return [], []
    twice = [Region(one.contig, *span) for one in x for span in PSEUDOAUTOSOMAL[one.end]]
    twice += [Region(one.contig, *span) for one in y for span in PSEUDOAUTOSOMAL_Y[one.end]]
    return subtract([*x, *y], twice), []


UNKNOWN_SEX = "unknown"


def sex_notes(sexes: Mapping[str, str], lengths: Mapping[str, int]) -> list[str]:
    """What is to be said where the sexes of samples change nothing; nothing where they do.

    Parameters
    ----------
    sexes
        ``"XX"`` or ``"XY"`` by sample.
    lengths
        Bases of each contig of the reference.

    Raises
    ------
    DataError
        There is another sex.
    """
    known = {name: sex for name, sex in sexes.items() if sex}
    if wrong := sorted({sex for sex in known.values() if sex not in ("XX", "XY")}):
        raise DataError(f"sexes are XX or XY, not {', '.join(wrong)}")
    if not known or any(any(sex_regions(lengths, sex)) for sex in ("XX", "XY")):
        return []
    there = [f"{name} ({lengths[name]:,} bases)" for name in (*X, *Y) if name in lengths]
    told = (
        f"The sexes of {', '.join(known)} change nothing: X and Y are known by the lengths that they have in GRCh37, "
        f"GRCh38 and T2T-CHM13, and the reference has {' and '.join(there) or 'neither'}; all has two copies."
    )
    return [told]
