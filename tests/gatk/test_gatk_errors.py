"""Inputs that do not fit: a clear error, before GATK is started where that can be seen."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pysam
import pytest

import stargazer as sg
from stargazer.assets import Alignment, AlignmentIndex, KnownSites, Variants, VariantsIndex
from stargazer.errors import AssetError, DataError, ToolFailed
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk.haplotypes import caller_command
from stargazer.tasks.general import joint_call


def gvcf(sample: str, caller: str = "gatk", kind: str = "gvcf") -> Variants:
    return Variants(
        path=Path(f"{sample}.g.vcf.gz"),
        companions=(VariantsIndex(path=Path(f"{sample}.g.vcf.gz.tbi")),),
        sample_id=sample,
        caller=caller,
        variant_type=kind,
        source_samples=(sample,),
    )


@pytest.mark.parametrize("task", [tasks.joint_call_gvcfs, tasks.combine_gvcfs], ids=lambda task: task.name)
def test_only_gvcfs_of_one_caller_are_joined(tp53: Any, new_work: Any, task: Any) -> None:
    for gvcfs, told in (
        ([], "once, with its gVCF"),
        ([gvcf("a"), gvcf("a")], "once"),
        ([gvcf("a"), gvcf("b", kind="vcf")], "variant_type 'vcf'"),
        ([gvcf("a"), gvcf("b", "bcftools (pysam)")], "b.g.vcf.gz was called by bcftools .*never mixed"),
    ):
        with pytest.raises(DataError, match=told):
            task.body(new_work(), gvcfs, tp53.reference)
    with pytest.raises(AssetError, match="no index"):
        task.body(new_work(), [replace(gvcf("a"), companions=())], tp53.reference)


def test_bcftools_takes_none_of_gatks(tp53: Any, new_work: Any) -> None:
    with pytest.raises(DataError, match="was called by gatk, and is to be joined by bcftools"):
        joint_call.body(new_work(), tp53.reference, [gvcf("a", "bcftools"), gvcf("b")], cohort_id="c")


def test_orders_and_known_sites(tp53: Any, new_work: Any) -> None:
    with pytest.raises(DataError, match="coordinate, queryname, duplicate"):
        tasks.sort_sam.body(new_work(), tp53.bam("merged"), sort_order="name")
    recalibrate = tasks.base_recalibrator.body
    with pytest.raises(DataError, match="known_sites"):
        recalibrate(new_work(), tp53.bam("markdup"), tp53.reference, [])
    with pytest.raises(AssetError, match="KnownSitesIndex"):
        recalibrate(new_work(), tp53.bam("markdup"), tp53.reference, [replace(tp53.known, companions=())])
    table = replace(tp53.table, sample_id="other")
    with pytest.raises(DataError, match="'other'"):
        tasks.apply_bqsr.body(new_work(), tp53.bam("markdup"), tp53.reference, table)


def rewritten(tp53: Any, folder: Path, change: Any) -> Alignment:
    """The merged reads with another header."""
    folder.mkdir(exist_ok=True)
    path = folder / "NA12829.bam"
    with pysam.AlignmentFile(str(tp53.folder / "NA12829_TP53_merged.bam")) as reads:
        header = reads.header.to_dict()
        change(header["SQ"][0])
        with pysam.AlignmentFile(str(path), "wb", header=header):
            pass
    return Alignment(path=path, sample_id="NA12829", companions=(AlignmentIndex(path=path.with_suffix(".bai")),))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda contig: contig.update(SN="chr17"), r"does not belong to reference .* chr17"),
        (lambda contig: contig.update(LN=39071), r"39071 bases"),
        (lambda contig: contig.update(M5="0" * 32), r"another sequence .* the MD5 of chr17:7658421-7697490"),
    ],
    ids=["name", "length", "MD5"],
)
def test_another_reference_is_found(tp53: Any, new_work: Any, tmp_path: Path, change: Any, told: str) -> None:
    bam = rewritten(tp53, tmp_path / "other", change)
    for run in (
        lambda: tasks.haplotype_caller.body(new_work(), bam, tp53.reference),
        lambda: tasks.base_recalibrator.body(new_work(), bam, tp53.reference, [tp53.known]),
        lambda: tasks.apply_bqsr.body(new_work(), bam, tp53.reference, tp53.table),
        lambda: tasks.merge_bam_alignment.body(new_work(), bam, bam, tp53.reference),
    ):
        with pytest.raises(DataError, match=told):
            run()


def test_a_damaged_bam_fails_clearly(tp53: Any, new_work: Any, tmp_path: Path) -> None:
    whole = (tp53.folder / "NA12829_TP53_merged.bam").read_bytes()
    path = tmp_path / "cut.bam"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ToolFailed, match=r"(?i)truncat|premature|BlockCompressed|Invalid GZIP|EOF"):
        tasks.sort_sam.body(new_work(), Alignment(path=path, sample_id="NA12829"))
    path.write_bytes(b"no BAM at all")
    alignment = Alignment(path=path, sample_id="NA12829", companions=(AlignmentIndex(path=tmp_path / "cut.bai"),))
    with pytest.raises(DataError, match=r"cut\.bam is no BAM"):
        tasks.haplotype_caller.body(new_work(), alignment, tp53.reference)


def test_unsorted_sites_fail_and_nothing_is_stored(tp53: Any, tmp_path: Path, store: sg.Store) -> None:
    lines = tp53.known.path.read_text().splitlines(keepends=True)
    body = [line for line in lines if not line.startswith("#")]
    unsorted = tmp_path / "unsorted.vcf"
    unsorted.write_text("".join([line for line in lines if line.startswith("#")] + body[::-1]))
    known = store.add(unsorted, KnownSites(resource_name="mills"))
    with pytest.raises(ToolFailed, match=r"(?i)not.*(sorted|in order)|out of order|unsorted"):
        tasks.index_feature_file(known).compute()
    assert store.find(asset="known_sites_index") == []


def test_arguments_of_the_caller() -> None:
    paths = Path("s.bam"), Path("r.fa"), Path("s.g.vcf.gz")
    plain = "gatk HaplotypeCaller -R r.fa -I s.bam -O s.g.vcf.gz --emit-ref-confidence GVCF "
    plain += "--add-output-vcf-command-line false --sample-ploidy 2 --native-pair-hmm-threads "
    assert " ".join(map(str, caller_command(*paths))) == f"{plain}1"
    given = {"intervals": Path("a.bed"), "ploidies": Path("b.bed")}
    full = caller_command(*paths, threads=4, **given)
    assert " ".join(map(str, full)) == f"{plain}4 -L a.bed --ploidy-regions b.bed"


def test_haploid_and_absent_regions(tp53: Any, new_work: Any, region: Any, variant_lines: Any) -> None:
    work = new_work()
    made = tasks.haplotype_caller.body(
        *(work, tp53.bam("recalibrated"), tp53.reference),
        *(region(work, 5_000, 11_000), region(work, 5_000, 8_000), region(work, 9_000, 20_000)),
    )
    copies: dict[int, set[str]] = {1: set(), 2: set()}
    for line in variant_lines(made.path):
        fields = line.split("\t")
        genotype = fields[9].partition(":")[0]
        copies[1 + genotype.count("/") + genotype.count("|")].add(fields[1])
    assert copies[1], "nothing is haploid"
    assert max(map(int, copies[1])) <= 8_000 < max(map(int, copies[2])) <= 9_000
    with gzip.open(made.path, "rt") as lines:
        assert "haploid.bed" not in lines.read()
