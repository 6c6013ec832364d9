"""`stargazer demo germline`: from raw reads to a VCF, twice."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargazer.bio.simulate import simulate_cohort
from stargazer.cid import cid_of_path

Run = Callable[..., "object"]


def demo(*arguments: str | Path) -> dict[str, Any]:
    """Run the real command; what it printed, as JSON."""
    command = [sys.executable, "-c", "from stargazer.cli import main; main()", "demo", "germline", "--json"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=570)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def samples_of(vcf: Path) -> list[str]:
    with gzip.open(vcf, "rt") as lines:
        return next(line for line in lines if line.startswith("#CHROM")).split()[9:]


def test_simulated_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = demo("--small", "--out", "results")
    assert first["samples"] == ["SIM1", "SIM2", "SIM3"]
    assert first["precision"] > 0.9
    assert first["recall"] > 0.9
    assert (first["tasks_run"], first["tasks_run_second"]) == (14, 0)
    assert first["second_run_seconds"] < first["seconds"] / 4
    assert first["vcf"]["path"] == "results/cohort.vcf.gz"
    assert cid_of_path("results/cohort.vcf.gz") == first["vcf"]["cid"]
    assert sorted(os.listdir("results")) == ["cohort.vcf.gz", "cohort.vcf.gz.tbi"]
    assert samples_of(Path("results/cohort.vcf.gz")) == first["samples"]
    again = demo("--small")
    assert again["tasks_run"] == 0, "another process ran it again"
    assert again["vcf"]["cid"] == first["vcf"]["cid"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: one FASTA and the reads of two samples."""
    place = tmp_path_factory.mktemp("cohort")
    simulate_cohort(place, samples=("alice", "bob"), depth=8, length=12_000)
    (place / "reference.fa.fai").write_text("an index is no FASTA")
    return place


def test_folder_of_reads(folder: Path, tmp_path: Path) -> None:
    answer = demo("--data", folder, "--store", tmp_path / "elsewhere")
    assert answer["samples"] == ["alice", "bob"]
    assert "precision" not in answer
    assert samples_of(Path(answer["vcf"]["path"])) == ["alice", "bob"]
    assert (answer["tasks_run"], answer["tasks_run_second"]) == (11, 0)
    assert (tmp_path / "elsewhere" / "store.json").exists()
    assert not (tmp_path / "default-store").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda place: (place / "reference.fa").unlink(), "no FASTA"),
        (lambda place: (place / "other.fasta").write_text(">c\nA\n"), "other.fasta, reference.fa"),
        (lambda place: (place / "bob_R2.fastq.gz").unlink(), "R2 of sample 'bob' is missing"),
        (lambda place: (place / "bob_R1.fastq.gz").unlink(), "R1 of sample 'bob' is missing"),
        (lambda place: (place / "bob_R1.fq.gz").write_bytes(b""), "leave one of them"),
        (lambda place: (place / "bob.fastq").write_bytes(b""), "SAMPLE_R1.fq.gz"),
        (lambda place: [path.unlink() for path in place.glob("*.gz")], "no reads"),
    ],
    ids=["no FASTA", "two FASTAs", "no R2", "no R1", "R1 twice", "other name", "no reads"],
)
def test_folders_that_cannot_be_used(
    stargazer: Run, tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    for name in ("reference.fa", "alice_R1.fastq.gz", "alice_R2.fastq.gz", "bob_R1.fastq.gz", "bob_R2.fastq.gz"):
        (place / name).write_bytes(b"")
    change(place)
    assert told in " ".join(stargazer("demo", "germline", "--data", place, code=1).err.split())
    assert not (tmp_path / "default-store").exists(), "something was stored before the folder was looked at"


def test_wrong_usage(stargazer: Run, tmp_path: Path) -> None:
    assert "not there" in stargazer("demo", "germline", "--data", tmp_path / "nowhere", code=2).err
    (tmp_path / "file").write_text("")
    assert "no folder" in stargazer("demo", "germline", "--data", tmp_path / "file", code=2).err
    stargazer("demo", "germline", "--small", "--data", tmp_path, code=2)
    stargazer("demo", "germline", "--small", "--out", tmp_path / "file", code=2)


def test_a_sample_sheet(folder: Path, stargazer: Run, tmp_path: Path) -> None:
    place = tmp_path / "sheet"
    place.mkdir()
    rows = [f"{name},L1,{folder}/{name}_R1.fastq.gz,{folder}/{name}_R2.fastq.gz,XX" for name in ("bob", "alice")]
    (place / "samples.csv").write_text("\n".join(["sample,lane,fastq_1,fastq_2,sex", *rows]) + "\n")
    assert "no FASTA" in stargazer("demo", "germline", "--data", place / "samples.csv", code=1).err
    given = "--data", place / "samples.csv", "--reference", folder / "reference.fa"
    answer = demo(*given, "--out", tmp_path / "out")
    assert answer["samples"] == samples_of(tmp_path / "out" / "cohort.vcf.gz") == ["bob", "alice"]
    (place / "samples.csv").write_text("sample,fastq_1\nbob,nowhere.fastq.gz\n,nowhere.fastq.gz\n")
    told = stargazer("demo", "germline", *given, code=1).err
    assert "line 2: there is no file" in told
    assert "line 3: there is no sample" in told
    stargazer("demo", "germline", "--reference", folder / "reference.fa", code=2)
    stargazer("demo", "germline", *given[:3], place / "nowhere.fa", code=2)


def test_reads_that_are_damaged_fail_with_a_message(folder: Path, stargazer: Run, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    whole = (place / "bob_R2.fastq.gz").read_bytes()
    (place / "bob_R2.fastq.gz").write_bytes(whole[: len(whole) // 2])
    command = [sys.executable, "-c", "from stargazer.cli import main; main()", "demo", "germline", "--data", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "bwa_mem" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_full_cohort(tmp_path: Path) -> None:
    answer = demo("--out", tmp_path / "out")
    assert answer["snv"]["f1"] >= 0.995
    assert answer["indel"]["f1"] >= 0.98
    assert (answer["tasks_run"], answer["tasks_run_second"]) == (14, 0)
    assert answer["second_run_seconds"] < 1


@pytest.mark.slow
def test_gatk(tmp_path: Path, tool: Callable[[str], str], gatk: Path) -> None:
    for name in ("bwa", "samtools", "bcftools", "java"):
        tool(name)
    answer = demo("--engine", "gatk", "--small", "--out", tmp_path / "out")
    assert answer["engine"] == "gatk"
    assert answer["filter"]["method"] == "hard"
    assert answer["filter"]["notes"] == ["Base qualities were not recalibrated: no known sites were given."]
    assert (answer["tasks_run"], answer["tasks_run_second"]) == (19, 0)
    assert answer["precision"] > 0.98
    assert answer["recall"] > 0.9
    assert cid_of_path(tmp_path / "out" / "cohort.vcf.gz") == answer["vcf"]["cid"]


@pytest.mark.slow
def test_real_reads(shared_data: Path, tmp_path: Path) -> None:
    answer = demo("--data", shared_data / "tp53", "--out", tmp_path / "out")
    assert answer["samples"] == ["NA12829_TP53"]
    assert (answer["tasks_run"], answer["tasks_run_second"]) == (8, 0)
    assert cid_of_path(tmp_path / "out" / "cohort.vcf.gz") == answer["vcf"]["cid"]
