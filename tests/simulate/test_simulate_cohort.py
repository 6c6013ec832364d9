from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from stargazer.bio.simulate import simulate_cohort
from stargazer.bio.simulate.draw import Draw
from stargazer.bio.simulate.genome import genome_around, imitate, read_fasta, reverse_complement
from stargazer.bio.simulate.reads import ADAPTERS, Library, Pair, draw_pairs
from stargazer.bio.simulate.variants import TANDEM, apply, draw_sites, left_aligned

SMALL = {"samples": ("a", "b"), "depth": 4, "length": 24_000}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", "x"), ("two", "x"), ("three", "y")):
        simulate_cohort(tmp_path / name, seed=seed, **SMALL)
    first, second, third = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert first == second
    assert all(third[name] != content for name, content in first.items())
    assert set(first) == {"reference.fa", "truth.vcf", *(f"{s}_R{n}.fastq.gz" for s in "ab" for n in (1, 2))}


def test_lanes_share_out_the_same_reads(tmp_path: Path) -> None:
    cohort = simulate_cohort(tmp_path, lanes=2, **SMALL)
    assert [[path.name for path in lane] for lane in cohort.reads["a"]] == [
        ["a_L001_R1.fastq.gz", "a_L001_R2.fastq.gz"],
        ["a_L002_R1.fastq.gz", "a_L002_R2.fastq.gz"],
    ]


def test_the_genome_has_what_makes_real_ones_hard() -> None:
    genome = imitate(200_000, "test")
    assert set(genome) == {"chr1", "chr2"}
    assert "N" * 500 in genome["chr1"]
    sequence = "".join(genome.values()).replace("N", "")
    gc = [sum(map(window.count, "GC")) / 1000 for window in re.findall("." * 1000, sequence)]
    assert min(gc) < 0.38
    assert max(gc) > 0.47
    bases = Counter(sequence)
    expected = bases["C"] * bases["G"] / len(sequence)
    assert 0.1 < sequence.count("CG") / expected < 0.4
    assert sum(1 for _ in TANDEM.finditer(sequence)) > 100
    # Interspersed repeats and a segmental duplication: 24-mers that occur again, and do not in random sequence.
    seen = Counter(sequence[at : at + 24] for at in range(len(sequence) - 24))
    assert sum(count for count in seen.values() if count > 1) > 0.04 * len(sequence)


def test_a_genome_around_real_sequence_is_mostly_real() -> None:
    real = {"c": imitate(30_000, "r")["chr1"]}
    genome = genome_around(real, "x")
    assert genome["c"] == real["c"]
    assert len(genome) == 2
    assert len(real["c"]) > sum(map(len, genome.values())) / 2
    assert "N" * 500 in genome["imitated"]


def test_variants_are_those_of_a_population() -> None:
    genome = imitate(600_000, "population")
    sites = draw_sites(genome, 3, "population")
    alleles = [(site, alt) for site in sites for alt in site.alts]
    snvs = Counter(f"{site.ref}{alt}" for site, alt in alleles if len(site.ref) == len(alt) == 1)
    transitions = sum(snvs[change] for change in ("AG", "GA", "CT", "TC"))
    assert 1.7 < transitions / (sum(snvs.values()) - transitions) < 2.4
    indels = [site for site, alt in alleles if len(site.ref) != len(alt)]
    assert 0.1 < len(indels) / len(alleles) < 0.4
    assert sum(bool(TANDEM.match(genome[s.contig], s.start + 1)) for s in indels) > 0.2 * len(indels)
    assert sum(len(site.alts) > 1 for site in sites) > 10
    genotypes = Counter(
        len(set(pair)) > 1 for s in sites for pair in zip(s.alleles[::2], s.alleles[1::2], strict=True) if any(pair)
    )
    assert 0.3 < genotypes[False] / genotypes[True] < 1.5
    assert all("N" not in genome[site.contig][site.start - 300 : site.end + 300] for site in sites)
    assert all(left.contig != right.contig or left.end <= right.start for left, right in pairwise(sites))


def test_the_truth_spells_the_haplotypes(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """bcftools, which knows nothing of the simulator, makes the same haplotypes of reference and truth."""
    cohort = simulate_cohort(tmp_path, **SMALL)
    genome = read_fasta(cohort.reference)
    sites = draw_sites(genome, 2, "stargazer")
    packed = tmp_path / "truth.vcf.gz"
    subprocess.run([tool("bcftools"), "view", "-Oz", "-o", packed, cohort.truth], check=True)
    subprocess.run([tool("bcftools"), "index", "-t", packed], check=True)
    for haplotype in (0, 1):
        command = [tool("bcftools"), "consensus", "-s", "b", "-H", str(haplotype + 1), "-f", cohort.reference, packed]
        (tmp_path / "b.fa").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
        assert read_fasta(tmp_path / "b.fa") == apply(genome, sites, 2 + haplotype)
        assert read_fasta(tmp_path / "b.fa") != genome


@pytest.mark.parametrize(
    ("start", "ref", "alt", "expected"),
    [
        (8, "A", "AA", (3, "G", "GA")),
        (7, "AA", "A", (3, "GA", "G")),
        (5, "AAA", "A", (3, "GAA", "G")),
        (11, "TT", "T", (9, "CT", "C")),
        (1, "CGG", "CGT", (3, "G", "T")),
        (3, "GA", "CAA", (3, "G", "CA")),
    ],
)
def test_variants_are_left_aligned(start: int, ref: str, alt: str, expected: tuple[int, str, str]) -> None:
    assert left_aligned("ACGGAAAAACTTTG", start, ref, alt) == expected


def errors_by_quality(genome: str, pairs: list[Pair]) -> tuple[Counter[str], Counter[str]]:
    """Bases and errors of each quality, in the first 70 bases: no fragment is shorter."""
    strands = f"{genome}|{reverse_complement(genome)}"
    seen: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for bases, qualities in (read for pair in pairs for read in (pair.first, pair.second)):
        places = (strands.find(bases[at : at + 30]) - at for at in (0, 40) if bases[at : at + 30] in strands)
        truth = strands[(place := next(places, -100)) : place + 70]
        if place >= 0 and sum(map(str.__ne__, truth, bases)) < 8:
            seen.update(qualities[:70])
            wrong.update(quality for quality, base, true in zip(qualities, bases, truth, strict=False) if base != true)
    return seen, wrong


def test_errors_follow_quality_and_duplicates_occur() -> None:
    unique = Draw("unique")
    genome = "".join(unique.one_of("ACGT") for _ in range(12_000))
    pairs = list(draw_pairs(Library(({"c": genome}, {"c": genome}), 60), Draw("errors")))
    seen, wrong = errors_by_quality(genome, pairs)
    for quality, tolerance in (("-", 0.25), ("8", 0.35), ("F", 0.5)):
        expected = 10 ** (-(ord(quality) - 33) / 10)
        assert wrong[quality] / seen[quality] == pytest.approx(expected, rel=tolerance), quality
    assert len({pair.name for pair in pairs}) == len(pairs)
    places = Counter((pair.first[0][:30], pair.second[0][:30]) for pair in pairs)
    duplicates = sum(count - 1 for count in places.values()) / len(pairs)
    assert 0.04 < duplicates < 0.1
    assert any(ADAPTERS[0][:20] in pair.first[0] for pair in pairs)
    early, late = (sum(10 ** -((ord(p.second[1][at]) - 33) / 10) for p in pairs) for at in (5, 145))
    assert late > 2 * early
    assert len(pairs) == pytest.approx(60 * 12_000 / 300, rel=0.05)
