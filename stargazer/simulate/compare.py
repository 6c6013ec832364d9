"""Calls beside the truth: precision, recall and F1 of genotypes, for SNVs and for indels.

Both sides are split into single alleles, left-aligned and trimmed; an allele is found if the sample carries it as often
in both. What is left over is compared as sequence: calls and truth that are written differently, but spell the same
two haplotypes, agree.

References
----------
Krusche P et al. Best practices for benchmarking germline small-variant calls in human genomes.
Nat Biotechnol 37, 555-560 (2019).
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stargazer.errors import DataError
from stargazer.simulate.spelling import Allele, agreeing, events
from stargazer.simulate.variants import left_aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stargazer.simulate.genome import Genome

__all__ = ["Accuracy", "Comparison", "compare", "read_genotypes"]

Genotypes = dict[str, dict[Allele, int]]
"""How often each sample carries each alternative allele: 1 or 2."""


@dataclass(frozen=True)
class Accuracy:
    """Alleles of all samples, counted.

    Parameters
    ----------
    found
        Alleles of the truth that were called with the right genotype (true positives).
    wrong
        Called alleles that are not so in the truth (false positives).
    missed
        Alleles of the truth that were not called so (false negatives).
    """

    found: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(self.found + other.found, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Share of the calls that are right; 1 where there are none."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was called; 1 where there is none."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = 2 * self.found + self.wrong + self.missed
        return 2 * self.found / both if both else 1.0


@dataclass(frozen=True)
class Comparison:
    """Accuracy of SNVs and of indels, and of all of them together."""

    snv: Accuracy
    indel: Accuracy

    @property
    def total(self) -> Accuracy:
        """Both kinds."""
        return self.snv + self.indel


def _lines(path: Path) -> Iterator[list[str]]:
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt") if compressed else open(path) as file:
        yield from (line.rstrip("\n").split("\t") for line in file if not line.startswith("##"))


def _primitives(sequence: str, contig: str, start: int, ref: str, alt: str) -> Iterator[Allele]:
    if len(ref) == len(alt):
        changed = (place for place in range(len(ref)) if ref[place] != alt[place])
        yield from (Allele(contig, start + place, ref[place], alt[place]) for place in changed)
    else:
        yield Allele(contig, *left_aligned(sequence, start, ref, alt))


def _carried(genotype: str) -> list[int]:
    alleles = genotype.split(":", 1)[0].replace("|", "/").split("/")
    return [int(allele) for allele in alleles if allele not in (".", "0")]


def read_genotypes(path: Path, genome: Genome) -> Genotypes:
    """Genotypes of a VCF, gzipped or not, as normalised alleles.

    Parameters
    ----------
    path
        The VCF. Records that a filter rejected, symbolic alleles and spanning deletions are left out.
    genome
        The reference, upper case.
    """
    lines = _lines(path)
    samples = next(lines)[9:]
    genotypes: Genotypes = {sample: {} for sample in samples}
    for contig, position, _, ref, alts, _, status, _, _, *columns in lines:
        if status not in ("PASS", "."):
            continue
        alternatives = alts.upper().split(",")
        for sample, column in zip(samples, columns, strict=True):
            for number in _carried(column):
                if set(alternatives[number - 1]) <= set("ACGTN"):
                    start, alt = int(position) - 1, alternatives[number - 1]
                    for allele in _primitives(genome[contig], contig, start, ref.upper(), alt):
                        genotypes[sample][allele] = min(2, genotypes[sample].get(allele, 0) + 1)
    return genotypes


def _score(
    genome: Genome, truth: Mapping[Allele, int], calls: Mapping[Allele, int]
) -> Iterator[tuple[Allele, Accuracy]]:
    for event in events({*truth, *calls}):
        same_truth, same_calls = agreeing(genome[event[0].contig], event, truth, calls)
        for allele in event:
            if allele in truth:
                yield allele, Accuracy(found=1) if allele in same_truth else Accuracy(missed=1)
            if allele in calls and allele not in same_calls:
                yield allele, Accuracy(wrong=1)


def compare(genome: Genome, truth: Genotypes, calls: Genotypes, *, genotypes: bool = True) -> Comparison:
    """Compare calls to the truth.

    Parameters
    ----------
    genome
        The reference.
    truth, calls
        What `read_genotypes` returns. Every sample of the truth must be among the calls.
    genotypes
        Whether the number of copies counts; if not, an allele is found where it is called at all.

    Raises
    ------
    DataError
        A sample of the truth was not called.
    """
    if not truth.keys() <= calls.keys():
        raise DataError(f"samples {sorted(truth.keys() - calls.keys())} are in the truth, but were not called")
    totals = {True: Accuracy(), False: Accuracy()}
    for sample, expected in truth.items():
        sides = expected, calls[sample]
        if not genotypes:
            sides = dict.fromkeys(expected, 1), dict.fromkeys(calls[sample], 1)
        for allele, accuracy in _score(genome, *sides):
            totals[allele.is_snv] += accuracy
    return Comparison(snv=totals[True], indel=totals[False])
