"""A cohort as a laboratory sends it: exomes of men and women, with what goes wrong in laboratories.

Two samples of one person have each other's names, another has reads of a stranger, a lane came out empty, and the sheet
has a sex wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.bio.simulate.cohort import write_pairs, write_truth
from stargazer.bio.simulate.draw import Draw
from stargazer.bio.simulate.genome import imitate_contigs, write_fasta
from stargazer.bio.simulate.reads import Library, draw_pairs
from stargazer.bio.simulate.variants import apply, draw_sites

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stargazer.bio.simulate.variants import Site

__all__ = ["Exomes", "simulate_exomes"]

SHARES = {"chr1": 0.5, "chr2": 0.3, "chrX": 0.15, "chrY": 0.05}
"""Contigs, and how much of the target each has."""

AROUND = 0.4
"""Bases beside the target that are sequenced too, as a share of it."""


class Exomes(NamedTuple):
    """Files of a simulated cohort, and what is wrong with it.

    Parameters
    ----------
    reference, target, truth, sheet
        FASTA, BED, VCF with the phased genotypes of every person, and sample sheet.
    swapped
        Two samples that have each other's reads; the sheet says whom each is from.
    mixed, failed, wrong_sex
        The sample with reads of a stranger, that with an empty lane, that of which the sheet has the sex wrong.
    """

    reference: Path
    target: Path
    truth: Path
    sheet: Path
    swapped: tuple[str, str]
    mixed: str
    failed: str
    wrong_sex: str


def simulate_exomes(
    directory: Path,
    *,
    people: int = 6,
    length: int = 30_000,
    depth: float = 30.0,
    mixture: float = 0.25,
    seed: str = "exomes",
) -> Exomes:
    """Simulate exomes of so many people, two samples each of the first two.

    Parameters
    ----------
    directory
        Where the files go.
    people
        Persons; at least five.
    length
        Bases of the target.
    depth
        Mean coverage of it.
    mixture
        Share of the mixed sample's reads that are of the stranger.
    seed
        Same arguments and seed, same bytes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lengths = {name: int(share * length * (1 + AROUND)) + 1500 for name, share in SHARES.items()}
    genome = imitate_contigs(lengths, seed)
    sites = draw_sites(genome, people, seed)
    names = [f"P{number:02d}" for number in range(1, people + 1)]
    samples = {**{f"{name}a": place for place, name in enumerate(names)}, "P01b": 0, "P02b": 1}
    cohort = Exomes(
        directory / "reference.fa", directory / "target.bed", directory / "truth.vcf", directory / "samples.csv",
        ("P01b", "P02b"), "P03a", "P04a", "P05a",
    )  # fmt: skip
    write_fasta(genome, cohort.reference)
    write_truth(genome, names, sites, cohort.truth)
    cohort.target.write_text("".join(_regions(lengths)), "ascii")
    reads_of = {**samples, "P01b": samples["P02b"], "P02b": samples["P01b"]}
    rows = ["sample,patient,sex,lane,fastq_1,fastq_2"]
    for sample, person in samples.items():
        sex = _sex(person) if sample != cohort.wrong_sex else _sex(person + 1)
        files = _sequenced(directory, cohort, genome, sites, sample, reads_of[sample], depth, mixture, seed)
        for lane, (r1, r2) in enumerate(files, 1):
            rows.append(f"{sample},{names[person]},{sex},L{lane:03d},{r1.name},{r2.name}")
    cohort.sheet.write_text("\n".join(rows) + "\n", "ascii")
    return cohort


def _sex(person: int) -> str:
    return "XY" if person % 2 else "XX"


def _regions(lengths: Mapping[str, int]) -> list[str]:
    """Exons of 200 to 800 bases with gaps between them."""
    draw, lines = Draw("regions"), []
    for contig, length in lengths.items():
        start = 400
        while start + 800 < length - 400:
            end = start + draw.between(200, 800)
            lines.append(f"{contig}\t{start}\t{end}\n")
            start = end + int((end - start) * AROUND)
    return lines


def _sequenced(
    directory: Path,
    cohort: Exomes,
    genome: Mapping[str, str],
    sites: list[Site],
    sample: str,
    person: int,
    depth: float,
    mixture: float,
    seed: str,
) -> Sequence[tuple[Path, Path]]:
    """Reads of a sample, on two lanes where one of them failed."""
    lanes = 2 if sample == cohort.failed else 1
    stems = [f"{sample}_L{lane:03d}" for lane in range(1, lanes + 1)]
    files = [(directory / f"{stem}_R1.fastq.gz", directory / f"{stem}_R2.fastq.gz") for stem in stems]
    pairs = list(draw_pairs(_library(genome, sites, person, depth), Draw(f"{seed} {sample}")))
    if sample == cohort.mixed:
        stranger = (person + 2) % 6
        pairs += draw_pairs(
            _library(genome, sites, stranger, depth * mixture / (1 - mixture)), Draw(f"{seed} {sample} mixed")
        )
    write_pairs(pairs, files)
    return files


def _library(genome: Mapping[str, str], sites: list[Site], person: int, depth: float) -> Library:
    """Both haplotypes of a person: a man has X and Y once, a woman X twice."""
    first, second = (apply(genome, sites, 2 * person + number) for number in (0, 1))
    if _sex(person) == "XX":
        return Library((_without(first, "chrY"), _without(second, "chrY")), depth)
    autosomes = sum(len(genome[name]) for name in genome if name not in ("chrX", "chrY"))
    x, y = len(genome["chrX"]), len(genome["chrY"])
    even = depth * (autosomes + (x + y) / 2) / (autosomes + x)  # reads are spread over all that there is
    return Library((_without(first, "chrY"), _without(second, "chrX")), even)


def _without(haplotype: Mapping[str, str], contig: str) -> dict[str, str]:
    return {name: sequence for name, sequence in haplotype.items() if name != contig}
