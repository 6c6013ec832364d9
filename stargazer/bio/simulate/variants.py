"""Variants of a cohort, as a population has them.

References
----------
Fu YX. Statistical properties of segregating sites. Theor Popul Biol 48, 172-197 (1995): of n sequences, i carry
the derived allele at a share of sites that falls as 1/i.
1000 Genomes Project Consortium. A global reference for human genetic variation. Nature 526, 68-74 (2015):
transitions to transversions about 2.1.
Montgomery SB et al. The origin, evolution, and functional impact of short insertion-deletion variants.
Genome Res 23, 749-761 (2013): half of the short indels lie in 4 % of the genome, in tandem repeats.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bio.simulate.draw import Draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stargazer.bio.simulate.genome import Genome

__all__ = ["TANDEM", "Site", "apply", "draw_sites", "left_aligned"]

BASES = "ACGT"
TRANSITION = {"A": "G", "G": "A", "C": "T", "T": "C"}
TRANSITION_SHARE = 2 / 3
TANDEM = re.compile(r"([ACGT])\1{6,}|([ACGT]{2,5}?)\2{3,}")
"""A tandem repeat: one base seven times, or a longer unit four times."""

MARGIN = 300
"""Bases at the ends of contigs and gaps that carry no variant: no read pair lies across them."""

KINDS = {"snv": 0.86, "indel": 0.115, "two_snvs": 0.015, "snv_by_indel": 0.006, "snv_under_deletion": 0.004}
TANDEM_SHARE = 0.12
"""Share of the tandem repeats whose length varies in the cohort."""


class Site(NamedTuple):
    """One record of the truth.

    Parameters
    ----------
    contig
        Name of the contig.
    start
        First base of `ref`, counted from 0.
    ref
        Bases of the reference.
    alts
        Other alleles, one or two.
    alleles
        Allele of each haplotype, 0 for `ref`; two haplotypes a sample.
    """

    contig: str
    start: int
    ref: str
    alts: tuple[str, ...]
    alleles: tuple[int, ...]

    @property
    def end(self) -> int:
        """First base after `ref`, counted from 0."""
        return self.start + len(self.ref)


def left_aligned(sequence: str, start: int, ref: str, alt: str) -> tuple[int, str, str]:
    """The leftmost and shortest way to write a variant.

    Parameters
    ----------
    sequence
        Reference contig.
    start
        First base of `ref` on it, counted from 0.
    ref, alt
        The two alleles, both with at least one base.

    References
    ----------
    Tan A, Abecasis GR, Kang HM. Unified representation of genetic variants. Bioinformatics 31, 2202-2204 (2015).
    """
    while ref[-1] == alt[-1] and (min(len(ref), len(alt)) > 1 or start > 0):
        ref, alt = ref[:-1], alt[:-1]
        if not ref or not alt:
            start -= 1
            ref, alt = sequence[start] + ref, sequence[start] + alt
    while min(len(ref), len(alt)) > 1 and ref[0] == alt[0]:
        start, ref, alt = start + 1, ref[1:], alt[1:]
    return start, ref, alt


def _snv(draw: Draw, base: str) -> str:
    if draw.uniform() < TRANSITION_SHARE:
        return TRANSITION[base]
    return draw.one_of([other for other in BASES if other not in (base, TRANSITION[base])])


def _indel_length(draw: Draw) -> int:
    return min(40, 1 + int(draw.exponential(3)))


class _Cohort:
    """Draws the alleles of a cohort's haplotypes."""

    def __init__(self, draw: Draw, haplotypes: int) -> None:
        self._draw, self._haplotypes = draw, haplotypes

    def carriers(self) -> list[int]:
        """Haplotypes that carry a derived allele."""
        counts = range(1, self._haplotypes + 1)
        count = self._draw.weighted(counts, [1 / count for count in counts])
        return self._draw.some_of(range(self._haplotypes), count)

    def alleles(self, alternatives: int) -> tuple[int, ...]:
        """Allele of each haplotype; every one of the `alternatives` occurs."""
        while True:
            alleles = [0] * self._haplotypes
            for allele in range(1, alternatives + 1):
                for haplotype in self.carriers():
                    alleles[haplotype] = allele
            if set(range(1, alternatives + 1)) <= set(alleles):
                return tuple(alleles)


