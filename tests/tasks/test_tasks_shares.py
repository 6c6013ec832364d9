"""Measures of hardly any reads, and of targets that overlap themselves."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.tasks.general import (
    attach_indices,
    bcftools_stats,
    identify_samples,
    mark_duplicates,
    qc_report,
    samtools_faidx,
    samtools_stats,
    target_coverage,
)

LENGTHS = {"chr1": 4000, "chr2": 3000, "chrX": 2000, "chrY": 1000}


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_what_two_regions_of_a_target_share_counts_once(tmp_path: Path, twice: bool) -> None:
    counts = tmp_path / "s.idxstats.txt"
    # As deep on X as elsewhere: two copies of it, none of Y.
    counts.write_text("chr1\t4000\t400\t0\nchr2\t3000\t300\t0\nchrX\t2000\t200\t0\nchrY\t1000\t0\t0\n*\t0\t0\t0\n")
    lines = [f"{name}\t0\t{length}\n" for name, length in LENGTHS.items()]
    lines += ["chrX\t0\t2000\n", "chrX\t500\t1500\n"] if twice else []
    bed = tmp_path / "target.bed"
    bed.write_text("".join(lines))
    (tmp_path / "work").mkdir()
    work, target = sg.Workdir(tmp_path / "work"), sg.Intervals(path=bed)
    given = [sg.ContigCounts(path=counts, sample_id="s")]
    made = identify_samples.body(work, None, given, [], target, cohort_id="c", sexes={"s": "XX"})
    told = json.loads(made.path.read_text())
    assert (told["samples"]["s"]["x"], told["samples"]["s"]["sex"], told["marks"]) == (1.0, "XX", {})


def test_shares_of_no_reads_are_no_numbers(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "r.fa").write_text(f">chr1\n{'ACGT' * 100}\n")
    fasta = store.add(tmp_path / "r.fa", sg.Reference(build="x"))
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 400}]}
    with pysam.AlignmentFile(str(tmp_path / "s.bam"), "wb", header=header | {"RG": [{"ID": "s", "SM": "s"}]}):
        pass
    pysam.index(str(tmp_path / "s.bam"))
    (tmp_path / "t.bed").write_text("chr1\t100\t200\n")
    index = sg.AlignmentIndex(path=tmp_path / "s.bam.bai", sample_id="s")
    draft = sg.Alignment(sample_id="s", sorted="coordinate", companions=(index,))
    bam, target = store.add(tmp_path / "s.bam", draft), store.add(tmp_path / "t.bed", sg.Intervals(build="x"))
    made = target_coverage(bam, attach_indices(fasta, [samtools_faidx(fasta)]), target).compute()
    assert (made.mean_depth, made.breadth_10x) == (0.0, 0.0)
    assert all(math.isnan(value) for value in (made.on_target, made.fold_80, made.gc))
    told = json.loads(made.fetch().read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (told["on_target"], told["fold_80"], told["gc"]) == (None, None, None)
    (tmp_path / "work").mkdir()
    page = qc_report.body(sg.Workdir(tmp_path / "work"), [], [], [], [], [], [made], title="c").path.read_text()
    assert "on target (%)" in page
    assert ">nan<" not in page


VARIANTS = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=400>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts
"""


@pytest.mark.parametrize("calls", ["", "chr1\t5\t.\tA\tG\t.\tPASS\t.\tGT\t0/1\n"], ids=["none", "a transition"])
def test_a_report_of_no_reads_has_no_perfect_shares(store: sg.Store, tmp_path: Path, calls: str) -> None:
    (tmp_path / "r.fa").write_text(f">chr1\n{'ACGT' * 100}\n")
    (tmp_path / "s.vcf").write_text(VARIANTS + calls)
    fasta = attach_indices(ref := store.add(tmp_path / "r.fa", sg.Reference(build="x")), [samtools_faidx(ref)])
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 400}], "RG": [{"ID": "s", "SM": "s", "LB": "l"}]}
    with pysam.AlignmentFile(str(tmp_path / "s.bam"), "wb", header=header) as bam:
        read = pysam.AlignedSegment(bam.header)
        read.query_name, read.flag, read.query_sequence = "r", 4, "ACGT"
        read.query_qualities = pysam.qualitystring_to_array("FFFF")
        read.set_tag("RG", "s")
        bam.write(read)
    with pytest.warns(sg.errors.DataWarning, match="Hardly any read is mapped"):
        marked, metrics = mark_duplicates([store.add(tmp_path / "s.bam", sg.Alignment(sample_id="s"))]).compute()
    counts = bcftools_stats(store.add(tmp_path / "s.vcf", sg.Variants(sample_id="s"))).compute()
    assert math.isnan(counts.ts_tv)
    assert counts.snvs == len(calls.splitlines())
    report = qc_report([samtools_stats(marked, fasta)], [], [metrics], [counts], [], [], title="c").compute()
    page = report.fetch().read_text()
    assert "Ti/Tv) unknown" in page
    assert shares(page, "error rate (%)") == shares(page, "insert size") == shares(page, "share of duplicates") == [""]


def shares(page: str, column: str) -> list[str]:
    """What a column of the report's tables says of each row."""
    tables = [one for one in page.split("<table")[1:] if f">{column}<" in one]
    heads, *rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in tables[0].split("<tr")[1:]]
    return [row[heads.index(column)] for row in rows]


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    """Reads without X and Y, and pairs with few sites: no mark, and not as if all were well."""
    line = "chr1\t{}\t.\tA\tG\t.\tPASS\t.\tGT\t0/1\t0/1\t0/0\n"
    vcf, counts = tmp_path / "c.vcf", tmp_path / "a.idxstats.txt"
    vcf.write_text(VARIANTS.rstrip("s\n") + "a\tb\tc\n" + "".join(line.format(at) for at in range(1, 20)))
    counts.write_text("chr1\t4000\t400\t0\n*\t0\t0\t0\n")
    (tmp_path / "work").mkdir()
    said = {"sexes": {"a": "XX", "b": "XY"}, "patients": {"a": "p", "b": "p"}, "parents": {"c": ["a"]}}
    work, given = sg.Workdir(tmp_path / "work"), [sg.ContigCounts(path=counts, sample_id="a")]
    with pytest.warns(sg.errors.DataWarning) as told:
        made = identify_samples.body(work, sg.Variants(path=vcf), given, [], cohort_id="c", **said)
    found = json.loads(made.path.read_text())
    assert found["marks"] == {}
    assert [str(one.message) for one in told] == found["untold"]
    sex, same, parent = found["untold"]
    assert "reads of a, b" in sex
    assert "a and b are related as the sheet says" in same
    assert "19" in same
    assert "a and c" in parent
    page = qc_report.body(work, [], [], [], [], [], [made], title="c").path.read_text()
    assert "reads of a, b" in page
    assert "Of 3 too few sites tell" in page
