"""Files as archives and spreadsheets wrap them: read, or refused with what to do, each by what it is."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from odd_cells import cells, matrix_folder, saved

import stargazer as sg
from stargazer.errors import DataError
from stargazer.store import Store

GIVEN = cells(60)


@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig", "crlf"])
@pytest.mark.parametrize("zipped", [True, False])
def test_names_that_a_spreadsheet_saved_are_those_that_they_were(
    store: Store, tmp_path: Path, coding: str, zipped: bool
) -> None:
    folder = matrix_folder(tmp_path / "m", GIVEN, zipped=zipped)
    for path in (*folder.glob("barcodes*"), *folder.glob("features*")):
        text = (gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()).decode()
        data = text.replace("\n", "\r\n").encode("utf-8" if coding == "crlf" else coding)
        path.write_bytes(gzip.compress(data) if zipped else data)
    view = sg.add(folder, sg.AnnData()).open()
    assert view.obs_names.tolist() == GIVEN.obs_names.tolist()
    assert view.var_names.tolist() == GIVEN.var_names.tolist()
    assert (view.X != GIVEN.X).nnz == 0


def test_a_gzipped_file_and_a_workbook_are_told_by_what_they_are(store: Store, tmp_path: Path) -> None:
    data = saved(GIVEN, tmp_path / "a.h5ad").read_bytes()
    (tmp_path / "a.h5ad.gz").write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=r"a\.h5ad\.gz is gzipped.*gunzip --keep a\.h5ad\.gz"):
        sg.add(tmp_path / "a.h5ad.gz", sg.AnnData())
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(DataError, match=r"a\.xlsx is a workbook: save the sheet of counts as \.csv"):
        sg.add(tmp_path / "a.xlsx", sg.AnnData())


def test_a_folder_that_has_counts_further_in_names_them(store: Store, tmp_path: Path) -> None:
    outs = tmp_path / "run" / "outs"
    outs.mkdir(parents=True)
    matrix_folder(outs / "filtered_feature_bc_matrix", GIVEN)
    with pytest.raises(DataError, match=r"run has no counts itself: give .*/outs/filtered_feature_bc_matrix$"):
        sg.add(tmp_path / "run", sg.AnnData())
    matrix_folder(outs / "raw_feature_bc_matrix", GIVEN)
    with pytest.raises(DataError, match=r"there are 2: .*filtered_feature_bc_matrix, .*raw_feature_bc_matrix"):
        sg.add(outs, sg.AnnData())
    (tmp_path / "files").mkdir()
    for name in ("b.csv", "a.h5ad", "readme.pdf"):
        (tmp_path / "files" / name).write_text("x")
    with pytest.raises(DataError, match=r"files has no counts itself: give a file in it: a\.h5ad, b\.csv$"):
        sg.add(tmp_path / "files", sg.AnnData())
