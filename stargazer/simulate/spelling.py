"""Variants as sequence: which calls and truth spell the same two haplotypes.

References
----------
Cleary JG et al. Comparing variant call files for performance benchmarking of next-generation sequencing variant
calling pipelines. bioRxiv 023754 (2015).
"""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Allele", "agreeing", "events"]

REACH = 30
"""Bases between two variants that may be one event written in two ways."""

MOST_HETEROZYGOUS = 7
"""Heterozygous variants of one event whose phases are tried; more are compared as they are written."""

MOST_DIFFERENT = 8
"""Alleles of one event that differ, and of which every choice is tried; more are compared as they are written."""


class Allele(NamedTuple):
    """One normalised alternative allele; `start` counts from 0."""

    contig: str
    start: int
    ref: str
    alt: str

    @property
    def is_snv(self) -> bool:
        """Whether it changes one base."""
        return len(self.ref) == len(self.alt) == 1


def events(alleles: Iterable[Allele]) -> Iterator[list[Allele]]:
    """Alleles in groups of those that lie close to each other."""
    event: list[Allele] = []
    for allele in sorted(alleles):
        if event and (allele.contig != event[-1].contig or allele.start > event[-1].start + len(event[-1].ref) + REACH):
            yield event
            event = []
        event.append(allele)
    if event:
        yield event


def _first_changed(allele: Allele) -> int:
    """Where a change begins: the base before an indel is no part of it."""
    return allele.start + (allele.ref[0] == allele.alt[0])


def _spelled(sequence: str, start: int, end: int, alleles: Iterable[Allele]) -> str | None:
    """Sequence between two places with alleles put in, or None where two of them overlap."""
    pieces: list[str] = []
    for allele in sorted(alleles, key=_first_changed):
        first = _first_changed(allele)
        if first < start:
            return None
        pieces += [sequence[start:first], allele.alt[first - allele.start :]]
        start = allele.start + len(allele.ref)
    return "".join([*pieces, sequence[start:end]])


def _haplotypes(sequence: str, start: int, end: int, carried: Mapping[Allele, int]) -> set[tuple[str, ...]]:
    """Every pair of sequences that unphased genotypes may stand for."""
    both = [allele for allele, count in carried.items() if count == 2]
    single = [allele for allele, count in carried.items() if count == 1]
    if len(single) > MOST_HETEROZYGOUS:
        return set()
    pairs: set[tuple[str, ...]] = set()
    for phases in product((0, 1), repeat=len(single)):
        sides = [both + [one for one, phase in zip(single, phases, strict=True) if phase == side] for side in (0, 1)]
        spelled = [_spelled(sequence, start, end, side) for side in sides]
        if None not in spelled:
            pairs.add(tuple(sorted(filter(None, spelled))))
    return pairs


def _choices(alleles: Sequence[Allele]) -> list[tuple[Allele, ...]]:
    """Every choice of at least one of the alleles."""
    return [choice for size in range(1, len(alleles) + 1) for choice in combinations(alleles, size)]


def agreeing(
    sequence: str, event: Sequence[Allele], truth: Mapping[Allele, int], calls: Mapping[Allele, int]
) -> tuple[set[Allele], set[Allele]]:
    """The alleles of an event on which truth and calls agree.

    Parameters
    ----------
    sequence
        The contig.
    event
        Alleles of either side.
    truth, calls
        How often the sample carries each allele.

    Returns
    -------
    tuple of set
        Alleles of the truth and of the calls: those that are equal, and the most others that spell the same haplotypes.
    """
    equal = {allele for allele in event if truth.get(allele) == calls.get(allele)}
    different = [[one for one in event if one in side and one not in equal] for side in (truth, calls)]
    if not all(different) or sum(map(len, different)) > MOST_DIFFERENT:
        return equal, equal
    start, end = event[0].start, max(allele.start + len(allele.ref) for allele in event)
    spelled = [
        {
            choice: _haplotypes(sequence, start, end, {one: side[one] for one in (*equal, *choice)})
            for choice in _choices(rest)
        }
        for side, rest in zip((truth, calls), different, strict=True)
    ]
    for first, second in sorted(product(*spelled), key=lambda pair: -len(pair[0]) - len(pair[1])):
        if spelled[0][first] & spelled[1][second]:
            return equal | set(first), equal | set(second)
    return equal, equal
