"""Calls beside the truth.

A record is right if the records around it spell the same two haplotypes on both sides, however they are written and
whatever their phase. SNVs and MNVs are one type, all that changes the length is the other.

References
----------
Krusche P et al. Best practices for benchmarking germline small-variant calls in human genomes.
Nat Biotechnol 37, 555-560 (2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from stargazer.bio.variants.haplotypes import Spelled, agreeing, leftmost
from stargazer.bio.variants.vcf import VCF, ContigCalls
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from stargazer.bio.variants.haplotypes import Edit
    from stargazer.bio.variants.vcf import Regions, VariantCall

__all__ = ["Accuracy", "Comparison", "Difference", "SampleAccuracy", "compare"]

REACH = 30
"""Bases between two variants that may be one event written in two ways."""

Side = Literal["truth", "calls"]


class Difference(NamedTuple):
    """A record that the other side does not spell.

    Parameters
    ----------
    contig, position, ref, alts, genotype
        As in the VCF.
    sample
        Whose genotype it is.
    side
        ``"truth"``: it was missed; ``"calls"``: it is wrong.
    genotype_only
        Whether the other side has an allele of it, with another genotype.
    """

    contig: str
    position: int
    ref: str
    alts: str
    genotype: str
    sample: str
    side: Side
    genotype_only: bool


def compare(
    reference: Mapping[str, str],
    truth: Path,
    calls: Path,
    *,
    regions: Regions | None = None,
    genotypes: bool = True,
    filtered: bool = False,
) -> Comparison:
    """Compare two VCFs: the samples of the first with those of the same names in the second.

    Parameters
    ----------
    reference
        Sequence of each contig, in upper case; those without variants are never asked for.
    truth, calls
        VCF or BCF, sorted by position; contigs may come in any order. No index is needed. If each has one sample,
        these are compared whatever their names.
    regions
        Where records count. Those beside them still take part in spelling.
    genotypes
        Whether the number of copies counts; if not, each allele is a record, right where it is called at all.
    filtered
        Whether to take records that a filter rejected as well.

    Raises
    ------
    DataError
        A file is damaged, not sorted or of another reference, or has no genotypes; a sample of the truth was not
        called; the regions are on contigs that the reference does not have.
    """
    if regions is not None and not any(name in reference for name in regions.contigs):
        raise DataError(
            f"the regions are on {', '.join(regions.contigs[:3])}, which the reference does not have: it has "
            f"{', '.join(list(reference)[:3])}; take the regions of this reference, or rename their contigs"
        )
    expected, found = VCF(truth, filtered=filtered), VCF(calls, filtered=filtered)
    samples = expected.samples
    scores = [_Score(sample, regions, genotypes) for sample in samples]
    symbolic, repeated = [0, 0], [0, 0]
    names = _counterparts(expected, found)
    for contig, wanted, made in _contigs(
        expected.contigs(reference, samples), found.contigs(reference, names), len(samples)
    ):
        for side, one in enumerate((wanted, made)):
            symbolic[side] += one.symbolic
            repeated[side] += one.repeated
        for score, left, right in zip(scores, wanted.samples, made.samples, strict=True):
            if left or right:
                score.add(contig, reference[contig], left, right)
    differences = (difference for score in scores for difference in score.differences)
    return Comparison(
        {score.sample: SampleAccuracy(score.counts[True], score.counts[False]) for score in scores},
        tuple(sorted(differences, key=lambda one: (samples.index(one.sample), one.contig, one.position, one.side))),
        (symbolic[0], symbolic[1]),
        (repeated[0], repeated[1]),
    )


def _counterparts(truth: VCF, calls: VCF) -> list[str]:
    if len(truth.samples) == len(calls.samples) == 1:
        return calls.samples
    missing = [sample for sample in truth.samples if sample not in calls.samples]
    if missing:
        raise DataError(
            f"samples {missing} of {truth.name} are not in {calls.name}, which has {calls.samples}; "
            "take them out, or rename them with bcftools reheader"
        )
    return truth.samples


def _contigs(
    truth: Iterator[tuple[str, ContigCalls]], calls: Iterator[tuple[str, ContigCalls]], samples: int
) -> Iterator[tuple[str, ContigCalls, ContigCalls]]:
    """Contigs of both sides together; what one side has and the other has not is compared with nothing."""
    waiting: dict[str, ContigCalls] = {}
    nothing = ContigCalls([[] for _ in range(samples)], 0)
    for contig, wanted in truth:
        while contig not in waiting and (following := next(calls, None)) is not None:
            waiting[following[0]] = following[1]
        yield contig, wanted, waiting.pop(contig, nothing)
    waiting.update(calls)
    yield from ((contig, nothing, made) for contig, made in waiting.items())


class _Score:
    """What is known of one sample."""

    def __init__(self, sample: str, regions: Regions | None, genotypes: bool) -> None:
        self.sample, self._regions, self._genotypes = sample, regions, genotypes
        self.counts = {True: Accuracy(), False: Accuracy()}
        self.differences: list[Difference] = []

    def add(self, contig: str, sequence: str, truth: Sequence[VariantCall], calls: Sequence[VariantCall]) -> None:
        """Compare a contig."""
        sides = [list(side) if self._genotypes else list(_alleles(side)) for side in (truth, calls)]
        for event in _events(*sides):
            agreed = agreeing(sequence, *([each.spelled for each in side] for side in event))
            others = [
                [each for place, each in enumerate(side) if place not in found]
                for side, found in zip(event, agreed, strict=True)
            ]
            shared = _shared(sequence, *others)
            for number, (side, found) in enumerate(zip(event, agreed, strict=True)):
                for place, call in enumerate(side):
                    if self._counts(contig, sequence, call):
                        self._count(contig, call, number, place in found, shared)

    def _counts(self, contig: str, sequence: str, call: VariantCall) -> bool:
        """Whether it lies within the regions, written as far to the left as it goes."""
        if self._regions is None:
            return True
        spans = (leftmost(sequence, edit) for edit in call.edits)
        # An insertion lies where the base before it does.
        return all(
            (contig, start if end > start else max(start - 1, 0), max(end, 1)) in self._regions
            for start, end, _ in spans
        )

    def _count(self, contig: str, call: VariantCall, side: int, agreed: bool, shared: set[VariantCall]) -> None:
        genotype_only = not agreed and call in shared
        if side == 0:
            counted = Accuracy(found=agreed, missed=not agreed, misgenotyped=genotype_only)
        else:
            counted = Accuracy(right=agreed, wrong=not agreed, misgenotyped=genotype_only)
        self.counts[call.is_snv] += counted
        if not agreed:
            name: Side = "calls" if side else "truth"
            self.differences.append(Difference(contig, *call[3:], self.sample, name, genotype_only))


def _alleles(calls: Sequence[VariantCall]) -> Iterator[VariantCall]:
    """Each allele as a heterozygous record of its own."""
    for call in calls:
        for edit in call.edits:
            yield call._replace(spelled=Spelled(edit.start, edit.end, (None, edit)))


def _events(
    truth: Sequence[VariantCall], calls: Sequence[VariantCall]
) -> Iterator[tuple[list[VariantCall], list[VariantCall]]]:
    """Calls of both sides in groups of those that may be written in each other's place."""
    event: tuple[list[VariantCall], list[VariantCall]] = ([], [])
    end = 0
    for call, side in sorted([*((call, 0) for call in truth), *((call, 1) for call in calls)], key=_place):
        if call.first > end + REACH and (event[0] or event[1]):
            yield event
            event = ([], [])
        event[side].append(call)
        end = max(end, call.last)
    if event[0] or event[1]:
        yield event


