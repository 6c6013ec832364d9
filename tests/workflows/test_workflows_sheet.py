from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pysam
import pytest

import stargazer as sg
from stargazer.bio.simulate import Cohort, simulate_cohort
from stargazer.errors import DataError, NotFound
from stargazer.workflows import call_sheet, read_sheet, sheet_lanes


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two samples at 6x, the reads of each on two lanes."""
    folder = tmp_path_factory.mktemp("cohort")
    return simulate_cohort(folder, samples=["s1", "s2"], depth=6, length=21_000, lanes=2)


@pytest.fixture
def folder(tmp_path: Path, cohort: Cohort) -> Path:
    """A folder with the cohort's reads in it."""
    for lanes in cohort.reads.values():
        for path in (path for lane in lanes for path in lane):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def write(folder: Path, *lines: str, name: str = "samples.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


HEAD = "sample,lane,fastq_1,fastq_2"


def row(sample: str, lane: int, *more: str) -> str:
    names = (f"{sample}_L00{lane}_R{mate}.fastq.gz" for mate in (1, 2))
    return ",".join([sample, f"L00{lane}", *names, *more])


def mistakes(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_sheet(path)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_a_sheet_gives_the_lanes_of_each_sample(folder: Path, store: sg.Store) -> None:
    lines = [HEAD + ",library,platform,sex", row("s2", 1, "libA", "illumina", "XY"), row("s1", 1, "", "", "NA"),
             row("s2", 2, "libB", "MGI", "XY").replace("MGI", "DNBSEQ")]  # fmt: skip
    sheet = read_sheet(write(folder, *lines))
    assert {name: (sample.sex, len(sample.rows)) for name, sample in sheet.samples.items()} == {
        "s2": ("XY", 2), "s1": ("", 1),
    }  # fmt: skip
    lanes = sheet_lanes(sheet)
    assert list(lanes) == ["s2", "s1"]
    first, second = lanes["s2"]
    assert (first.name, first.library, first.r1.sequencing_platform) == ("L001", "libA", "ILLUMINA")
    assert (second.name, second.library, second.r1.sequencing_platform) == ("L002", "libB", "DNBSEQ")
    assert first.r1.mate_cid == first.r2.cid
    assert store.assemble(asset="r1", sample_id="s1") == [lanes["s1"][0].r1]


def test_sheets_of_sarek_are_understood(folder: Path) -> None:
    lines = [
        "patient,sex,status,sample,lane,fastq_1,fastq_2",
        "p1,XX,0,s1,1,s1_L001_R1.fastq.gz,s1_L001_R2.fastq.gz",
        "p1,XX,0,s1,2,s1_L002_R1.fastq.gz,s1_L002_R2.fastq.gz",
        "p2,NA,0,s2,1,s2_L001_R1.fastq.gz,s2_L001_R2.fastq.gz",
    ]
    comma = read_sheet(write(folder, *lines))
    tabs = read_sheet(write(folder, *(line.replace(",", "\t") for line in lines), name="samples.tsv"))
    assert comma.samples == tabs.samples
    assert [(sample.patient, sample.sex) for sample in comma.samples.values()] == [("p1", "XX"), ("p2", "")]


def test_every_mistake_is_reported_at_once_with_its_line(folder: Path) -> None:
    (folder / "text.fastq.gz").write_text("no reads")
    (folder / "empty.fq").write_text("")
    (folder / "reads.txt").write_text("")
    found = mistakes(
        write(
            folder,
            HEAD + ",platform,sex,status",
            "s 1,L001,s1_L001_R1.fastq.gz,s1_L001_R2.fastq.gz,,,",
            "s2,L001,missing.fq.gz,s2_L001_R2.fastq.gz,SOLEXA,XXY,1",
            "",
            "s3,L001,text.fastq.gz,reads.txt,,,",
            "s3,L001,empty.fq,s1_L002_R2.fastq.gz,,XX,",
            "s4,L001,s2_L001_R1.fastq.gz,s2_L002_R2.fastq.gz,,,",
            ",L002,s2_L001_R1.fastq.gz,s2_L001_R1.fastq.gz,,,",
            "s5,L001,,s1_L002_R2.fastq.gz,,,",
            "s6,L001,,,,,",
            "s7,L001",
        )
    )
    expected = [
        ("line 2", "sample 's 1' cannot be used"),
        ("line 3", "platform 'SOLEXA' is none of"),
        ("line 3", "sex 'XXY' is neither"),
        ("line 3", "status '1'"),
        ("line 3", "there is no file"),
        ("line 5", "text.fastq.gz is no FASTQ"),
        ("line 5", "reads.txt is not named as FASTQ"),
        ("line 6", "sex of sample 's3' is XX, on line 5 nothing"),
        ("line 6", "lane 'L001' of sample 's3' is there, on line 5"),
        ("line 7", "they are no mates"),
        ("line 8", "there is no sample"),
        ("line 8", "is named before, on line 7"),
        ("line 9", "fastq_2 without fastq_1"),
        ("line 10", "there is no file: give"),
        ("line 11", "2 fields, but there are 7 columns"),
    ]
    for line, what in expected:
        assert any(one.startswith(f"{line}:") and what in one for one in found), (line, what, found)
    assert len({line for line, _ in expected}) == len({one.partition(":")[0] for one in found})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "empty"),
        ([HEAD], "no samples below"),
        (["sample,lane,fastq1,fastq_2", "a,1,x,y"], "no column 'fastq1'; did you mean 'fastq_1'"),
        (["lane,fastq_1,fastq_2", "1,x,y"], "'sample' is missing"),
        (["sample,lane", "s,1"], "'fastq_1' is missing"),
        (["sample,sample,fastq_1", "s,s,x"], "'sample' stands there 2 times"),
        (["sample,fastq_1,vcf", "s,,x.vcf"], "'vcf' is of a later step"),
        ([HEAD + ",bam", row("s1", 1, "x.bam")], "fastq_1, fastq_2, bam are given"),
        (["sample,bam,library", "s,x.bam,lib"], "library of aligned reads"),
        ([HEAD, 's1,L001,"x.fq'], "line 2"),
    ],
)
def test_sheets_that_cannot_be_used(folder: Path, lines: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_sheet(write(folder, *lines))


def test_no_sheet(tmp_path: Path, store: sg.Store) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(tmp_path / "nowhere.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(tmp_path / "binary.csv")


def test_nothing_is_stored_of_a_sheet_with_mistakes(folder: Path, cohort: Cohort, store: sg.Store) -> None:
    store.add(cohort.reference, sg.Reference(build="sim"))
    with pytest.raises(DataError):
        call_sheet(str(write(folder, HEAD, row("s1", 1), row("s1", 9))), "sim")
    assert store.assemble(asset="r1") == []
    with pytest.raises(NotFound):
        call_sheet(str(write(folder, HEAD, row("s1", 1))), "other")


def test_one_sample_more_runs_that_sample_and_the_joint_step(folder: Path, cohort: Cohort, store: sg.Store) -> None:
    store.add(cohort.reference, sg.Reference(build="sim"))
    first = [row("s1", 1), row("s1", 2)]
    vcf = call_sheet(str(write(folder, HEAD, *first)), "sim", "family").compute()
    assert vcf.source_samples == ("s1",)
    longer = str(write(folder, HEAD, *first, row("s2", 1)))
    plan = sg.plan(call_sheet(longer, "sim", "family"))
    assert sorted(planned.call.name for planned in plan.to_run) == [
        "bwa_mem", "call_gvcf", "joint_call", "mark_duplicates",
    ]  # fmt: skip
    assert call_sheet(longer, "sim", "family").compute().source_samples == ("s1", "s2")


def test_aligned_reads_enter_before_duplicates_are_marked(folder: Path, cohort: Cohort, store: sg.Store) -> None:
    reference = store.add(cohort.reference, sg.Reference(build="sim"))
    from_reads = call_sheet(str(write(folder, HEAD, row("s1", 1), row("s1", 2))), "sim").compute()
    [marked] = store.assemble(asset="alignment", duplicates_marked=True)
    bam = marked.fetch()
    cram = folder / "s1.cram"
    pysam.view("-C", "--no-PG", "-T", str(reference.fetch()), "-o", str(cram), str(bam), catch_stdout=False)
    for kind, path in (("bam", bam), ("cram", cram)):
        call = call_sheet(str(write(folder, f"sample,{kind}", f"s1,{path}")), "sim")
        made = call.compute()
        assert "bwa_mem" not in {record.task for record in sg.trace(made).records}
        assert body(made) == body(from_reads)


def body(vcf: sg.Asset) -> list[str]:
    with pysam.VariantFile(str(vcf.fetch())) as records:
        return [str(record) for record in records]


def test_alignments_of_other_samples_are_refused(tmp_path: Path) -> None:
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 100}]}
    groups = {"none": [], "other": [{"ID": "a", "SM": "t", "LB": "l"}], "library": [{"ID": "a", "SM": "s"}]}
    for name, group in groups.items():
        pysam.AlignmentFile(str(tmp_path / f"{name}.bam"), "wb", header=header | {"RG": group}).close()
    (tmp_path / "text.bam").write_text("text")
    found = mistakes(write(tmp_path, "sample,bam", *(f"s,{name}.bam" for name in (*groups, "text", "missing"))))
    for told, one in zip(
        ["no read groups", "of 't', not of 's'", "without library", "neither BAM", "no file"], found, strict=True
    ):
        assert told in one


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([f"s1,L001,{'x' * 300}.fastq.gz,"], "line 2: .*/x+.fastq.gz cannot be read: File name too long"),
        (["s1,L001,ring.fastq.gz,"], "line 2: there is no file .*/ring.fastq.gz"),
        (["s1,L001,s1_L001_R1.fastq.gz,s1_L001_R1.fastq.gz"], "line 2: .* is named before, on this line"),
        ([row("s1", 1), "s2,L001,s1_L001_R1.fastq.gz,s2_L001_R2.fastq.gz"], "line 3: .* is named before, on line 2"),
        ([row("s1", 1), "s2,L001,link.fastq.gz,s2_L001_R2.fastq.gz"], "line 3: .* is named before, on line 2"),
    ],
    ids=["long", "ring", "both ends", "one end", "linked"],
)
def test_one_mistake_is_told_once(folder: Path, lines: list[str], told: str) -> None:
    (folder / "ring.fastq.gz").symlink_to("ring.fastq.gz")
    (folder / "link.fastq.gz").symlink_to("s1_L001_R1.fastq.gz")
    [found] = mistakes(write(folder, HEAD, *lines))
    assert re.match(told, found), found


