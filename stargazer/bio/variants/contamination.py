"""How many of a sample's reads are of somebody else: the most likely mixture of two people's genotypes.

Genotypes that were called do not tell: a site at which the stranger differs is called heterozygous as soon as he has
enough reads, and counts of homozygous sites are those of a block in many gVCFs. So reads are counted anew, at sites at
which people differ, and what explains them is a mixture of two unknown genotypes, both drawn as the rest of the cohort
makes them likely.

References
----------
Jun G et al. Detecting and estimating contamination of human DNA samples in sequencing and array-based genotype data.
Am J Hum Genet 91, 839-848 (2012): the likelihood, as VerifyBamID has it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bio.variants.kinship import read_sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Group = tuple[int, int, int, list[float]]

__all__ = ["Marker", "Mixture", "estimate_mixture", "find_markers"]

MOST_MARKERS = 2_000
HETEROZYGOSITY = (0.3, 0.18, 0.1)
"""Shares of the people who are heterozygous at a marker; those of the first are taken if there are enough of them."""

LEAST_MARKERS, LEAST_DEPTH = 30, 4
"""Markers from which on an estimate is made, and reads from which on one counts."""

ALTERNATIVE, REFERENCE = 0.5, 1.0
"""Alleles that are thought to have been seen before anybody was: a cohort of three has seen few."""

ERRORS = (0.0005, 0.002, 0.006)
SHARES = (0.0, 0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.3, 0.4, 0.5)
STEPS = 14
GOLDEN = (math.sqrt(5) - 1) / 2
GENOTYPES = tuple(itertools.product(range(3), repeat=2))
"""Copies of the alternative allele of the sample and of the stranger."""


class Marker(NamedTuple):
    """A site at which people differ in one base.

    Parameters
    ----------
    contig, position
        Where; the first base is 1.
    ref, alt
        The bases.
    alts, alleles
        Alternative alleles among those that were called in the other samples of the cohort.
    """

    contig: str
    position: int
    ref: str
    alt: str
    alts: int
    alleles: int


class Mixture(NamedTuple):
    """What explains the reads of a sample best.

    Parameters
    ----------
    share
        Share of the reads that are of somebody else, 0 to 0.5; NaN where there are too few markers.
    error
        Share of the bases at a marker that were read wrongly.
    support
        By how much (natural logarithm of likelihoods) the mixture explains the reads better than one person does.
    markers
        Markers with enough reads.
    """

    share: float
    error: float
    support: float
    markers: int


def find_markers(vcf: Path, sample: str) -> list[Marker]:
    """Choose the sites of a joint callset at which reads of a stranger would show in a sample.

    Parameters
    ----------
    vcf
        Joint calls of the cohort.
    sample
        The sample, whose own genotypes do not count.
    """
    samples, sites = read_sites(vcf)
    own = samples.index(sample) if sample in samples else -1
    found = []
    for site in sites:
        copies = [one for number, one in enumerate(site.copies) if number != own and one is not None]
        found.append(Marker(site.contig, site.position, site.ref, site.alt, sum(copies), 2 * len(copies)))
    if len(found) <= MOST_MARKERS:
        return found
    shares = [_heterozygosity(one) for one in found]
    for least in (*HETEROZYGOSITY, 0.0):
        kept = [one for one, share in zip(found, shares, strict=True) if share >= least]
        if len(kept) >= MOST_MARKERS:
            break
    return [kept[number * len(kept) // MOST_MARKERS] for number in range(MOST_MARKERS)]


def _heterozygosity(marker: Marker) -> float:
    share = (marker.alts + ALTERNATIVE) / (marker.alleles + ALTERNATIVE + REFERENCE)
    return 2 * share * (1 - share)


def estimate_mixture(markers: Sequence[Marker], reads: Mapping[tuple[str, int], tuple[int, int]]) -> Mixture:
    """Find the share of a stranger's reads that makes the reads of a sample most likely.

    Parameters
    ----------
    markers
        What `find_markers` gives.
    reads
        Reads of the reference base and of the other one, by contig and position of a marker.
    """
    counted = Counter(
        (marker.alts, marker.alleles, *pair)
        for marker in markers
        if sum(pair := reads.get((marker.contig, marker.position), (0, 0))) >= LEAST_DEPTH
    )
    known = sum(counted.values())
    if known < LEAST_MARKERS:
        return Mixture(math.nan, math.nan, math.nan, known)
    groups: list[Group] = [
        (times, ref, alt, _weights(alts, alleles)) for (alts, alleles, ref, alt), times in counted.items()
    ]
    tried = {(share, error): _likelihood(groups, share, error) for share in SHARES for error in ERRORS}
    share, error = max(tried, key=lambda pair: tried[pair])
    alone = max(tried[0.0, other] for other in ERRORS)
    place = SHARES.index(share)
    low, high = SHARES[max(place - 1, 0)], SHARES[min(place + 1, len(SHARES) - 1)]
    best, value = _highest(groups, low, high, error)
    return Mixture(best, error, max(value - alone, 0.0), known)


def _weights(alts: int, alleles: int) -> list[float]:
    """Logarithms of how likely pairs of genotypes are: four alleles, of which as many were seen among others."""
    a, b = ALTERNATIVE + alts, REFERENCE + alleles - alts
    found = []
    for one, another in GENOTYPES:
        copies = one + another
        drawn = math.prod(a + number for number in range(copies)) * math.prod(
            b + number for number in range(4 - copies)
        )
        ways = math.comb(2, one) * math.comb(2, another)
        found.append(math.log(ways * drawn / math.prod(a + b + number for number in range(4))))
    return found


def _likelihood(groups: Iterable[Group], share: float, error: float) -> float:
    """Logarithm of how likely the reads are, if such a share is a stranger's."""
    shown = (error, 0.5, 1 - error)
    chances = [(1 - share) * shown[one] + share * shown[another] for one, another in GENOTYPES]
    logarithms = [(math.log(chance), math.log(1 - chance)) for chance in chances]
    total = 0.0
    for times, ref, alt, weights in groups:
        terms = [weight + alt * yes + ref * no for weight, (yes, no) in zip(weights, logarithms, strict=True)]
        most = max(terms)
        total += times * (most + math.log(sum([math.exp(term - most) for term in terms])))
    return total


def _highest(groups: Sequence[Group], low: float, high: float, error: float) -> tuple[float, float]:
    """The likeliest share between two, and its likelihood, by golden sections; the ends count as well."""
    tried = {share: _likelihood(groups, share, error) for share in (low, high)}
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    for _ in range(STEPS):
        for share in (left, right):
            if share not in tried:
                tried[share] = _likelihood(groups, share, error)
        if tried[left] >= tried[right]:
            high, right = right, left
            left = high - GOLDEN * (high - low)
        else:
            low, left = left, right
            right = low + GOLDEN * (high - low)
    best = max(tried, key=lambda share: (tried[share], -share))
    return best, tried[best]
