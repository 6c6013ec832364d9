"""Tables and folders as spreadsheets and programs before ours leave them: right, or refused with the reason."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, matrix_folder, saved
from scipy import io as matrices
from scipy import sparse

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError
from stargazer.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")

GIVEN = cells(24, 40)
DENSE = GIVEN.X.toarray().astype(int)


def table(here: Path, name: str = "t.csv", *, first: str = "", end: str = "", more: str = "", old: str = "") -> Path:
    """Genes × cells; `first` in place of the first count, `end` behind each line, `more` below."""
    lines = [",".join(["", *GIVEN.obs_names])]
    lines += [",".join([gene, *map(str, row)]) for gene, row in zip(GIVEN.var_names, DENSE.T, strict=True)]
    if first:
        head, _, *rest = lines[1].split(",")
        lines[1] = ",".join([head, first, *rest])
    text = "".join(f"{line}{end}\n" for line in lines) + more
    (here / name).write_text(text.replace(GIVEN.var_names[5], old) if old else text)
    return here / name


def added(path: Path) -> tuple[Any, list[str]]:
    made: Any = sg.add(path, sg.AnnData(sample_id="s"))
    return made.open(), AnnDataTree(made.fetch()).stages()["ingest"]["notes"]


@pytest.mark.parametrize("gap", ["NA", "-", "nan", "NULL"])
def test_a_cell_whose_first_count_is_missing_is_no_column_of_texts(store: Store, tmp_path: Path, gap: str) -> None:
    with pytest.raises(DataError, match=f"{GIVEN.obs_names[0]}, gene {GIVEN.var_names[0]}|could not convert"):
        added(table(tmp_path, first=gap))


def test_rows_that_are_no_genes_are_left_out(store: Store, tmp_path: Path) -> None:
    summed = "".join(f"{name},{','.join(['9'] * 24)}\n" for name in ("__no_feature", "N_unmapped"))
    found, notes = added(table(tmp_path, more=summed, old="1-Mar"))
    np.testing.assert_array_equal(found.X.toarray(), DENSE)
    assert any(note.startswith("__no_feature, N_unmapped are no genes") for note in notes)
    assert any("genes 1-Mar are dates" in note for note in notes)


def test_empty_columns_at_the_end_are_none(store: Store, tmp_path: Path) -> None:
    found, _ = added(table(tmp_path, end=","))
    np.testing.assert_array_equal(found.X.toarray(), DENSE)


def test_decimal_commas_are_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(";A;B\nG1;1,0;2,0\n")
    with pytest.raises(DataError, match="decimal commas"):
        added(tmp_path / "t.csv")


def test_normalised_values_that_were_rounded_are_noted(store: Store, tmp_path: Path) -> None:
    given = cells(60, 100)
    counts = given.X.toarray()
    given.X = sparse.csr_matrix(np.round(1e5 * counts / counts.sum(axis=1, keepdims=True)).astype(np.float32))
    _, notes = added(saved(given, tmp_path / "n.h5ad"))
    assert len(notes) == 1
    assert notes[0].startswith("all cells have about 100,0") or notes[0].startswith("all cells have about 99,9")
    _, notes = added(saved(cells(60, 100), tmp_path / "raw.h5ad"))
    assert notes == []


def test_a_zipped_table_is_told(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.write(table(tmp_path), "t.csv")
    with pytest.raises(DataError, match=r"t\.csv\.zip is a zip archive of t\.csv: unpack it"):
        added(tmp_path / "t.csv.zip")


def test_names_with_quotes_marks_and_blank_lines_are_names(store: Store, tmp_path: Path) -> None:
    folder = matrix_folder(tmp_path / "m", GIVEN.copy(), zipped=False)
    names = [path for path in folder.iterdir() if path.suffix == ".tsv"]
    for path in names:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        quoted = ["\t".join(f'"{field}"' for field in row) for row in rows]
        path.write_text("\ufeff" + "\n".join(quoted) + "\n\n\n")
    found, notes = added(folder)
    assert (list(found.obs_names), list(found.var_names)) == (list(GIVEN.obs_names), list(GIVEN.var_names))
    assert notes == []


def test_a_dense_matrix_is_told(store: Store, tmp_path: Path) -> None:
    folder, text = matrix_folder(tmp_path / "m", GIVEN.copy(), zipped=False), io.BytesIO()
    matrices.mmwrite(text, DENSE.T)
    (folder / "matrix.mtx").write_bytes(text.getvalue())
    with pytest.raises(DataError, match="a dense matrix: write it as a sparse one"):
        added(folder)


def test_groups_and_arrays_of_other_lengths_are_left_out(store: Store, tmp_path: Path) -> None:
    path = saved(GIVEN.copy(), tmp_path / "g.h5ad")
    with h5py.File(path, "r+") as file:
        file.create_group("obsm/nested").create_dataset("inner", data=np.zeros((24, 2)))
        file["obsm/short"] = np.zeros((23, 2))
    found, notes = added(path)
    assert not {"nested", "short"} & set(found.obsm)
    assert any("obsm/nested was left out: it is a group" in note for note in notes)
    assert any("obsm/short was left out: it has 23 rows" in note for note in notes)


def test_counts_of_more_genes_in_raw_are_told(store: Store, tmp_path: Path) -> None:
    given = GIVEN[:, :20].copy()
    given.raw = GIVEN.copy()
    path = saved(given, tmp_path / "g.h5ad")
    _, notes = added(path)
    assert notes == ["raw has counts of 40 genes, and 20 are taken: sg.CountsFile(layer='raw') takes all"]
    every: Any = sg.add(path, sg.CountsFile(sample_id="s", layer="raw"))
    assert every.n_vars == 40


def lines_of_table(*, genes_first: bool = True, corner: str = "") -> list[str]:
    rows, columns, values = GIVEN.var_names, GIVEN.obs_names, DENSE.T
    if not genes_first:
        rows, columns, values = columns, rows, DENSE
    return [",".join([corner, *columns])] + [
        ",".join([name, *map(str, row)]) for name, row in zip(rows, values, strict=True)
    ]


def with_columns(titles: str, fields: str, *, at_end: bool = True) -> str:
    """Cells × genes, or genes × cells, with further columns behind the counts or before them."""
    head, *rest = lines_of_table(genes_first=not at_end)
    if at_end:
        return "\n".join([f"{head},{titles}", *(f"{line},{fields}" for line in rest)])
    split = [line.partition(",") for line in (head, *rest)]
    return "\n".join(f"{name},{titles if not at else fields},{line}" for at, (name, _, line) in enumerate(split))


TABLES: dict[str, tuple[str, str]] = {
    "names behind a mark": ("\n".join(lines_of_table(corner="#gene")), ""),
    "cells behind a mark": ("# by x\n" + "\n".join(lines_of_table(genes_first=False, corner="#CELL")), ""),
    "blank lines between": ("\n\n".join(lines_of_table()), ""),
    "blanks around names": ("\n".join(lines_of_table()).replace(",", " , "), ""),
    "measures of cells": (
        with_columns("nCount_RNA,percent.mt,seurat_clusters", "500,3.25,4"),
        "nCount_RNA, percent.mt, seurat_clusters are no genes",
    ),
    "a last line of sums": ("\n".join([*lines_of_table(), ",".join(["Total", *["999"] * 24])]), "Total are no genes"),
    "lengths alone": (with_columns("Length", "100", at_end=False), "Length stands before the counts"),
    "featureCounts": (with_columns("Chr,Start,End,Length", "chr1;chr2,1;5,7,100", at_end=False), ""),
}


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("case", TABLES)
def test_no_gene_and_no_cell_comes_or_goes(store: Store, tmp_path: Path, case: str, coding: str) -> None:
    text, said = TABLES[case]
    (tmp_path / "t.csv").write_text(text + "\n", coding)
    view, notes = added(tmp_path / "t.csv")
    assert (list(view.obs_names), list(view.var_names)) == (list(GIVEN.obs_names), list(GIVEN.var_names))
    np.testing.assert_array_equal(view.X.toarray(), DENSE)
    assert [said in note for note in notes] == ([True] if said else [])


@pytest.mark.parametrize("head", ["0,1,2,3", "gene,1,2,3", "1,2,3", "gene,7,3,5"])
def test_columns_may_be_called_by_numbers(store: Store, tmp_path: Path, head: str) -> None:
    (tmp_path / "t.csv").write_text(f"{head}\nG1,1,2,3\nG2,4,5,6\n")
    view, _ = added(tmp_path / "t.csv")
    assert (list(view.obs_names), list(view.var_names)) == (head.split(",")[-3:], ["G1", "G2"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n".join(lines_of_table()[1:]), "its first line has numbers"),
        ("\n".join(lines_of_table(genes_first=False)[1:]), "its first line has numbers"),
        ("7157,1,2,3\n672,4,5,6\n675,0,2,1", "its first line has numbers"),
        (with_columns("label", "T cell"), "line 2, column 'label': 'T cell' is no number"),
        ("\n".join(lines_of_table()).replace("\nGENE0007,", '\nGENE0007,"1,000",', 1), "line 9"),
        ("\n".join(lines_of_table()).replace(",0,", ",0x1F,", 1), "'0x1F' is no number"),
    ],
    ids=["no names", "no names of genes", "no names of numbers", "texts behind", "thousands", "hexadecimal"],
)
def test_a_table_that_would_lose_something_is_refused(store: Store, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text + "\n")
    with pytest.raises(DataError, match=words):
        sg.add(tmp_path / "t.csv", sg.AnnData(sample_id="s"))


@pytest.mark.parametrize("name", ["Total", "grand total", "Sum", "gene_length", "Length", "total_counts"])
@pytest.mark.parametrize("genes_first", [True, False])
def test_sums_and_lengths_are_no_cells(store: Store, tmp_path: Path, name: str, genes_first: bool) -> None:
    given = cells(30, 60)
    frame = pd.DataFrame(given.X.toarray().astype(int), index=given.obs_names, columns=given.var_names)
    frame.loc[name] = frame.sum()
    (tmp_path / "a.csv").write_text((frame.T if genes_first else frame).to_csv())
    with pytest.raises(DataError, match="reads like a sum or a measure of genes: take it out"):
        sg.add(tmp_path / "a.csv", sg.AnnData(sample_id="s"))
