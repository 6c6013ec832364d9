"""Who is who in a joint callset: kinship of pairs, and reads of others among the reads of a sample.

References
----------
Manichaikul A et al. Robust relationship inference in genome-wide association studies. Bioinformatics 26, 2867-2873
(2010): KING-robust, and the limits between degrees of kinship.
Lu W et al. CHARR efficiently estimates contamination from DNA sequencing data. Am J Hum Genet 110, 2068-2076 (2023).
"""

from __future__ import annotations

import gzip
import itertools
import math
import zlib
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import lines_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Kinship", "Person", "kinships", "read_people", "relation"]

LEAST_DEPTH, LEAST_QUALITY = 8, 20
"""Reads over a site, and Phred score of its genotype, from which on it counts."""

SEXUAL = ("chrX", "X", "chrY", "Y", "chrM", "MT", "M")
MOST_SITES = 200_000
BASES = frozenset("ACGT")
DEGREES = {"the same": 0.354, "first degree": 0.177, "second degree": 0.0884, "third degree": 0.0442}
"""Kinship from which on two samples are related so, and no closer."""


class Person(NamedTuple):
    """What one sample's genotypes say, over the same sites for all; each site is a bit.

    Parameters
    ----------
    known, het, other
        Sites with a genotype that counts, heterozygous ones, and those of two alternative alleles.
    alien, expected
        Reads at homozygous sites that show the other allele, and how many reads would if all were those of others.
    sites
        Homozygous sites that these were counted at.
    """

    known: int
    het: int
    other: int
    alien: int
    expected: float
    sites: int

    @property
    def contamination(self) -> float:
        """Share of the reads that are of others; NaN where nothing tells."""
        return self.alien / self.expected if self.expected >= 1 else math.nan


class Kinship(NamedTuple):
    """How two samples are related.

    Parameters
    ----------
    one, another
        The samples.
    kinship
        KING's robust coefficient: 0.5 the same or twins, 0.25 parent and child or sibs, 0 unrelated; NaN where no site
        tells.
    opposite
        Share of the common sites at which both are homozygous for different alleles; 0 of parent and child.
    sites
        Sites at which one of them is heterozygous.
    """

    one: str
    another: str
    kinship: float
    opposite: float
    sites: int


class _Site(NamedTuple):
    """Genotypes of a biallelic SNV: copies of the alternative allele, or None, and reads of both alleles."""

    copies: list[int | None]
    reads: list[tuple[int, int] | None]


def read_people(vcf: Path) -> dict[str, Person]:
    """Read the autosomal biallelic SNVs of a joint callset.

    Parameters
    ----------
    vcf
        Compressed by bgzip or gzip, or not; with GT, and GQ, DP and AD as far as the caller gives them.

    Raises
    ------
    DataError
        It has no samples, or cannot be read.
    """
    lines = _lines(vcf)
    columns = next((line for line in lines if line.startswith("#CHROM")), "")
    samples = columns.rstrip("\r\n").split("\t")[9:]
    if not samples:
        raise DataError(f"{vcf.name} has no samples")
    bits = {name: [0, 0, 0] for name in samples}
    aliens: dict[str, list[float]] = {name: [0, 0.0, 0] for name in samples}
    for number, site in enumerate(itertools.islice(_sites(lines), MOST_SITES)):
        bit = 1 << number
        for name, copies in zip(samples, site.copies, strict=True):
            if copies is not None:
                found = bits[name]
                found[0] |= bit
                found[1] |= bit * (copies == 1)
                found[2] |= bit * (copies == 2)
        _count_aliens(site, samples, aliens)
    return {name: _person(bits[name], aliens[name]) for name in samples}


def _person(bits: Sequence[int], aliens: Sequence[float]) -> Person:
    known, het, other = bits
    alien, expected, sites = aliens
    return Person(known, het, other, int(alien), expected, int(sites))


