"""A cohort in one call: the folder, who is left out, and who is marked."""

from __future__ import annotations

import gzip
import json
import random
import warnings
from pathlib import Path

import dask
import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort, simulate_exomes
from stargazer.cli.app import app
from stargazer.errors import DataError, DataWarning
from stargazer.workflows import CohortOptions, GatkOptions, ReadOptions, germline
from stargazer.workflows.again import germline_command, store_named

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


def test_the_command_does_it_again() -> None:
    given = {"engine": "gatk", "target": "my exome.bed", "known_sites": ["dbsnp=d.vcf"], "cohort_id": "c"}
    options = CohortOptions(genes="g.gff3", annotations=["clinvar=x.vcf"], info=["CLNSIG"], stop_after="preprocess")
    reads, gatk = ReadOptions(trim=True, aligner="bwa-mem2"), GatkOptions(filter="hard", ploidy=1)
    words, python = germline_command("s.csv", "r.fa", **given, gatk=gatk, reads=reads, options=options).splitlines()
    assert words == (
        "stargazer germline s.csv --ref r.fa --out FOLDER --engine gatk --cohort c --target 'my exome.bed' "
        "--known-sites dbsnp=d.vcf --annotate clinvar=x.vcf --info CLNSIG --genes g.gff3 --filter hard --trim "
        "--aligner bwa-mem2 --stop-after preprocess"
    )
    assert "GatkOptions(ploidy=1)" in python
    plain = {"engine": "embedded", "target": None, "known_sites": None, "gatk": None, "cohort_id": "cohort"}
    told = germline_command(
        "s.csv", "GRCh38", **plain, reads=ReadOptions(), options=CohortOptions(), store="/a b/store"
    )
    assert told == "stargazer germline s.csv --ref GRCh38 --out FOLDER --store '/a b/store'"


def test_the_usual_store_is_not_named_and_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be damaged or out of reach, which ended a run elsewhere as it wrote its folder."""
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "store.json").write_text("damaged")
    (tmp_path / "link").symlink_to("usual")
    with dask.config.set({"stargazer.store": str(tmp_path / "link")}):
        assert store_named(f"file://{tmp_path}/other") == f"{tmp_path}/other"
        assert store_named("s3://bucket/store") == "s3://bucket/store"
        assert not store_named(f"file://{tmp_path}/usual")
    with dask.config.set({"stargazer.store": "s3://nobody-has-this/store/"}):
        assert store_named(f"file://{tmp_path}/other") == f"{tmp_path}/other"
        assert not store_named("s3://nobody-has-this/store")


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


def called(vcf: Path) -> list[tuple[str, ...]]:
    """Contig, position, alleles and genotypes."""
    rows = [line.rstrip("\n").split("\t") for line in lines(vcf) if not line.startswith("#")]
    return [(*row[:2], *row[3:5], *(sample.partition(":")[0] for sample in row[9:])) for row in rows]


@pytest.mark.slow
def test_trimmed_reads_and_another_aligner(folder: Path, tmp_path: Path, tool, store: sg.Store) -> None:
    for name in ("fastp", "bwa-mem2", "samtools", "bcftools"):
        tool(name)
    sheet = folder / "one.csv"
    sheet.write_text("sample,fastq_1,fastq_2\nP1,P1_R1.fastq.gz,P1_R2.fastq.gz\n")
    given = {"reads": ReadOptions(trim=True, aligner="bwa-mem2"), "options": CohortOptions(cram=False)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = germline(sheet, folder / "reference.fa", tmp_path / "out", **given)
        plain = germline(sheet, folder / "reference.fa", tmp_path / "plain")
        other = germline(sheet, folder / "reference.fa", tmp_path / "native", engine="native", **given)
    assert made.alignments["P1"].tool == other.alignments["P1"].tool == "bwa-mem2"
    assert plain.alignments["P1"].tool == "bwa (pybwa)"
    assert "report/P1.1.fastp.json" in made.files
    assert "--trim --aligner bwa-mem2 --bam" in made.command
    assert made.vcf is not None
    assert plain.vcf is not None
    assert other.vcf is not None
    # bcftools of the package and of this machine are of other versions: qualities differ, genotypes do not.
    assert called(made.vcf.fetch()) == called(other.vcf.fetch())
    trimmed, whole = ({tuple(line.split("\t")[:5]) for line in lines(one.fetch())} for one in (made.vcf, plain.vcf))
    assert len(trimmed & whole) > 0.8 * len(whole) > 5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["embedded", "native"])
def test_reads_of_which_trimming_leaves_none(folder: Path, tmp_path: Path, tool, store: sg.Store, engine: str) -> None:
    for name in ("fastp", "bwa", "samtools", "bcftools"):
        tool(name)
    bad = (f"@n:{number}\n{'ACGTTGCAAC' * 8}\n+\n{'#' * 80}\n" for number in range(30))
    (folder / "bad_R1.fastq.gz").write_bytes(gzip.compress("".join(bad).encode(), mtime=0))
    sheet = folder / "bad.csv"
    sheet.write_text("sample,lane,fastq_1,fastq_2\nP1,1,P1_R1.fastq.gz,P1_R2.fastq.gz\nbad,1,bad_R1.fastq.gz,\n")
    options = CohortOptions(stop_after="preprocess")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = germline(
            sheet,
            folder / "reference.fa",
            tmp_path / "out",
            engine=engine,
            reads=ReadOptions(trim=True),
            options=options,
        )
    assert "no reads" in made.left_out["bad"]
    assert any("left out" in mark for mark in made.marks["bad"])
    assert made.samples == ("P1",)
    assert "Base qualities were not recalibrated" in made.notes[-1]


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
    assert len(made.samples) == (8 if short else 30)
    told = {name: " ".join(marks) for name, marks in made.marks.items()}
    for name in cohort.swapped:
        assert "swap: kinship" in told[name]
    assert "contamination" in told[cohort.mixed]
    assert "lane" in told[cohort.failed]
    assert "sex: the sheet says" in told[cohort.wrong_sex]
    partners = {f"{name[:3]}a" for name in cohort.swapped}
    assert set(told) == {*cohort.swapped, *partners, cohort.mixed, cohort.failed, cohort.wrong_sex}
    found = json.loads((tmp_path / "out" / "report" / "cohort.identity.json").read_text())["samples"]
    assert found[cohort.mixed]["contamination"] == pytest.approx(0.25, abs=0.05)
    assert all(one["contamination"] <= 0.02 for name, one in found.items() if name != cohort.mixed)
    page = (tmp_path / "out" / "report" / "cohort.qc.html").read_text()
    assert all(name in page.partition("Alignments")[0] for name in told)
