"""Conditions are compared over donors: cells of one donor are no independent samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved
from scipy import sparse
from scrna_stages import raw, run

import stargazer as sg
from stargazer.errors import DataError
from stargazer.store import Store
from stargazer.tasks.scrna import (
    differential_expression,
    find_markers,
    join_differences,
    label,
    normalize,
    pseudobulk,
    qc_filter,
    split_pseudobulk,
)

DONORS = {"d1": "ctrl", "d2": "ctrl", "d3": "ctrl", "d4": "stim", "d5": "stim", "d6": "stim"}


def donors(*, genes: int = 1_000, cells_each: int = 80, planted: int = 0, spread: float = 0.3, seed: int = 0) -> Any:
    """Cells of six donors, who differ in every gene by chance; the first `planted` genes differ between conditions."""
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0.0, 1.0, genes) * 2.0
    parts, names = [], []
    for donor, condition in DONORS.items():
        expected = base * np.exp(rng.normal(0.0, spread, genes))
        if condition == "stim":
            expected[:planted] *= 6.0
        depth = rng.lognormal(0.0, 0.2, (cells_each, 1))
        parts.append(rng.poisson(expected * depth * rng.gamma(5.0, 0.2, (cells_each, genes))))
        names += [donor] * cells_each
    obs = pd.DataFrame({"donor": names}, index=[f"c{i}" for i in range(len(names))])
    obs["condition"] = [DONORS[name] for name in names]
    obs["group"] = "all"
    obs["sex"] = [{"d1": "f", "d2": "m", "d3": "f", "d4": "m", "d5": "f", "d6": "m"}[name] for name in names]
    var = pd.DataFrame(index=[f"G{i}" for i in range(genes)])
    return anndata.AnnData(sparse.csr_matrix(np.concatenate(parts).astype(np.float32)), obs=obs, var=var)


def prepared(given: Any, here: Path) -> sg.AnnData:
    with sg.Store(here / "store"):
        added: Any = sg.add(saved(given, here / "a.h5ad"), sg.AnnData(sample_id="s", organism="human"))
        made = run(qc_filter, here, raw(added.fetch()), min_genes=0, min_cells=0, max_pct_mt=100.0, doublets=False)
    done: sg.AnnData = run(normalize, here, made)
    return done


def compared(given: sg.AnnData, here: Path, **options: Any) -> Any:
    bulk = run(pseudobulk, here, given, groupby="group")
    return run(differential_expression, here, bulk, tested="stim", reference="ctrl", **options)


def test_donors_that_differ_by_chance_are_no_difference(tmp_path: Path) -> None:
    made = prepared(donors(), tmp_path)
    over_donors = compared(made, tmp_path)
    table = over_donors.table()
    assert len(table) == 1_000
    assert over_donors.n_significant == int((table["padj"] < 0.05).sum()) <= 50
    tested = run(find_markers, tmp_path, made, groupby="condition", groups=["stim"])
    over_cells = int((tested.markers()["pvals_adj"] < 0.05).sum())
    assert over_cells > 300, "tests over cells take their number for evidence"


def test_planted_differences_are_found(tmp_path: Path) -> None:
    table = compared(prepared(donors(planted=30, genes=400), tmp_path), tmp_path).table()
    called = set(table.loc[table["padj"] < 0.05, "gene"])
    planted = {f"G{i}" for i in range(30)}
    assert len(called & planted) >= 27
    assert len(called - planted) <= 0.1 * len(called)
    assert (table.set_index("gene").loc[sorted(planted), "log2FoldChange"] > 0).all()


BOTH: dict[str, Any] = {"tested": "stim", "reference": "ctrl"}


@pytest.mark.filterwarnings("ignore")
def test_clusters_are_compared_one_by_one_and_one_that_changed_runs_alone(store: Store, tmp_path: Path) -> None:
    given = donors(genes=40, cells_each=24, planted=5)
    given.obs["group"] = np.where(given.obs["condition"] == "ctrl", ["a", "b", "c"] * 48, ["a", "b", "b"] * 48)

    def analysed(name: str) -> tuple[Any, Any, int]:
        added: Any = sg.add(saved(given, tmp_path / name), sg.AnnData(sample_id="s", organism="human"))
        kept = qc_filter(added, min_genes=0, min_cells=0, max_pct_mt=100.0, doublets=False)
        bulk = pseudobulk(normalize(kept), groupby="group", min_cells=5)
        each = differential_expression.map(split_pseudobulk(bulk, **BOTH), **BOTH)
        flight = sg.run(join_differences(bulk, each, **BOTH), differential_expression(bulk, **BOTH))
        one_by_one, at_once = flight.result()
        return one_by_one, at_once, flight.tasks_run

    one_by_one, at_once, ran = analysed("a.h5ad")
    assert one_by_one == at_once, "the same bytes and facts"
    assert one_by_one.table()["group"].unique().tolist() == ["a", "b"], "c has donors of one condition alone"
    assert one_by_one.n_significant > 0
    given.X[np.flatnonzero(given.obs["group"] == "b")[0]] *= 2
    changed, at_once, ran_again = analysed("b.h5ad")
    assert changed == at_once != one_by_one
    assert ran_again == ran - 1


def test_without_donors_there_is_a_table_without_rows(tmp_path: Path) -> None:
    made = prepared(donors(genes=20, cells_each=12), tmp_path)
    bulk = run(pseudobulk, tmp_path, made, groupby="group", donor_key="condition")
    assert run(split_pseudobulk, tmp_path, bulk, **BOTH) == []
    found = run(join_differences, tmp_path, bulk, [], **BOTH)
    assert (len(found.path.read_text().splitlines()), found.n_significant) == (1, 0)
    with pytest.raises(DataError, match="no condition none"):
        run(split_pseudobulk, tmp_path, bulk, tested="stim", reference="none")


def test_sums_are_those_of_the_cells(tmp_path: Path) -> None:
    given = donors(genes=30, cells_each=12)
    given.obs.loc["c0", "donor"] = "rare"
    made = prepared(given, tmp_path)
    bulk = run(pseudobulk, tmp_path, made, groupby="group", covariates=["sex"], min_cells=11)
    table, design = bulk.table(), bulk.design()
    assert list(table) == list(design.index) == [f"all|{donor}|{condition}" for donor, condition in DONORS.items()]
    assert design["n_cells"].tolist() == [11, *[12] * 5]
    assert design["sex"].tolist() == ["f", "m", "f", "m", "f", "m"]
    for donor, name in zip(DONORS, table, strict=True):
        expected = np.asarray(given[(given.obs["donor"] == donor).to_numpy()].X.sum(axis=0)).ravel()
        assert table[name].tolist() == expected.astype(int).tolist()
    assert (bulk.n_bulks, bulk.n_genes, bulk.donor_key) == (6, 30, "donor")


@pytest.mark.parametrize(
    ("bulk_options", "options", "words"),
    [
        ({}, {"tested": "stim", "reference": "none"}, "no condition none; there are: ctrl, stim"),
        ({}, {"tested": "stim", "reference": "stim"}, "with itself"),
        ({}, {"tested": "stim", "reference": "ctrl", "groups": ["x"]}, "no cluster x"),
        ({}, {"tested": "stim", "reference": "ctrl", "covariates": ["age"]}, "no covariate age"),
        ({"donor_key": "condition"}, {"tested": "stim", "reference": "ctrl"}, "over donors"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, bulk_options: Any, options: Any, words: str) -> None:
    made = prepared(donors(genes=20, cells_each=12), tmp_path)
    bulk = run(pseudobulk, tmp_path, made, groupby="group", **bulk_options)
    with pytest.raises(DataError, match=words):
        run(differential_expression, tmp_path, bulk, **options)


def test_a_column_with_two_values_in_a_bulk_is_no_covariate(tmp_path: Path) -> None:
    given = donors(genes=20, cells_each=12)
    given.obs["odd"] = ["a", "b"] * 36
    made = prepared(given, tmp_path)
    with pytest.raises(DataError, match="2 values of 'odd'"):
        run(pseudobulk, tmp_path, made, groupby="group", covariates=["odd"])
    with pytest.raises(DataError, match="has 99 cells"):
        run(pseudobulk, tmp_path, made, groupby="group", min_cells=99)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
def test_one_group_against_another_is_scanpys(store: Store, tmp_path: Path, method: Any) -> None:
    import scanpy as sc

    made = prepared(cells(), tmp_path)
    options: dict[str, Any] = {"groups": ["t0", "t2"], "reference": "t1", "method": method}
    view = run(find_markers, tmp_path, made, groupby="truth", **options).open()
    theirs = made.open()
    sc.tl.rank_genes_groups(theirs, "truth", **options)
    for group in ("t0", "t2"):
        mine, other = (
            sc.get.rank_genes_groups_df(each, group).set_index("names").sort_index() for each in (view, theirs)
        )
        np.testing.assert_allclose(mine["scores"], other["scores"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(mine["pvals_adj"], other["pvals_adj"], rtol=1e-3, atol=1e-12)
    some = run(find_markers, tmp_path, made, groupby="truth", groups=["t1"]).open()
    every = run(find_markers, tmp_path, made, groupby="truth").open()
    assert some.uns["rank_genes_groups"]["names"].dtype.names == ("t1",)
    np.testing.assert_array_equal(
        some.uns["rank_genes_groups"]["scores"]["t1"], every.uns["rank_genes_groups"]["scores"]["t1"]
    )
    with pytest.raises(DataError, match="has no t9"):
        run(find_markers, tmp_path, made, groupby="truth", reference="t9")
    with pytest.raises(DataError, match="no group to test"):
        run(find_markers, tmp_path, made, groupby="truth", groups=["t1"], reference="t1")


def test_clusters_get_names_and_are_merged(store: Store, tmp_path: Path) -> None:
    made = prepared(cells(), tmp_path)
    named = run(label, tmp_path, made, labels={"t0": "T", "t2": "T"}, groupby="truth")
    obs = named.open().obs
    assert (obs["label"].astype(str) == obs["truth"].astype(str).replace({"t0": "T", "t2": "T"})).all()
    assert named.stage == made.stage
    for options, words in (
        ({"labels": {"9": "x"}, "groupby": "truth"}, "has no 9"),
        ({"labels": {}, "groupby": "truth", "key_added": "truth"}, "a column of their own"),
    ):
        with pytest.raises(DataError, match=words):
            run(label, tmp_path, made, **options)
