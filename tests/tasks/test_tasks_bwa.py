from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import AlignerIndex, Alignment
from stargazer.errors import AssetError, DataError
from stargazer.tasks.general import bwa_mem
from stargazer.tasks.general.bwa import read_group

CID = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"


def view(alignment: Alignment, *options: str) -> list[str]:
    command = [sys.executable, "-m", "stargazer.embedded", "samtools", "view", "--no-PG", *options, alignment.path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, r"@RG\tID:s.1\tSM:s\tLB:s\tPL:ILLUMINA\tPU:s.1"),
        ({"lane": "L002"}, r"@RG\tID:s.L002\tSM:s\tLB:s\tPL:ILLUMINA\tPU:s.L002"),
        ({"library": "lib7", "unit": "HX.2"}, r"@RG\tID:s.1\tSM:s\tLB:lib7\tPL:ILLUMINA\tPU:HX.2"),
        ({"platform": "ELEMENT"}, r"@RG\tID:s.1\tSM:s\tLB:s\tPL:ELEMENT\tPU:s.1"),
    ],
)
def test_library_is_the_sample_unless_given_and_never_the_lane(given: dict[str, str], expected: str) -> None:
    assert read_group("s", **{"lane": "1", "library": "", "platform": "", "unit": "", **given}) == expected


@pytest.mark.parametrize("name", ["", "two words", "tab\tbed", "back\\slash"])
def test_names_that_break_the_header_are_refused(name: str) -> None:
    with pytest.raises(DataError):
        read_group(name, lane="1", library="", platform="", unit="")


def test_any_field_of_a_read_group_may_be_given(sample, new_work, engine) -> None:
    fields = {"ID": "run7", "LB": "lib2", "CN": "here"}
    made = bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, read_group=fields, engine=engine)
    assert "@RG\tID:run7\tSM:s\tLB:lib2\tPL:ILLUMINA\tPU:s.1\tCN:here" in view(made, "-H")
    assert all("RG:Z:run7" in line for line in view(made))
    for wrong, told in (({"SM": "t"}, "are of sample 's'"), ({"library": "x"}, "no tag"), ({"LB": ""}, "empty")):
        with pytest.raises(DataError, match=told):
            read_group("s", lane="1", library="", platform="", unit="", fields=wrong)


def test_alignment_says_what_it_is(sample, new_work, engine) -> None:
    made = bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, lane="L1", library="x", engine=engine)
    assert (made.sample_id, made.format, made.sorted, made.duplicates_marked) == ("s", "bam", "", False)
    assert made.tool == {"embedded": "bwa (pybwa)", "native": "bwa"}[engine]
    header = view(made, "-H")
    assert "@RG\tID:s.L1\tSM:s\tLB:x\tPL:ILLUMINA\tPU:s.L1" in header
    assert not any(line.startswith("@PG") for line in header)
    assert all("RG:Z:s.L1" in line for line in view(made))


def test_threads_change_no_byte(sample, new_work, engine) -> None:
    one, two = (
        bwa_mem.body(new_work(cpus), sample.reference, sample.r1, sample.r2, engine=engine).path.read_bytes()
        for cpus in (1, 2)
    )
    assert one == two


def test_engines_agree(sample, new_work, tool) -> None:
    tool("bwa")
    tool("samtools")
    embedded, native = (
        [
            sorted(field for field in line.split("\t") if not field.startswith(("MQ:", "XA:")))
            for line in view(bwa_mem.body(new_work(), sample.reference, sample.r1, sample.r2, engine=engine))
        ]
        for engine in ("embedded", "native")
    )
    assert len(embedded) > 2000
    assert embedded == native


def test_single_ends_align_too(sample, new_work, engine) -> None:
    lines = view(bwa_mem.body(new_work(), sample.reference, sample.r1, engine=engine))
    assert all(not int(line.split("\t")[1]) & 0x1 for line in lines)
    assert sum(not int(line.split("\t")[1]) & 0x904 for line in lines) > 0.95 * len(lines)


def test_index_files_beside_the_reference_do_as_well(sample, new_work) -> None:
    work = new_work()
    index = sample.reference.companion(AlignerIndex).path
    fasta = work.file("reference.fa")
    fasta.symlink_to(sample.reference.path)
    files = []
    for file in index.iterdir():
        beside = work.file(f"reference.fa{file.suffix}")
        beside.symlink_to(file)
        files.append(AlignerIndex(path=beside, aligner="bwa"))
    made = bwa_mem.body(work, replace(sample.reference, path=fasta, companions=tuple(files)), sample.r1, sample.r2)
    assert made.path.stat().st_size > 10_000


def test_a_reference_without_index_or_with_anothers_is_refused(sample, new_work) -> None:
    bare = replace(sample.reference, companions=())
    with pytest.raises(AssetError, match="bwa_index"):
        bwa_mem.body(new_work(), bare, sample.r1, sample.r2)
    other = AlignerIndex(path=Path("elsewhere"), aligner="bwa", reference_cid=CID)
    with pytest.raises(DataError, match="another reference"):
        bwa_mem.body(new_work(), replace(bare, cid=CID.replace("vy", "va"), companions=(other,)), sample.r1)


def test_mates_of_two_samples_are_refused(sample, new_work) -> None:
    with pytest.raises(DataError, match="'other'"):
        bwa_mem.body(new_work(), sample.reference, sample.r1, replace(sample.r2, sample_id="other"))
