"""A FASTA is looked at before tools read it, each in its own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargazer.errors import DataError
from stargazer.tasks.fasta import PIECE, check_fasta


@pytest.mark.parametrize(
    "text",
    [
        b">c1 of >a plasmid\nACGT\nACG\n>c2\nNNN\n",
        b">c1\r\nacgt\r\nRYKMSWBDHV\r\n",
        b">HLA-A*01:01:01 x,y\nACGT\n>c1|x:1-3\nTGCA",
        b"\n\n>c1\nACGT\n\n",
    ],
)
def test_what_tools_read_alike_is_taken(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "r.fa").write_bytes(text)
    check_fasta(tmp_path / "r.fa")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty"),
        (b"hello\n>c1\nACGT\n", "line 1: a FASTA begins with >name, not with 'hello'"),
        (b"LOCUS x\n", "looks like GenBank"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip"),
        (b">c1\nACGT\n>\nACGT\n", "line 3: there is no name"),
        (b"> c1\nACGT\n", "line 1: there is no name behind >, or a blank"),
        (b">c1\nACGT\nMKVL\nAQEF\n", "line 3: 'L' is no base"),
        (b">c1\nACGT\nGGUC\n", "line 3: 'U' is of RNA"),
        (b">c1\nACGT\n>c2\nAC-GT\n", "line 4: '-' is no base"),
        (b">c1\nACGT\nAC GT\n", "line 3: ' ' is no base"),
        (b">c1\nACGT\nAC>GT\n", "line 3: '>' is no base"),
        (b">c0\n>c1\nACGT\n", "line 1: there are no bases"),
        (b">c1\nACGT\n>c2\n\n", "line 3: there are no bases"),
        (b">c,1\nACGT\n", "line 1: a sequence cannot be called 'c,1'"),
        (b">*1\nACGT\n", "cannot be called"),
        (">chrü\nACGT\n".encode(), "cannot be called 'chrü'"),
        (b">c1\nACGT\n>c1 again\nACGT\n", "more than one sequence named c1: on lines 1 and 3"),
    ],
)
def test_what_they_would_read_differently_is_refused_with_its_line(tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "r.fa").write_bytes(text)
    with pytest.raises(DataError, match=r"r\.fa") as caught:
        check_fasta(tmp_path / "r.fa")
    assert told in str(caught.value)


def test_lines_are_counted_over_all_pieces_of_a_file(tmp_path: Path) -> None:
    lines = PIECE // 61 + 1000
    text = b">c1\n" + b"ACGTACGTAC" * 6 + b"\n"
    text += (b"ACGTACGTAC" * 6 + b"\n") * lines
    (tmp_path / "r.fa").write_bytes(text + b">c2\nAC1\n")
    with pytest.raises(DataError, match=f"line {lines + 4}: '1' is no base"):
        check_fasta(tmp_path / "r.fa")
