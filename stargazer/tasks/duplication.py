"""Counts of duplicates as Picard writes them: DuplicationMetrics, without the command line and the date.

References
----------
Picard, DuplicationMetrics: https://broadinstitute.github.io/picard/picard-metric-definitions.html#DuplicationMetrics
Lander ES, Waterman MS. Genomic mapping by fingerprinting random clones. Genomics 2, 231-239 (1988).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LibraryCounts", "duplication_metrics", "estimated_library_size", "read_duplication"]

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
        flags = {name: int(passed) + int(failed) for passed, failed, name in _flag_lines(flagstat)}
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


def _flag_lines(flagstat: str) -> list[tuple[str, str, str]]:
    fields = (line.split("\t") for line in flagstat.splitlines())
    return [(passed, failed, name) for passed, failed, name in fields if passed.isdecimal()]


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
