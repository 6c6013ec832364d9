"""Who is who in a joint callset: kinship of pairs.

References
----------
Manichaikul A et al. Robust relationship inference in genome-wide association studies. Bioinformatics 26, 2867-2873
(2010): KING-robust, and the limits between degrees of kinship.
"""

from __future__ import annotations

import gzip
import math
import zlib
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import lines_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Kinship", "Person", "Site", "kinships", "read_people", "read_sites", "relation"]

LEAST_DEPTH, LEAST_QUALITY = 8, 20
"""Reads over a site, and Phred score of its genotype, from which on it counts."""

SEXUAL = ("chrX", "X", "chrY", "Y", "chrM", "MT", "M")
MOST_SITES = 200_000
"""Sites that are compared, spread over the genome."""

BASES = frozenset("ACGT")
DEGREES = {"the same": 0.354, "first degree": 0.177, "second degree": 0.0884, "third degree": 0.0442}
"""Kinship from which on two samples are related so, and no closer."""


class Person(NamedTuple):
    """What one sample's genotypes say, over the same sites for all; each site is a bit.

    Parameters
    ----------
    known, het, other
        Sites with a genotype that counts, heterozygous ones, and those of two alternative alleles.
    """

    known: int
    het: int
    other: int


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


class Site(NamedTuple):
    """A biallelic SNV, and the copies of the other base in each sample; None where a genotype does not count."""

    contig: str
    position: int
    ref: str
    alt: str
    copies: list[int | None]


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
    samples, sites = read_sites(vcf)
    chosen = _spread(site.copies for site in sites)
    columns = list(zip(*chosen, strict=True)) or [()] * len(samples)
    return {name: _person(copies) for name, copies in zip(samples, columns, strict=True)}


def _spread(sites: Iterable[list[int | None]]) -> list[list[int | None]]:
    """Sites at equal steps from the first to the last, not more than `MOST_SITES`.

    Those at the beginning would be a part of the first chromosome, which sibs share twice or not at all by chance.
    """
    chosen: list[list[int | None]] = []
    step = 1
    for number, copies in enumerate(sites):
        if number % step == 0:
            chosen.append(copies)
        if len(chosen) > MOST_SITES:
            chosen, step = chosen[::2], 2 * step
    return chosen


def _person(copies: Sequence[int | None]) -> Person:
    def bits(wanted: Callable[[int | None], bool]) -> int:
        return int("".join("01"[wanted(one)] for one in copies) or "0", 2)

    return Person(bits(lambda one: one is not None), bits(lambda one: one == 1), bits(lambda one: one == 2))


def read_sites(vcf: Path) -> tuple[list[str], Iterator[Site]]:
    """Samples of a joint callset, and its autosomal biallelic SNVs that no filter rejected; errors as `read_people`.

    Parameters
    ----------
    vcf
        As of `read_people`.
    """
    lines = _lines(vcf)
    columns = next((line for line in lines if line.startswith("#CHROM")), "")
    samples = columns.rstrip("\r\n").split("\t")[9:]
    if not samples:
        raise DataError(f"{vcf.name} has no samples")
    return samples, _sites(lines)


def _lines(vcf: Path) -> Iterator[str]:
    with vcf.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(vcf, "rt", encoding="utf-8") if packed else vcf.open(encoding="utf-8") as file:
            yield from lines_of(file, vcf.name)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{vcf.name} cannot be read as VCF: {error}") from error


def _sites(lines: Iterator[str]) -> Iterator[Site]:
    for line in lines:
        contig, position, _, ref, alt, _, passed, _, form, *fields = line.rstrip("\r\n").split("\t")
        if ref in BASES and alt in BASES and passed in (".", "PASS") and contig not in SEXUAL:
            keys = {key: place for place, key in enumerate(form.split(":"))}
            yield Site(contig, int(position), ref, alt, [_copies(field.split(":"), keys) for field in fields])


def _copies(values: Sequence[str], keys: Mapping[str, int]) -> int | None:
    """Copies of the alternative allele; None where the genotype is missing, or not to be trusted."""
    alleles = values[keys["GT"]].replace("|", "/").split("/") if "GT" in keys else []
    depth = _number(values, keys, "DP", _depth(values, keys))
    quality = _number(values, keys, "GQ", LEAST_QUALITY)
    if len(alleles) != 2 or "." in alleles or depth < LEAST_DEPTH or quality < LEAST_QUALITY:
        return None
    return sum(allele != "0" for allele in alleles)


def _depth(values: Sequence[str], keys: Mapping[str, int]) -> int:
    """Reads of all alleles; enough where they were not counted."""
    place = keys.get("AD", len(values))
    counts = values[place].split(",") if place < len(values) else []
    return sum(map(int, counts)) if counts and all(map(str.isdecimal, counts)) else LEAST_DEPTH


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
