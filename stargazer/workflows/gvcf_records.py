"""What the records of a gVCF tell of the reference that it was called on, and of what no record tells.

A caller writes the base of its reference into every record, and a block for what is as the reference. So a gVCF of
another reference with contigs of the same names and lengths shows itself, as do places of which it says nothing: there
the genotype of its sample is unknown, whatever others have. Nothing else tells it: those who join gVCFs take each
record's word for its base, and what is not there for not called.

References
----------
VCF 4.2, https://samtools.github.io/hts-specs/VCFv4.2.pdf (sections 1.4.1, REF, and 5.5, gVCFs)
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.errors import DataError
from stargazer.tasks.regions import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Letters = NDArray[np.uint8]

__all__ = ["Bases", "Told", "read_records"]

LARGEST_WHOLE = 256 << 20
"""Bytes of a gVCF up to which all its records are read."""

LOOKS = 500
"""Places at which a larger one is looked at."""

PIECE = 8 << 20
"""Bytes of text that are looked at together."""

BLOCK = 64 << 10
"""Bytes of text of a block of BGZF, at most."""

START = re.compile(rb"\x1f\x8b\x08\x04")
"""How a block begins."""

LONGEST = 12
"""Digits of a position, at most."""

NEWLINE, TAB, SEMICOLON, EQUALS, HASH, COLON = b"\n\t;=#:"
ZERO = ord("0")
REF, ALT, INFO, FORMAT = 3, 4, 7, 8
"""Columns, from 0."""

LETTER = np.zeros(256, np.uint8)
"""A base in upper case; 0 of whatever else may stand there, such as N."""
for _base in b"ACGT":
    LETTER[_base] = LETTER[_base + 32] = _base


@dataclass(frozen=True)
class Bases:
    """The bases of a FASTA at any place.

    Parameters
    ----------
    path
        It, not compressed.
    index
        Of each contig its length, the place of its first base in the file, and bases and bytes of a line.
    """

    path: Path
    index: Mapping[str, tuple[int, int, int, int]]

    @classmethod
    def of(cls, path: Path, index: str) -> Bases:
        """A FASTA with the text of its index."""
        lines = (line.split("\t") for line in index.splitlines())
        return cls(path, {name: tuple(map(int, numbers[:4])) for name, *numbers in lines})  # type: ignore[misc]

    def at(self, contig: str, places: Numbers) -> Letters:
        """Bases of a contig at places that are counted from 0."""
        length, start, bases, width = self.index[contig]
        file = np.memmap(self.path, np.uint8, "r")
        offsets = start + places // bases * width + places % bases
        return np.where(places < length, LETTER[file[np.minimum(offsets, file.size - 1)]], 0).astype(np.uint8)


@dataclass
class Told:
    """What the records of a gVCF told.

    Parameters
    ----------
    whole
        Whether all of them were read.
    records, others
        How many were compared with the reference, and how many have another base than it.
    other
        The first of these, in words; empty if there is none.
    turned
        What is not sorted, in words.
    twice
        The first record that stands there again, with the same alleles; empty if there is none.
    blank
        Whether there are blank lines between records, or behind them.
    variants, bare
        Records with alleles of their own, and how many of them have no likelihoods (PL), from which genotypes are made.
    holes
        Between the first and the last base that is told of, contig by contig, in their order; and at their ends.
    """

    whole: bool
    records: int = 0
    others: int = 0
    other: str = ""
    turned: str = ""
    twice: str = ""
    blank: bool = False
    variants: int = 0
    bare: int = 0
    holes: list[Region] = field(default_factory=list)


def read_records(path: Path, lengths: Mapping[str, int], bases: Bases | None = None) -> Told:
    """Read the records of a gVCF, all of them or some of many.

    Parameters
    ----------
    path
        Compressed by bgzip, or not.
    lengths
        Contigs of the reference.
    bases
        Those of the reference, if they are at hand.

    Raises
    ------
    DataError
        It is damaged, or a record has no position.
    """
    whole = path.stat().st_size <= LARGEST_WHOLE
    reading = _Reading(Told(whole), lengths, bases)
    try:
        for piece in _pieces(path) if whole else _looks(path):
            reading.take(np.frombuffer(piece, np.uint8))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}") from error
    return reading.ended()


def _pieces(path: Path) -> Iterator[bytes]:
    """Whole lines, many at a time."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    rest = b""
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        while data := file.read(PIECE):
            lines, mark, tail = (rest + data).rpartition(b"\n")
            yield lines + mark
            rest = tail
    if rest:
        yield rest + b"\n"


