"""GATK with inputs as they come: read groups without reads, files of one resource, folders of any name."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pysam
import pytest

from stargazer.assets import KnownSites, Variants
from stargazer.errors import DataError, DataWarning, ToolFailed
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk.filters import _Modeller
from stargazer.tasks.gatk.java import cause_of, check_tools
from stargazer.tasks.gatk.joint import _are_whole, _is_many
from stargazer.tasks.general import join_known_sites
from stargazer.tasks.regions import Region
from stargazer.tasks.sam import bam_header, is_recalibrated
from stargazer.tools import Workdir


def test_qualities_are_recalibrated_once(tp53: Any, new_work: Any) -> None:
    bam = tp53.bam("markdup")
    if not bam.companions:
        pytest.skip("the data has no index of it")
    table = tasks.base_recalibrator.body(new_work(), bam, tp53.reference, [tp53.known])
    made = tasks.apply_bqsr.body(new_work(), bam, tp53.reference, table)
    assert is_recalibrated(bam_header(made.path))
    assert made.bqsr_applied
    with pysam.AlignmentFile(str(made.path), index_filename=str(made.companions[0].path)) as records:
        assert records.count(records.references[0], 5000, 6000) > 100
    forgotten = replace(made, bqsr_applied=False)
    with pytest.raises(DataError, match="recalibrated already"):
        tasks.base_recalibrator.body(new_work(), forgotten, tp53.reference, [tp53.known])


def test_a_read_group_without_reads_is_told(tp53: Any, new_work: Any, tmp_path: Path) -> None:
    bam = tp53.bam("markdup")
    if not bam.companions:
        pytest.skip("the data has no index of it")
    table = tasks.base_recalibrator.body(new_work(), bam, tp53.reference, [tp53.known])
    more = tmp_path / "more.bam"
    with pysam.AlignmentFile(str(bam.path)) as records:
        header = records.header.to_dict()
        header["RG"].append({"ID": "dead", "SM": "NA12829", "LB": "l", "PL": "ILLUMINA", "PU": "dead"})
        with pysam.AlignmentFile(str(more), "wb", header=header) as out:
            for record in records:
                if record.is_unmapped:
                    record.set_tag("RG", "dead")
                out.write(record)
    pysam.index(str(more))
    dead = replace(bam, path=more, companions=(replace(bam.companions[0], path=Path(f"{more}.bai")),))
    with pytest.warns(DataWarning, match="read groups dead have no usable reads"):
        assert tasks.apply_bqsr.body(new_work(), dead, tp53.reference, table).bqsr_applied


def test_known_sites_without_records_recalibrate_nothing(tp53: Any, new_work: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty.vcf"
    empty.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    with pytest.raises(DataError, match="no known sites at all"):
        tasks.base_recalibrator.body(new_work(), tp53.bam("markdup"), tp53.reference, [KnownSites(path=empty)])


@pytest.mark.parametrize("engine", ["embedded", "native"])
def test_files_of_one_resource_become_one(new_work: Any, tmp_path: Path, engine: Any, tool: Any) -> None:
    if engine == "native":
        tool("bcftools")
    parts = []
    for number, contig in enumerate(("a", "b")):
        path = tmp_path / f"{contig}.vcf"
        text = "##fileformat=VCFv4.2\n##contig=<ID=a,length=9>\n##contig=<ID=b,length=9>\n"
        text += f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{contig}\t{number + 2}\trs{number}\tA\tG\t.\t.\t.\n"
        path.write_text(text)
        parts.append(KnownSites(path=path, resource_name="dbSNP", known=True))
    made = join_known_sites.body(new_work(), parts[::-1], engine=engine)
    with gzip.open(made.path, "rt") as lines:
        assert [line.split("\t")[2] for line in lines if not line.startswith("#")] == ["rs0", "rs1"]
    assert (made.resource_name, made.known, len(made.companions)) == ("dbSNP", True, 1)


def test_gatk_runs_in_folders_of_any_name(tp53: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a b ü 'x'"
    folder.mkdir()
    site = folder / "sités.vcf"
    site.write_bytes(tp53.known.path.read_bytes())
    assert tasks.index_feature_file.body(Workdir(folder), KnownSites(path=site)).path.is_file()


def test_a_gvcf_of_another_sample_is_refused(tp53: Any, new_work: Any, gvcfs: list[Variants]) -> None:
    wrong = replace(gvcfs[0], sample_id="other", source_samples=("other",))
    with pytest.raises(DataError, match="said to be of other, but the file has NA1"):
        tasks.joint_call_gvcfs.body(new_work(), [wrong, gvcfs[1]], tp53.reference)


def test_the_exception_itself_stands_first(tp53: Any, new_work: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.vcf"
    broken.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\na\tx\t.\tA\tG\t.\t.\t.\n")
    with pytest.raises(ToolFailed) as caught:
        tasks.index_feature_file.body(new_work(), KnownSites(path=broken))
    assert "Error parsing" in caught.value.tail.splitlines()[0] or "rror" in caught.value.tail.splitlines()[0]
    log = "INFO x\njava.lang.IllegalStateException: no\n\tat a.b\nCaused by: java.io.IOException: disk\n"
    assert cause_of(log) == "java.lang.IllegalStateException: no"
    told = "***\n\nA USER ERROR has occurred: Couldn't read file x. Error was: y\n\n***\nSet the system property\n"
    assert cause_of(told) == "Couldn't read file x. Error was: y"
    assert cause_of("all is well") == ""


def test_extra_arguments_are_of_tools_that_run() -> None:
    check_tools({"HaplotypeCaller": ["--max-reads-per-alignment-start", "0"]})
    for wrong in ({"Haplotypecaller": []}, {"SortSam": "--x"}):
        with pytest.raises(DataError, match="extra arguments"):
            check_tools(wrong)  # type: ignore[arg-type]


def test_extra_arguments_reach_the_tool(tp53: Any, new_work: Any) -> None:
    with pytest.raises(ToolFailed, match="nosuch"):
        tasks.index_feature_file.body(new_work(), tp53.known) and tasks.sort_sam.body(
            new_work(), tp53.bam("merged"), extra={"SortSam": ["--nosuch", "1"]}
        )


def test_no_model_is_no_reason_to_end(tp53: Any, new_work: Any, sites: Any) -> None:
    """Training sites without any that are true: a model cannot be had, so there are hard filters."""
    from stargazer.tasks.gatk import filters

    vcf, truth = sites
    training = replace(truth, truth=False)
    counts = filters.Counts(40, 700, {"SNP": 400, "INDEL": 0})
    modeller = _Modeller(
        new_work(), tp53.reference, [training], counts._replace(sites={"SNP": 20_000, "INDEL": 0}),
        auto=True, annotations=None, gaussians=None, extra=None,
    )  # fmt: skip
    notes: list[str] = []
    assert modeller.recalibrated(vcf, notes) == vcf
    assert modeller.modelled == []
    assert any("SNP: hard filters, for no model could be had: none of the resources has truth=True" in n for n in notes)


def test_thousands_of_contigs_are_read_at_once(tp53: Any) -> None:
    many = [Region(f"c{number}", 0, 10) for number in range(101)]
    assert _is_many(many)
    assert not _is_many(many[:100])
    whole = [Region(name, 0, length) for name, length in dict(tp53.reference.contigs).items()]
    assert _are_whole(whole, tp53.reference)
    assert not _are_whole([whole[0]._replace(start=5)], tp53.reference)