def _alternatives(draw: Draw, sequence: str, start: int) -> tuple[str, tuple[str, ...]]:
    """REF and ALT of a variant outside tandem repeats that starts at `start`."""
    kind = draw.weighted(tuple(KINDS), tuple(KINDS.values()))
    base = sequence[start]
    if kind == "snv":
        return base, (_snv(draw, base),)
    if kind == "two_snvs":
        first = TRANSITION[base]
        return base, (first, draw.one_of([other for other in BASES if other not in (base, first)]))
    deleted = sequence[start : start + 1 + _indel_length(draw)]
    if kind == "snv_by_indel":
        return deleted + sequence[start + len(deleted)], (_snv(draw, base) + sequence[start + len(deleted)],)
    if kind == "snv_under_deletion":
        changed = draw.between(1, len(deleted) - 1)
        return deleted, (base, deleted[:changed] + _snv(draw, deleted[changed]) + deleted[changed + 1 :])
    if draw.uniform() < 0.55:
        return deleted, (base,)
    return base, (base + "".join(draw.one_of(BASES) for _ in range(_indel_length(draw))),)


def _repeat_alternatives(draw: Draw, repeat: str, unit: str) -> tuple[str, tuple[str, ...]]:
    """REF and ALT, without the base before, of a repeat that gains or loses units."""
    changes = [change for change in (-3, -2, -1, 1, 2, 3) if len(repeat) + change * len(unit) >= len(unit)]
    weights = [1 / change**2 for change in changes]
    first = draw.weighted(changes, weights)
    chosen = {first} | ({draw.weighted(changes, weights)} if draw.uniform() < 0.25 else set())
    removed = unit * max(0, -min(chosen))
    return removed, tuple(removed + unit * change if change > 0 else removed[: change * len(unit)] for change in chosen)


_Candidate = tuple[int, str, tuple[str, ...]]


def _point_variants(draw: Draw, sequence: str, spacing: float) -> Iterator[_Candidate]:
    start = int(draw.exponential(spacing))
    while start < len(sequence) - MARGIN:
        if sequence[start] in BASES:
            ref, alts = _alternatives(draw, sequence, start)
            if len(alts) > 1:
                yield start, ref, alts
            else:
                place, ref, alt = left_aligned(sequence, start, ref, alts[0])
                yield place, ref, (alt,)
        start += 1 + int(draw.exponential(spacing))


def _tandem_variants(draw: Draw, sequence: str) -> Iterator[_Candidate]:
    for match in TANDEM.finditer(sequence):
        if draw.uniform() < TANDEM_SHARE and match.start():
            before = sequence[match.start() - 1]
            ref, alts = _repeat_alternatives(draw, match[0], match[1] or match[2])
            yield match.start() - 1, before + ref, tuple(before + alt for alt in alts)


def _callable(sequence: str, start: int, end: int) -> bool:
    around = sequence[max(0, start - MARGIN) : end + MARGIN]
    return start >= MARGIN and end <= len(sequence) - MARGIN and "N" not in around


def draw_sites(genome: Genome, samples: int, seed: str, spacing: float = 400.0) -> list[Site]:
    """Variants of a cohort.

    Parameters
    ----------
    genome
        The reference.
    samples
        Diploid individuals.
    seed
        The same seed gives the same variants.
    spacing
        Mean distance of two variants outside tandem repeats, in bases.

    Returns
    -------
    list of Site
        In the order of the genome, left-aligned; none overlaps another.
    """
    draw = Draw(f"variants {seed}")
    cohort = _Cohort(draw, 2 * samples)
    sites: list[Site] = []
    for contig, sequence in genome.items():
        end = 0
        for start, ref, alts in sorted([*_point_variants(draw, sequence, spacing), *_tandem_variants(draw, sequence)]):
            if start > end and _callable(sequence, start, start + len(ref)):
                sites.append(Site(contig, start, ref, alts, cohort.alleles(len(alts))))
                end = sites[-1].end
    return sites


def apply(genome: Mapping[str, str], sites: list[Site], haplotype: int) -> dict[str, str]:
    """Sequence of one haplotype: the genome with that haplotype's alleles."""
    pieces: dict[str, list[str]] = {contig: [] for contig in genome}
    ends = dict.fromkeys(genome, 0)
    for site in sites:
        sequence = genome[site.contig]
        allele = site.alleles[haplotype]
        pieces[site.contig] += [sequence[ends[site.contig] : site.start], site.alts[allele - 1] if allele else site.ref]
        ends[site.contig] = site.end
    return {contig: "".join([*pieces[contig], sequence[ends[contig] :]]) for contig, sequence in genome.items()}
