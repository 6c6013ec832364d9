"""From an asset to its bytes: paths, sources, and the contigs of a reference."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest

from stargazer.assets import R1, Asset, Contig, Reference, ReferenceIndex
from stargazer.errors import AssetError, DataError

FASTA = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"


@dataclass(frozen=True)
class Folder:
    """A source that keeps files under their names."""

    url: str
    record: str | None = None

    def fetch(self, asset: Asset) -> Path:
        return Path(self.url) / asset.name

    def open(self, asset: Asset, mode: str = "rb") -> IO[Any]:
        return self.fetch(asset).open(mode)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "tiny.fa.fai").write_text("chr1\t1000\t6\t60\t61\nHLA:1-2\t37\t1030\t60\t61\n")
    return Folder(str(tmp_path))


def reference(folder: Folder | None) -> Reference:
    index = ReferenceIndex(cid=FASTA, name="tiny.fa.fai")
    return Reference(cid=FASTA, name="tiny.fa", companions=(index,), source=folder)


CONTIGS = (Contig("chr1", 1000), Contig("HLA:1-2", 37))


def test_contigs_come_from_the_companion_index(folder: Folder, tmp_path: Path) -> None:
    assert reference(folder).contigs == CONTIGS
    staged = ReferenceIndex(path=tmp_path / "tiny.fa.fai")
    assert Reference(path=tmp_path / "tiny.fa", companions=(staged,)).contigs == CONTIGS


def test_a_reference_without_its_index_says_how_to_get_one(folder: Folder) -> None:
    with pytest.raises(AssetError, match="no ReferenceIndex beside it; samtools_faidx makes one"):
        _ = replace(reference(folder), companions=()).contigs


@pytest.mark.parametrize("line", ["chr1", "chr1\tlong\t6\t60\t61", "\t1000\t6\t60\t61"])
def test_a_malformed_index_is_named_by_its_line(folder: Folder, line: str) -> None:
    (Path(folder.url) / "tiny.fa.fai").write_text(f"chr1\t1000\t6\t60\t61\n{line}\n")
    with pytest.raises(DataError, match="line 2"):
        _ = reference(folder).contigs


def test_contigs_of_a_real_reference() -> None:
    data = os.environ.get("STARGAZER_TEST_DATA")
    if not data:
        pytest.skip("STARGAZER_TEST_DATA is not set: no real reference here")
    fasta = Path(data) / "tp53" / "GRCh38_TP53.fa"
    index = ReferenceIndex(path=fasta.with_name("GRCh38_TP53.fa.fai"))
    assert Reference(path=fasta, companions=(index,)).contigs == (Contig("chr17:7658421-7697490", 39070),)


def test_bytes_come_from_the_path_or_else_the_source(folder: Folder, tmp_path: Path) -> None:
    read = R1(cid=FASTA, name="a.fq", source=folder)
    (tmp_path / "a.fq").write_bytes(b"@r1\n")
    assert read.fetch() == tmp_path / "a.fq"
    with read.open() as bytes_, read.open("r") as text:
        assert (bytes_.read(), text.read()) == (b"@r1\n", "@r1\n")
    draft = R1(path=tmp_path / "a.fq")
    assert draft.fetch() == tmp_path / "a.fq"
    with draft.open("r") as text:
        assert text.read() == "@r1\n"


def test_an_asset_from_nowhere_cannot_be_fetched() -> None:
    for verb in ("fetch", "open"):
        with pytest.raises(AssetError, match=f"cannot {verb}: it came from no store"):
            getattr(R1(cid=FASTA), verb)()
