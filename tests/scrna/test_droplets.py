"""Empty droplets are noticed, and told from cells by the knee or by what others called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import MT, cells, saved
from scipy import sparse
from scrna_stages import raw, run, tree_of

import stargazer as sg
from stargazer.bio.singlecell.kernels.droplets import find_knee
from stargazer.errors import DataError
from stargazer.store import Store
from stargazer.tasks.scrna import call_cells, concat, qc_filter


def droplets(
    n_cells: int = 150, n_empty: int = 2_000, *, depth: float = 1_500, ambient: float = 25, seed: int = 0
) -> Any:
    """Cells, and droplets with nothing but soup, in random order; ``obs["cell"]`` tells."""
    real = cells(n_cells, depth=depth, seed=seed)
    rng = np.random.default_rng(seed)
    soup = np.asarray(real.X.sum(axis=0)).ravel() / real.X.sum()
    empty = sparse.csr_matrix(rng.poisson(soup * ambient * rng.gamma(10, 0.1, (n_empty, 1))).astype(np.float32))
    order = rng.permutation(n_cells + n_empty)
    obs = pd.DataFrame(
        {"cell": np.arange(n_cells + n_empty)[order] < n_cells}, index=[f"B{i}" for i in range(len(order))]
    )
    return anndata.AnnData(sparse.vstack([real.X, empty]).tocsr()[order], obs=obs, var=real.var)


def added(given: Any, here: Path) -> Any:
    return sg.add(saved(given, here / "raw.h5ad"), sg.AnnData(sample_id="s"))


def body(asset: Any) -> sg.AnnData:
    return raw(asset.fetch(), sample_id="s")


@pytest.mark.parametrize(("depth", "ambient"), [(1_500, 25), (600, 8), (5_000, 120), (3_000, 3)])
def test_the_knee_tells_cells_from_soup(depth: float, ambient: float) -> None:
    given = droplets(depth=depth, ambient=ambient)
    totals = np.asarray(given.X.sum(axis=1)).ravel()
    found = find_knee(totals)
    truth = given.obs["cell"].to_numpy()
    assert found.clear
    assert ((totals >= found.limit) == truth).mean() > 0.999


def test_a_raw_matrix_is_never_taken_for_cells_without_a_word(store: Store, tmp_path: Path) -> None:
    given = droplets()
    asset = added(given, tmp_path)
    tree = tree_of(body(asset))
    assert "raw matrix of all droplets" in tree.stages()["ingest"]["notes"][0]
    filtered = run(qc_filter, tmp_path, body(asset), min_genes=0, max_pct_mt=100.0, doublets=False)
    assert any("no call_cells ran" in note for note in tree_of(filtered).stages()["qc_filter"]["notes"])
    called = run(call_cells, tmp_path, body(asset))
    assert called.n_obs == int(given.obs["cell"].sum())
    assert called.open().obs["cell"].all()
    assert called.stage == "raw"
    kept = run(qc_filter, tmp_path, called, min_genes=0, max_pct_mt=100.0, doublets=False)
    notes = tree_of(kept).stages()["qc_filter"]
    assert (kept.n_obs, notes["n_cells_empty_droplets"]) == (called.n_obs, 2_000)
    assert notes["notes"] == [note for note in notes["notes"] if "call_cells" not in note]
    alone = given[given.obs["cell"].to_numpy()]
    np.testing.assert_array_equal(
        tree_of(kept).column("var", "n_cells_by_counts"), np.asarray((alone.X > 0).sum(axis=0)).ravel()
    )
    again = run(call_cells, tmp_path, kept, method="all")
    assert again.n_obs == given.n_obs
    assert list(tree_of(again).stages()) == ["ingest", "call_cells"]


def test_cells_that_were_called_are_no_raw_matrix(store: Store, tmp_path: Path) -> None:
    asset = added(cells(200), tmp_path)
    assert tree_of(body(asset)).stages()["ingest"]["notes"] == []
    assert run(call_cells, tmp_path, body(asset)).n_obs == 200


@pytest.mark.parametrize("kind", ["probability", "flag", "text"])
def test_calls_of_others_are_taken_as_they_come(store: Store, tmp_path: Path, kind: str) -> None:
    given = droplets()
    truth = given.obs.pop("cell").to_numpy()
    values = {"probability": np.where(truth, 0.9, 0.1), "flag": truth, "text": np.where(truth, "Cell", "Empty")}[kind]
    name = "cell_probability" if kind == "probability" else "is_cell"
    given.obs[name] = values
    asset = added(given, tmp_path)
    called = run(call_cells, tmp_path, body(asset), **({} if kind == "probability" else {"column": "is_cell"}))
    assert called.open().obs_names.tolist() == given.obs_names[truth].tolist()


def test_without_a_knee_what_is_expected_decides_or_nothing(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth = 10 ** rng.uniform(0.7, 3.2, 3_000)
    shares = rng.dirichlet(np.full(200, 0.3))
    counts = sparse.csr_matrix(rng.poisson(shares * depth[:, None]).astype(np.float32))
    var = pd.DataFrame(index=[f"G{i}" for i in range(187)] + MT)
    given = anndata.AnnData(counts, obs=pd.DataFrame(index=[f"B{i}" for i in range(3_000)]), var=var)
    asset = added(given, tmp_path)
    with pytest.raises(DataError, match="has no knee"):
        run(call_cells, tmp_path, body(asset), method="knee")
    called = run(call_cells, tmp_path, body(asset), method="knee", expected_cells=300)
    assert "no knee" in tree_of(called).stages()["call_cells"]["notes"][0]
    with pytest.raises(DataError, match="expected_cells"):
        run(call_cells, tmp_path, body(asset), method="expected")


def test_far_fewer_cells_than_expected_are_said(store: Store, tmp_path: Path) -> None:
    asset = added(droplets(), tmp_path)
    called = run(call_cells, tmp_path, body(asset), expected_cells=5_000)
    assert "the sample may have failed" in tree_of(called).stages()["call_cells"]["notes"][0]


def test_soup_alone_has_no_cells(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no cells to call"):
        find_knee(np.full(500, 20))
    asset = added(droplets(5, 600), tmp_path)
    with pytest.raises(DataError, match="no cells to call"):
        run(call_cells, tmp_path, body(asset), method="knee")


def test_a_sample_without_cells_ends_no_project(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soup = anndata.AnnData(
        sparse.csr_matrix(rng.poisson(0.02, (120, 200)).astype(np.float32)),
        obs=pd.DataFrame(index=[f"B{i}" for i in range(120)]),
        var=cells().var,
    )
    marked = run(call_cells, tmp_path, body(added(soup, tmp_path)), on_failure="mark")
    assert marked.n_obs == 0
    failed = run(qc_filter, tmp_path, marked, on_failure="mark")
    assert "no cells to call" in tree_of(failed).stages()["qc_filter"]["failed"]
    with pytest.raises(DataError, match="no cells to call"):
        run(qc_filter, tmp_path, marked)
    good = run(qc_filter, tmp_path, body(added(cells(100), tmp_path)), min_genes=0, doublets=False)
    samples = [replace(good, sample_id="good"), replace(failed, sample_id="bad")]
    joined = run(concat, tmp_path, samples, leave_out_below=9)
    assert joined.n_obs == good.n_obs
    assert "no cells to call" in tree_of(joined).stages()["concat"]["left_out"]["bad"]
    with pytest.raises(DataError, match=r"no sample is left to join:\n  bad: .*no cells to call"):
        run(concat, tmp_path, samples[1:], leave_out_below=9)


def test_more_barcodes_than_cells_are_expected_are_said(store: Store, tmp_path: Path) -> None:
    """Soup of a tenth of a cell's counts: nothing told that these are all droplets, and all became cells."""
    given = body(added(droplets(depth=600, ambient=60), tmp_path))
    made = run(call_cells, tmp_path, given, expected_cells=150)
    assert made.n_obs == 2_150
    (note,) = tree_of(made).stages()["call_cells"]["notes"]
    assert note.startswith("every barcode is taken for a cell, 2,150 where 150 were expected")
    assert not tree_of(run(call_cells, tmp_path, given, expected_cells=1_500)).stages()["call_cells"]["notes"]
    assert run(call_cells, tmp_path, given, method="knee").n_obs < 200
    with pytest.raises(DataError, match="expected_cells is -5"):
        run(call_cells, tmp_path, given, expected_cells=-5)
