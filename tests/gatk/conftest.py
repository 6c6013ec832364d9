"""Real reads over TP53, with what GATK 4.6.1.0 made of them, and the bodies of tasks run without a store."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stargazer.assets import (
    Alignment,
    AlignmentIndex,
    BQSRReport,
    Intervals,
    KnownSites,
    Reference,
    ReferenceIndex,
    SequenceDict,
    Variants,
    VariantsIndex,
)
from stargazer.tasks import gatk as tasks
from stargazer.tools import Workdir

NewWork = Callable[..., Workdir]
CONTIG = "chr17:7658421-7697490"


class TP53(NamedTuple):
    folder: Path
    reference: Reference
    known: KnownSites

    def bam(self, kind: str, **facts: object) -> Alignment:
        path = self.folder / f"NA12829_TP53_{kind}.bam"
        index = path.with_suffix(".bai")
        companions = (AlignmentIndex(path=index),) if index.exists() else ()
        return Alignment(path=path, sample_id="NA12829", companions=companions, **facts)  # type: ignore[arg-type]

    @property
    def table(self) -> BQSRReport:
        return BQSRReport(path=self.folder / "NA12829_TP53_bqsr.table", sample_id="NA12829")


def factory(parent: Path) -> NewWork:
    numbers = itertools.count()

    def new_work(cpus: int = 1) -> Workdir:
        path = parent / f"work{next(numbers)}"
        path.mkdir(parents=True)
        return Workdir(path, cpus=cpus)

    return new_work


@pytest.fixture
def new_work(tmp_path: Path) -> NewWork:
    """Makes work directories, one for each body that runs."""
    return factory(tmp_path)


@pytest.fixture(scope="session")
def tp53(shared_data: Path, gatk: Path, tmp_path_factory: pytest.TempPathFactory) -> TP53:
    """The data; the known sites with an index of our own, for the one beside them is older than they are."""
    folder = shared_data / "tp53"
    fasta = folder / "GRCh38_TP53.fa"
    companions = ReferenceIndex(path=Path(f"{fasta}.fai")), SequenceDict(path=fasta.with_suffix(".dict"))
    reference = Reference(path=fasta, build="GRCh38", companions=companions)
    place = tmp_path_factory.mktemp("known") / "mills.vcf"
    place.write_bytes((folder / "Mills_and_1000G_gold_standard.indels.TP53.hg38.vcf").read_bytes())
    known = KnownSites(path=place, build="GRCh38", resource_name="mills")
    work = factory(tmp_path_factory.mktemp("index"))()
    index = tasks.index_feature_file.body(work, known)
    place.with_name(index.path.name).write_bytes(index.path.read_bytes())
    return TP53(folder, reference, beside(known, index.path.name))


def beside(known: KnownSites, name: str) -> KnownSites:
    from stargazer.assets import KnownSitesIndex

    return replace(known, companions=(KnownSitesIndex(path=known.path.with_name(name)),))


@pytest.fixture(scope="session")
def gvcfs(tp53: TP53, tmp_path_factory: pytest.TempPathFactory) -> list[Variants]:
    """gVCFs of three samples: the real one, and the same reads under other names with fewer of them."""
    made = []
    for number, name in enumerate(("NA1", "NA2", "NA3")):
        work = factory(tmp_path_factory.mktemp(name))()
        bam = thinned(tp53, work, name, keep=1.0 - 0.3 * number)
        made.append(tasks.haplotype_caller.body(work, bam, tp53.reference, region(work, 5_000, 17_000)))
    return made


def thinned(tp53: TP53, work: Workdir, name: str, *, keep: float) -> Alignment:
    """The recalibrated reads under another sample's name, a share of them."""
    import pysam

    source = tp53.folder / "NA12829_TP53_recalibrated.bam"
    path = work.file(f"{name}.bam")
    with pysam.AlignmentFile(str(source)) as reads:
        header = reads.header.to_dict()
        header["RG"][0]["SM"] = name
        with pysam.AlignmentFile(str(path), "wb", header=header) as out:
            for read in reads:
                if hash_share(read.query_name) < keep:
                    out.write(read)
    pysam.index(str(path))
    return Alignment(path=path, sample_id=name, companions=(AlignmentIndex(path=Path(f"{path}.bai")),))