def _count_aliens(site: _Site, samples: Sequence[str], aliens: Mapping[str, list[float]]) -> None:
    total, called = sum(one for one in site.copies if one is not None), sum(one is not None for one in site.copies)
    for name, copies, reads in zip(samples, site.copies, site.reads, strict=True):
        if copies not in (0, 2) or reads is None or not sum(reads):
            continue
        # The share of the other allele among all others; of few, pulled to the middle.
        share = (total - copies + 0.5) / (2 * (called - 1) + 1)
        share = share if copies == 0 else 1 - share
        found = aliens[name]
        found[0] += reads[1] if copies == 0 else reads[0]
        found[1] += sum(reads) * share
        found[2] += 1


def _lines(vcf: Path) -> Iterator[str]:
    with vcf.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(vcf, "rt", encoding="utf-8") if packed else vcf.open(encoding="utf-8") as file:
            yield from lines_of(file, vcf.name)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{vcf.name} cannot be read as VCF: {error}") from error


def _sites(lines: Iterator[str]) -> Iterator[_Site]:
    for line in lines:
        contig, _, _, ref, alt, _, passed, _, form, *fields = line.rstrip("\r\n").split("\t")
        if ref not in BASES or alt not in BASES or passed not in (".", "PASS") or contig in SEXUAL:
            continue
        keys = {key: place for place, key in enumerate(form.split(":"))}
        found = [_genotype(field.split(":"), keys) for field in fields]
        yield _Site([copies for copies, _ in found], [reads for _, reads in found])


def _genotype(values: Sequence[str], keys: Mapping[str, int]) -> tuple[int | None, tuple[int, int] | None]:
    alleles = values[keys["GT"]].replace("|", "/").split("/") if "GT" in keys else []
    reads = _reads(values, keys)
    depth = _number(values, keys, "DP", sum(reads) if reads else LEAST_DEPTH)
    quality = _number(values, keys, "GQ", LEAST_QUALITY)
    if len(alleles) != 2 or "." in alleles or depth < LEAST_DEPTH or quality < LEAST_QUALITY:
        return None, None
    return sum(allele != "0" for allele in alleles), reads


def _reads(values: Sequence[str], keys: Mapping[str, int]) -> tuple[int, int] | None:
    place = keys.get("AD", len(values))
    counts = values[place].split(",") if place < len(values) else []
    return (int(counts[0]), int(counts[1])) if len(counts) == 2 and all(map(str.isdecimal, counts)) else None


def _number(values: Sequence[str], keys: Mapping[str, int], key: str, default: int) -> int:
    place = keys.get(key, len(values))
    return int(values[place]) if place < len(values) and values[place].isdecimal() else default


def kinships(people: Mapping[str, Person]) -> list[Kinship]:
    """KING's robust kinship of every pair, in the order of the samples.

    Parameters
    ----------
    people
        What `read_people` gives.
    """
    names = list(people)
    return [
        _kinship(one, another, people[one], people[another])
        for place, one in enumerate(names)
        for another in names[place + 1 :]
    ]


def _kinship(one: str, another: str, a: Person, b: Person) -> Kinship:
    common = a.known & b.known
    hets = ((a.het & common).bit_count(), (b.het & common).bit_count())
    both = (a.het & b.het).bit_count()
    plain_a, plain_b = common & ~a.het & ~a.other, common & ~b.het & ~b.other
    opposite = ((a.other & plain_b) | (b.other & plain_a)).bit_count()
    fewer, sites = min(hets), ((a.het | b.het) & common).bit_count()
    share = opposite / common.bit_count() if common else math.nan
    if not fewer:
        return Kinship(one, another, math.nan, share, sites)
    value = (both - 2 * opposite) / (2 * fewer) + 0.5 - 0.25 * sum(hets) / fewer
    return Kinship(one, another, value, share, sites)


def relation(kinship: float) -> str:
    """The degree of kinship that a coefficient speaks for; empty where it is no number."""
    if math.isnan(kinship):
        return ""
    return next((name for name, least in DEGREES.items() if kinship >= least), "unrelated")
