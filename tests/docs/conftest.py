"""The pages and what stands in them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READS = "@a\nACGT\n+\nIIII\n@b\nACGT\n+\nIIII\n"


def packed(text: str) -> bytes:
    """Pack a text alike on every Python: since 3.13 the header no longer names the system."""
    data = gzip.compress(text.encode(), mtime=0)
    return data[:9] + b"\x03" + data[10:]


@pytest.fixture(scope="session")
def blocks() -> Callable[[str, str], list[str]]:
    """The code blocks of a page in one language."""

    def of(page: str, language: str) -> list[str]:
        text = (ROOT / page).read_text("utf-8")
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    return of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the pages talk of."""
    here = tmp_path / "here"
    (here / "table.zarr").mkdir(parents=True)
    for sample in ("s1", "s2"):
        (here / f"{sample}_R1.fq").write_text(READS)
        (here / f"{sample}_R1.fq.gz").write_bytes(packed(f"{sample}{READS}"))
    (here / "ref.fa").write_text(">chr1\nACGTACGT\n")
    (here / "ref.fa.fai").write_text("chr1\t8\t6\t8\t9\n")
    (here / "peaks.bed").write_text("chr1\t1\t2\nchr1\t4\t5\n")
    (here / "words.txt").write_text("b\na\nb\n")
    (here / "table.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    return here