def hash_share(name: str | None) -> float:
    import zlib

    return zlib.crc32((name or "").encode()) / 2**32


def region(work: Workdir, *cuts: int) -> Intervals:
    """The part of the contig between two places, as BED has them."""
    bed = work.file(f"{cuts[0]}-{cuts[1]}.bed")
    bed.write_text(f"{CONTIG}\t{cuts[0]}\t{cuts[1]}\n")
    return Intervals(path=bed, build="GRCh38")


def records(path: Path, *, tags: bool = True) -> list[str]:
    """Alignments of a BAM as SAM; the tag PG says how they were made, which ours do not."""
    command = [sys.executable, "-m", "stargazer.embedded", "samtools", "view", "--no-PG", path]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    fields = (line.split("\t") for line in lines)
    return ["\t".join(one for one in line[: None if tags else 11] if not one.startswith("PG:Z:")) for line in fields]


def variant_lines(path: Path) -> Iterator[str]:
    """Lines of a VCF below the header."""
    import gzip

    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from (line for line in lines if not line.startswith("#"))


@pytest.fixture(name="records", scope="session")
def _records() -> Callable[..., list[str]]:
    return records


@pytest.fixture(name="variant_lines", scope="session")
def _variant_lines() -> Callable[[Path], Iterator[str]]:
    return variant_lines


@pytest.fixture(name="region", scope="session")
def _region() -> Callable[..., Intervals]:
    return region


SITES_HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##INFO=<ID=QD,Number=1,Type=Float,Description="d">
##INFO=<ID=MQ,Number=1,Type=Float,Description="d">
##INFO=<ID=FS,Number=1,Type=Float,Description="d">
##INFO=<ID=SOR,Number=1,Type=Float,Description="d">
##contig=<ID={contig},length=39070>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def write_sites(path: Path, fasta: Path, *, every: int) -> Path:
    """SNVs of which one in six looks wrong; only every other true one where `every` is 2. MQ is always 60."""
    contig, *sequence = fasta.read_text().split("\n")
    bases = "".join(sequence).upper()
    draw = random.Random(7)
    lines = []
    for number, at in enumerate(range(200, 39_000, 50)):
        wrong = number % 6 == 5
        values = draw.gauss(9, 2) if wrong else draw.gauss(22, 3), abs(draw.gauss(13 if wrong else 4, 2))
        info = f"QD={values[0]:.2f};MQ=60.00;FS={values[1]:.2f};SOR={abs(draw.gauss(2.2 if wrong else 1, 0.3)):.2f}"
        alt = "ACGT"["CGTA".index(bases[at])]
        if every == 1 or (not wrong and number % every == 0):
            lines.append(f"{contig[1:].split()[0]}\t{at + 1}\t.\t{bases[at]}\t{alt}\t500\t.\t{info}\n")
    path.write_text(SITES_HEADER.format(contig=contig[1:].split()[0]) + "".join(lines))
    return path


@pytest.fixture(scope="session")
def sites(tp53: TP53, tmp_path_factory: pytest.TempPathFactory) -> tuple[Variants, KnownSites]:
    """Made-up calls, and the true half of them, to train a model with."""
    work = factory(tmp_path_factory.mktemp("sites"))()
    calls = write_sites(work.file("calls.vcf"), tp53.reference.path, every=1)
    path = write_sites(work.file("truth.vcf"), tp53.reference.path, every=2)
    truth = KnownSites(path=path, resource_name="truth", training=True, truth=True, prior=15)
    index = tasks.index_feature_file.body(work, replace(truth, path=calls))
    own = tasks.index_feature_file.body(work, truth)
    beside = (VariantsIndex(path=index.path),)
    vcf = Variants(path=calls, companions=beside, sample_id="c", variant_type="vcf", caller="gatk")
    return vcf, replace(truth, companions=(own,))


def with_index(gvcf: Path, sample: str, **facts: str) -> Variants:
    return Variants(
        path=gvcf,
        companions=(VariantsIndex(path=Path(f"{gvcf}.idx")),),
        sample_id=sample,
        variant_type="gvcf",
        source_samples=(sample,),
        **facts,  # type: ignore[arg-type]
    )
