"""Measures of hardly any reads, and of targets that overlap themselves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pysam
import pytest

import stargazer as sg
from stargazer.tasks.general import attach_indices, identify_samples, qc_report, samtools_faidx, target_coverage

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
