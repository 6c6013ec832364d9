"""What the first records of a BAM or CRAM tell before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysam
import pytest

from stargazer.errors import DataError
from stargazer.workflows import read_sheet
from stargazer.workflows.first_reads import Note
from stargazer.workflows.sheet_files import alignment_header, alignment_order, check_alignment

HEADER = {
    "HD": {"VN": "1.6", "SO": "coordinate"},
    "SQ": [{"SN": "chr1", "LN": 8000}, {"SN": "chr2", "LN": 5000}],
    "RG": [{"ID": "1", "SM": "s1", "LB": "l"}],
}
Change = Callable[[int, Any], None]


def written(path: Path, change: Change = lambda number, record: None, *, n: int = 40) -> Path:
    """A BAM of reads along chr1; each may be changed."""
    with pysam.AlignmentFile(str(path), "wb", header=HEADER) as out:
        for number in range(n):
            record = pysam.AlignedSegment(out.header)
            record.query_name, record.query_sequence, record.flag = f"r{number}", "ACGT", 0
            record.reference_id, record.reference_start, record.cigarstring = 0, 10 * number, "4M"
            record.query_qualities = pysam.qualitystring_to_array("IIII")
            record.set_tag("RG", "1")
            change(number, record)
            out.write(record)
    return path


def told(path: Path) -> list[str]:
    return list(check_alignment(path, "s1"))


def without_group(number: int, record: Any) -> None:
    record.set_tag("RG", None if number == 30 else "1")


def of_another_group(number: int, record: Any) -> None:
    record.set_tag("RG", "2" if number == 30 else "1")


def without_qualities(number: int, record: Any) -> None:
    record.query_qualities = None if number == 30 else record.query_qualities


def without_bases(number: int, record: Any) -> None:
    if number == 30:
        record.query_sequence, record.cigarstring = None, "4M"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without_group, r"reads without a read group of its header, such as 'r30'.*addreplacerg"),
        (of_another_group, r"reads without a read group of its header, such as 'r30'"),
        (without_qualities, r"reads without base qualities, such as 'r30'"),
        (without_bases, r"reads without bases, such as 'r30'"),
    ],
)
def test_reads_that_cannot_be_called_are_told(tmp_path: Path, change: Change, what: str) -> None:
    written(tmp_path / "a.bam", change)
    (tmp_path / "samples.csv").write_text("sample,bam\ns1,a.bam\n")
    with pytest.raises(DataError, match=f"line 2: .*{what}"):
        read_sheet(tmp_path / "samples.csv")
    assert told(written(tmp_path / "b.bam")) == []


def test_other_alignments_of_a_read_may_lack_bases(tmp_path: Path) -> None:
    def secondary(number: int, record: Any) -> None:
        if number == 30:
            record.query_sequence, record.flag = None, 256

    assert told(written(tmp_path / "a.bam", secondary)) == []


def test_alignments_without_aligned_reads_are_left_out_with_the_reason(tmp_path: Path) -> None:
    def unaligned(number: int, record: Any) -> None:
        record.flag, record.reference_id, record.reference_start, record.cigarstring = 4, -1, -1, None

    def after_many(number: int, record: Any) -> None:
        if number < 1500:
            unaligned(number, record)

    assert told(written(tmp_path / "late.bam", after_many, n=1501)) == []
    assert told(written(tmp_path / "few.bam", unaligned, n=3)) == []
    written(tmp_path / "ubam.bam", unaligned)
    (tmp_path / "samples.csv").write_text("sample,bam\ns1,ubam.bam\n")
    with pytest.raises(DataError, match=r"no sample has any reads: s1\n  line 2: ubam.bam has no aligned .*uBAM"):
        read_sheet(tmp_path / "samples.csv")


def test_an_order_is_believed_where_the_first_records_are_in_it(tmp_path: Path) -> None:
    def back(number: int, record: Any) -> None:
        record.reference_start = 500 if number == 3 else 10 * number

    def contigs_turned(number: int, record: Any) -> None:
        record.reference_id = 1 if number < 5 else 0

    def first_unaligned(number: int, record: Any) -> None:
        if number == 0:
            record.flag, record.reference_id, record.reference_start, record.cigarstring = 4, -1, -1, None

    assert alignment_order(written(tmp_path / "a.bam")) == "coordinate"
    for change in (back, contigs_turned, first_unaligned):
        assert alignment_order(written(tmp_path / "b.bam", change)) == "unsorted"


def test_a_cram_is_looked_at_without_its_reference(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fasta = tmp_path / "ref.fa"
    fasta.write_text(f">chr1\n{'ACGTACGTAC' * 800}\n>chr2\n{'A' * 5000}\n")
    written(tmp_path / "a.bam", without_group)
    for version in ("2.1", "3.0", "3.1"):
        cram = tmp_path / f"v{version}.cram"
        options = f"--no-PG -C -T {fasta} --output-fmt-option version={version} -o {cram} {tmp_path / 'a.bam'}"
        pysam.samtools.view(*options.split(), catch_stdout=False)  # type: ignore[attr-defined]
        hidden = fasta.rename(tmp_path / "hidden.fa")
        [problem] = told(cram)
        assert "such as 'r30'" in problem
        assert "SN:chr2" in alignment_header(cram)
        hidden.rename(fasta)
        cram.write_bytes(cram.read_bytes()[:-5])
        assert "is cut short" in told(cram)[0]
    assert "index" not in capfd.readouterr().err


def test_records_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    def long(number: int, record: Any) -> None:
        record.query_name = f"{number * 7919 % 100_003}" * 20

    whole = written(tmp_path / "a.bam", long, n=3000).read_bytes()
    (tmp_path / "a.bam").write_bytes(whole[: len(whole) // 4] + whole[-28:])
    [problem] = told(tmp_path / "a.bam")
    assert "its records cannot be read (truncated file)" in problem


def with_qualities(letters: str) -> Change:
    def change(_: int, record: Any) -> None:
        record.query_qualities = pysam.qualitystring_to_array(letters)

    return change


def named(number: int, record: Any) -> None:
    record.query_name = f"r{number // 2}"


def of_ends(number: int, record: Any) -> None:
    named(number, record)
    record.flag = 0x1 | (0x80 if number % 2 else 0x40)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (with_qualities("BBhh"), "base qualities from 33 to 71: they were Phred+64"),
        (with_qualities(";;LL"), "base qualities from 26 to 43: they were Phred+64"),
        (named, "read 'r0' twice, the same end of it"),
    ],
    ids=["Phred+64", "bad Phred+64", "twice"],
)
def test_reads_that_would_be_called_wrongly_are_told(tmp_path: Path, change: Change, what: str) -> None:
    [problem] = told(written(tmp_path / "a.bam", change))
    assert what in problem
    assert not isinstance(problem, Note)


@pytest.mark.parametrize(
    "change",
    [with_qualities("#BFI"), with_qualities("IIII"), with_qualities("::FF"), with_qualities(";Fn~"), of_ends],
    ids=["of all kinds", "all one", "binned", "of long reads", "both ends"],
)
def test_good_reads_are_not_taken_for_others(tmp_path: Path, change: Change) -> None:
    assert told(written(tmp_path / "a.bam", change)) == []


@pytest.mark.parametrize("unknown", [40, 39])
def test_mapping_qualities_that_nobody_knows_are_noted(tmp_path: Path, unknown: int) -> None:
    def change(number: int, record: Any) -> None:
        record.mapping_quality = 255 if number < unknown else 60

    notes = told(written(tmp_path / "a.bam", change))
    assert [("no mapping quality (255)" in note, isinstance(note, Note)) for note in notes] == (
        [(True, True)] if unknown == 40 else []
    )
