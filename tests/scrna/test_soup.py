"""Barcodes that pass for cells and hold nothing but soup are told; small cells are not taken for such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved
from scipy import sparse
from test_droplets import droplets

import stargazer as sg
from stargazer.bio.singlecell.soup import find_soup
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError, DataWarning
from stargazer.store import Store
from stargazer.workflows import read_cells_sheet, scrna


def tree(given: Any, here: Path) -> AnnDataTree:
    added: Any = sg.add(saved(given, here / "given.h5ad"), sg.AnnData(sample_id="s"))
    return AnnDataTree(added.fetch())


def of_two_sizes(small: Any) -> Any:
    """Cells of three types, and small ones."""
    counts = sparse.vstack([cells(300, depth=1_500).X, small.X]).tocsr()
    return anndata.AnnData(counts, obs=pd.DataFrame(index=[f"B{i}" for i in range(counts.shape[0])]), var=small.var)


@pytest.mark.parametrize(("depth", "ambient", "empty"), [(1_500, 150, 600), (2_000, 200, 300), (1_500, 60, 2_000)])
def test_droplets_of_soup_are_told(store: Store, tmp_path: Path, depth: float, ambient: float, empty: int) -> None:
    given = droplets(300, empty, depth=depth, ambient=ambient)
    found = find_soup(tree(given, tmp_path))
    assert found is not None
    assert found.share == pytest.approx(empty / (300 + empty), abs=0.01)
    assert found.counts == pytest.approx(ambient, rel=0.15)
    assert found.of_cells == pytest.approx(depth, rel=0.15)


def test_cells_are_no_soup(store: Store, tmp_path: Path) -> None:
    small = cells(900, depth=120, seed=1)
    damaged = cells(300, depth=100)
    damaged.X = sparse.csr_matrix(np.hstack([damaged.X[:, :-13].toarray(), 3 * damaged.X[:, -13:].toarray()]))
    of_one_type = small[(small.obs["truth"] == "t0").to_numpy()]
    for given in (
        cells(600),
        cells(60),
        of_two_sizes(small),
        of_two_sizes(of_one_type),
        of_two_sizes(damaged),
        droplets(300, 60, depth=1_500, ambient=150),
    ):
        assert find_soup(tree(given, tmp_path)) is None
    nothing = cells(120)
    nothing.X = sparse.csr_matrix(nothing.shape, dtype=np.float32)
    assert find_soup(tree(nothing, tmp_path)) is None


def test_a_project_tells_it_and_is_told_what_to_do(store: Store, tmp_path: Path) -> None:
    given = droplets(300, 600, depth=1_500, ambient=150)
    saved(given, tmp_path / "a.h5ad")
    saved(cells(100), tmp_path / "b.h5ad")
    path = tmp_path / "samples.csv"
    path.write_text("sample,path\na,a.h5ad\nb,b.h5ad\n")
    with pytest.warns(
        DataWarning, match=r"sample a: 67 % of its 900 barcodes look like empty droplets.*calling = knee"
    ):
        project = scrna(str(path))
    assert [note[:14] for note in project.report.parameters["notes"]] == ["sample a: 67 %"]
    path.write_text("sample,path,calling,expected_cells\na,a.h5ad,knee,\nb,b.h5ad,,\n")
    called = scrna(str(path), min_genes=0, max_pct_mt=100.0, mads=None, doublets=False).samples[0]
    kept: Any = called.compute()
    noted = AnnDataTree(kept.fetch()).stages()["call_cells"]
    assert (noted["method"], noted["n_cells_called"]) == ("knee", 300)
    assert kept.open().obs["cell"].tolist() == [True] * 300


def test_what_is_asked_of_no_sample_renews_nothing(store: Store, tmp_path: Path) -> None:
    saved(cells(100), tmp_path / "a.h5ad")
    path = tmp_path / "samples.csv"
    path.write_text("sample,path\na,a.h5ad\n")
    plain = scrna(str(path)).samples[0].key
    path.write_text("sample,path,calling\na,a.h5ad,auto\n")
    assert scrna(str(path)).samples[0].key == plain
    path.write_text("sample,path,calling\na,a.h5ad,all\n")
    assert scrna(str(path)).samples[0].key != plain


def test_a_sheet_says_how_cells_are_called(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(b"x")
    path = tmp_path / "samples.csv"
    path.write_text("sample,path,calling,expected_cells\na,a.h5ad,Expected,3000\n")
    assert read_cells_sheet(path).rows[0].calling == "expected"
    path.write_text("sample,path,calling\na,a.h5ad,expected\n")
    with pytest.raises(DataError, match="line 2: calling is expected, and nothing says how many"):
        read_cells_sheet(path)
    path.write_text("sample,path,calling\na,a.h5ad,emptydrops\n")
    with pytest.raises(DataError, match=r"line 2: calling is 'emptydrops', and should be one of auto, knee"):
        read_cells_sheet(path)
