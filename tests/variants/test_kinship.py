"""Kinship of genotypes that are made up."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from stargazer.bio.variants.kinship import kinships, read_people, relation
from stargazer.tasks.limits import PLAIN_LIMITS, Person, pair_marks, person_marks, sex_of

SITES = 3000


def haplotypes(draw: random.Random, shares: list[float]) -> list[int]:
    return [int(draw.random() < share) for share in shares]


def family() -> dict[str, list[int]]:
    """Copies of the alternative allele of two unrelated people, their child, another child, and a second sample."""
    draw = random.Random(11)
    shares = [draw.uniform(0.1, 0.5) for _ in range(SITES)]
    people = {name: (haplotypes(draw, shares), haplotypes(draw, shares)) for name in ("mother", "father", "stranger")}

    def child() -> list[int]:
        return [
            sum(pair[draw.random() < 0.5][at] for pair in (people["mother"], people["father"])) for at in range(SITES)
        ]

    found = {name: [a + b for a, b in zip(*pair, strict=True)] for name, pair in people.items()}
    return found | {"child": child(), "sib": child(), "again": list(found["mother"])}


def written(path: Path, copies: dict[str, list[int]]) -> Path:
    """A VCF at 40x."""
    draw = random.Random(5)
    names = list(copies)
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(names)]
    for at in range(SITES):
        fields = []
        for name in names:
            alt = sum(draw.random() < min(max(copies[name][at] / 2, 0.001), 0.999) for _ in range(40))
            genotype = "0/0" if alt < 7 else "1/1" if alt > 33 else "0/1"
            fields.append(f"{genotype}:{40 - alt},{alt}:40:60")
        lines.append(f"chr1\t{at + 1}\t.\tA\tG\t.\tPASS\t.\tGT:AD:DP:GQ\t" + "\t".join(fields))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_relations_are_found(tmp_path: Path) -> None:
    pairs = {(p.one, p.another): p for p in kinships(read_people(written(tmp_path / "v.vcf", family())))}
    expected = {
        ("mother", "father"): "unrelated", ("mother", "stranger"): "unrelated", ("mother", "child"): "first degree",
        ("father", "sib"): "first degree", ("child", "sib"): "first degree", ("mother", "again"): "the same",
    }  # fmt: skip
    assert {pair: relation(pairs[pair].kinship) for pair in expected} == expected
    assert pairs["mother", "child"].opposite < 0.01 < pairs["mother", "stranger"].opposite
    assert pairs["mother", "again"].kinship == pytest.approx(0.5, abs=0.02)


def test_sites_of_the_whole_genome_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sibs that share both copies of the first chromosome, and of the other ones half: no twins."""
    draw = random.Random(3)
    people = [[haplotypes(draw, [0.4] * SITES) for _ in range(2)] for _ in range(2)]
    one, other = ([sum(pair[draw.random() < 0.5][at] for pair in people) for at in range(SITES)] for _ in range(2))
    sibs = {"one": one, "other": one[:600] + other[600:]}
    whole = kinships(read_people(written(tmp_path / "v.vcf", sibs)))[0]
    for most in (599, 600, 1000, SITES - 1, SITES):
        monkeypatch.setattr("stargazer.bio.variants.kinship.MOST_SITES", most)
        [pair] = kinships(read_people(tmp_path / "v.vcf"))
        assert pair.kinship == pytest.approx(whole.kinship, abs=0.06)
        assert relation(pair.kinship) == "first degree"
        assert 0 < pair.sites <= most


def test_what_the_sheet_says_is_compared(tmp_path: Path) -> None:
    pairs = {(p.one, p.another): p for p in kinships(read_people(written(tmp_path / "v.vcf", family())))}

    def marked(one: str, another: str, **said: Person) -> list[str]:
        return [mark for _, mark in pair_marks(pairs[one, another], said, PLAIN_LIMITS)]

    same = {"mother": Person(patient="a"), "again": Person(patient="a"), "stranger": Person(patient="a")}
    assert marked("mother", "again", **same) == []
    assert all("of the same patient" in mark for mark in marked("mother", "stranger", **same))
    assert all("of one person" in mark for mark in marked("mother", "again"))
    assert marked("mother", "child", child=Person(parents=("mother",))) == []
    assert all(
        "parent and child" in mark for mark in marked("mother", "stranger", stranger=Person(parents=("mother",)))
    )


@pytest.mark.parametrize(
    ("x", "y", "sex"),
    [(1.0, 0.0, "XX"), (0.5, 0.5, "XY"), (0.95, 0.4, "unclear"), (0.5, 0.0, "unclear"), (math.nan, 0.1, "")],
)
def test_sex_by_depths(x: float, y: float, sex: str) -> None:
    assert sex_of(x, y, PLAIN_LIMITS) == sex
    found = {"sex": sex, "x": x, "y": y, "contamination": None}
    assert bool(list(person_marks(found, Person(sex="XX"), PLAIN_LIMITS))) is (sex not in ("", "XX"))