def test_a_file_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(path: Path, *given: Any, **more: Any) -> Any:
        if path.name == "s1_L001_R2.fastq.gz":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *given, **more)

    monkeypatch.setattr(Path, "open", refuse)
    [found] = mistakes(write(folder, HEAD, row("s1", 1)))
    assert found.startswith("line 2: ")
    assert found.endswith("s1_L001_R2.fastq.gz cannot be read: Permission denied")


def test_nobody_is_a_parent_in_pedigrees(folder: Path) -> None:
    head = HEAD + ",father,mother"
    sheet = read_sheet(write(folder, head, row("s1", 1, "0", "0"), row("s2", 1, "s1", "0")))
    assert [(one.father, one.mother) for one in sheet.samples.values()] == [("", ""), ("s1", "")]
    with_zero = [head, row("s1", 1, "0", "").replace("s1,", "0,", 1), row("s2", 1, "0", "")]
    [found] = mistakes(write(folder, *with_zero))
    assert "'0', a parent of '0'" in found  # a sample of that name is somebody
    del with_zero[1]
    with_zero.insert(1, row("s1", 1, "", "").replace("s1,", "0,", 1))
    assert read_sheet(write(folder, *with_zero)).samples["s2"].father == "0"


def test_sheets_that_were_put_behind_each_other(folder: Path) -> None:
    sheet = read_sheet(write(folder, HEAD, row("s1", 1), HEAD.title() + ",", row("s2", 1)))
    assert list(sheet.samples) == ["s1", "s2"]
    assert sheet.notes == ("line 3 names the columns once more and was passed over",)
