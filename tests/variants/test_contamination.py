"""Mixtures of two people: how much of it is told to be of the other."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from stargazer.bio.variants.contamination import MOST_MARKERS, Marker, estimate_mixture, find_markers
from stargazer.tasks.limits import PLAIN_LIMITS, Person, person_marks

ERROR = 0.002


class People:
    """A cohort, and somebody from elsewhere: copies of the other base at sites that joint calls would have."""

    def __init__(self, people: int, sites: int, seed: int) -> None:
        self.draw = random.Random(seed)
        self.names = [f"p{number}" for number in range(people)]
        self.copies: dict[str, list[int]] = {name: [] for name in (*self.names, "stranger")}
        while len(self.copies["stranger"]) < sites:
            share = self.draw.betavariate(0.4, 1.2)
            drawn = {name: sum(self.draw.random() < share for _ in range(2)) for name in self.copies}
            if any(drawn[name] for name in self.names):
                for name, copies in drawn.items():
                    self.copies[name].append(copies)

    def markers(self, sample: str) -> list[Marker]:
        others = [name for name in self.names if name != sample]
        sums = [sum(self.copies[name][at] for name in others) for at in range(len(self.copies[sample]))]
        return [Marker("chr1", at, "A", "G", count, 2 * len(others)) for at, count in enumerate(sums)]

    def reads(
        self, sample: str, share: float, depth: int, other: str = "stranger"
    ) -> dict[tuple[str, int], tuple[int, int]]:
        found = {}
        for at, (own, alien) in enumerate(zip(self.copies[sample], self.copies[other], strict=True)):
            chance = (1 - share) * own / 2 + share * alien / 2
            chance = chance * (1 - ERROR) + (1 - chance) * ERROR
            alt = sum(self.draw.random() < chance for _ in range(depth))
            found["chr1", at] = (depth - alt, alt)
        return found


@pytest.mark.parametrize("people", [3, 8, 30])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.1, 0.25, 0.4])
def test_the_share_of_a_stranger_is_told(people: int, share: float) -> None:
    cohort = People(people, sites=300, seed=people)
    made = estimate_mixture(cohort.markers("p0"), cohort.reads("p0", share, depth=30))
    assert made.share == pytest.approx(share, abs=0.15 * share + 0.01)
    assert made.markers == 300
    assert made.support > 10 if share >= 0.05 else made.support < 12


@pytest.mark.parametrize("depth", [10, 60, 200])
def test_it_does_not_hang_on_depth(depth: int) -> None:
    cohort = People(8, sites=800, seed=depth)
    found = [estimate_mixture(cohort.markers("p1"), cohort.reads("p1", share, depth, "p2")).share for share in (0, 0.1)]
    assert found == [pytest.approx(0.0, abs=0.01), pytest.approx(0.1, abs=0.03)]


def test_one_person_alone_is_not_contaminated() -> None:
    """Without others nobody knows how frequent alleles are, and sites are those of the sample alone."""
    cohort = People(1, sites=400, seed=3)
    made = estimate_mixture(cohort.markers("p0"), cohort.reads("p0", 0.0, depth=30))
    assert made.share < 0.02
    mixed = estimate_mixture(cohort.markers("p0"), cohort.reads("p0", 0.15, depth=30))
    assert 0.05 < mixed.share < 0.25


def test_too_few_markers_tell_nothing() -> None:
    cohort = People(4, sites=29, seed=1)
    made = estimate_mixture(cohort.markers("p0"), cohort.reads("p0", 0.2, depth=30))
    assert math.isnan(made.share)
    assert made.markers == 29
    found = {"sex": "", "x": math.nan, "y": math.nan, "contamination": None}
    assert list(person_marks(found, Person(), PLAIN_LIMITS)) == []


def test_markers_are_those_at_which_people_differ(tmp_path: Path) -> None:
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc"]
    rows = [
        "chr1\t5\t.\tA\tG\t.\tPASS\t.\tGT:DP:GQ\t1/1:9:99\t0/1:9:99\t0/1:9:9",
        "chr1\t6\t.\tA\tG,T\t.\tPASS\t.\tGT\t0/1\t0/1\t0/2",
        "chr1\t7\t.\tAT\tA\t.\tPASS\t.\tGT\t0/1\t0/1\t0/1",
        "chr1\t8\t.\tC\tG\t.\tbad\t.\tGT\t0/1\t0/1\t0/1",
        "chrX\t9\t.\tC\tG\t.\t.\t.\tGT\t0/1\t0/1\t0/1",
    ]
    path = tmp_path / "v.vcf"
    path.write_text("\n".join([*lines, *rows]) + "\n")
    assert find_markers(path, "a") == [Marker("chr1", 5, "A", "G", 1, 2)]
    assert find_markers(path, "nobody") == [Marker("chr1", 5, "A", "G", 3, 4)]
    many = [f"chr1\t{at}\t.\tC\tG\t.\t.\t.\tGT\t0/0\t{'0/1' if at % 2 else '0/0'}\t0/0" for at in range(1, 9001)]
    path.write_text("\n".join([*lines, *many]) + "\n")
    found = find_markers(path, "a")
    assert len(found) == MOST_MARKERS
    assert all(one.alts == 1 for one in found)
    assert found[-1].position > 8_900
