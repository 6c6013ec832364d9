"""What the tools' tables of quality say, as numbers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["AlignmentNumbers", "VariantNumbers", "read_alignment_stats", "read_variant_stats"]

Points = list[tuple[float, float]]


class AlignmentNumbers(NamedTuple):
    """What ``samtools stats`` says.

    Parameters
    ----------
    summary
        Its summary numbers, by name.
    insert_sizes, depths
        Pairs by the distance of their outer ends, bases by their depth.
    qualities
        Mean base quality by cycle, of both reads of a pair.
    gc
        Reads by their GC content in per cent.
    """

    summary: dict[str, float]
    insert_sizes: Points
    depths: Points
    qualities: Points
    gc: Points


class VariantNumbers(NamedTuple):
    """What ``bcftools stats`` says.

    Parameters
    ----------
    totals
        Records by type.
    ts_tv
        Transitions to transversions.
    substitutions
        SNVs by what becomes what (``"A>C"``).
    indel_lengths
        Indels by length; deletions are negative.
    samples
        Counts of each sample by the names of their columns (``nHets``, ``nTransitions``, …).
    """

    totals: dict[str, int]
    ts_tv: float
    substitutions: dict[str, int]
    indel_lengths: Points
    samples: dict[str, dict[str, float]]


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Fields of the lines of each section."""
    sections: defaultdict[str, list[list[str]]] = defaultdict(list)
    for line in text.splitlines():
        name, *fields = line.split("\t")
        if not name.startswith("#"):
            sections[name].append(fields)
    return sections


def _points(rows: Iterable[Sequence[str]], x: int, y: int) -> Points:
    return [(float(row[x]), float(row[y])) for row in rows]


def read_alignment_stats(text: str) -> AlignmentNumbers:
    """Read what ``samtools stats`` writes."""
    sections = _sections(text)
    summary = {name.rstrip(":"): float(value) for name, value, *_ in sections["SN"] if value not in ("", "nan")}
    gc: defaultdict[float, float] = defaultdict(float)
    for percent, count in (*_points(sections["GCF"], 0, 1), *_points(sections["GCL"], 0, 1)):
        gc[percent] += count
    return AlignmentNumbers(
        summary,
        _points(sections["IS"], 0, 1),
        _points(sections["COV"], 1, 2),
        _mean_qualities((*sections["FFQ"], *sections["LFQ"])),
        sorted(gc.items()),
    )


def _mean_qualities(rows: Iterable[Sequence[str]]) -> Points:
    bases, sums = defaultdict[int, float](float), defaultdict[int, float](float)
    for cycle, *counts in rows:
        for quality, count in enumerate(counts):
            bases[int(cycle)] += float(count)
            sums[int(cycle)] += quality * float(count)
    return [(cycle, sums[cycle] / bases[cycle]) for cycle in sorted(bases) if bases[cycle]]


def read_variant_stats(text: str) -> VariantNumbers:
    """Read what ``bcftools stats`` writes."""
    sections = _sections(text)
    heads = next((line for line in text.splitlines() if line.startswith("# PSC\t")), "")
    columns = [head.partition("]")[2] for head in heads.split("\t")[3:]]
    samples = {name: dict(zip(columns, map(float, counts), strict=False)) for _, name, *counts in sections["PSC"]}
    [[_, _, _, ts_tv, *_]] = sections["TSTV"] or [["", "", "", "0"]]
    return VariantNumbers(
        {name.rstrip(":"): int(value) for _, name, value in sections["SN"]},
        float(ts_tv),
        {change: int(count) for _, change, count in sections["ST"]},
        _points(sections["IDD"], 1, 2),
        samples,
    )