def _place(one: tuple[VariantCall, int]) -> tuple[int, int]:
    return one[0].first, one[0].last


def _shared(sequence: str, truth: Sequence[VariantCall], calls: Sequence[VariantCall]) -> set[VariantCall]:
    """Those of both sides with an allele that the other side has too."""
    alleles = [{edit for call in side for edit in _changes(sequence, call)} for side in (truth, calls)]
    common = alleles[0] & alleles[1]
    return {call for call in (*truth, *calls) if common & set(_changes(sequence, call))} if common else set()


def _changes(sequence: str, call: VariantCall) -> list[Edit]:
    return [leftmost(sequence, edit) for edit in call.edits]


# Counts of variants that two sides agree on.


@dataclass(frozen=True)
class Accuracy:
    """Variants of one type, counted on each side in the records of that side.

    One variant may stand in two records of the calls and in one of the truth, so true positives have two numbers.

    Parameters
    ----------
    found
        Records of the truth that the calls spell, with their genotypes.
    missed
        The other records of the truth (false negatives).
    right
        Records of the calls that the truth spells, with their genotypes.
    wrong
        The other records of the calls (false positives).
    misgenotyped
        Records of both sides that are missed or wrong for their genotype alone: the other side has an allele of theirs.
    """

    found: int = 0
    missed: int = 0
    right: int = 0
    wrong: int = 0
    misgenotyped: int = 0

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(
            self.found + other.found,
            self.missed + other.missed,
            self.right + other.right,
            self.wrong + other.wrong,
            self.misgenotyped + other.misgenotyped,
        )

    @property
    def precision(self) -> float:
        """Share of the calls that are right; NaN where there are none."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Share of the truth that was found; NaN where there is none."""
        return _share(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where neither is right, NaN where one of them is of nothing."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def genotype_concordance(self) -> float:
        """Share of the records whose alleles the other side has that have its genotype too; NaN where none."""
        agreeing = self.found + self.right
        return _share(agreeing, agreeing + self.misgenotyped)


def _share(part: int, whole: int) -> float:
    """A share; of nothing it is no number, and not perfect."""
    return part / whole if whole else math.nan


class SampleAccuracy(NamedTuple):
    """Accuracy of one sample's SNVs (and MNVs) and of its indels."""

    snv: Accuracy
    indel: Accuracy


@dataclass(frozen=True)
class Comparison:
    """Accuracy of SNVs and of indels, of every sample and of all of them together.

    Parameters
    ----------
    samples
        By the truth's names of them.
    differences
        Every record that is missed or wrong, in the order of the genome.
    symbolic
        Records of the truth and of the calls that carry an allele without sequence, such as ``<DEL>``; not compared.
    repeated
        Records of the truth and of the calls that stand there before, letter by letter. Such a one is right only where
        the other side has two as well.
    """

    samples: Mapping[str, SampleAccuracy]
    differences: tuple[Difference, ...] = ()
    symbolic: tuple[int, int] = (0, 0)
    repeated: tuple[int, int] = (0, 0)

    @property
    def snv(self) -> Accuracy:
        """Substitutions: of one base, or of several side by side."""
        return sum((each.snv for each in self.samples.values()), Accuracy())

    @property
    def indel(self) -> Accuracy:
        """All that changes the length."""
        return sum((each.indel for each in self.samples.values()), Accuracy())

    @property
    def total(self) -> Accuracy:
        """Both types."""
        return self.snv + self.indel
