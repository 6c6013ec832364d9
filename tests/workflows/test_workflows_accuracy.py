"""How well the embedded workflow calls: on simulated cohorts whose truth is known, and on real reads."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.bio.simulate import Cohort, simulate_cohort
from stargazer.bio.simulate.genome import read_fasta
from stargazer.bio.variants import Comparison, compare
from stargazer.tools import EMBEDDED, Workdir
from stargazer.workflows import Lane, call_cohort, index_reference

TRIO = ("SIM1", "SIM2", "SIM3")


def call(store: sg.Store, reference: Path, reads: dict[str, list[tuple[Path, Path]]]) -> Path:
    """The cohort's VCF."""
    add = store.add
    samples = {
        sample: [Lane(add(one, sg.R1(sample_id=sample)), add(two, sg.R2(sample_id=sample))) for one, two in pairs]
        for sample, pairs in reads.items()
    }
    indexed = index_reference(store.add(reference, sg.Reference(build="b")))
    vcf: sg.Asset = call_cohort(indexed, samples, "cohort").compute()
    return vcf.fetch()


def compared(cohort: Cohort, store: sg.Store) -> Comparison:
    return compare(read_fasta(cohort.reference), cohort.truth, call(store, cohort.reference, cohort.reads))


@pytest.mark.parametrize("length", [60_000, pytest.param(240_000, marks=pytest.mark.slow)])
def test_a_cohort_at_30x_is_called_right(tmp_path: Path, store: sg.Store, length: int) -> None:
    result = compared(simulate_cohort(tmp_path / "cohort", depth=30, length=length), store)
    assert result.snv.f1 >= 0.995, result
    assert result.indel.f1 >= 0.98, result


@pytest.mark.slow
def test_cohorts_on_real_sequence_are_called_right(
    tmp_path: Path, store: sg.Store, shared_data: Path, short: bool
) -> None:
    """A genome has some hundred indels, so one is a hundredth: only several together say how well they are called."""
    real = shared_data / "tp53" / "GRCh38_TP53.fa"
    seeds = ["stargazer"] if short else ["stargazer", "a", "b", "c"]
    cohorts = [simulate_cohort(tmp_path / seed, depth=30, reference=real, seed=seed) for seed in seeds]
    results = [compared(cohort, store) for cohort in cohorts]
    snv, indel = results[0].snv, results[0].indel
    for result in results[1:]:
        snv, indel = snv + result.snv, indel + result.indel
    assert snv.f1 >= 0.995, results
    assert indel.f1 >= (0.97 if short else 0.985), results


def other_routes(store: sg.Store, cohort: Cohort, work: Workdir) -> tuple[Path, Path]:
    """VCFs of all samples' reads called at once, and of each sample called by itself and the calls joined."""
    reference = work.file("reference.fa")
    reference.write_bytes(cohort.reference.read_bytes())
    final = {"asset": "alignment", "duplicates_marked": True}
    bams = [store.assemble(sample_id=sample, **final)[0].fetch() for sample in cohort.reads]
    bcftools = [*EMBEDDED, "bcftools"]
    pileup = [*bcftools, "mpileup", "-X", "illumina", "-f", reference, "-Ou"]
    last = [*bcftools, "norm", "-f", reference, "-Oz", "-o"]
    at_once, apart, singles = work.file("at-once.vcf.gz"), work.file("apart.vcf.gz"), []
    work.pipe([*pileup, *bams], [*bcftools, "call", "-mv", "-Ou"], [*last, at_once, "-"])
    for bam in bams:
        singles.append(work.file(f"{bam.stem}.vcf.gz"))
        work.pipe([*pileup, bam], [*bcftools, "call", "-mv", "-Oz", "-o", singles[-1]])
        work.run([*bcftools, "index", "-t", singles[-1]])
    work.pipe([*bcftools, "merge", "--missing-to-ref", "-Ou", *singles], [*last, apart, "-"])
    return at_once, apart


@pytest.mark.parametrize("length", [60_000, pytest.param(240_000, marks=pytest.mark.slow)])
def test_at_4x_samples_are_called_together(tmp_path: Path, store: sg.Store, length: int) -> None:
    cohort = simulate_cohort(tmp_path / "cohort", depth=4, length=length)
    joint = call(store, cohort.reference, cohort.reads)
    (tmp_path / "work").mkdir()
    genome = read_fasta(cohort.reference)
    results = [
        compare(genome, cohort.truth, path, genotypes=False)
        for path in (joint, *other_routes(store, cohort, Workdir(tmp_path / "work")))
    ]
    ours, at_once, apart = results
    assert ours.snv.recall >= at_once.snv.recall - 0.02, results
    assert ours.snv.recall >= apart.snv.recall + 0.05, results
    assert ours.indel.recall >= at_once.indel.recall - 0.05, results
    assert ours.total.precision >= 0.97, results


def test_real_reads_are_marked_and_called_as_by_gatk(store: sg.Store, shared_data: Path) -> None:
    folder = shared_data / "tp53"
    reads = {"NA12829": [(folder / "NA12829_TP53_R1.fq.gz", folder / "NA12829_TP53_R2.fq.gz")]}
    vcf = call(store, folder / "GRCh38_TP53.fa", reads)
    [final] = store.assemble(asset="alignment", duplicates_marked=True)
    ours, theirs = marked(final.fetch()), marked(folder / "NA12829_TP53_markdup.bam")
    assert len(ours) == len(theirs) == 1393
    # Of a set of duplicates with equal qualities, another one may stay unmarked.
    assert len(ours & theirs) >= 1385
    genome = read_fasta(folder / "GRCh38_TP53.fa")
    result = compare(genome, folder / "NA12829_TP53.g.vcf", vcf)
    assert result.total.found + result.total.missed == 47
    assert result.total.found >= 42, result


def marked(path: Path) -> set[tuple[str | None, bool]]:
    """Mapped reads that are marked as duplicates; their supplementary alignments and unmapped mates do not count."""
    with pysam.AlignmentFile(str(path)) as records:
        return {(one.query_name, one.is_read1) for one in records if one.is_duplicate and not one.flag & 0x904}
