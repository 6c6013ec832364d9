"""Tables in a project's folder: bytes as they are stored, but no name that a spreadsheet would run."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg
from stargazer.workflows.folder import _put, without_formulas
from stargazer.workflows.outputs import write_tsv

PLAIN = b"gene\tx\ty\nENSG1\t-1.5\t1e-300\nMT-CO1\t+2\tNA\n-inf\tinf\tnan\n"


def test_an_ordinary_table_keeps_its_bytes(tmp_path: Path) -> None:
    write_tsv(PLAIN, tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_bytes() == PLAIN


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "+x", " =1", "＝1"])
def test_a_gene_that_is_a_formula_is_text(name: str, tmp_path: Path) -> None:
    write_tsv(PLAIN.replace(b"ENSG1", name.encode()), tmp_path / "t.tsv")
    lines = (tmp_path / "t.tsv").read_text("utf-8").splitlines()
    assert lines[1] == f"'{name}\t-1.5\t1e-300"
    assert lines[0] == "gene\tx\ty"
    assert lines[2] == "MT-CO1\t+2\tNA"


def test_a_formula_in_quotes_is_one_as_well(tmp_path: Path) -> None:
    write_tsv(b'gene\tx\n"=a""b"\t1\n', tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_bytes() == b'gene\tx\n"\'=a""b"\t1\n'


@pytest.mark.parametrize("name", ["=cmd|'/C_calc'!A0", "@SUM(1)", "-2+3", "\uff1d1"])
def test_an_id_of_a_variant_that_is_a_formula_is_text(name: str) -> None:
    """A VCF of known variants says what they are called; the tables of a cohort tell it."""
    table = f'contig\tposition\tid\tref\nchr1\t7\t{name}\tA\nchr1\t-8\t"rs1\t*\n'
    assert without_formulas(table.encode()).decode() == table.replace(name, f"'{name}")
    plain = PLAIN + b"x\t" + b"y" * 200_000 + b"\n"
    assert without_formulas(plain) == plain


@pytest.mark.parametrize(("name", "is_link"), [("rs1", True), ("=A1", False)])
def test_a_table_that_has_no_formula_is_a_link_where_links_are_wanted(
    store: sg.Store, tmp_path: Path, name: str, is_link: bool
) -> None:
    table = tmp_path / "t.tsv"
    table.write_text(f"id\tx\n{name}\t1\n")
    with store:
        ((placed, _),) = _put(store.add(table), tmp_path / "out" / "t.tsv", links=True)
    assert placed.is_symlink() == is_link
    assert placed.read_text() == f"id\tx\n{name if is_link else chr(39) + name}\t1\n"
