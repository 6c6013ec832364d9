"""`stargazer germline` with GATK, from a sheet to a folder, with everything that its options bring in."""

from __future__ import annotations

import gzip
import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stargazer.bio.simulate import simulate_cohort
from stargazer.cli.app import app

GFF3 = """##gff-version 3
chr1\tensembl\tgene\t1001\t4000\t.\t+\t.\tID=gene:G1;Name=GENE1;biotype=protein_coding;gene_id=G1
chr1\tensembl\tmRNA\t1001\t4000\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;biotype=protein_coding;transcript_id=T1
chr1\tensembl\texon\t1001\t4000\t.\t+\t.\tParent=transcript:T1
chr1\tensembl\tCDS\t1001\t4000\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1;protein_id=P1
"""


def sites(truth: Path, path: Path) -> None:
    """The truth without genotypes, with ids and what is said of them."""
    lines = [line.rstrip("\n").split("\t") for line in truth.read_text().splitlines()]
    heads = [fields for fields in lines if fields[0].startswith("##") and not fields[0].startswith("##FORMAT")]
    told = [['##INFO=<ID=CLNSIG,Number=1,Type=String,Description="What it means">']]
    columns = [fields[:8] for fields in lines if fields[0] == "#CHROM"]
    records = [
        [*fields[:2], f"rs{fields[1]}", *fields[3:7], "CLNSIG=Benign"] for fields in lines if fields[0][0] != "#"
    ]
    path.write_text("".join("\t".join(fields) + "\n" for fields in (*heads, *told, *columns, *records)))


def noise(path: Path, quality: str) -> None:
    """Reads that map nowhere."""
    draw = random.Random(3)
    lines = (f"@n:{n}\n{''.join(draw.choice('ACGT') for _ in range(80))}\n+\n{quality * 80}\n" for n in range(60))
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Path:
    """One sample (three in the long form), noise, reads of which trimming leaves none, known sites and genes."""
    folder = tmp_path_factory.mktemp("cohort")
    samples = ["s1"] if short else ["s1", "s2", "s3"]
    cohort = simulate_cohort(folder, samples=samples, depth=12, length=8_000, lanes=2)
    rows = ["sample,lane,fastq_1,fastq_2"]
    for sample, lanes in cohort.reads.items():
        rows += [f"{sample},L{number:03d},{one.name},{two.name}" for number, (one, two) in enumerate(lanes, 1)]
    noise(folder / "ntc_R1.fastq.gz", "I")
    noise(folder / "bad_R1.fastq.gz", "#")
    rows += ["ntc,,ntc_R1.fastq.gz,", "s1,L003,bad_R1.fastq.gz,"]
    (folder / "samples.csv").write_text("\n".join(rows) + "\n")
    sites(cohort.truth, folder / "known.vcf")
    (folder / "genes.gff3").write_text(GFF3)
    (folder / "target.bed").write_text("chr1\t500\t5000\nchr2\t500\t2000\n")
    return folder


def called(folder: Path, store: Path, out: Path, *more: str) -> dict[str, Any]:
    words = ["germline", f"{folder}/samples.csv", "--ref", f"{folder}/reference.fa", "--out", str(out), "--json"]
    words += ["--engine", "gatk", "--known-sites", f"dbsnp={folder}/known.vcf", "--target", f"{folder}/target.bed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = CliRunner().invoke(app, [*words, "--trim", "--store", str(store), *more])
    assert ended.exit_code == 0, ended.output
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def records(vcf: Path) -> list[list[str]]:
    with gzip.open(vcf, "rt") as lines:
        return [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def tools(tool: Any, gatk: Path) -> None:
    for name in ("bwa", "samtools", "bcftools", "fastp", "java"):
        tool(name)


@pytest.mark.slow
def test_a_sheet_becomes_a_folder_with_gatk(tools: None, folder: Path, tmp_path: Path, short: bool) -> None:
    samples = ["s1"] if short else ["s1", "s2", "s3"]
    options = ["--genes", f"{folder}/genes.gff3", "--annotate", f"clinvar={folder}/known.vcf", "--info", "CLNSIG"]
    told = called(folder, tmp_path / "store", tmp_path / "out", *options)
    assert (told["samples"], set(told["left_out"])) == (samples, {"ntc"})
    assert told["filter"]["method"] == "hard"
    assert told["filter"]["notes"] == ["Base qualities were recalibrated, by dbsnp."]
    assert any("L003" in mark for mark in told["marks"]["s1"])
    out = tmp_path / "out"
    found = records(out / "cohort.vcf.gz")
    assert len(found) > 5
    assert sum(one[2].startswith("rs") and "CLNSIG=Benign" in one[7] for one in found) > 0.8 * len(found)
    table = (out / "samples" / "s1" / "s1.consequences.tsv").read_text().splitlines()
    assert any("GENE1" in line and "CLNSIG=Benign" in line for line in table[1:])
    page = (out / "report" / "cohort.qc.html").read_text()
    assert all(words in page for words in ("Trimming", "within (pixels)", "were recalibrated, by dbsnp", "L003"))
    assert {f"report/s1.L00{lane}.fastp.json" for lane in (1, 2, 3)} <= set(told["files"])
    words = (out / "README.md").read_text()
    for given in ("--engine gatk", "--trim", "--known-sites dbsnp=", "--genes", "--info CLNSIG", "--target"):
        assert given in words
    # The same with alignments alone: all is known but their report.
    ready = called(folder, tmp_path / "store", tmp_path / "ready", "--stop-after", "preprocess")
    assert ready["notes"][-1] == "Base qualities were recalibrated, by dbsnp."
    assert "vcf" not in ready
    assert ready["tasks_run"] <= 3
    cram = "samples/s1/s1.cram"
    assert ready["files"][cram] == told["files"][cram]
    assert not any(name.endswith(".vcf.gz") for name in ready["files"])


@pytest.mark.slow
def test_a_gvcf_of_before_joins_with_gatk(tools: None, folder: Path, tmp_path: Path, short: bool) -> None:
    if short:
        pytest.skip("three samples are wanted")
    both = called(folder, tmp_path / "store", tmp_path / "one")
    gvcf = tmp_path / "one" / "samples" / "s3" / "s3.g.vcf.gz"
    rows = [line for line in (folder / "samples.csv").read_text().splitlines() if not line.startswith("s3")]
    rows = [f"{row}," for row in rows]
    rows[0] += "gvcf"
    less = folder / "less"
    less.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (less / path.name).symlink_to(path)
    (less / "samples.csv").unlink()
    (less / "samples.csv").write_text("\n".join([*rows, f"s3,,,,{gvcf}"]) + "\n")
    joined = called(less, tmp_path / "store", tmp_path / "two")
    assert joined["samples"] == both["samples"]
    first, second = (records(tmp_path / name / "cohort.vcf.gz") for name in ("one", "two"))
    assert [one[:7] + one[8:] for one in first] == [one[:7] + one[8:] for one in second]
