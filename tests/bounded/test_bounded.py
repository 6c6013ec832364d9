"""What others wrote is read within limits: size, nesting, aliases, numbers and lines."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest

from stargazer.bounded import DEEPEST, check_header, is_count, lines_of, parse_json, parse_yaml, read_text
from stargazer.embedded.fastq import read_file
from stargazer.errors import DataError
from stargazer.remotes.bundles import read_bundle
from stargazer.tasks.sam import sam_contigs, vcf_contigs
from stargazer.workflows.sheet import read_sheet

HOSTILE_JSON = {
    "lists": "[" * 200_000,
    "closed lists": "[" * 200_000 + "]" * 200_000,
    "mappings": '{"a":' * 200_000,
    "after a text": '["\\"[", ' + "[" * 101,
    "number": "1" * 5_000_000,
    "exponent": "[1e5, " + "9" * 4001 + "]",
    "no end": '"' + '\\"' * 2_000_000,
    "quotes": '"' * 1_000_001,
    "nothing": "",
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize("kind", HOSTILE_JSON)
def test_json_that_would_harm_is_one_error_at_once(kind: str) -> None:
    started = time.process_time()
    with pytest.raises(DataError, match=r"^the answer "):
        parse_json(HOSTILE_JSON[kind], "the answer")
    assert time.process_time() - started < 5


def test_usual_json_is_read() -> None:
    assert parse_json('{"a": ["[[[", 1.5, -3, null, "\\\\"]}', "it") == {"a": ["[[[", 1.5, -3, None, "\\"]}
    assert parse_json("[" * DEEPEST + "]" * DEEPEST, "it")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE_YAML = {
    "laughs": LAUGHS,
    "itself": "a: &a [*a]",
    "flow": "[" * 100_000,
    "blocks": "".join(f"{' ' * depth}- \n" for depth in range(200)) + " " * 200 + "a",
    "mappings": "".join(f"{' ' * depth}a:\n" for depth in range(200)),
    "object": "!!python/object/apply:os.system ['true']",
    "number": "9" * 100_000,
    "base": "0b" + "1" * 100_000,
    "sexagesimal": ":".join(["59"] * 100_000),
    "torn": "a: [",
}


@pytest.mark.parametrize("kind", HOSTILE_YAML)
def test_yaml_that_would_harm_is_one_error_at_once(kind: str, tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(DataError, match="the bundle"):
        parse_yaml(HOSTILE_YAML[kind], "the bundle")
    bundle = tmp_path / "x.yaml"
    bundle.write_text(HOSTILE_YAML[kind])
    with pytest.raises(DataError, match=r"the bundle .*x\.yaml"):
        read_bundle(bundle)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("kind", ["fifo", "folder", "large", "latin"])
def test_only_texts_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"x" * 2000 if kind == "large" else b"\xff")
    with pytest.raises((DataError, IsADirectoryError)):
        read_text(path, 1000)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_texts_of_spreadsheets_are_read(tmp_path: Path, coding: str) -> None:
    mark = "\ufeff" if coding.endswith("e") else ""
    (tmp_path / "x").write_bytes((mark + "gene\tß\r\n").encode(coding))
    assert read_text(tmp_path / "x") == "gene\tß\r\n"
    (tmp_path / "x").write_bytes("gene\n".encode("utf-16") + b"\x00")
    with pytest.raises(DataError, match="no text in UTF-16"):
        read_text(tmp_path / "x")


def test_no_device_is_read_for_ever() -> None:
    with pytest.raises(DataError, match="no regular file"):
        read_text(Path("/dev/zero"))


def test_lines_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"short\n" + b"A" * 10_000_000))
    with gzip.open(path, "rt") as file:
        lines = lines_of(file, "x.gz", 1 << 20)
        assert next(lines) == "short\n"
        with pytest.raises(DataError, match=r"x\.gz has a line of more than"):
            next(lines)


def test_headers_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(gzip.compress(b"##fileformat=VCFv4.2\n" + b"##contig=<ID=chr1,length=1>\n" * 100_000))
    check_header(path, "#")
    with pytest.raises(DataError, match="a header of more than 1,000,000 characters"):
        check_header(path, "#", 1_000_000)


@pytest.mark.parametrize("part", ["name", "sequence", "quality"])
def test_a_read_that_unpacks_without_end_is_refused(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.embedded.fastq.LONGEST", 1 << 20)
    lines = {"name": b"@r", "sequence": b"A", "plus": b"+", "quality": b"I"}
    lines[part] = lines[part] * (8 << 20)
    path = tmp_path / "bomb.fastq.gz"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines.values())))
    assert path.stat().st_size < 64 << 10
    with pytest.raises(ValueError, match=r"bomb\.fastq\.gz, record \d+"):
        list(read_file(path))


@pytest.mark.parametrize(
    "header",
    [
        "##contig=<ID=a," * 200_000,
        "##contig=<ID=" * 200_000,
        "##contig=<ID=a,length=" + "9" * 1_000_000,
        "##contig=<ID=a" + "," * 2_000_000,
    ],
)
def test_no_header_takes_for_ever(header: str) -> None:
    started = time.process_time()
    assert set(vcf_contigs(header).values()) <= {0}
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "line", ["@SQ\tSN:a\tLN:x", "@SQ\tSN:a", "@SQ\tLN:5", f"@SQ\tSN:a\tLN:{'9' * 5000}", "@SQ\tSN:a\tLN"]
)
def test_contigs_without_length_are_told(line: str) -> None:
    with pytest.raises(DataError, match="a contig without name or length"):
        sam_contigs(line)


SHEETS = {
    "formula": ("=HYPERLINK(1)", "reads_1.fastq.gz"),
    "option": ("-rf", "reads_1.fastq.gz"),
    "path": ("../../etc", "reads_1.fastq.gz"),
    "tab": ('"a\tSM:b"', "reads_1.fastq.gz"),
    "escape": ("a\x1b[2J", "reads_1.fastq.gz"),
    "shell": ("$(touch x)", "reads_1.fastq.gz"),
    "quote": ('"a\nb,c"', "reads_1.fastq.gz"),
    "secret": ("s", "/etc/passwd"),
    "url": ("s", "https://example.org/reads.fastq.gz"),
    "device": ("s", "/dev/zero"),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_no_sheet_injects_anything(tmp_path: Path, kind: str) -> None:
    (tmp_path / "reads_1.fastq.gz").write_bytes(gzip.compress(b"@r\nA\n+\nI\n"))
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"sample,fastq_1\n{','.join(SHEETS[kind])}\n")
    with pytest.raises(DataError, match=r"sheet\.csv") as raised:
        read_sheet(sheet)
    assert "\x1b" not in str(raised.value)


def test_a_large_sheet_is_read_in_time(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,fastq_1\n" + "".join(f"s{n},x\n" for n in range(20_000)))
    started = time.process_time()
    with pytest.raises(DataError, match=r"(?s)39999 mistakes.*and 39,799 more"):
        read_sheet(sheet)
    assert time.process_time() - started < 20
    sheet.write_bytes(b"sample,fastq_1\n" * (2 << 20))
    with pytest.raises(DataError, match="larger than the 16 MiB"):
        read_sheet(sheet)


@pytest.mark.parametrize("text", ["", "²", "٣", "-1", "1e3", " 1", "1\n", "9" * 19, "9" * 10_000, "0x1"])
def test_what_int_would_choke_on_or_take_for_another_number_is_no_count(text: str) -> None:
    assert not is_count(text)


def test_counts_are_counts() -> None:
    assert is_count("0")
    assert is_count("9" * 18)
