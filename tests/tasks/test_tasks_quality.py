from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import AlignerIndex, ReferenceIndex, SequenceDict
from stargazer.errors import DataError
from stargazer.tasks.general import (
    bwa_mem,
    bwa_mem2_index,
    bwa_mem2_mem,
    convert_alignment,
    coverage,
    fastp,
    join_lanes,
    samtools_sort,
    samtools_stats,
)

SAMTOOLS = [sys.executable, "-m", "stargazer.embedded", "samtools"]


def samtools(*arguments: str | Path) -> str:
    return subprocess.run([*SAMTOOLS, *arguments], check=True, capture_output=True, text=True).stdout


def view(path: Path, *options: str | Path) -> list[list[str]]:
    lines = samtools("view", "--no-PG", *options, path).splitlines()
    return [[*fields[:11], *sorted(fields[11:])] for fields in (line.split("\t") for line in lines)]


def test_counts_of_an_alignment(final, sample, new_work) -> None:
    made = samtools_stats.body(new_work(), final, sample.reference)
    lines = made.path.read_text().splitlines()
    assert (made.reads, made.mapped, made.duplicates) == tuple(
        int(samtools("view", "-c", *options, final.path))
        for options in (("-F", "0x900"), ("-F", "0x904"), ("-f", "0x400", "-F", "0x900"))
    )
    assert 300 < made.insert_size < 500
    assert "/" not in next(line for line in lines if "command line" in line)
    by_hand = samtools("stats", "--ref-seq", sample.reference.path, final.path).splitlines()
    assert [line for line in lines if "command line" not in line] == [
        line for line in by_hand if "command line" not in line
    ]


def test_depth_and_breadth(final, alignment, new_work) -> None:
    made = coverage.body(new_work(), final)
    assert made.path.read_text() == samtools("coverage", final.path)
    depths = [int(line.split("\t")[2]) for line in samtools("depth", "-aa", final.path).splitlines()]
    assert made.mean_depth == pytest.approx(sum(depths) / len(depths), rel=0.02)
    assert made.breadth == pytest.approx(sum(depth > 0 for depth in depths) / len(depths), abs=0.001)
    with pytest.raises(DataError, match="queryname"):
        coverage.body(new_work(), replace(alignment, sorted="queryname"))


def test_cram_and_back_are_the_same_reads(final, sample, new_work, engine) -> None:
    crams = [convert_alignment.body(new_work(cpus), final, sample.reference, engine=engine) for cpus in (1, 2)]
    cram = crams[0]
    assert cram.path.read_bytes() == crams[1].path.read_bytes(), "threads or the place of the FASTA count"
    assert cram.path.read_bytes()[:4] == b"CRAM"
    assert (cram.format, cram.duplicates_marked, cram.companions[0].path.name) == ("cram", True, f"{cram.name}.crai")
    assert "UR:" not in samtools("view", "-H", "--no-PG", cram.path)
    back = convert_alignment.body(new_work(), cram, sample.reference, to="bam", engine=engine)
    assert view(back.path) == view(final.path)
    assert cram.path.stat().st_size < final.path.stat().st_size


def test_alignments_from_elsewhere_are_checked_and_unmarked(final, sample, new_work, engine, tmp_path) -> None:
    made = convert_alignment.body(new_work(), final, sample.reference, to="bam", unmark=True, engine=engine)
    flags = [[int(line[1]) for line in view(one.path)] for one in (made, final)]
    assert [flag & ~1024 for flag in flags[1]] == flags[0] != flags[1]
    assert (made.duplicates_marked, made.companions[0].path.name) == (False, f"{made.name}.bai")
    with pytest.raises(DataError, match=r"has reads of \['s'\], but is said to be of 't'"):
        convert_alignment.body(new_work(), replace(final, sample_id="t"), sample.reference, to="bam", engine=engine)
    other = tmp_path / "other.dict"
    known = sample.reference.companion(SequenceDict)
    other.write_text(known.path.read_text().replace("M5:", "M5:0"))
    changed = replace(
        sample.reference, companions=(sample.reference.companion(ReferenceIndex), SequenceDict(path=other))
    )
    cram = convert_alignment.body(new_work(), final, sample.reference, engine=engine)
    with pytest.raises(DataError, match="another sequence"):
        convert_alignment.body(new_work(), cram, changed, to="bam", engine=engine)


def test_lanes_in_one_file(sample, new_work, engine) -> None:
    lanes = [
        bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, lane=lane, library=lane, engine=engine)
        for lane in ("L1", "L2")
    ]
    made = join_lanes.body(new_work(), lanes, engine=engine)
    assert view(made.path) == [*view(lanes[0].path), *view(lanes[1].path)]
    header = samtools("view", "-H", "--no-PG", made.path)
    assert [line.split("\t")[1] for line in header.splitlines() if line.startswith("@RG")] == ["ID:s.L1", "ID:s.L2"]
    with pytest.raises(DataError, match="of 2: s, t"):
        join_lanes.body(new_work(), [lanes[0], replace(lanes[1], sample_id="t")], engine=engine)


def test_trimmed_reads(sample, new_work, tool: Callable[[str], str]) -> None:
    tool("fastp")
    made = fastp.body(new_work(cpus=2), sample.r1, sample.r2, min_length=150)
    other = fastp.body(new_work(cpus=1), sample.r1, sample.r2, min_length=150)
    for one, same in zip(made, other, strict=True):
        assert one.path.read_bytes() == same.path.read_bytes()
    report = json.loads(made.report.path.read_text())
    assert made.report.reads == report["summary"]["before_filtering"]["total_reads"] > 1000
    assert 0 < made.report.kept <= made.report.reads
    assert report["command"] == "fastp"
    single = fastp.body(new_work(), sample.r1)
    assert single.r2 is None
    assert (made.r1.sample_id, made.r2.sample_id, made.r1.name) == ("s", "s", "s_R1.trimmed.fq.gz")


def test_bwa_mem2_aligns_as_bwa_does(sample, new_work, tool: Callable[[str], str]) -> None:
    for name in ("bwa", "bwa-mem2", "samtools"):
        tool(name)
    index = bwa_mem2_index.body(new_work(), sample.reference)
    assert sorted(path.suffix for path in index.path.iterdir()) == [".0123", ".64", ".amb", ".ann", ".pac"]
    both = replace(sample.reference, companions=(*sample.reference.companions, index))
    assert {one.aligner for one in both.companions if isinstance(one, AlignerIndex)} == {"bwa", "bwa-mem2"}
    made = [bwa_mem2_mem.body(new_work(cpus), both, sample.r1, sample.r2, lane="L1") for cpus in (1, 2)]
    assert made[0].path.read_bytes() == made[1].path.read_bytes()
    assert made[0].tool == "bwa-mem2"
    theirs = bwa_mem.body(new_work(), both, sample.r1, sample.r2, lane="L1", engine="native")
    ours = [[field for field in line if not field.startswith("MQ:")] for line in view(made[0].path)]
    assert ours == view(theirs.path)
    assert view(samtools_sort.body(new_work(), made[0]).path)
