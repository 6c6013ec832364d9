"""Small inputs for tests: text, FASTA, FASTQ, BAM, VCF and cells, the same bytes whenever they are made."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import R1, R2, Alignment, Asset, Reference, Variants

if TYPE_CHECKING:
    import anndata

__all__ = ["GENOME", "Read", "alignment", "anndata_of", "fastq_pair", "reference", "text", "variants", "write_text"]

GENOME = {"chr1": "ACGTTGCAAC" * 20, "chr2": "TTGACCATGA" * 10}
"""Two contigs of 200 and 100 bases."""


class Read(NamedTuple):
    """A read that fits a genome.

    Parameters
    ----------
    name
        Of the read.
    contig, start
        Where it lies; `start` counts from 0.
    length
        Bases.
    """

    name: str
    contig: str
    start: int
    length: int = 20


def write_text(path: Path, content: str) -> Path:
    """Write a text, gzipped without a date where the name ends in ``.gz``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def text(folder: Path, name: str = "text.txt", content: str = "some text\n") -> Asset:
    """Make a draft of a plain file."""
    return Asset(path=write_text(folder / name, content))


def reference(folder: Path, genome: Mapping[str, str] = GENOME, name: str = "genome.fa") -> Reference:
    """Make a draft of a reference of some contigs."""
    content = "".join(f">{contig}\n{bases}\n" for contig, bases in genome.items())
    return Reference(path=write_text(folder / name, content), build="test")


def fastq_pair(
    folder: Path, sample: str = "s1", reads: Iterable[Read] | None = None, genome: Mapping[str, str] = GENOME
) -> tuple[R1, R2]:
    """Make drafts of gzipped pairs of reads; the second of each is the first one's reverse complement."""
    chosen = list(_reads(genome) if reads is None else reads)
    forward = [(read.name, genome[read.contig][read.start : read.start + read.length]) for read in chosen]
    back = [(name, bases[::-1].translate(str.maketrans("ACGT", "TGCA"))) for name, bases in forward]
    paths = [write_text(folder / f"{sample}_R{n}.fq.gz", _fastq(each)) for n, each in ((1, forward), (2, back))]
    return R1(path=paths[0], sample_id=sample), R2(path=paths[1], sample_id=sample)


def _reads(genome: Mapping[str, str]) -> list[Read]:
    return [Read(f"read{i}", contig, 10 * i) for contig in genome for i in range(4)]


def _fastq(reads: Iterable[tuple[str, str]]) -> str:
    return "".join(f"@{name}\n{bases}\n+\n{'I' * len(bases)}\n" for name, bases in reads)


def alignment(
    folder: Path, sample: str = "s1", reads: Iterable[Read] | None = None, genome: Mapping[str, str] = GENOME
) -> Alignment:
    """Make a draft of a BAM, sorted by coordinate, in which reads lie as they say and match."""
    import pysam

    folder.mkdir(parents=True, exist_ok=True)
    contigs = list(genome)
    header: dict[str, Any] = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": contig, "LN": len(bases)} for contig, bases in genome.items()],
        "RG": [{"ID": sample, "SM": sample}],
    }
    path = folder / f"{sample}.bam"
    chosen = sorted(_reads(genome) if reads is None else reads, key=lambda r: (contigs.index(r.contig), r.start))
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for read in chosen:
            bam.write(_aligned(read, genome, contigs, sample))
    return Alignment(path=path, sample_id=sample, format="bam", sorted="coordinate")


def _aligned(read: Read, genome: Mapping[str, str], contigs: Sequence[str], sample: str) -> Any:
    import pysam

    made = pysam.AlignedSegment()
    made.query_name = read.name
    made.query_sequence = genome[read.contig][read.start : read.start + read.length]
    made.query_qualities = pysam.qualitystring_to_array("I" * read.length)
    made.reference_id, made.reference_start = contigs.index(read.contig), read.start
    made.mapping_quality, made.cigartuples = 60, [(0, read.length)]
    made.set_tag("RG", sample)
    return made


def variants(
    folder: Path,
    sample: str = "s1",
    calls: Iterable[tuple[str, int, str, str]] = (("chr1", 11, "A", "G"),),
    genome: Mapping[str, str] = GENOME,
) -> Variants:
    """Make a draft of a plain VCF of heterozygous calls: contig, position from 1, reference and other allele."""
    lines = [
        "##fileformat=VCFv4.2",
        *(f"##contig=<ID={contig},length={len(bases)}>" for contig, bases in genome.items()),
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{sample}",
        *(f"{contig}\t{position}\t.\t{ref}\t{alt}\t50\tPASS\t.\tGT\t0/1" for contig, position, ref, alt in calls),
    ]
    return Variants(path=write_text(folder / f"{sample}.vcf", "\n".join(lines) + "\n"), sample_id=sample)


def anndata_of(cells: int = 30, genes: int = 20, seed: int = 0) -> anndata.AnnData:
    """Make counts of cells by genes, sparse, with names; it needs the extra ``scrna``.

    Parameters
    ----------
    cells, genes
        Numbers of each.
    seed
        Of the counts.
    """
    import anndata
    import numpy as np
    import pandas as pd
    from scipy import sparse

    counts = np.random.default_rng(seed).poisson(0.7, (cells, genes)).astype("float32")
    names = [pd.DataFrame(index=[f"{kind}{i}" for i in range(n)]) for kind, n in (("cell", cells), ("gene", genes))]
    return anndata.AnnData(sparse.csr_matrix(counts), obs=names[0], var=names[1])
