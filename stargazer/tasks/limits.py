"""Limits beyond which a sample is marked, and what is beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stargazer.bio.variants.kinship import Kinship

__all__ = [
    "LEAST_BASE_QUALITY",
    "MOST_AMBIGUOUS",
    "MOST_FAILED",
    "PLAIN_LIMITS",
    "Person",
    "QCLimits",
    "by_sample",
    "coverage_marks",
    "is_said",
    "is_told",
    "lane_marks",
    "pair_marks",
    "person_marks",
    "sex_of",
]

ENOUGH_SNVS, ENOUGH_SITES = 200, 20
"""Variants from which on shares of them say anything; sites from which on a kinship does."""


MOST_AMBIGUOUS, MOST_FAILED, LEAST_BASE_QUALITY = 0.5, 0.5, 15.0
"""Shares of reads that fit several places equally, and that the sequencer marked as bad; mean quality of bases: beyond
these variants are missed, though depth looks as always."""


@dataclass(frozen=True)
class QCLimits:
    """Limits of measures of quality; a sample beyond one is marked in the report.

    Parameters
    ----------
    least_depth
        Mean depth on the target, or on the genome.
    least_20x
        Share of the target that has at least 20 reads.
    least_on_target
        Share of the mapped reads that lie on the target.
    most_fold_80
        How much more would have to be sequenced for 80 % of the target to reach the mean.
    least_mapped, most_duplicates
        Shares of the reads.
    least_kept
        Share of the reads of a lane that trimming leaves.
    least_lane
        Reads of a lane, as a share of those of the largest lane of its sample.
    most_contamination
        Share of the reads that are of others.
    least_ts_tv
        Transitions to transversions.
    het_hom
        Heterozygous to homozygous SNVs, least and most.
    same, related
        Kinship from which on two samples are of one person, or of parent and child.
    xx_least_x, xy_most_x, xx_most_y, xy_least_y
        Depth of X and of Y, as shares of that of the other chromosomes.
    """

    least_depth: float = 15.0
    least_20x: float = 0.5
    least_on_target: float = 0.2
    most_fold_80: float = 4.0
    least_mapped: float = 0.8
    most_duplicates: float = 0.5
    least_kept: float = 0.5
    least_lane: float = 0.1
    most_contamination: float = 0.03
    least_ts_tv: float = 1.2
    het_hom: tuple[float, float] = (0.6, 4.0)
    same: float = 0.354
    related: float = 0.177
    xx_least_x: float = 0.75
    xy_most_x: float = 0.7
    xx_most_y: float = 0.15
    xy_least_y: float = 0.2


PLAIN_LIMITS = QCLimits()


class Person(NamedTuple):
    """What a sheet says of a sample: its sex, whom it is from, and the samples of its parents."""

    sex: str = ""
    patient: str = ""
    parents: tuple[str, ...] = ()


def sex_of(x: float, y: float, limits: QCLimits) -> str:
    """The sex that the depths of X and Y speak for: ``"XX"``, ``"XY"``, ``"unclear"``; empty where they are unknown.

    Parameters
    ----------
    x, y
        As shares of the depth of the other chromosomes; NaN where the reference has none.
    limits
        What they are compared with.
    """
    if math.isnan(x) or math.isnan(y):
        return ""
    if x >= limits.xx_least_x and y <= limits.xx_most_y:
        return "XX"
    return "XY" if x <= limits.xy_most_x and y >= limits.xy_least_y else "unclear"


def person_marks(found: Mapping[str, Any], said: Person, limits: QCLimits) -> Iterator[str]:
    """What is odd about who a sample is.

    Parameters
    ----------
    found
        ``sex``, ``x``, ``y`` and ``contamination`` of its reads and genotypes.
    said
        What the sheet says.
    limits
        The limits.
    """
    sex = found["sex"]
    if said.sex and sex and sex != said.sex:
        depths = f"X at {found['x']:.2f} and Y at {found['y']:.2f} of the depth of the other chromosomes"
        yield f"sex: the sheet says {said.sex}, the reads {sex} ({depths})"
    contamination = found["contamination"]
    if contamination is not None and contamination > limits.most_contamination:
        yield f"contamination: about {100 * contamination:.1f} % of the reads are of others"


def pair_marks(pair: Kinship, said: Mapping[str, Person], limits: QCLimits) -> Iterator[tuple[str, str]]:
    """Samples of a pair that are not related as the sheet says, each with what is odd."""
    one, another, kinship = pair.one, pair.another, pair.kinship
    if not is_told(pair):
        return
    same_patient, parent = _said(pair, said)
    told = f"kinship {kinship:.2f} with"
    for name, other in ((one, another), (another, one)):
        if same_patient and kinship < limits.same:
            yield name, f"swap: {told} {other}, which the sheet says is of the same patient"
        elif parent and not limits.related <= kinship < limits.same:
            yield name, f"swap: {told} {other}, which the sheet says is parent and child of it"
        elif not same_patient and kinship >= limits.same:
            yield name, f"swap: {told} {other}: they are of one person, and the sheet says of two"


def is_told(pair: Kinship) -> bool:
    """Whether enough sites tell how two samples are related."""
    return not math.isnan(pair.kinship) and pair.sites >= ENOUGH_SITES


def is_said(pair: Kinship, said: Mapping[str, Person]) -> bool:
    """Whether the sheet says of two samples that they are of one patient, or of parent and child."""
    return any(_said(pair, said))


def _said(pair: Kinship, said: Mapping[str, Person]) -> tuple[bool, bool]:
    one, another = (said.get(name, Person()) for name in (pair.one, pair.another))
    same_patient = bool(one.patient) and one.patient == another.patient
    return same_patient, pair.another in one.parents or pair.one in another.parents


def coverage_marks(facts: Mapping[str, float], *, targeted: bool, limits: QCLimits) -> Iterator[str]:
    """What is low in the coverage of a sample."""
    if facts["mean_depth"] < limits.least_depth:
        yield f"depth: {facts['mean_depth']:.1f}× on average, wanted are {limits.least_depth:g}×"
    elif facts["breadth_20x"] < limits.least_20x:
        yield f"depth: {100 * facts['breadth_20x']:.1f} % have 20×, wanted are {100 * limits.least_20x:g} %"
    if targeted and facts["on_target"] < limits.least_on_target:
        yield f"target: {100 * facts['on_target']:.1f} % of the reads are on it, not {100 * limits.least_on_target:g} %"
    if facts["fold_80"] > limits.most_fold_80:
        yield f"evenness: fold-80 {facts['fold_80']:.1f}, {limits.most_fold_80:g} at most"


def lane_marks(lanes: Sequence[Mapping[str, str]], limits: QCLimits) -> Iterator[str]:
    """Lanes of a sample that failed: hardly any reads, or hardly any that is mapped."""
    most = max((int(lane["reads"]) for lane in lanes), default=0)
    for lane in lanes:
        reads, mapped = int(lane["reads"]), int(lane["mapped"])
        if reads < limits.least_lane * most:
            yield f"lane {lane['read_group']}: {reads:,} reads, where another lane has {most:,}"
        elif mapped < limits.least_mapped * reads / 2:
            yield f"lane {lane['read_group']}: {100 * mapped / reads:.1f} % of its reads are mapped"


def ratio_marks(ts_tv: float, het_hom: float, snvs: float, limits: QCLimits) -> Iterator[str]:
    """What is odd about the variants of a sample, where there are enough of them."""
    if snvs < ENOUGH_SNVS:
        return
    if ts_tv < limits.least_ts_tv:
        yield f"variants: Ti/Tv {ts_tv:.2f}, at least {limits.least_ts_tv:g} is usual"
    low, high = limits.het_hom
    if not low <= het_hom <= high:
        yield f"variants: {het_hom:.2f} heterozygous to a homozygous one, usual are {low:g} to {high:g}"


def by_sample(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Marks of each sample, each once."""
    found: dict[str, list[str]] = {}
    for name, mark in pairs:
        if mark not in found.setdefault(name, []):
            found[name].append(mark)
    return found