def _looks(path: Path) -> Iterator[bytes]:
    """Whole lines of blocks that are spread over the file evenly."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        for place in range(0, size, max(1, size // LOOKS)):
            raw.seek(place)
            data = raw.read(2 * BLOCK)
            text = b"".join(_unpacked(data, found.start()) for found in START.finditer(data)) if packed else data
            yield text.partition(b"\n")[2].rpartition(b"\n")[0] + b"\n"


def _unpacked(data: bytes, start: int) -> bytes:
    """One block; nothing of what only looks like one, or is cut short."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(data[start:])
    except zlib.error:
        return b""
    return text if inflate.eof else b""


class _Reading:
    """Records that are read, one piece after the other."""

    def __init__(self, told: Told, lengths: Mapping[str, int], bases: Bases | None) -> None:
        self.told, self._lengths, self._bases = told, lengths, bases
        self._contig, self._start, self._end = "", 0, 0
        self._seen: set[str] = set()
        self._place, self._here = -1, set[str]()

    def take(self, text: Letters) -> None:
        """Look at whole lines; at none, where one is longer than a piece."""
        if not len(text):
            return
        ends = np.flatnonzero(text == NEWLINE)
        starts = np.concatenate(([0], ends[:-1] + 1))
        if self.told.whole and (ends == starts).any():  # looks may be empty
            self.told.blank = True
        kept = (ends > starts) & (text[starts] != HASH)
        if not kept.any():
            return
        lines = _Lines(text, starts[kept], ends[kept])
        places, letters = lines.positions(), LETTER[text[lines.column(REF)[0]]]
        last = lines.lasts(places)
        self._note_twice(lines, places)
        own = lines.have_alleles()
        self.told.variants += int(own.sum())
        self.told.bare += int((own & ~lines.have_likelihoods()).sum())
        for first, end in lines.contigs():
            name = lines.name(first)
            self._compare(name, places[first:end], letters[first:end])
            if self.told.whole:
                self._follow(name, places[first:end], last[first:end])

    def _note_twice(self, lines: _Lines, places: Numbers) -> None:
        """Note a record that was there before: where it is, those who join gVCFs lose genotypes of others."""
        again = np.flatnonzero(places[1:] == places[:-1])
        asked = sorted({0, len(places) - 1, *again.tolist(), *(again + 1).tolist()})
        for one, alleles in zip(asked, lines.alleles(asked), strict=True):
            if places[one] != self._place:
                self._place, self._here = int(places[one]), set()
            if alleles in self._here and not self.told.twice:
                self.told.twice = ":".join(alleles.split("\t")[:2])
            self._here.add(alleles)

    def ended(self) -> Told:
        """What was told, when there is no more."""
        self._close()
        self.told.holes += [Region(name, 0, size) for name, size in self._lengths.items() if name not in self._seen]
        return self.told

    def _compare(self, contig: str, places: Numbers, letters: Letters) -> None:
        """Count bases that are not those of the reference."""
        if self._bases is None or contig not in self._bases.index:
            return
        there = self._bases.at(contig, places)
        other = np.flatnonzero((there != letters) & (there > 0) & (letters > 0))
        self.told.records += len(places)
        self.told.others += len(other)
        if len(other) and not self.told.other:
            one = other[0]
            self.told.other = f"{contig}:{places[one] + 1:,} is {chr(letters[one])} there and {chr(there[one])} here"

    def _follow(self, contig: str, places: Numbers, last: Numbers) -> None:
        """Note what lies between records."""
        if contig != self._contig:
            self._close()
            self._note_order(contig in self._seen, f"{contig} is in two places")
            self._seen.add(contig)
            self._contig, self._start, self._end = contig, 0, 0
        before = np.concatenate(([self._start], places[:-1]))
        if len(back := np.flatnonzero(places < before)):
            one = back[0]
            self._note_order(True, f"{contig}:{places[one] + 1:,} comes after {contig}:{before[one] + 1:,}")
        reached = np.maximum.accumulate(np.concatenate(([self._end], last)))
        for one in np.flatnonzero(places > reached[:-1]):
            self.told.holes.append(Region(contig, int(reached[one]), int(places[one])))
        self._start, self._end = int(places[-1]), int(reached[-1])

    def _note_order(self, turned: bool, what: str) -> None:
        if turned and not self.told.turned:
            self.told.turned = what

    def _close(self) -> None:
        length = self._lengths.get(self._contig, 0)
        if self._end < length and self._contig:
            self.told.holes.append(Region(self._contig, self._end, length))


