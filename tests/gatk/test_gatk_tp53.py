"""What GATK 4.6.1.0 made of real reads, and what our tasks make of the same files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stargazer.assets import R1, R2
from stargazer.errors import MemoryExceeded
from stargazer.tasks import bwa_index, bwa_mem, bwa_mem2_index, bwa_mem2_mem
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk import java
from stargazer.tools.install import gatk_command


@pytest.fixture
def bwa_reads(tp53) -> tuple[R1, R2]:
    paths = (tp53.folder / f"NA12829_TP53_R{mate}.fq.gz" for mate in (1, 2))
    return R1(path=next(paths), sample_id="NA12829"), R2(path=next(paths), sample_id="NA12829")


def test_sorted_reads_are_gatks(tp53, new_work, records) -> None:
    made = tasks.sort_sam.body(new_work(), tp53.bam("merged"))
    assert records(made.path) == records(tp53.folder / "NA12829_TP53_sorted_coordinate.bam")
    assert [one.path.name for one in made.companions] == ["NA12829.coordinate.bai"]
    assert (made.sorted, made.format, made.tool) == ("coordinate", "bam", "gatk")


def test_duplicates_are_gatks(tp53, new_work, records) -> None:
    made, metrics = tasks.mark_duplicates.body(new_work(), tp53.bam("merged"))
    assert records(made.path) == records(tp53.folder / "NA12829_TP53_markdup.bam")
    assert made.companions[0].path.name == "NA12829.markdup.bai"
    ours, theirs = (
        [line for line in path.read_text().splitlines() if not line.startswith("#")]
        for path in (metrics.path, tp53.folder / "NA12829_TP53_markdup_metrics.txt")
    )
    assert ours == theirs
    assert "Started on" not in metrics.path.read_text()


def test_recalibrated_reads_are_gatks(tp53, new_work, records) -> None:
    made = tasks.apply_bqsr.body(new_work(), tp53.bam("markdup", duplicates_marked=True), tp53.reference, tp53.table)
    assert records(made.path) == records(tp53.folder / "NA12829_TP53_recalibrated.bam")
    assert (made.bqsr_applied, made.duplicates_marked) == (True, True)


def test_the_gvcf_is_gatks(tp53, new_work, variant_lines) -> None:
    made = tasks.haplotype_caller.body(new_work(cpus=2), tp53.bam("recalibrated"), tp53.reference)
    assert list(variant_lines(made.path)) == list(variant_lines(tp53.folder / "NA12829_TP53.g.vcf"))
    assert (made.caller, made.variant_type, made.source_samples) == ("gatk", "gvcf", ("NA12829",))
    assert made.companions[0].path.name == "NA12829.g.vcf.gz.tbi"


def test_bwa_and_bwa_mem2_align_as_bwa_did(tp53, new_work, records, tool, bwa_reads) -> None:
    for name in ("bwa", "bwa-mem2", "samtools"):
        tool(name)
    r1, r2 = bwa_reads
    theirs = [same_fields(line) for line in records(tp53.folder / "NA12829_TP53_bwa_aligned.bam")]
    bare = replace(tp53.reference, companions=())
    for index, align in ((bwa_index.body, bwa_mem.body), (bwa_mem2_index.body, bwa_mem2_mem.body)):
        options = {"engine": "native"} if align is bwa_mem.body else {}
        indexed = replace(bare, companions=(index(new_work(), bare, **options),))
        made = align(new_work(cpus=2), indexed, r1, r2, lane="L1", **options)
        assert [same_fields(line) for line in records(made.path)] == theirs


def same_fields(line: str) -> list[str]:
    """All but the name of the read group, and the mate's mapping quality, which bwa 0.7.17 does not write."""
    fields = line.split("\t")
    return [*fields[:11], *sorted(one for one in fields[11:] if not one.startswith(("RG:", "MQ:")))]


def test_too_little_memory_is_told(tp53, new_work) -> None:
    work = new_work()
    work.memory = 1 << 20
    with pytest.raises(MemoryExceeded, match=r"HaplotypeCaller(.|\n)*of memory, but was to stay below 0.00 GiB"):
        tasks.haplotype_caller.body(work, tp53.bam("recalibrated", tool="gatk"), tp53.reference)


def test_java_without_memory_says_so(tp53, new_work, monkeypatch) -> None:
    def starved(path: str, **options: Any) -> list[str]:
        return ["-Xmx20m" if word.startswith("-Xmx") else word for word in gatk_command(path, **options)]

    monkeypatch.setattr(java, "gatk_command", starved)
    with pytest.raises(MemoryExceeded, match=r"HaplotypeCaller(.|\n)*ran out of memory(.|\n)*OutOfMemoryError"):
        tasks.haplotype_caller.body(new_work(), tp53.bam("recalibrated"), tp53.reference)
