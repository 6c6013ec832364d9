from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from stargazer.embedded.fastq import Read, read_file, read_pairs, read_single

RECORDS = "".join(f"@r{number} lane\nACGTA\n+\nIIIII\n" for number in range(100))
PACKED = gzip.compress(RECORDS.encode(), mtime=0)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("content", [RECORDS, PACKED, RECORDS.replace("\n", "\r\n")], ids=["plain", "gzip", "crlf"])
def test_reads_every_record(tmp_path: Path, content: str | bytes) -> None:
    reads = list(read_file(write(tmp_path / "r.fq", content)))
    assert len(reads) == 100
    assert reads[7] == Read("r7", "ACGTA", "IIIII")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RECORDS + "@last\nACGTA\n", "record 101.*ends in the middle"),
        (RECORDS + "@last\nACGTA\n+\n", "record 101.*ends in the middle"),
        (RECORDS + "@last\nACGTA\n+\nIII", "record 101.*5 bases but 3 qualities"),
        (RECORDS + ">last\nACGTA\n+\nIIIII\n", "record 101: not FASTQ"),
        ("@r\nACGTA\n-\nIIIII\n", "record 1: not FASTQ"),
        (PACKED[:-20], "damaged"),
        (PACKED[:-4], "damaged"),
        (PACKED + b"rest", "damaged"),
        (PACKED[:60] + bytes(20) + PACKED[80:], "damaged|record"),
        ("@r\nACGT\xe9\n+\nIIIII\n".encode("latin-1"), "damaged"),
        ("", "no reads"),
        (gzip.compress(b""), "no reads"),
    ],
    ids=[
        "no-plus",
        "no-quality",
        "short-quality",
        "fasta",
        "minus",
        "cut",
        "no-trailer",
        "junk",
        "corrupt",
        "not-ascii",
        "empty",
        "packed nothing",
    ],
)
def test_damage_is_an_error_that_says_where(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        list(read_file(write(tmp_path / "sample_R1.fq.gz", content)))
    assert "sample_R1.fq.gz" in str(caught.value)


def test_mates_are_compared_without_their_number(tmp_path: Path) -> None:
    first = write(tmp_path / "1.fq", "@a/1 x\nAC\n+\nII\n@b 1:N:0\nAC\n+\nII\n")
    second = write(tmp_path / "2.fq", "@a/2 y\nGT\n+\nII\n@b 2:N:0\nGT\n+\nII\n")
    assert [(left.name, right.sequence) for left, right in read_pairs(first, second)] == [("a", "GT"), ("b", "GT")]


def test_mates_of_other_names_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "1.fq", "@a\nAC\n+\nII\n@b\nAC\n+\nII\n")
    second = write(tmp_path / "2.fq", "@a\nAC\n+\nII\n@c\nAC\n+\nII\n")
    with pytest.raises(ValueError, match=r"record 2: 'b' in 1\.fq, 'c' in 2\.fq"):
        list(read_pairs(first, second))


@pytest.mark.parametrize("short", [0, 1])
def test_a_missing_mate_is_refused(tmp_path: Path, short: int) -> None:
    files = [write(tmp_path / f"{number}.fq", "@a\nAC\n+\nII\n" * (1 if number == short else 2)) for number in (0, 1)]
    with pytest.raises(ValueError, match=rf"{short}\.fq ends after 1 reads"):
        list(read_pairs(*files))


def fastq(*records: tuple[str, str, str]) -> str:
    return "".join(f"@{name}\n{bases}\n+\n{qualities}\n" for name, bases, qualities in records)


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n", " \n"])
def test_blank_lines_at_the_end_are_passed_over(tmp_path: Path, end: str) -> None:
    assert len(list(read_file(write(tmp_path / "r.fq", RECORDS + end)))) == 100


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (bz2.compress(b"@r\nA\n+\nI\n"), "compressed by bzip2"),
        (b"PK\x03\x04", "a zip archive"),
        (lzma.compress(b"@r\nA\n+\nI\n"), "compressed by xz"),
        (b"(\xb5/\xfd", "compressed by zstd"),
        (gzip.compress(b"BAM\x01", mtime=0), "column bam"),
        (b"CRAM\x03", "column cram"),
    ],
    ids=["bzip2", "zip", "xz", "zstd", "bam", "cram"],
)
def test_files_of_other_kinds_are_told(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(read_file(write(tmp_path / "r.fastq.gz", content)))


def test_blank_lines_elsewhere_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"record 101: .*blank lines"):
        list(read_file(write(tmp_path / "r.fq", RECORDS + "\n" + RECORDS)))


def test_a_read_of_which_a_trimmer_left_nothing_is_one_n(tmp_path: Path) -> None:
    path = write(tmp_path / "r.fq", fastq(("a", "ACGT", "IIII"), ("b", "", ""), ("c", "ACG", "III")))
    assert list(read_file(path)) == [Read("a", "ACGT", "IIII"), Read("b", "N", "#"), Read("c", "ACG", "III")]


@pytest.mark.parametrize("qualities", ["hhhhhB", "^_ghdc", "JXYZab"])
def test_phred_64_is_refused_however_few_reads_there_are(tmp_path: Path, qualities: str) -> None:
    few = fastq(*((f"r{number}", "ACGTAC", qualities) for number in range(3)))
    many = fastq(*((f"r{number}", "ACGTAC", qualities) for number in range(1200)))
    for text in (few, many):
        with pytest.raises(ValueError, match=r"Phred\+64"):
            list(read_file(write(tmp_path / "r.fq", text)))


@pytest.mark.parametrize(
    "qualities", ["IIIIII", "#IIIII", "?ABCDE", "5<JKKK", "~~~~~~", "~~~A~~", "!~~~~~"],
    ids=["one", "illumina", "high", "element", "hifi", "hifi, another", "nanopore"],
)  # fmt: skip
def test_phred_33_of_all_machines_is_read(tmp_path: Path, qualities: str) -> None:
    text = fastq(*((f"r{number}", "ACGTAC", qualities) for number in range(1200)))
    assert len(list(read_file(write(tmp_path / "r.fq", text)))) == 1200


def test_mates_in_one_file_are_told(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(1500)]
    one = [(name, "ACGT", "IIII") for name in names]
    interleaved = fastq(*((f"{name}/{mate}", "ACGT", "IIII") for name in names for mate in (1, 2)))
    after, few = fastq(*one, *one), fastq(*one[:3] * 2)
    for text, how in ((interleaved, "interleaved"), (after, "after each other"), (few, "after each other")):
        with pytest.raises(ValueError, match=f"second time: .*{how}"):
            list(read_single(write(tmp_path / "r.fq", text)))
    assert len(list(read_single(write(tmp_path / "r.fq", fastq(*one))))) == 1500


def test_names_of_the_sra_are_told(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{mate}.fq", fastq((f"SRR1.7.{mate}", "ACGT", "IIII"))) for mate in (1, 2)]
    with pytest.raises(ValueError, match="fasterq-dump --split-files"):
        list(read_pairs(*paths))
    paths = [write(tmp_path / f"{mate}.fq", fastq((f"other{mate}", "ACGT", "IIII"))) for mate in (1, 2)]
    with pytest.raises(ValueError, match="do not belong together"):
        list(read_pairs(*paths))
