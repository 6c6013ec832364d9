"""What our stages made is ours by their record; what a user's file has under the same names stays the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved
from scrna_stages import raw, run, tree_of

import stargazer as sg
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError, DataWarning
from stargazer.store import Store
from stargazer.tasks.scrna import (
    cluster,
    describe,
    embed,
    find_markers,
    label,
    normalize,
    qc_filter,
    reduce_dimensions,
    report,
    select_features,
    subset,
)

QC = {"min_genes": 20, "doublets": False}


def claimed() -> Any:
    """Cells with every name that stages look at, of somebody else's analysis."""
    given = cells()
    n, m = given.shape
    given.obs["size_factor"], given.obs["total_counts"], given.obs["doublet_score"] = 0.5, 7.0, np.linspace(0, 1, n)
    given.obs["kept"], given.obs["sample"] = "yes", ["a"] * 60 + ["b"] * 60
    given.obs["leiden"] = pd.Categorical(["x", "y"] * 60)
    given.var["highly_variable"], given.var["kept"] = np.arange(m) < 50, False
    given.obsm["X_umap"], given.obsm["X_pca"] = np.ones((n, 2), "f4"), np.ones((n, 4), "f4")
    given.obsm["X_pca_harmony"] = np.random.default_rng(0).normal(size=(n, 5)).astype("f4")
    given.uns["pca"], given.uns["log1p"] = {"params": {"zero_center": True}}, {"base": 2.0}
    given.uns["rank_genes_groups"] = {"params": {"groupby": "truth"}}
    given.uns["neighbors"] = {"params": {"method": "umap"}}
    return given


@pytest.fixture
def foreign(store: Store, tmp_path: Path) -> sg.AnnData:
    added = sg.add(saved(claimed(), tmp_path / "a.h5ad"), sg.AnnData(sample_id="s"))
    assert isinstance(added, sg.AnnData)
    return added


def body(foreign: sg.AnnData) -> sg.AnnData:
    return raw(foreign.fetch(), sample_id="s")


def test_raw_cells_stay_raw_and_the_users_columns_theirs(foreign: sg.AnnData) -> None:
    view, given = foreign.open(), claimed()
    assert (foreign.stage, view.shape) == ("raw", given.shape)
    assert (view.X != given.X).nnz == 0
    for name in given.obs:
        assert view.obs[name].astype(str).tolist() == given.obs[name].astype(str).tolist(), name
    assert list(view.obs) == list(given.obs)
    assert view.uns["pca"] == {"params": {"zero_center": True}}
    assert foreign.picture() == ""
    with pytest.raises(DataError, match="no stage made"):
        foreign.markers()


@pytest.mark.parametrize(
    ("stage", "needs"),
    [
        (select_features, "normalize"),
        (reduce_dimensions, "select_features"),
        (cluster, "reduce_dimensions"),
        (embed, "graph"),
    ],
)
def test_no_stage_takes_them_for_ours(foreign: sg.AnnData, tmp_path: Path, stage: Any, needs: str) -> None:
    with pytest.raises(DataError, match=needs):
        run(stage, tmp_path, body(foreign))


def test_what_a_stage_takes_the_name_of_is_kept_under_another(foreign: sg.AnnData, tmp_path: Path) -> None:
    made = run(qc_filter, tmp_path, body(foreign), **QC)
    view = AnnDataTree(made.path)
    assert view.made("obs/kept")
    assert view.column("obs", "total_counts_before").tolist() == [7.0] * 120
    assert view.column("obs", "total_counts").max() > 7
    opened = made.open()
    assert set(opened.obs["kept"]) == {"yes"}, "the user's, where ours is no column of the opened view"
    assert opened.obs["doublet_score"].tolist() == claimed().obs["doublet_score"][view.kept("obs")].tolist()
    remarks = view.stages()["qc_filter"]["remarks"]
    assert "obs/total_counts of the file is now obs/total_counts_before" in remarks
    assert not any("doublet_score" in each for each in remarks), "no stage of ours made one"


