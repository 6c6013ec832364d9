"""What the tools' tables of quality say, as numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from stargazer.tasks.guard import read_flags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "AlignmentNumbers",
    "LibraryCounts",
    "VariantNumbers",
    "duplication_metrics",
    "estimated_library_size",
    "read_alignment_stats",
    "read_duplication",
    "read_variant_stats",
]

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
        Transitions to transversions; NaN where there are no transversions.
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
    [[_, _, transversions, ts_tv, *_]] = sections["TSTV"] or [["", "", "0", "0"]]
    return VariantNumbers(
        {name.rstrip(":"): int(value) for _, name, value in sections["SN"]},
        float(ts_tv) if int(transversions) else math.nan,  # bcftools says 0.00 then
        {change: int(count) for _, change, count in sections["ST"]},
        _points(sections["IDD"], 1, 2),
        samples,
    )


# Counts of duplicates as Picard writes them: DuplicationMetrics, without the command line and the date.
#
# References
# ----------
# Picard, DuplicationMetrics: https://broadinstitute.github.io/picard/picard-metric-definitions.html#DuplicationMetrics
# Lander ES, Waterman MS. Genomic mapping by fingerprinting random clones. Genomics 2, 231-239 (1988).


COLUMNS = (
    "LIBRARY",
    "UNPAIRED_READS_EXAMINED",
    "READ_PAIRS_EXAMINED",
    "SECONDARY_OR_SUPPLEMENTARY_RDS",
    "UNMAPPED_READS",
    "UNPAIRED_READ_DUPLICATES",
    "READ_PAIR_DUPLICATES",
    "READ_PAIR_OPTICAL_DUPLICATES",
    "PERCENT_DUPLICATION",
    "ESTIMATED_LIBRARY_SIZE",
)
CLASS = "## METRICS CLASS\t"


class LibraryCounts(NamedTuple):
    """Reads and pairs of one library.

    Parameters
    ----------
    unpaired, pairs
        Mapped reads whose mate is not, and pairs of mapped reads.
    secondary
        Secondary and supplementary alignments.
    unmapped
        Reads that are not mapped.
    unpaired_duplicates, pair_duplicates, optical_duplicates
        Duplicates among the first two, and pairs among those that lay close to each other on the flow cell.
    """

    unpaired: int
    pairs: int
    secondary: int
    unmapped: int
    unpaired_duplicates: int
    pair_duplicates: int
    optical_duplicates: int

    @classmethod
    def of_samtools(cls, markdup: str, flagstat: str) -> LibraryCounts:
        """Counts from what ``samtools markdup -f`` and ``samtools flagstat -O tsv`` write."""
        counts = dict(line.split(": ", 1) for line in markdup.splitlines() if ": " in line)
        flags = read_flags(flagstat)
        return cls(
            int(counts["SINGLE"]),
            int(counts["PAIRED"]) // 2,
            flags["secondary"] + flags["supplementary"],
            flags["primary"] - flags["primary mapped"],
            int(counts["DUPLICATE SINGLE"]),
            int(counts["DUPLICATE PAIR"]) // 2,
            int(counts["DUPLICATE PAIR OPTICAL"]) // 2,
        )

    @property
    def fraction(self) -> float:
        """Share of the mapped reads that are duplicates."""
        reads = self.unpaired + 2 * self.pairs
        return (self.unpaired_duplicates + 2 * self.pair_duplicates) / reads if reads else 0.0


def estimated_library_size(pairs: int, unique: int) -> int | None:
    """Molecules in a library, from how many of its pairs are copies; None where no pair is.

    Parameters
    ----------
    pairs
        Pairs of mapped reads, without optical duplicates.
    unique
        Those that are no duplicates.
    """
    if not 0 < unique < pairs:
        return None

    def excess(size: float) -> float:
        return unique / size - 1 + math.exp(-pairs / size)

    low, high = 1.0, 100.0
    while excess(high * unique) > 0:
        high *= 10
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle * unique) > 0 else (low, middle)
    return int(unique * (low + high) / 2)


def duplication_metrics(libraries: Mapping[str, LibraryCounts]) -> str:
    """The metrics file.

    Parameters
    ----------
    libraries
        Counts of each library, by its name.
    """
    lines = ["## htsjdk.samtools.metrics.StringHeader", "# MarkDuplicates", ""]
    lines += [f"{CLASS}picard.sam.DuplicationMetrics", "\t".join(COLUMNS)]
    for name, counts in libraries.items():
        size = estimated_library_size(counts.pairs - counts.optical_duplicates, counts.pairs - counts.pair_duplicates)
        last = [f"{counts.fraction:.6f}", "" if size is None else str(size)]
        lines.append("\t".join([name, *map(str, counts), *last]))
    return "\n".join(lines) + "\n\n"


def read_duplication(text: str) -> list[dict[str, str]]:
    """The table of a metrics file, Picard's or ours: a row for each library."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(CLASS):
            break
    heads = next(lines, "").split("\t")
    rows = []
    for line in lines:
        if not line.strip():
            break
        rows.append(dict(zip(heads, line.split("\t"), strict=False)))
    return rows
