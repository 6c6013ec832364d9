"""Reads and sheets as laboratories, editors and other programs write them: told before anything runs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stargazer.embedded.fastq import read_pairs, read_single
from stargazer.errors import DataError
from stargazer.workflows import read_sheet

BASES, QUALITIES = "ACGTACGTTGCA", "IIIIIIIIFFFF"
HEAD = "sample,fastq_1,fastq_2"


def record(name: str, bases: str = BASES, qualities: str = QUALITIES) -> str:
    return f"@{name}\n{bases}\n+\n{qualities}\n"


def mates(mark: str, pairs: int = 3) -> str:
    return "".join(record(f"SRR1.{number}{mark}{mate}") for number in range(pairs) for mate in (1, 2))


@pytest.mark.parametrize("mark", [".", "_", "/"], ids=["dot", "underscore", "slash"])
def test_mates_that_number_their_names_are_no_single_reads(tmp_path: Path, mark: str) -> None:
    reads, sheet = tmp_path / "r.fq", tmp_path / "s.csv"
    reads.write_text(mates(mark))
    sheet.write_text("sample,fastq_1\ns,r.fq\n")
    with pytest.raises(DataError, match="interleaved mates"):
        read_sheet(sheet)
    with pytest.raises(ValueError, match="interleaved mates"):
        list(read_single(reads))


def test_reads_that_are_counted_are_single_ones(tmp_path: Path) -> None:
    reads = tmp_path / "r.fq"
    for names in (range(1, 9), [1, 2], [1, 2, 3, 4]):
        reads.write_text("".join(record(f"SRR1.{number}") for number in names))
        assert len(list(read_single(reads))) == len(names)


def test_pairs_whose_files_have_both_ends_each_are_refused(tmp_path: Path) -> None:
    first, second, sheet = tmp_path / "a.fq", tmp_path / "b.fq", tmp_path / "s.csv"
    for path, bases in ((first, BASES), (second, BASES[::-1])):
        path.write_text("".join(record(f"r{number} {mate}:N:0:A", bases) for number in range(3) for mate in (1, 2)))
    sheet.write_text(f"{HEAD}\ns,a.fq,b.fq\n")
    with pytest.raises(DataError, match="'r0' twice among its first: interleaved"):
        read_sheet(sheet)
    with pytest.raises(ValueError, match=r"record 2: read 'r0' is there a second time"):
        list(read_pairs(first, second))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (record("r", "T01203120312"), "colours"),
        (record("r", "ACG-ACG@ACGT"), "signs that are no bases"),
        (record("r", "ACGUACGUUGCA"), "U, of RNA"),
        (record("r", qualities="IIII IIIFFFF"), "qualities have signs that are none"),
        (record("n" * 300), "its name has 300 characters"),
        ("\ufeff" + record("r"), "byte order mark"),
        (record("r").encode("utf-16"), "UTF-16"),
        (f">r\n{BASES}\n", "FASTA, which has no base qualities"),
        (gzip.compress(gzip.compress(record("r").encode())), "compressed by gzip twice"),
    ],
    ids=["colours", "signs", "RNA", "qualities", "name", "mark", "UTF-16", "FASTA", "gzip"],
)
def test_what_is_no_fastq_says_what_it_is(tmp_path: Path, content: str | bytes, told: str) -> None:
    (tmp_path / "r.fq").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=told):
        list(read_single(tmp_path / "r.fq"))


def test_unknown_bases_and_lower_case_are_reads(tmp_path: Path) -> None:
    (tmp_path / "r.fq").write_text(record("a", "ACGT..GTTGCA") + record("b", BASES.lower()) + record("c", "", ""))
    assert [read.sequence for read in read_single(tmp_path / "r.fq")] == ["ACGT..GTTGCA", BASES.lower(), "N"]


@pytest.fixture
def lane(tmp_path: Path) -> Path:
    for mate, bases in ((1, BASES), (2, BASES[::-1])):
        (tmp_path / f"a_{mate}.fq").write_text(record("r", bases))
    return tmp_path


@pytest.mark.parametrize(
    "head",
    [f"#{HEAD}", f"# {HEAD}", f'#"sample"{HEAD.removeprefix("sample")}', f"sep=,\n{HEAD}"],
    ids=["hash", "blank", "quoted", "Excel"],
)
def test_names_of_columns_may_follow_a_mark(lane: Path, head: str) -> None:
    (lane / "s.csv").write_text(f"{head}\n#b,b_1.fq,b_2.fq\na,a_1.fq,a_2.fq\n")
    read = read_sheet(lane / "s.csv")
    assert list(read.samples) == ["a"]
    assert [note for note in read.notes if "begins with #" in note]


def test_a_separator_that_excel_notes_may_be_a_tab(lane: Path) -> None:
    (lane / "s.csv").write_text(f"sep=\t\n{HEAD}\na,a_1.fq,a_2.fq\n".replace(",", "\t"))
    assert list(read_sheet(lane / "s.csv").samples) == ["a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{HEAD}\n{'n' * 300},a_1.fq,a_2.fq\n".encode(), "has 300 characters; 100 are allowed"),
        (f"{HEAD}\na,a_1.fq,a_2.fq\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
    ],
    ids=["long", "UTF-16"],
)
def test_sheets_that_would_fail_later(lane: Path, text: bytes, told: str) -> None:
    (lane / "s.csv").write_bytes(text)
    with pytest.raises(DataError, match=told):
        read_sheet(lane / "s.csv")