def test_logarithms_of_the_files_measures_go_aside_as_these_do(store: Store, tmp_path: Path) -> None:
    given = cells()
    given.obs["total_counts"], given.obs["log1p_total_counts"] = 7.0, np.log1p(7.0)
    foreign = sg.add(saved(given, tmp_path / "a.h5ad"), sg.AnnData(sample_id="s"))
    obs = run(qc_filter, tmp_path, body(foreign), **QC).open().obs
    np.testing.assert_allclose(obs["log1p_total_counts"], np.log1p(obs["total_counts"]))
    assert obs["total_counts"].min() > 7
    np.testing.assert_allclose(obs["log1p_total_counts_before"], np.log1p(obs["total_counts_before"]))


def test_a_report_draws_only_what_stages_made(foreign: sg.AnnData, tmp_path: Path) -> None:
    made = run(qc_filter, tmp_path, body(foreign), **QC)
    page = run(report, tmp_path, made)
    assert [each.facts["figure"] for each in page.companions] == ["qc"]


def analysed(tmp_path: Path, cells_of: sg.AnnData, **options: Any) -> sg.AnnData:
    made = run(normalize, tmp_path, run(qc_filter, tmp_path, cells_of, **QC))
    made = run(select_features, tmp_path, made, n_top_genes=80)
    made = run(reduce_dimensions, tmp_path, made, n_pcs=10, umap=False, **options)
    return run(find_markers, tmp_path, run(cluster, tmp_path, made))


def test_somebody_elses_embedding_changes_nothing(foreign: sg.AnnData, tmp_path: Path) -> None:
    plain = saved(cells(), tmp_path / "plain.h5ad")
    other = sg.add(plain, sg.AnnData(sample_id="s"))
    first, second = (analysed(tmp_path, body(each)).open() for each in (foreign, other))
    assert first.obs["leiden"].tolist() == second.obs["leiden"].tolist()
    np.testing.assert_array_equal(first.obsm["X_pca"], second.obsm["X_pca"])
    assert (first.X != second.X).nnz == 0
    assert set(first.obs["leiden_before"]) == {"x", "y"}


def test_our_own_export_comes_back_as_raw_counts(store: Store, tmp_path: Path, foreign: sg.AnnData) -> None:
    done = analysed(tmp_path, body(foreign))
    done.write_h5ad(tmp_path / "e.h5ad")
    again = sg.add(tmp_path / "e.h5ad", sg.AnnData(sample_id="again"))
    view = again.open()
    assert again.stage == "raw"
    assert (done.open().layers["counts"] != view.X).nnz == 0
    # What the file tells of its stages stays the user's: it was gone without a word.
    assert view.uns["stargazer_before"] == anndata.read_h5ad(tmp_path / "e.h5ad").uns["stargazer"]
    again.write_h5ad(tmp_path / "f.h5ad")
    further = sg.add(tmp_path / "f.h5ad", sg.AnnData(sample_id="further")).open()
    assert further.uns["stargazer_before"] == view.uns["stargazer_before"]
    assert "stages" in further.uns["stargazer_before_2"]
    twice = analysed(tmp_path, raw(again.fetch()))
    assert twice.open().obs["leiden"].nunique() > 1
    page = run(report, tmp_path, twice)
    assert page.path.stat().st_size > 10_000


