"""Which records of two sides spell the same two haplotypes.

Records of both sides are taken in the order of the genome. Each may be left out, or put into the two haplotypes in
either phase; a path ends where its sides spell different bases, and of paths that have come to the same point the one
with the most records goes on.

References
----------
Cleary JG et al. Comparing variant call files for performance benchmarking of next-generation sequencing variant
calling pipelines. bioRxiv 023754 (2015).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Edit", "Genotype", "Spelled", "agreeing", "leftmost", "reach", "trimmed"]

Genotype = tuple["Edit | None", "Edit | None"]
"""What a record does to each haplotype; which of them is which is not known."""

MOST_PATHS = 1000
"""Paths that are followed at once; beyond, those with the fewest records are given up."""


class Spelled(NamedTuple):
    """A record to be put into haplotypes: its first changed base, the base after its last, and its genotype."""

    start: int
    end: int
    genotype: Genotype


class _Strand(NamedTuple):
    """One haplotype as the two sides spell it so far.

    `ends` is where in the reference each side stands, `busy` where its last edit ended (in halves of bases), and
    `lead` what one of them, `leader`, has spelled more than the other.
    """

    ends: tuple[int, int]
    busy: tuple[int, int]
    lead: str
    leader: int


class _Path(NamedTuple):
    """Both haplotypes, and whether either side has put in a record since the sides last stood at one place."""

    strands: tuple[_Strand, _Strand]
    used: tuple[bool, bool]


class _Score(NamedTuple):
    """Records put in, how many of them the other side has just so, and which they are, as bits."""

    records: int
    same: int
    chosen: int


Paths = dict[_Path, _Score]


def agreeing(sequence: str, truth: Sequence[Spelled], calls: Sequence[Spelled]) -> tuple[set[int], set[int]]:
    """Places in `truth` and in `calls` of the most records that spell the same haplotypes.

    Records that are the same on both sides always agree. Exchanging the sides exchanges the answers.

    Parameters
    ----------
    sequence
        The contig.
    truth, calls
        Records that lie close to each other, each side in the order of the genome.
    """
    same = _same(truth, calls)
    if len(same[0]) == len(truth) or len(same[1]) == len(calls):
        return same
    if list(map(_order, truth)) > list(map(_order, calls)):
        found, other = _search(sequence, calls, truth)[::-1]
    else:
        found, other = _search(sequence, truth, calls)
    return (found, other) if len(found) + len(other) > len(same[0]) + len(same[1]) else same


def _same(truth: Sequence[Spelled], calls: Sequence[Spelled]) -> tuple[set[int], set[int]]:
    common = Counter(truth) & Counter(calls)
    return _taken(truth, common), _taken(calls, common)


def _taken(side: Sequence[Spelled], common: Counter[Spelled]) -> set[int]:
    left, taken = Counter(common), set()
    for place, each in enumerate(side):
        if left[each] > 0:
            left[each] -= 1
            taken.add(place)
    return taken


def _order(spelled: Spelled) -> tuple[int, int, tuple[tuple[int, int, str], ...]]:
    first, second = ((edit.start, edit.end, edit.alt) if edit else (-1, -1, "") for edit in spelled.genotype)
    return spelled.start, spelled.end, (first, second)


def _search(sequence: str, *sides: Sequence[Spelled]) -> tuple[set[int], set[int]]:
    same = _same(*sides)
    records = sorted(
        (_order(each), side, place, each) for side, found in enumerate(sides) for place, each in enumerate(found)
    )
    start, end = records[0][-1].start, max(each.end for *_, each in records)
    strand = _Strand((start, start), (-1, -1), "", 0)
    paths: Paths = {_Path((strand, strand), (False, False)): _Score(0, 0, 0)}
    for number, (_, side, place, each) in enumerate(records):
        paths = _advanced(sequence, paths, each.start)
        worth = _Score(1, place in same[side], 1 << number)
        paths = _most(_with_record(sequence, paths, side, each.genotype, worth))
    ended = [score for path, score in _advanced(sequence, paths, end).items() if _together(path)]
    chosen = max(ended).chosen
    found: tuple[set[int], set[int]] = (set(), set())
    for number, (_, side, place, _) in enumerate(records):
        if chosen >> number & 1:
            found[side].add(place)
    return found


def _with_record(sequence: str, paths: Paths, side: int, genotype: Genotype, worth: _Score) -> Paths:
    """The paths without the record, and with it in either phase."""
    made = dict(paths)
    phases = {genotype, genotype[::-1]}
    for path, score in paths.items():
        more = _Score(*(mine + added for mine, added in zip(score, worth, strict=True)))
        used = (True, path.used[1]) if side == 0 else (path.used[0], True)
        for phase in sorted(phases, key=lambda edits: edits[0] is None):
            strands = [_applied(sequence, *each, side) for each in zip(path.strands, phase, strict=True)]
            if None not in strands:
                _keep(made, _Path(_pair(strand for strand in strands if strand), used), more)
    return made


def _applied(sequence: str, strand: _Strand, edit: Edit | None, side: int) -> _Strand | None:
    """The strand with an edit on one side; None where it overlaps another, or the sides differ then."""
    if edit is None:
        return strand
    if edit.first <= strand.busy[side]:
        return None
    spelled = sequence[strand.ends[side] : edit.start] + edit.alt
    return _spelled(strand, side, spelled, edit.end, edit.last)


def _spelled(strand: _Strand, side: int, text: str, end: int, busy: int) -> _Strand | None:
    lead, leader = strand.lead, strand.leader
    if not lead or leader == side:
        lead, leader = lead + text, side
    elif lead.startswith(text):
        lead = lead[len(text) :]
    elif text.startswith(lead):
        lead, leader = text[len(lead) :], side
    else:
        return None
    ends, last = list(strand.ends), list(strand.busy)
    ends[side], last[side] = end, busy
    return _Strand((ends[0], ends[1]), (last[0], last[1]), lead, leader if lead else 0)


def _advanced(sequence: str, paths: Paths, place: int) -> Paths:
    """The paths whose sides still agree when all of them have come to a place in the reference."""
    made: Paths = {}
    for path, score in paths.items():
        strands = [_strand_at(sequence, strand, place) for strand in path.strands]
        if None in strands:
            continue
        moved = _Path(_pair(strand for strand in strands if strand), path.used)
        if _together(moved):
            if moved.used[0] != moved.used[1]:
                continue  # Records of one side alone that undo each other: they spell the reference.
            moved = moved._replace(used=(False, False))
        _keep(made, moved, score)
    return made


def _strand_at(sequence: str, strand: _Strand, place: int) -> _Strand | None:
    moved: _Strand | None = strand
    for side in (0, 1):
        if moved is not None and moved.ends[side] < place:
            moved = _spelled(moved, side, sequence[moved.ends[side] : place], place, moved.busy[side])
    if moved is None:
        return None
    # What ended before this place stands in nobody's way; paths that differ in it alone are one.
    first, second = (max(busy, 2 * place - 1) for busy in moved.busy)
    return moved._replace(busy=(first, second))


def _together(path: _Path) -> bool:
    ends = {end for strand in path.strands for end in strand.ends}
    return len(ends) == 1 and not any(strand.lead for strand in path.strands)


def _pair(strands: Iterable[_Strand] | Iterator[_Strand]) -> tuple[_Strand, _Strand]:
    first, second = sorted(strands)
    return first, second


def _keep(paths: Paths, path: _Path, score: _Score) -> None:
    known = paths.get(path)
    if known is None or score > known:
        paths[path] = score


def _most(paths: Paths) -> Paths:
    if len(paths) <= MOST_PATHS:
        return paths
    return dict(sorted(paths.items(), key=lambda item: item[1], reverse=True)[:MOST_PATHS])


# Changes of a sequence, without the bases around them that VCF writes along.


class Edit(NamedTuple):
    """The bases from `start` to before `end`, counted from 0, become `alt`."""

    start: int
    end: int
    alt: str

    @property
    def first(self) -> int:
        """Where it begins, in halves of bases: an insertion lies between two of them."""
        return 2 * self.start + (self.end > self.start)

    @property
    def last(self) -> int:
        """Where it ends, in halves of bases."""
        return 2 * self.end - (self.end > self.start)


def trimmed(start: int, ref: str, alt: str) -> Edit:
    """An allele without the bases at its ends that do not change.

    Parameters
    ----------
    start
        First base of `ref`, counted from 0.
    ref, alt
        Different alleles.
    """
    end = start + len(ref)
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt, end = ref[:-1], alt[:-1], end - 1
    shared = 0
    while shared < min(len(ref), len(alt)) and ref[shared] == alt[shared]:
        shared += 1
    return Edit(start + shared, end, alt[shared:])


def leftmost(sequence: str, edit: Edit) -> Edit:
    """The same change written as far to the left as it goes; other than pure insertions and deletions stay.

    References
    ----------
    Tan A, Abecasis GR, Kang HM. Unified representation of genetic variants. Bioinformatics 31, 2202-2204 (2015).
    """
    start, end, alt = edit
    if alt and start < end:
        return edit
    while start > 0 and sequence[start - 1] == (alt or sequence[start:end])[-1]:
        start, end = start - 1, end - 1
        alt = alt and alt[-1] + alt[:-1]
    return Edit(start, end, alt)


def reach(sequence: str, edit: Edit) -> tuple[int, int]:
    """First and last place over which a change can be written: an indel moves through the repeat that it lies in."""
    start, end, alt = edit
    if alt and start < end:
        return start, end
    if alt:
        right, unit = end, alt
        while right < len(sequence) and sequence[right] == unit[(right - end) % len(unit)]:
            right += 1
    else:
        right = end
        while right < len(sequence) and sequence[right] == sequence[right - (end - start)]:
            right += 1
    return leftmost(sequence, edit).start, right
