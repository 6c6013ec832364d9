"""A simulated cohort on disk: a reference, reads of every sample, and the truth."""

from __future__ import annotations

import gzip
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from stargazer.bio.simulate.draw import Draw
from stargazer.bio.simulate.genome import genome_around, imitate, read_fasta, write_fasta
from stargazer.bio.simulate.reads import Library, draw_pairs
from stargazer.bio.simulate.variants import apply, draw_sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from stargazer.bio.simulate.genome import Genome
    from stargazer.bio.simulate.reads import Pair
    from stargazer.bio.simulate.variants import Site

__all__ = ["Cohort", "simulate_cohort", "write_pairs", "write_truth"]

COMPRESSION = 4


class Cohort(NamedTuple):
    """Files of a simulated cohort.

    Parameters
    ----------
    reference
        FASTA.
    truth
        VCF with the phased genotypes of every sample.
    reads
        R1 and R2 of every lane of every sample, by sample.
    """

    reference: Path
    truth: Path
    reads: dict[str, list[tuple[Path, Path]]]


@contextmanager
def _create_gzip(path: Path) -> Iterator[IO[bytes]]:
    """A gzip file without name and time in its header."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as file:
        yield file  # type: ignore[misc]


def _fastq(name: str, mate: int, read: tuple[str, str]) -> bytes:
    return f"@{name} {mate}:N:0:ATCACG\n{read[0]}\n+\n{read[1]}\n".encode()


def write_pairs(pairs: Iterable[Pair], lanes: Sequence[tuple[Path, Path]]) -> None:
    """Write reads into the files of their lanes; a lane without reads becomes an empty file."""
    with ExitStack() as files:
        opened = [tuple(files.enter_context(_create_gzip(path)) for path in lane) for lane in lanes]
        for pair in pairs:
            first, second = opened[pair.lane - 1]
            first.write(_fastq(pair.name, 1, pair.first))
            second.write(_fastq(pair.name, 2, pair.second))


def write_truth(genome: Mapping[str, str], samples: Sequence[str], sites: Iterable[Site], path: Path) -> None:
    """Write the truth as VCF 4.2 with phased genotypes."""
    header = ["##fileformat=VCFv4.2", '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    header += [f"##contig=<ID={name},length={len(sequence)}>" for name, sequence in genome.items()]
    header += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples])]
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in header)
        for site in sites:
            pairs = zip(site.alleles[::2], site.alleles[1::2], strict=True)
            genotypes = [f"{left}|{right}" for left, right in pairs]
            fields = [site.contig, str(site.start + 1), ".", site.ref, ",".join(site.alts), ".", "PASS", ".", "GT"]
            file.write("\t".join([*fields, *genotypes]) + "\n")


def _lane_files(directory: Path, sample: str, lanes: int) -> list[tuple[Path, Path]]:
    names = [sample] if lanes == 1 else [f"{sample}_L{lane:03d}" for lane in range(1, lanes + 1)]
    return [(directory / f"{name}_R1.fastq.gz", directory / f"{name}_R2.fastq.gz") for name in names]


def _genome(reference: Path | None, length: int, seed: str) -> Genome:
    return genome_around(read_fasta(reference), seed) if reference else imitate(length, seed)


def simulate_cohort(
    directory: Path,
    *,
    samples: Sequence[str] = ("SIM1", "SIM2", "SIM3"),
    depth: float = 30.0,
    length: int = 240_000,
    reference: Path | None = None,
    lanes: int = 1,
    seed: str = "stargazer",
) -> Cohort:
    """Make a genome, a cohort of individuals with variants, and their reads.

    Parameters
    ----------
    directory
        Where the files go; it is made if it is not there.
    samples
        Names of the individuals.
    depth
        Mean coverage of each.
    length
        Bases of the imitated genome, where no `reference` is given.
    reference
        FASTA of real sequence to use instead; a shorter imitated contig with a gap is added to it.
    lanes
        Lanes over which each library is spread; each makes a pair of files.
    seed
        Same arguments and seed, same bytes.

    Returns
    -------
    Cohort
        ``reference.fa``, ``truth.vcf`` and ``SAMPLE_R1.fastq.gz`` (``SAMPLE_L001_R1.fastq.gz``, …).
    """
    directory.mkdir(parents=True, exist_ok=True)
    genome = _genome(reference, length, seed)
    sites = draw_sites(genome, len(samples), seed)
    cohort = Cohort(directory / "reference.fa", directory / "truth.vcf", {})
    write_fasta(genome, cohort.reference)
    write_truth(genome, samples, sites, cohort.truth)
    for number, sample in enumerate(samples):
        haplotypes = apply(genome, sites, 2 * number), apply(genome, sites, 2 * number + 1)
        library = Library(haplotypes, depth, lanes)
        cohort.reads[sample] = _lane_files(directory, sample, lanes)
        write_pairs(draw_pairs(library, Draw(f"reads {seed} {sample} {depth}")), cohort.reads[sample])
    return cohort