def test_a_stage_cannot_be_claimed_as_a_file_is_added(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'raw', not 'annotated'"):
        sg.add(saved(cells(), tmp_path / "a.h5ad"), sg.AnnData(stage="annotated"))


def test_going_back_drops_what_followed(foreign: sg.AnnData, tmp_path: Path) -> None:
    done = analysed(tmp_path, body(foreign))
    assert done.stage == "annotated"
    looser = run(qc_filter, tmp_path, done, min_genes=0, max_pct_mt=100.0, doublets=False)
    tree = tree_of(looser)
    assert (looser.stage, tree.stage) == ("qc_filtered", "qc_filtered")
    for place in ("obs/size_factor", "var/highly_variable", "obsm/X_pca", "obsp/connectivities", "obs/leiden"):
        assert not tree.made(place)
    assert not tree.has("uns/rank_genes_groups")
    assert tree.has("obs/leiden_before"), "the user's stays"
    assert list(tree.stages()) == ["ingest", "qc_filter"]
    assert "what followed before was dropped" in tree.stages()["qc_filter"]["notes"][-1]
    opened = looser.open()
    assert np.isfinite(opened.X.data).all()
    assert (opened.layers["counts"] != opened.X).nnz == 0
    again = analysed(tmp_path, looser).open()
    assert again.obs["leiden"].nunique() < 10


@pytest.mark.slow
def test_another_harmony_key_drops_components_clusters_and_markers(foreign: sg.AnnData, tmp_path: Path) -> None:
    done = analysed(tmp_path, body(foreign), harmony_key="sample")
    assert tree_of(done).made("obsm/X_pca_harmony")
    without = run(reduce_dimensions, tmp_path, done, n_pcs=10, umap=False)
    tree = tree_of(without)
    assert tree.stage == "reduced"
    assert not tree.made("obsm/X_pca_harmony")
    assert not tree.made("obs/leiden")
    plain = analysed(tmp_path, body(foreign))
    assert run(cluster, tmp_path, without).open().obs["leiden"].tolist() == plain.open().obs["leiden"].tolist()


def test_clusters_of_another_name_stay_beside(foreign: sg.AnnData, tmp_path: Path) -> None:
    done = analysed(tmp_path, body(foreign))
    fine = run(cluster, tmp_path, done, resolution=2.0, key_added="fine")
    tree = tree_of(fine)
    assert tree.made("obs/leiden")
    assert tree.made("uns/rank_genes_groups"), "markers are of the other clusters"
    coarse = tree_of(run(cluster, tmp_path, fine, resolution=0.1))
    assert not coarse.has("uns/rank_genes_groups")
    assert coarse.made("obs/fine")


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (cluster, {"key_added": "n_genes"}),
        (cluster, {"key_added": "pct_counts_mt"}),
        (describe, {"columns": {"n_genes_by_counts": "x"}}),
        (label, {"labels": {"0": "T"}, "groupby": "leiden", "key_added": "total_counts_mt"}),
    ],
)
def test_no_column_takes_the_place_of_a_measure(
    foreign: sg.AnnData, tmp_path: Path, task: Any, given: dict[str, Any]
) -> None:
    """Clusters called `n_genes` stood in place of the genes of each cell, and the report drew them."""
    done = analysed(tmp_path, body(foreign))
    with pytest.raises(DataError, match=r"is what qc_filter measured: let the new column have another name"):
        run(task, tmp_path, done, **given)
    assert tree_of(done).made("obs/n_genes")


def test_a_record_that_names_places_outside_is_refused(store: Store, tmp_path: Path) -> None:
    added = sg.add(saved(cells(), tmp_path / "a.h5ad"), sg.AnnData())
    draft = TreeDraft(tmp_path / "evil.zarr", AnnDataTree(added.fetch()))
    draft.note("qc_filter", {"made": ["obs/../../../evil"], "used": []})
    with pytest.raises(DataError, match="no element of a tree"):
        AnnDataTree(draft.path).stages()