class _Lines:
    """Lines of records in a text, and where their columns are."""

    def __init__(self, text: Letters, starts: Numbers, ends: Numbers) -> None:
        self.text, self._starts, self._ends = text, starts, ends
        tabs = np.flatnonzero(text == TAB)
        first, behind = np.searchsorted(tabs, starts), np.searchsorted(tabs, ends)
        if len(short := np.flatnonzero(behind - first < INFO)):
            start = starts[short[0]]
            raise DataError(f"a record has fewer than {INFO + 1} columns: {_words(text, start, start + 60)!r}")
        self._tabs, self._first, self._count = tabs, first, behind - first

    def column(self, number: int) -> tuple[Numbers, Numbers]:
        """Where a column of each line begins and ends."""
        begins = self._tabs[self._first + number - 1] + 1 if number else self._starts
        more = self._count > number
        behind = np.where(more, self._tabs[np.minimum(self._first + number, len(self._tabs) - 1)], self._ends)
        return begins, behind

    def positions(self) -> Numbers:
        """Places from 0."""
        begins, _ = self.column(1)
        found, digits = _numbers(self.text, begins)
        if len(wrong := np.flatnonzero(digits == 0)):
            start = self._starts[wrong[0]]
            raise DataError(f"a record has no position: {_words(self.text, start, start + 60)!r}")
        return found - 1

    def lasts(self, places: Numbers) -> Numbers:
        """Places behind the last base that each is about: END, or the length of REF."""
        begins, behind = self.column(REF)
        reached = places + behind - begins
        signs = np.flatnonzero(self.text == EQUALS)
        signs = signs[signs > 3]
        text = self.text
        named = (text[signs - 1] == ord("D")) & (text[signs - 2] == ord("N")) & (text[signs - 3] == ord("E"))
        signs = signs[named & ((text[signs - 4] == SEMICOLON) | (text[signs - 4] == TAB))]
        lines = np.searchsorted(self._starts, signs, "right") - 1
        begins, behind = self.column(INFO)
        inside = (lines >= 0) & (signs > begins[lines]) & (signs < behind[lines])
        ends, _ = _numbers(text, signs[inside] + 1)
        np.maximum.at(reached, lines[inside], ends)
        return reached

    def have_alleles(self) -> NDArray[np.bool_]:
        """Whether each tells of a variant, and not of reference bases alone."""
        letters = self.text[self.column(ALT)[0]]
        return np.asarray((letters != ord("<")) & (letters != ord(".")))

    def have_likelihoods(self) -> NDArray[np.bool_]:
        """Whether FORMAT of each has PL."""
        text, found = self.text, np.zeros(len(self._starts), bool)
        begins, behind = self.column(FORMAT)
        signs = np.flatnonzero(text[1:-2] == ord("P")) + 1
        edges = np.isin(text[signs - 1], (TAB, COLON)) & np.isin(text[signs + 2], (TAB, COLON))
        signs = signs[(text[signs + 1] == ord("L")) & edges]
        lines = np.searchsorted(self._starts, signs, "right") - 1
        inside = (lines >= 0) & (signs >= begins[lines]) & (signs < behind[lines]) & (self._count[lines] >= FORMAT)
        found[lines[inside]] = True
        return found

    def alleles(self, lines: Sequence[int]) -> list[str]:
        """Contig, position, name, REF and ALT of lines."""
        _, behind = self.column(ALT)
        return [_words(self.text, self._starts[one], behind[one]) for one in lines]

    def contigs(self) -> Iterator[tuple[int, int]]:
        """First and last line, the last one not included, of each run of lines of one contig."""
        begins, behind = self.column(0)
        sizes = behind - begins
        changed = sizes[1:] != sizes[:-1]
        for place in range(int(sizes.max())):
            both = ~changed & (place < sizes[1:])
            letters = self.text[np.minimum(begins + place, len(self.text) - 1)]
            changed |= both & (letters[1:] != letters[:-1])
        edges = [0, *(np.flatnonzero(changed) + 1).tolist(), len(begins)]
        yield from itertools.pairwise(edges)

    def name(self, line: int) -> str:
        """Contig of a line."""
        begins, behind = self.column(0)
        return _words(self.text, begins[line], behind[line])


def _numbers(text: Letters, begins: Numbers) -> tuple[Numbers, Numbers]:
    """The numbers that stand at places of a text, and how many digits each has."""
    found, digits = np.zeros(len(begins), np.int64), np.zeros(len(begins), np.int64)
    going = np.ones(len(begins), bool)
    for place in range(LONGEST):
        letters = text[np.minimum(begins + place, len(text) - 1)].astype(np.int64) - ZERO
        going &= (letters >= 0) & (letters <= 9)
        if not going.any():
            break
        found = np.where(going, found * 10 + letters, found)
        digits += going
    return found, digits


def _words(text: Any, start: int, end: int) -> str:
    return bytes(text[start:end]).decode("utf-8", "replace").partition("\n")[0]
