"""The folder of a cohort: nothing in it of an earlier run, and what is wrong told before anything runs."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.cli.app import app
from stargazer.errors import DataError
from stargazer.tasks.general import index_variants
from stargazer.workflows import CohortOptions, GatkOptions, call_cohort, germline, index_reference, read_sheet


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, and sheets of both and of one of them."""
    folder = tmp_path_factory.mktemp("data")
    simulate_cohort(folder, samples=["ann", "bob"], depth=6, length=20_000)
    rows = {name: f"{name},{name}_R1.fastq.gz,{name}_R2.fastq.gz\n" for name in ("ann", "bob")}
    (folder / "both.csv").write_text("sample,fastq_1,fastq_2\n" + "".join(rows.values()))
    (folder / "one.csv").write_text("sample,fastq_1,fastq_2\n" + rows["ann"])
    return folder


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def called(sheet: Path, out: Path, **options: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        germline(sheet, sheet.parent / "reference.fa", out, options=CohortOptions(**options))


def test_who_is_no_longer_in_the_sheet_is_not_in_the_folder(
    data: Path, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_multiqc = [place for place in os.environ["PATH"].split(os.pathsep) if not Path(place, "multiqc").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(no_multiqc))
    out = tmp_path / "out"
    called(data / "both.csv", out)
    assert (out / "samples/bob/bob.cram").is_file()
    (out / "samples/bob/notes.txt").write_text("mine")
    (out / "report/mine.txt").write_text("mine")
    called(data / "one.csv", out)
    assert {name for name in files(out) if "bob" in name} == {"samples/bob/notes.txt"}
    assert (out / "report/mine.txt").is_file()
    called(data / "one.csv", out, stop_after="preprocess")
    assert not {name for name in files(out) if "vcf" in name or name.startswith("ro-crate")}
    assert (out / "samples/ann/ann.cram").is_file()


def test_what_a_person_has_in_the_folder_is_not_written_over(
    data: Path, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "project"
    out.mkdir()
    for name in ("README.md", "samples.csv"):
        (out / name).write_text("mine")
    with pytest.raises(DataError, match=r"project has README\.md, samples\.csv, which no earlier run put there"):
        called(data / "one.csv", out, stop_after="preprocess")
    (out / "README.md").unlink()
    (out / "samples.csv").write_text((data / "one.csv").read_text().replace("ann_", f"{data}/ann_"))
    for _ in range(2):  # the sheet itself, and then a folder that a run made
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            germline(out / "samples.csv", data / "reference.fa", out, options=CohortOptions(stop_after="preprocess"))
    assert "Alignments that are ready" in (out / "README.md").read_text()


@pytest.mark.parametrize("name", ["samples/ann/ann.bam", "multiqc/mine.html", "report/cohort.qc.html"])
def test_reads_and_reports_of_a_person_in_the_folder_are_not_taken_away(
    data: Path, tmp_path: Path, store: sg.Store, name: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=r"which no earlier run put there and this one would write over"):
        called(data / "one.csv", tmp_path, stop_after="preprocess", cram=False)
    assert (tmp_path / name).read_text() == "mine"


def test_what_the_sheet_names_stays_in_the_folder(data: Path, tmp_path: Path, store: sg.Store) -> None:
    """Calls of an earlier run that are an input of this one, which makes none."""
    out = tmp_path / "out"
    called(data / "both.csv", out)
    sheet = tmp_path / "s.csv"
    fastq = f"{data}/ann_R1.fastq.gz,{data}/ann_R2.fastq.gz"
    sheet.write_text(f"sample,fastq_1,fastq_2,gvcf\nann,{fastq},\nbob,,,out/samples/bob/bob.g.vcf.gz\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = CohortOptions(stop_after="preprocess")
        germline(sheet, data / "reference.fa", out, options=options)
        germline(sheet, data / "reference.fa", out, options=options)
    assert {name for name in files(out) if "bob" in name} == {
        "samples/bob/bob.g.vcf.gz",
        "samples/bob/bob.g.vcf.gz.tbi",
    }


def test_a_run_that_is_killed_as_it_writes_can_be_run_again(
    data: Path, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stargazer.workflows.folder.shutil.copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            called(data / "one.csv", out)
    assert (out / "cohort.vcf.gz").is_file()
    called(data / "one.csv", out)
    assert (out / "README.md").is_file()


def test_a_manifest_takes_nothing_away_elsewhere(data: Path, tmp_path: Path, store: sg.Store) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (out, elsewhere):
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
    (out / "link").symlink_to(elsewhere)
    named = ["../elsewhere/mine.txt", str(elsewhere / "mine.txt"), "link/mine.txt"]
    told = {"cohort": "c", "engine": "embedded", "files": [{"file": name} for name in named]}
    (out / "manifest.json").write_text(json.dumps(told))
    called(data / "one.csv", out, stop_after="preprocess")
    assert (elsewhere / "mine.txt").is_file()


def test_a_multiqc_that_fails_ends_nothing(
    data: Path, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "multiqc"
    program.write_text("#!/bin/sh\necho 'no module named rich' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    called(data / "one.csv", tmp_path / "out", stop_after="preprocess")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "There is no report of MultiQC, which failed with exit code 3: no module named rich" in text


KNOWN = """##fileformat=VCFv4.2
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
chr1\t500\trs1\tA\tC\t.\t.\tAF=0.5
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--genes", "other.gff3"], "other.gff3 has genes on none of the reference's contigs"),
        (["--annotate", "known.vcf", "--info", "CLNSIG"], "INFO CLNSIG is in none of the files known.vcf"),
        (["--info", "CLNSIG"], "INFO CLNSIG is to be taken from VCFs with annotations, and none is given"),
        (["--cohort", "../evil"], "a cohort cannot be called '../evil'"),
        (["--known-sites", "dbsnp=known.vcf"], "known sites are for GATK, and the engine is 'embedded'"),
        (["--filter", "hard"], "these are options of GATK, and the engine is 'embedded'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    data: Path, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    gene = "chrZ\tensembl\tgene\t1\t900\t.\t+\t.\tID=gene:G;biotype=protein_coding\n"
    Path("other.gff3").write_text("##gff-version 3\n" + gene)
    Path("known.vcf").write_text(KNOWN)
    command = ["germline", str(data / "both.csv"), "--ref", str(data / "reference.fa"), "--out", "out", *words]
    result = CliRunner().invoke(app, [*command, "--store", "here"])
    assert result.exit_code
    assert told in (result.output + str(result.exception))
    assert not sg.Store(tmp_path / "here").assemble(asset="alignment", missing="skip")  # nothing was aligned


def test_sheets_of_sarek_say_what_is_not_taken(data: Path) -> None:
    sheet = data / "sarek.tsv"
    sheet.write_text("P\tZZ\t0\tann\tL1\tann_R1.fastq.gz\tann_R2.fastq.gz\n")
    assert read_sheet(sheet).samples["ann"].sex == ""  # what sarek 2 has for a sex that nobody knows
    sheet = data / "spring.csv"
    sheet.write_text("patient,sample,lane,spring_1,spring_2\nP,ann,1,a.spring,\n")
    with pytest.raises(DataError, match=r"has a mistake:\n  line 2: spring_1: reads in Spring's form"):
        read_sheet(sheet)
    sheet.write_text("patient,sample,vcf\nP,ann,a.vcf.gz\n")
    with pytest.raises(DataError, match=r"has a mistake:\n  line 2: column 'vcf' is of a later step"):
        read_sheet(sheet)


def test_a_gvcf_without_records_is_a_sample_without_reads(data: Path, tmp_path: Path) -> None:
    head = (
        "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n"
        '##ALT=<ID=*,Description="x">\n##FORMAT=<ID=PL,Number=G,Type=Integer,Description="x">\n'
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
    )
    (tmp_path / "bob.g.vcf").write_text(head + "bob\n")
    (tmp_path / "cy.g.vcf").write_text(head + "cy\nchr1\t5\t.\tA\t<*>\t.\t.\t.\tGT:PL\t0/0:0,3,30\n")
    sheet = tmp_path / "s.csv"
    sheet.write_text("sample,gvcf\nbob,bob.g.vcf\ncy,cy.g.vcf\n")
    read = read_sheet(sheet)
    assert set(read.samples) == {"cy"}
    assert set(read.left_out) == {"bob"}
    assert "bob.g.vcf has no records" in read.notes[0]
    with pytest.raises(DataError, match=r"line 2: bob\.g\.vcf has no records"):
        read_sheet(sheet, strict=True)


@pytest.mark.parametrize("wrong", [{"shards": 0}, {"padding": -1}, {"ploidy": 0}, {"max_gaussians": 0}])
def test_numbers_for_gatk_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    """Of no parts at all nothing was cut, and the target was passed over without a word."""
    with pytest.raises(DataError, match="or more"):
        GatkOptions(**wrong)


def test_a_gvcf_under_the_name_of_somebody_else_is_refused(data: Path, tmp_path: Path, store: sg.Store) -> None:
    """It was joined, and the VCF had the other name."""
    reference = index_reference(sg.add(data / "reference.fa", sg.Reference(build="r")))
    (tmp_path / "a.g.vcf").write_text("##fileformat=VCFv4.2\n")
    stored = sg.add(tmp_path / "a.g.vcf", sg.Variants(sample_id="ann", variant_type="gvcf", caller="bcftools"))
    for given in (stored, index_variants(reference, stored)):
        with pytest.raises(DataError, match="the gVCF that is given for 'bob' is of ann"):
            call_cohort(reference, {}, "c", gvcfs={"bob": given})
        assert call_cohort(reference, {}, "c", gvcfs={"ann": given}).key
