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
from stargazer.assets import Pseudobulk, PseudobulkDesign
from stargazer.errors import DataError, DataWarning
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
from stargazer.workflows.outputs import _left_out, _safe

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


@pytest.mark.slow
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


def bulks(here: Path, table: pd.DataFrame, design: list[tuple[str, str, str, str]]) -> Pseudobulk:
    """Sums as somebody may have them: group, donor, condition and a further column named 1-x."""
    names = ["|".join(line[:3]) for line in design]
    table.set_axis(names, axis=1).rename_axis("gene").to_csv(here / "pseudobulk.tsv", sep="\t", quoting=3)
    lines = ["bulk\tgroup\tdonor\tcondition\tn_cells\t1-x"]
    lines += ["\t".join((name, *line[:3], "20", line[3])) for name, line in zip(names, design, strict=True)]
    (here / "design.tsv").write_text("\n".join(lines) + "\n")
    beside = PseudobulkDesign(path=here / "design.tsv", name="design.tsv")
    return Pseudobulk(path=here / "pseudobulk.tsv", name="pseudobulk.tsv", companions=(beside,))


def counted(genes: list[str], n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.poisson(rng.lognormal(3.0, 1.0, (len(genes), 1)), (len(genes), n)), index=genes)


def six(group: str, column: str) -> list[tuple[str, str, str, str]]:
    return [(group, f"d{i}", ["ctrl", "stim"][i // 3], column[i]) for i in range(6)]


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_cannot_be_compared_leaves_the_others(tmp_path: Path) -> None:
    genes = [f"G{i}" for i in range(20)]
    design = [*six("good", "xyxyxy"), *six("same", "xxxyyy"), *six("empty", "xyxyxy"), *six("few", "xyxyxy")[:4]]
    table = counted(genes, len(design))
    table.iloc[:, 12:18] = 0
    bulk = bulks(tmp_path, table, design)
    options: dict[str, Any] = {**BOTH, "covariates": ["1-x"]}
    found = run(differential_expression, tmp_path, bulk, **options)
    assert found.table()["group"].unique().tolist() == ["good"]
    assert list(found.left_out) == ["same", "empty", "few"]
    assert "cannot be told from 1-x" in found.left_out["same"]
    assert "min_counts" in found.left_out["empty"]
    assert "3 with 'ctrl'" in found.left_out["few"] or "1 with 'stim'" in found.left_out["few"]
    parts = run(split_pseudobulk, tmp_path, bulk, **BOTH)
    tables = [run(differential_expression, tmp_path, part, on_failure="mark", **options) for part in parts]
    joined = run(join_differences, tmp_path, bulk, tables, **BOTH)
    assert joined.path.read_bytes() == found.path.read_bytes()
    assert joined.left_out == found.left_out
    with pytest.raises(DataError, match="cluster same: the condition cannot be told from 1-x"):
        run(differential_expression, tmp_path, bulk, groups=["same"], **options)
    _left_out(found)(tmp_path / "left_out.tsv")
    assert (tmp_path / "left_out.tsv").read_text().splitlines()[1].startswith("same\tthe condition cannot be told")


def test_columns_that_no_formula_could_name_count(tmp_path: Path) -> None:
    genes = [f"G{i}" for i in range(20)]
    design = six("a", "xyxyxy")
    table = counted(genes, 6)
    table.loc[:, [0, 2, 4]] *= 3
    table.iloc[:10] = table.iloc[:10].sample(frac=1.0, axis=1, random_state=1).to_numpy()
    bulk = bulks(tmp_path, table, design)
    without = run(differential_expression, tmp_path, bulk, **BOTH).table()
    with_it = run(differential_expression, tmp_path, bulk, covariates=["1-x"], **BOTH).table()
    assert not np.allclose(without["lfcSE"], with_it["lfcSE"]), "1-x in a formula is: without x"


def test_genes_and_clusters_called_na_or_nan_keep_their_names(tmp_path: Path) -> None:
    genes = ["nan", "NA", "NULL", "007", '5"', *(f"G{i}" for i in range(10))]
    bulk = bulks(tmp_path, counted(genes, 6), six("NA", "xyxyxy"))
    assert bulk.table().index.tolist() == genes
    assert bulk.design()["group"].tolist() == ["NA"] * 6
    found = run(differential_expression, tmp_path, bulk, **BOTH).table()
    assert found["gene"].tolist() == genes
    assert set(found["group"]) == {"NA"}


@pytest.mark.filterwarnings("ignore")
def test_a_condition_whose_samples_failed_ends_no_project(tmp_path: Path) -> None:
    made = prepared(donors(genes=20, cells_each=12), tmp_path)
    with pytest.warns(DataWarning, match="lower min_cells"):
        bulk = run(pseudobulk, tmp_path, made, groupby="group", min_cells=99, on_failure="mark")
    assert bulk.table().shape == (20, 0)
    assert run(split_pseudobulk, tmp_path, bulk, on_failure="mark", **BOTH) == []
    assert dict(run(join_differences, tmp_path, bulk, [], **BOTH).left_out) == {}
    ctrl = bulks(tmp_path, counted(["a", "b"], 3), six("c", "xyxyxy")[:3])
    assert run(split_pseudobulk, tmp_path, ctrl, on_failure="mark", **BOTH) == []
    assert "0 with 'stim'" in run(join_differences, tmp_path, ctrl, [], **BOTH).left_out["c"]


def test_names_that_a_table_cannot_keep_are_refused(tmp_path: Path) -> None:
    given = donors(genes=20, cells_each=12)
    given.obs["donor"] = given.obs["donor"].replace({"d1": "d\t1"})
    made = prepared(given, tmp_path)
    with pytest.raises(DataError, match="rename it"):
        run(pseudobulk, tmp_path, made, groupby="group")
    given.obs["donor"] = np.where(given.obs["donor"] == "d2", "b", "a|b")
    given.obs["group"] = np.where(given.obs["donor"] == "b", "x|a", "x")
    made = prepared(given, tmp_path)
    with pytest.raises(DataError, match=r"two bulks would be called 'x\|a\|b\|"):
        run(pseudobulk, tmp_path, made, groupby="group")


def test_files_of_conditions_whose_names_are_alike_are_two() -> None:
    assert _safe(["a b", "a/b", "A_B", "c"]) == ["a_b", "a_b.2", "A_B.3", "c"]


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


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_any_bulk_is_told(tmp_path: Path) -> None:
    """Five cells of each donor: none is enough for a bulk, and the cluster was nowhere."""
    given = donors(genes=30, cells_each=30)
    given.obs["group"] = ["rare" if place % 6 == 0 else "all" for place in range(given.n_obs)]
    bulk = run(pseudobulk, tmp_path, prepared(given, tmp_path), groupby="group")
    assert bulk.left_out == {"rare": "of its 30 cells no donor has 10 under one condition"}
    found = run(differential_expression, tmp_path, bulk, **BOTH)
    parts = run(split_pseudobulk, tmp_path, bulk, **BOTH)
    tables = [run(differential_expression, tmp_path, part, **BOTH) for part in parts]
    joined = run(join_differences, tmp_path, bulk, tables, **BOTH)
    assert found.left_out == joined.left_out == bulk.left_out
    some = run(differential_expression, tmp_path, bulk, groups=["all"], **BOTH)
    assert some.left_out == {}


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
