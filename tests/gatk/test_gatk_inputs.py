"""Other inputs than usual: CRAM, targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.tasks import gatk as tasks
from stargazer.tasks.general import convert_alignment
from stargazer.workflows import GatkOptions, Lane, call_cohort, index_reference


def test_a_cram_is_called_as_its_bam(tp53: Any, new_work: Any, region: Any, variant_lines: Any) -> None:
    work = new_work()
    where = region(work, 9_000, 12_000)
    bam = tp53.bam("recalibrated", sorted="coordinate")
    cram = convert_alignment.body(new_work(), bam, tp53.reference)
    made = [tasks.haplotype_caller.body(new_work(), one, tp53.reference, where) for one in (bam, cram)]
    assert list(variant_lines(made[0].path)) == list(variant_lines(made[1].path))


@pytest.mark.slow
def test_nothing_is_called_outside_of_targets(
    tool: Any, gatk: Path, store: sg.Store, tmp_path: Path, variant_lines: Any
) -> None:
    for name in ("bwa", "samtools", "bcftools", "java"):
        tool(name)
    cohort = simulate_cohort(tmp_path / "cohort", samples=["s1"], depth=20, length=12_000)
    add = store.add
    [(r1, r2)] = cohort.reads["s1"]
    samples = {"s1": [Lane(add(r1, sg.R1(sample_id="s1")), add(r2, sg.R2(sample_id="s1")))]}
    bed = tmp_path / "panel.bed"
    bed.write_text("chr1\t1000\t2500\nchr2\t500\t2000\n")
    target = add(bed, sg.Intervals(build="sim"))
    reference = index_reference(add(cohort.reference, sg.Reference(build="sim")), engine="native")
    options = GatkOptions(target=target, padding=50, shards=2)
    vcf = call_cohort(reference, samples, "panel", engine="gatk", options=options).compute()
    places = [(line.split("\t")[0], int(line.split("\t")[1])) for line in variant_lines(vcf.fetch())]
    allowed = {"chr1": range(951, 2551), "chr2": range(451, 2051)}
    assert places
    assert all(at in allowed[contig] for contig, at in places)
    gvcf = store.assemble(asset="variants", variant_type="gvcf", sample_id="s1")
    assert {one.name for one in gvcf} == {"s1.g.vcf.gz"}
