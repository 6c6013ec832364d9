"""Files of others that would make a tool read what is not theirs: CRAMs with references, GATK's files of arguments."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask.config
import pysam
import pytest

from stargazer.assets import Alignment
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import run_gatk
from stargazer.tasks.general import coverage, mark_duplicates, samtools_flagstat, samtools_sort, samtools_stats
from stargazer.tools import Workdir

SEQUENCE = "ACGTACGTAC" * 20


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file of whoever reads the CRAM, and what htslib would leave beside it."""
    path = tmp_path / "private.fa"
    path.write_text(f">c\n{SEQUENCE}\n")
    return path


def cram(folder: Path, private: Path, place: str) -> Alignment:
    """A CRAM whose header says where its reference is."""
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "c", "LN": len(SEQUENCE)}],
        "RG": [{"ID": "g", "SM": "s", "LB": "l"}],
    }
    copy = folder / "made.fa"
    copy.write_bytes(private.read_bytes())
    path = folder / "evil.cram"
    with pysam.AlignmentFile(str(path), "wc", header=header, reference_filename=str(copy)) as out:
        read = pysam.AlignedSegment(out.header)
        read.query_name, read.query_sequence, read.flag = "r", SEQUENCE[:50], 0
        read.reference_id, read.reference_start, read.cigarstring, read.mapping_quality = 0, 0, "50M", 60
        read.query_qualities = pysam.qualitystring_to_array("I" * 50)
        read.set_tag("RG", "g")
        out.write(read)
    text = folder / "header.sam"
    text.write_text(re.sub(r"UR:\S+", f"UR:{place}", pysam.view("-H", "--no-PG", str(path))))
    embedded = [sys.executable, "-m", "stargazer.embedded", "samtools", "reheader", "--no-PG"]
    other = folder / "other.cram"
    with open(other, "wb") as out:
        subprocess.run([*embedded, str(text), str(path)], stdout=out, check=True)
    other.replace(path)
    assert f"UR:{place}" in pysam.view("-H", "--no-PG", str(path))
    copy.unlink()
    Path(f"{copy}.fai").unlink(missing_ok=True)
    return Alignment(path=path, sample_id="s", format="cram", sorted="coordinate")


TASKS = {
    "sort": lambda work, alignment: samtools_sort.body(work, alignment),
    "stats": lambda work, alignment: samtools_stats.body(work, alignment, None),
    "coverage": lambda work, alignment: coverage.body(work, alignment),
    "flagstat": lambda work, alignment: samtools_flagstat.body(work, alignment),
    "mark duplicates": lambda work, alignment: mark_duplicates.body(work, [alignment]),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("form", ["{0}", "file:{0}", "file://{0}"])
def test_no_file_of_the_reader_is_read_for_a_reference(tmp_path: Path, private: Path, task: str, form: str) -> None:
    alignment = cram(tmp_path, private, form.format(private))
    with pytest.raises(DataError, match=r"says that its reference is .*private\.fa"):
        TASKS[task](work_in(tmp_path), alignment)
    assert not Path(f"{private}.fai").exists()


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/x.fa", "https://example.org/x.fa", "ftp://h/x", "s3://b/x"])
def test_nothing_is_fetched_from_the_network(tmp_path: Path, private: Path, place: str) -> None:
    with pytest.raises(DataError, match="says that its reference is"):
        samtools_stats.body(work_in(tmp_path), cram(tmp_path, private, place), None)


def test_settings_let_references_be_read(tmp_path: Path, private: Path) -> None:
    alignment = cram(tmp_path, private, str(private))
    with dask.config.set({"stargazer.cram-references": True}):
        assert samtools_flagstat.body(work_in(tmp_path), alignment).path.is_file()


def test_a_reference_that_is_nowhere_does_no_harm(tmp_path: Path, private: Path) -> None:
    assert samtools_flagstat.body(work_in(tmp_path), cram(tmp_path, private, "/nowhere/x.fa")).path.is_file()


def work_in(folder: Path) -> Workdir:
    (folder / "work").mkdir()
    return Workdir(folder / "work")


@pytest.mark.parametrize("name", ["@arguments.vcf", "-jar", "--arguments_file"])
def test_java_takes_no_data_file_for_options(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = work_in(tmp_path)
    script = tmp_path / "gatk"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > told\n')
    script.chmod(0o755)
    monkeypatch.setattr("stargazer.tasks.gatk.java.locate_tool", lambda name: str(script))
    path = work.file(name)
    path.write_text("--java-options -Dx\n")
    run_gatk(work, ["gatk", "IndexFeatureFile", "-I", path], path)
    assert (work.path / "told").read_text().splitlines()[-2:] == ["-I", f"./{name}"]


def test_a_bam_is_taken_whatever_its_header_says(tmp_path: Path, private: Path) -> None:
    """BAM holds its bases: nobody looks for a reference."""
    bam = tmp_path / "x.bam"
    header = {"SQ": [{"SN": "c", "LN": 10, "UR": str(private)}], "RG": [{"ID": "g", "SM": "s", "LB": "l"}]}
    with pysam.AlignmentFile(str(bam), "wb", header=header):
        pass
    alignment = replace(Alignment(path=bam, sample_id="s"), format="bam")
    assert samtools_flagstat.body(work_in(tmp_path), alignment).path.is_file()
