"""A cohort in one call: the folder, who is left out, and who is marked."""

from __future__ import annotations

import gzip
import json
import random
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort, simulate_exomes
from stargazer.cli.app import app
from stargazer.errors import DataError, DataWarning
from stargazer.workflows import CohortOptions, germline

GFF3 = """##gff-version 3
chr1\tensembl\tgene\t2001\t8000\t.\t+\t.\tID=gene:G1;Name=GENE1;biotype=protein_coding;gene_id=G1
chr1\tensembl\tmRNA\t2001\t8000\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;biotype=protein_coding;transcript_id=T1
chr1\tensembl\texon\t2001\t8000\t.\t+\t.\tParent=transcript:T1
chr1\tensembl\tCDS\t2001\t8000\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1;protein_id=P1
"""


def noise(path: Path) -> Path:
    """Reads that map nowhere."""
    draw = random.Random(3)
    lines = (f"@n:{n}\n{''.join(draw.choice('ACGT') for _ in range(80))}\n+\n{'I#' * 40}\n" for n in range(60))
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples, one of noise, one without reads, and an exome's target."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(folder, samples=["P1", "P1.sorted"], depth=8, length=20_000)
    noise(folder / "ntc_R1.fastq.gz")
    (folder / "empty_R1.fastq.gz").write_bytes(gzip.compress(b""))
    rows = [f"{name},{name}_R1.fastq.gz,{name}_R2.fastq.gz" for name in ("P1", "P1.sorted")]
    rows += ["ntc,ntc_R1.fastq.gz,", "empty,empty_R1.fastq.gz,"]
    (folder / "samples.csv").write_text("\n".join(["sample,fastq_1,fastq_2", *rows]) + "\n")
    (folder / "target.bed").write_bytes(gzip.compress(b"chr1\t1000\t9000\nchr1\t500\t500\n"))
    (folder / "genes.gff3").write_text(GFF3)
    return folder


