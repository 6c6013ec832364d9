"""Paired short reads of one individual, with what makes real ones hard.

Qualities fall along the read and come in the four bins of current machines; a base of quality q is wrong with
probability 10^(-q/10). Copying slips in tandem repeats (stutter). Fragments are amplified unevenly by their GC, some
are sequenced twice (PCR duplicates), some clusters are read twice (optical duplicates), some fragments are shorter
than a read (adapter at its end), some join two places (chimeras), and some come from elsewhere.

References
----------
Fazekas AJ, Steeves R, Newmaster SG. Improving sequencing quality from PCR products containing long mononucleotide
repeats. BioTechniques 48, 277-285 (2010).
Ewing B, Green P. Base-calling of automated sequencer traces using Phred. II. Genome Res 8, 186-194 (1998).
Benjamini Y, Speed TP. Summarizing and correcting the GC content bias in high-throughput sequencing.
Nucleic Acids Res 40, e72 (2012).
Illumina. NovaSeq 6000 System Quality Scores and RTA3 Software (2017): quality bins 2, 12, 23, 37.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bio.simulate.genome import reverse_complement
from stargazer.bio.simulate.variants import TANDEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stargazer.bio.simulate.draw import Draw

__all__ = ["Library", "Pair", "draw_pairs"]

READ_LENGTH = 150
INSERT_MEAN, INSERT_DEVIATION = 420.0, 90.0
SHORTEST_INSERT, LONGEST_INSERT = 70, 1000
SHORT_INSERTS = 0.01
"""Share of the fragments that are shorter than a read."""
PCR_DUPLICATES, OPTICAL_DUPLICATES = 0.06, 0.01
CHIMERAS, FOREIGN = 0.002, 0.004
STUTTER = 0.0015
"""Chance that a copy of a tandem repeat has a unit more or less, for each unit beyond the shortest repeat."""
ADAPTERS = (
    "AGATCGGAAGAGCACACGTCTGAACTCCAGTCACATCACGATCTCGTATGCCGTCTTCTGCTTG",
    "AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGTAGATCTCGGTGGTCGCCGTATCATTAAAAAA",
)

BINS = (37, 23, 12, 2)
PROFILES = 2048
"""Quality strings that the reads of one library share, each end its own."""

OTHERS = {"A": "CGT", "C": "AGT", "G": "ACT", "T": "ACG"}


class Library(NamedTuple):
    """What is sequenced.

    Parameters
    ----------
    haplotypes
        The individual's two genomes.
    depth
        Mean number of reads over a base.
    lanes
        Lanes over which the library is spread.
    flowcell
        Name of the flow cell, part of every read's name.
    """

    haplotypes: tuple[Mapping[str, str], Mapping[str, str]]
    depth: float
    lanes: int = 1
    flowcell: str = "HSIMULDSX"


class Pair(NamedTuple):
    """One pair of reads: its lane and name, and bases and qualities of both ends."""

    lane: int
    name: str
    first: tuple[str, str]
    second: tuple[str, str]


class _Profile(NamedTuple):
    """A quality string, and the sum of -ln(1 - error probability) up to each of its bases."""

    quality: str
    hazard: list[float]


def _profile(draw: Draw, decay: float) -> _Profile:
    """Qualities start high and stay where they are, mostly; they leave the best bin more often late in the read."""
    level = 0
    qualities: list[int] = []
    weak = draw.uniform() ** 4
    for cycle in range(READ_LENGTH):
        drop = 0.004 + decay * (cycle / READ_LENGTH) ** 2 + 0.05 * weak
        if draw.uniform() < drop:
            level = min(level + 1 + (draw.uniform() < 0.3), 2 + (draw.uniform() < 0.05))
        elif level and draw.uniform() < 0.55:
            level = 0
        qualities.append(BINS[level])
    hazard = accumulate(-math.log1p(-min(0.75, 10 ** (-quality / 10))) for quality in qualities)
    return _Profile("".join(chr(33 + quality) for quality in qualities), list(hazard))


def _sequenced(draw: Draw, fragment: str, adapter: str, profile: _Profile) -> tuple[str, str]:
    """One read from the start of a fragment: each base wrong with the probability that its quality says."""
    bases = (fragment + adapter + "A" * READ_LENGTH)[:READ_LENGTH]
    reached = draw.exponential(1.0)
    while reached < profile.hazard[-1]:
        place = bisect_left(profile.hazard, reached)
        wrong = draw.one_of(OTHERS[bases[place]])
        bases = bases[:place] + wrong + bases[place + 1 :]
        reached = profile.hazard[place] + draw.exponential(1.0)
    return bases, profile.quality


class _Contig:
    """One contig of a haplotype, and where its tandem repeats are."""

    def __init__(self, sequence: str) -> None:
        self.sequence = sequence
        self._repeats = list(TANDEM.finditer(sequence))
        self._starts = [repeat.start() for repeat in self._repeats]

    def copy(self, draw: Draw, start: int, end: int) -> str:
        """A copy of a piece; in the tandem repeats that it holds, the polymerase may slip."""
        inside = slice(bisect_left(self._starts, start), bisect_left(self._starts, end))
        pieces: list[str] = []
        for repeat in self._repeats[inside]:
            if repeat.end() <= end and (slipped := _slipped(draw, repeat[0], repeat[1] or repeat[2])):
                pieces += [self.sequence[start : repeat.start()], slipped]
                start = repeat.end()
        return "".join([*pieces, self.sequence[start:end]])


def _slipped(draw: Draw, repeat: str, unit: str) -> str:
    """A tandem repeat with a unit more or less, or nothing where the copy is true."""
    units = len(repeat) // len(unit) - (6 if len(unit) == 1 else 3)
    if draw.uniform() >= STUTTER * units:
        return ""
    return repeat + unit if draw.uniform() < 0.35 else repeat[len(unit) :]


class _Fragments:
    """Draws pieces of DNA from an individual."""

    def __init__(self, draw: Draw, haplotypes: Sequence[Mapping[str, str]]) -> None:
        self._draw = draw
        sequences = [one for haplotype in haplotypes for one in haplotype.values() if len(one) > LONGEST_INSERT]
        self._contigs = [_Contig(sequence) for sequence in sequences]
        self._weights = [len(sequence) for sequence in sequences]

    def _length(self) -> int:
        if self._draw.uniform() < SHORT_INSERTS:
            return self._draw.between(SHORTEST_INSERT, READ_LENGTH)
        length = round(self._draw.normal(INSERT_MEAN, INSERT_DEVIATION))
        return min(max(SHORTEST_INSERT, length), LONGEST_INSERT)

    def _piece(self) -> str:
        """Sequence between two random places without N, on either strand; amplified as its GC allows."""
        while True:
            contig = self._draw.weighted(self._contigs, self._weights)
            length = self._length()
            start = self._draw.below(len(contig.sequence) - length)
            piece = contig.sequence[start : start + length]
            excess = (piece.count("G") + piece.count("C")) / length - 0.45
            if "N" not in piece and self._draw.uniform() < math.exp(-((excess / 0.3) ** 2)):
                piece = contig.copy(self._draw, start, start + length)
                return piece if self._draw.uniform() < 0.5 else reverse_complement(piece)

    def __call__(self) -> str:
        chance = self._draw.uniform()
        if chance < FOREIGN:
            return "".join(self._draw.one_of("ACGT") for _ in range(self._length()))
        piece = self._piece()
        if chance < FOREIGN + CHIMERAS:
            return piece[: len(piece) // 2] + self._piece()[-len(piece) // 2 :]
        return piece


def _clusters(draw: Draw, library: Library, count: int) -> Iterator[tuple[int, str, str]]:
    """Lane, name and fragment of each cluster on the flow cell."""
    fragments = _Fragments(draw, library.haplotypes)
    fragment = fragments()
    for number in range(count):
        if draw.uniform() >= PCR_DUPLICATES:
            fragment = fragments()
        lane = draw.between(1, library.lanes)
        tile, x, y = 1101 + draw.below(78), draw.between(1000, 32000), 1000 + number
        yield lane, f"A01001:7:{library.flowcell}:{lane}:{tile}:{x}:{y}", fragment
        if draw.uniform() < OPTICAL_DUPLICATES:
            yield lane, f"A01001:7:{library.flowcell}:{lane}:{tile}:{x + draw.between(5, 60)}:{y}", fragment


def draw_pairs(library: Library, draw: Draw) -> Iterator[Pair]:
    """Sequence one library.

    Parameters
    ----------
    library
        The individual, the depth, the lanes.
    draw
        Source of randomness.

    Yields
    ------
    Pair
        In no order of the genome. Names are unique, and give lane, tile and place as Illumina's do.
    """
    ends = [[_profile(draw, decay) for _ in range(PROFILES)] for decay in (0.02, 0.04)]
    bases = sum(len(sequence) - sequence.count("N") for sequence in library.haplotypes[0].values())
    count = int(library.depth * bases / (2 * READ_LENGTH))
    for lane, name, fragment in _clusters(draw, library, count):
        first = _sequenced(draw, fragment, ADAPTERS[0], draw.one_of(ends[0]))
        second = _sequenced(draw, reverse_complement(fragment), ADAPTERS[1], draw.one_of(ends[1]))
        yield Pair(lane, name, first, second)
