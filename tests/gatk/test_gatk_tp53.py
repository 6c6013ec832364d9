"""What GATK 4.6.1.0 made of real reads, and what our tasks make of the same files."""

from __future__ import annotations

from stargazer.tasks import gatk as tasks


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