def test_a_sheet_becomes_a_folder(folder: Path, tmp_path: Path) -> None:
    arguments = [
        "germline",
        str(folder / "samples.csv"),
        "--ref",
        str(folder / "reference.fa"),
        "--out",
        str(tmp_path / "out"),
    ]
    arguments += ["--target", str(folder / "target.bed"), "--genes", str(folder / "genes.gff3"), "--json"]
    arguments += ["--store", str(tmp_path / "store"), "--cohort", "pair"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = CliRunner().invoke(app, arguments)
        assert first.exit_code == 0, first.output
        second = CliRunner().invoke(app, arguments)
    told = json.loads(first.stdout)
    assert told["samples"] == ["P1", "P1.sorted"]
    assert set(told["left_out"]) == {"ntc", "empty"}
    assert {"ntc", "empty"} <= set(told["marks"])
    assert "sample ntc was left out" in first.stderr
    out = tmp_path / "out"
    for name in ("P1", "P1.sorted"):
        for end in ("cram", "cram.crai", "g.vcf.gz", "g.vcf.gz.tbi"):
            assert (out / "samples" / name / f"{name}.{end}").is_file(), (name, end)
        table = (out / "samples" / name / f"{name}.consequences.tsv").read_text().splitlines()
        assert table[0].startswith("contig\tposition\tid\tref\talt\tgenotype\tgene\tconsequence")
    assert any("GENE1" in line for line in table[1:])
    manifest = json.loads((out / "manifest.json").read_text())
    files = {row["file"]: row["cid"] for row in manifest["files"]}
    assert files["pair.vcf.gz"] == told["vcf"]["cid"]
    assert files == told["files"]
    from stargazer.cid import cid_of_path

    assert all(str(cid_of_path(out / name)) == cid for name, cid in files.items())
    page = (out / "report" / "pair.qc.html").read_text()
    assert "Samples to look at" in page
    assert str(folder) not in page + (out / "report" / "pair.marks.json").read_text()
    assert "ntc" in (out / "README.md").read_text()
    # What is known is not run again, and the answer is the same.
    again = json.loads(second.stdout)
    assert again["tasks_run"] == 0
    assert again["files"] == told["files"]


@pytest.mark.slow
def test_multiqc_keeps_names_apart(folder: Path, tmp_path: Path, tool, store: sg.Store) -> None:
    tool("multiqc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        germline(
            folder / "samples.csv", folder / "reference.fa", tmp_path / "out",
            options=CohortOptions(stop_after="preprocess", cram=False),
        )  # fmt: skip
    assert not (tmp_path / "out" / "cohort.vcf.gz").exists()
    assert (tmp_path / "out" / "samples" / "P1" / "P1.bam").is_file()
    data = json.loads((tmp_path / "out" / "multiqc" / "multiqc_data" / "multiqc_data.json").read_text())
    found = data["report_data_sources"]["Samtools"]["stats"]
    assert {"P1", "P1.sorted"} <= set(found)


def test_strict_leaves_nobody_out(folder: Path, tmp_path: Path, store: sg.Store) -> None:
    with pytest.raises(DataError, match=r"line 5: .*no reads"):
        germline(folder / "samples.csv", folder / "reference.fa", tmp_path / "out", options=CohortOptions(strict=True))
    sheet = folder / "strict.csv"
    sheet.write_text("sample,fastq_1\nntc,ntc_R1.fastq.gz\n")
    with pytest.warns(DataWarning), pytest.raises(DataError, match="without usable reads: ntc"):
        germline(sheet, folder / "reference.fa", tmp_path / "out", options=CohortOptions(strict=True))
    with (
        pytest.warns(DataWarning, match="'ntc' is left out"),
        pytest.raises(DataError, match="no sample has usable reads"),
    ):
        germline(sheet, folder / "reference.fa", tmp_path / "out")


@pytest.mark.slow
def test_gvcfs_of_others_join(folder: Path, tmp_path: Path, store: sg.Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = germline(folder / "samples.csv", folder / "reference.fa", tmp_path / "one")
        gvcf = tmp_path / "one" / "samples" / "P1.sorted" / "P1.sorted.g.vcf.gz"
        sheet = folder / "more.csv"
        sheet.write_text(f"sample,fastq_1,fastq_2,gvcf\nP1,P1_R1.fastq.gz,P1_R2.fastq.gz,\nP1.sorted,,,{gvcf}\n")
        both = germline(sheet, folder / "reference.fa", tmp_path / "two")
        assert first.vcf is not None
        assert both.vcf is not None
        assert lines(both.vcf.fetch()) == lines(first.vcf.fetch())
        sheet.write_text(f"sample,gvcf\nother,{gvcf}\n")
        with pytest.raises(DataError, match=r"line 2: .*is of 'P1.sorted', not of 'other'"):
            germline(sheet, folder / "reference.fa", tmp_path / "three")
        sheet.write_text(f"sample,gvcf\nP1.sorted,{gvcf}\n")
        with pytest.raises(DataError, match="was called by bcftools, and this engine joins gVCFs of gatk"):
            germline(sheet, folder / "reference.fa", tmp_path / "three", engine="gatk")


def lines(vcf: Path) -> list[str]:
    with gzip.open(vcf, "rt") as file:
        return [line for line in file if not line.startswith("##")]


@pytest.mark.slow
def test_the_report_names_what_went_wrong_in_the_laboratory(tmp_path: Path, store: sg.Store, short: bool) -> None:
    """Thirty people (six in the short form): a swap, a mixture, a lane that failed, a wrong sex."""
    cohort = simulate_exomes(tmp_path / "data", people=6 if short else 28, length=30_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = germline(cohort.sheet, cohort.reference, tmp_path / "out", target=cohort.target)
    told = {name: " ".join(marks) for name, marks in made.marks.items()}
    for name in cohort.swapped:
        assert "swap: kinship" in told[name]
    assert "contamination" in told[cohort.mixed]
    assert "lane" in told[cohort.failed]
    assert "the sheet says XY, the reads XX" in told[cohort.wrong_sex] or "sex" in told[cohort.wrong_sex]
    partners = {f"{name[:3]}a" for name in cohort.swapped}
    assert set(told) == {*cohort.swapped, *partners, cohort.mixed, cohort.failed, cohort.wrong_sex}
    page = (tmp_path / "out" / "report" / "cohort.qc.html").read_text()
    assert all(name in page.partition("Alignments")[0] for name in told)