def test_a_subset_is_analysed_anew_and_keeps_its_labels(foreign: sg.AnnData, tmp_path: Path) -> None:
    done = analysed(tmp_path, body(foreign))
    labels = done.open().obs["leiden"].astype(str)
    sizes = labels.value_counts()
    chosen = f"leiden in {sizes.index[0]},{sizes.index[1]} and sample == 'a'"
    part = run(subset, tmp_path, done, cells=chosen)
    tree = tree_of(part)
    expected = labels.isin(sizes.index[:2]) & (done.open().obs["sample"] == "a")
    assert (part.n_obs, part.stage, tree.stage) == (int(expected.sum()), "normalized", "normalized")
    view = part.open()
    assert view.obs_names.tolist() == expected.index[expected].tolist()
    assert view.obs["leiden"].astype(str).tolist() == labels[expected].tolist()
    assert not tree.made("obs/leiden")
    assert not {"X_pca", "X_umap"} & {name for name in view.obsm if tree.made(f"obsm/{name}")}
    again = run(select_features, tmp_path, part, n_top_genes=60)
    again = run(cluster, tmp_path, run(reduce_dimensions, tmp_path, again, n_pcs=5, umap=False))
    assert again.open().obs["leiden_before_2"].astype(str).tolist() == labels[expected].tolist()
    smaller = run(subset, tmp_path, again, cells="total_counts > 0")
    assert [name for name in tree_of(smaller).stages() if "subset" in name] == ["subset", "subset.2"]
    with pytest.warns(DataWarning, match="are measured anew, also those that subset left out"):
        whole = run(qc_filter, tmp_path, smaller, min_genes=20, doublets=False, max_pct_mt=100)
    assert whole.n_obs > smaller.n_obs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read at its end"),
        ("leiden", "cannot be read at its end"),
        ("truth == t0 and", "cannot be read"),
        ("truth in t0,", "cannot be read"),
        ("(truth == t0", "cannot be read"),
        ("truth == t9", "has none of t9; it has: t0, t1, t2"),
        ("nowhere == 1", "no column 'nowhere'"),
        ("truth > 3", "only numbers"),
        ("truth == t0 and truth == t1", "no kept cell"),
        ("__import__('os')", "cannot be read"),
    ],
)
def test_an_expression_that_means_nothing_is_refused(
    foreign: sg.AnnData, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        run(subset, tmp_path, body(foreign), cells=text)


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("truth == t0", lambda obs: obs.truth == "t0"),
        ("truth != 't0' and sample == a", lambda obs: (obs.truth != "t0") & (obs["sample"] == "a")),
        ("truth not in t0,t1 or sample in (a, b)", lambda obs: obs.truth.notna()),
        ("not (truth in [t0, t2])", lambda obs: obs.truth == "t1"),
        ('doublet_score >= 0.5 and `sample` == "b"', lambda obs: (obs.doublet_score >= 0.5) & (obs["sample"] == "b")),
        ("total_counts == 7", lambda obs: obs.truth.notna()),
    ],
)
def test_an_expression_means_the_cells_that_pandas_would_take(
    foreign: sg.AnnData, tmp_path: Path, text: str, mask: Any
) -> None:
    if not mask(claimed().obs).any():
        pytest.fail("the case means no cell")
    assert run(subset, tmp_path, body(foreign), cells=text).open().obs_names.tolist() == (
        claimed().obs_names[mask(claimed().obs)].tolist()
    )


def test_trees_of_format_1_are_read_and_brought_to_this_one(foreign: sg.AnnData, tmp_path: Path) -> None:
    import json

    from stargazer.bio.singlecell.elements import open_group, write_element

    plain: Any = sg.add(saved(cells(), tmp_path / "plain.h5ad"), sg.AnnData())
    done = analysed(tmp_path, raw(plain.fetch()))
    new = done.open()
    old = TreeDraft(tmp_path / "old.zarr", AnnDataTree(done.path))
    for stage, told in AnnDataTree(done.path).stages().items():
        note = {name: value for name, value in told.items() if name not in ("made", "used")}
        old._write_state(stage, json.dumps(note, sort_keys=True))
    old._freed("uns/stargazer/format")
    write_element(tmp_path / "old.zarr" / "uns" / "stargazer" / "format", 1)
    assert open_group(tmp_path / "old.zarr")["uns/stargazer/format"][()] == 1
    asset = raw(tmp_path / "old.zarr")
    tree = tree_of(asset)
    assert tree.stage == "annotated"
    view = asset.open()
    assert (view.X != new.X).nnz == 0
    assert view.obs["leiden"].tolist() == new.obs["leiden"].tolist()
    again = run(cluster, tmp_path, asset, resolution=0.2)
    assert tree_of(again).stage == "clustered"
    assert not tree_of(again).has("uns/rank_genes_groups")
    assert run(qc_filter, tmp_path, asset, **QC).stage == "qc_filtered"
    assert sorted(tree_of(run(qc_filter, tmp_path, asset, **QC)).stages()) == ["ingest", "qc_filter"]
