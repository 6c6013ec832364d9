"""Regions of a genome, such as those in which a truth is sure."""

from __future__ import annotations

import gzip
from bisect import bisect_right
from typing import TYPE_CHECKING

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Regions", "read_bed"]

HEADERS = ("#", "track", "browser")


class Regions:
    """Regions that do not overlap, by contig.

    Parameters
    ----------
    spans
        First base, counted from 0, and first base after, of each region, in any order.
    """

    def __init__(self, spans: Mapping[str, list[tuple[int, int]]]) -> None:
        self._spans = {contig: _joined(found) for contig, found in spans.items()}
        self._starts = {contig: [start for start, _ in found] for contig, found in self._spans.items()}

    def __contains__(self, place: tuple[str, int, int]) -> bool:
        """Whether one region has all bases from `start` to before `end`: ``(contig, start, end) in regions``."""
        contig, start, end = place
        number = bisect_right(self._starts.get(contig, ()), start) - 1
        return number >= 0 and end <= self._spans[contig][number][1]

    @property
    def bases(self) -> int:
        """Bases in all regions."""
        return sum(end - start for found in self._spans.values() for start, end in found)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def read_bed(path: Path) -> Regions:
    """Read the first three columns of a BED file, gzipped or not.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        A line is malformed, or there is no region; names the line.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(_lines(path), 1):
        if line.strip() and not line.startswith(HEADERS):
            contig, start, end = _region(line, f"{path.name}, line {number}")
            spans.setdefault(contig, []).append((start, end))
    if not spans:
        raise DataError(f"{path.name} has no regions; a BED file has a contig, a start and an end on each line")
    return Regions(spans)


def _lines(path: Path) -> Iterator[str]:
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt") if compressed else open(path) as file:
        try:
            yield from file
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise DataError(f"{path.name} cannot be read: {error}") from error


def _region(line: str, where: str) -> tuple[str, int, int]:
    fields = line.split()
    if len(fields) < 3 or not (fields[1].isdecimal() and fields[2].isdecimal()) or int(fields[1]) > int(fields[2]):
        raise DataError(f"{where}: {line.strip()!r} is no region; wanted are contig, start and end, start <= end")
    return fields[0], int(fields[1]), int(fields[2])
