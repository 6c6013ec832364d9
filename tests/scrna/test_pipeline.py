"""The whole pipeline in a store: planted truth, shared subtrees, the same bytes everywhere, what runs again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scrna_stages import all_stages, raw, run, tree_of
from sklearn.metrics import adjusted_rand_score

import stargazer as sg
from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.cid import cid_of_path
from stargazer.errors import AssetError, DataError, NotFound
from stargazer.store import Store
from stargazer.tasks.scrna import cluster, concat, find_markers, qc_filter, report
from stargazer.workflows.clustering import cluster_cells, scrna_clustering_pipeline

STAGES = ["qc_filtered", "normalized", "featured", "reduced", "clustered", "annotated"]


def lineage(store: Store, asset: AnnData) -> list[AnnData]:
    """An asset and what it was made from, by `source_cid`."""
    found = [asset]
    while found[-1].source_cid:
        found += [one for one in store.assemble(asset="anndata") if one.cid == found[-1].source_cid][:1]
    return found


def test_planted_types_and_markers_are_found(stages: dict[str, AnnData], population: Population) -> None:
    done = tree_of(stages["find_markers"])
    sound = done.kept("obs") & ~done.column("obs", "doublet") & ~done.column("obs", "damaged")
    types, clusters = done.column("obs", "cell_type").codes[sound], done.column("obs", "leiden").codes[sound]
    assert adjusted_rand_score(types, clusters) >= 0.99
    planted = {name: kind for name, kind in zip(population.gene_names, population.marker_of, strict=True) if kind >= 0}
    for group, best in stages["find_markers"].markers(top=population.n_markers).groupby("group"):
        if (clusters == int(group)).sum() < 50:
            continue
        kind = np.bincount(types[clusters == int(group)]).argmax()
        assert np.mean([planted.get(gene) == kind for gene in best["gene"]]) > 0.9


def test_three_cell_lines_are_three_clusters(real_file: Path, tmp_path: Path, store: Store) -> None:
    cells = sg.add(real_file, sg.AnnData(sample_id="mixology", organism="human"))
    obs = cluster_cells(cells, resolution=0.3, umap=False).compute().open().obs
    assert obs["leiden"].nunique() == 3
    single = obs["demuxlet_cls"] == "SNG"
    assert adjusted_rand_score(obs["cell_line"][single], obs["leiden"][single]) == 1.0


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory, simulated: AnnData) -> tuple[Store, AnnData, dict[Path, int]]:
    """A store in which the pipeline ran on sample ``"s"``, its result, and when the counts' files were written."""
    with Store(str(tmp_path_factory.mktemp("analysed") / "store")) as store:
        sg.add(simulated.path, sg.AnnData(sample_id="s", organism="human"))
        written = {path: path.stat().st_mtime_ns for path in (Path(store.blobs.root)).rglob("baf*")}
        return store, scrna_clustering_pipeline("s").compute(), written


def test_stages_share_what_they_do_not_change(analysed: tuple[Store, AnnData, dict[Path, int]]) -> None:
    store, done, written = analysed
    chain = lineage(store, done)
    assert [one.stage for one in chain] == [*reversed(STAGES), "raw"]
    for place in ("X", "obs/_index", "obs/cell_type", "var/_index"):
        assert len({store.resolve(f"{one.cid}/{place}") for one in chain}) == 1, place
    for place in ("obs/kept", "obs/total_counts"):
        assert len({store.resolve(f"{one.cid}/{place}") for one in chain[:-1]}) == 1, place
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert done.open().obsm["X_umap"].shape == (done.n_obs, 2)


def test_a_change_of_resolution_runs_two_tasks_again(analysed: tuple[Store, AnnData, dict[Path, int]]) -> None:
    store, first, _ = analysed
    with store:
        again = sg.plan(scrna_clustering_pipeline("s"))
        assert [planned for planned in again if planned.state != "known"] == []
        changed = [
            planned for planned in sg.plan(scrna_clustering_pipeline("s", resolution=0.05)) if planned.state != "known"
        ]
        assert sorted(planned.call.name for planned in changed) == ["cluster", "find_markers"]
        assert scrna_clustering_pipeline("s").compute() == first


@pytest.mark.parametrize("cpus", [2])
def test_threads_change_no_byte(stages: dict[str, AnnData], simulated: AnnData, tmp_path: Path, cpus: int) -> None:
    others = all_stages(tmp_path, simulated, cpus=cpus)
    for name, made in stages.items():
        cids = {cid_of_path(each.path, symlinks="follow") for each in (made, others[name])}
        assert len(cids) == 1, name


@pytest.mark.slow
def test_another_process_and_another_store_make_the_same_bytes(
    analysed: tuple[Store, AnnData, dict[Path, int]], tmp_path: Path, simulated: AnnData
) -> None:
    program = textwrap.dedent(
        """
        import json, sys
        import stargazer as sg
        from stargazer.tasks.scrna import report
        from stargazer.workflows.clustering import cluster_cells

        if __name__ == "__main__":
            with sg.Store(sys.argv[1]) as store:
                page = report(cluster_cells(sg.add(sys.argv[2], sg.AnnData(sample_id="s", organism="human")))).compute()
                print(json.dumps([sorted(one.cid for one in store.assemble(asset="anndata")), page.cid]))
        """
    )
    (tmp_path / "program.py").write_text(program)
    argv = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "other"), str(simulated.path)]
    cids, page = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    store, done, _ = analysed
    with store:
        assert sorted(str(one.cid) for one in store.assemble(asset="anndata")) == cids
        assert report(done).compute().cid == page
    assert len(cids) == 8


def test_the_pipeline_names_what_is_missing(store: Store, simulated: AnnData) -> None:
    with pytest.raises(NotFound, match=r"no raw cells of sample 'x'.*sg.add"):
        scrna_clustering_pipeline("x")
    sg.add(simulated.path, sg.AnnData(sample_id="x", organism="human"))
    sg.add(simulated.path, sg.AnnData(sample_id="x", organism="mouse"))
    with pytest.raises(AssetError, match="2 sets of raw cells are called 'x'"):
        scrna_clustering_pipeline("x")
    with pytest.raises(DataError, match="batch_key"):
        cluster_cells(simulated, harmony=True)
    with pytest.raises(DataError, match="seed is -1"):
        cluster_cells(simulated, seed=-1)


@pytest.mark.parametrize(
    ("task", "needs"),
    [("normalize", "reduce_dimensions"), ("select_features", "cluster"), ("qc_filter", "select_features")],
)
def test_a_stage_that_is_missing_is_named(stages: dict[str, AnnData], tmp_path: Path, task: str, needs: str) -> None:

    import stargazer.tasks.scrna as tasks

    with pytest.raises(DataError, match=r"run (select_features|reduce_dimensions|normalize) first"):
        run(getattr(tasks, needs), tmp_path, stages[task])


def test_samples_are_joined_and_harmonised(store: Store, stages: dict[str, AnnData], simulated: AnnData) -> None:
    first = sg.add(simulated.path, sg.AnnData(sample_id="a", organism="human"))
    second = sg.add(stages["qc_filter"].path, sg.AnnData(sample_id="b", organism="human"))
    joined = concat([first, second]).compute()
    assert joined.n_obs == first.n_obs + second.n_obs
    tree, parts = AnnDataTree(joined.fetch()), [AnnDataTree(each.fetch()) for each in (first, second)]
    kept = parts[1].kept("obs")
    assert (tree.counts.read()[: first.n_obs] != parts[0].counts.read()).nnz == 0
    assert (tree.counts.read()[first.n_obs :] != parts[1].counts.read()[kept]).nnz == 0
    assert tree.names("obs")[0].endswith("-a")
    done = cluster_cells([first, second], harmony=True, umap=False, doublets=False).compute().open()
    assert set(done.obs["sample"]) == {"a", "b"}
    assert done.obsm["X_pca_harmony"].shape == done.obsm["X_pca"].shape
    assert "highly_variable_nbatches" in done.var


def test_genes_are_joined_by_name(store: Store, tmp_path: Path) -> None:
    from scipy import sparse

    assets = []
    for number, genes in enumerate((["B", "A", "C"], ["D", "A", "B"])):
        draft = TreeDraft(tmp_path / f"{number}.zarr")
        draft.matrix("X", sparse.csr_matrix(np.arange(1, 7).reshape(2, 3) + 10 * number))
        draft.frame("obs", np.array([f"c{number}{i}" for i in range(2)], object))
        draft.frame("var", np.array(genes, object))
        draft.note("ingest", {})
        assets.append(sg.add(draft.path, sg.AnnData(sample_id=f"s{number}")))
    inner, outer = (concat(assets, join=join).compute().open() for join in ("inner", "outer"))
    assert inner.var_names.tolist() == ["B", "A"]
    assert inner.X.toarray().tolist() == [[1, 2], [4, 5], [13, 12], [16, 15]]
    assert outer.var_names.tolist() == ["B", "A", "C", "D"]
    assert outer.X.toarray().tolist() == [[1, 2, 3, 0], [4, 5, 6, 0], [13, 12, 0, 11], [16, 15, 0, 14]]
    with pytest.raises(DataError, match="one organism"):
        concat([sg.add(assets[0].fetch(), sg.AnnData(organism=name)) for name in ("human", "mouse")]).compute()


def test_the_report_is_one_file_with_all_figures(store: Store, stages: dict[str, AnnData]) -> None:
    done = sg.add(stages["find_markers"].path, sg.AnnData(sample_id="<s&1>", organism="human"))
    page = report(done).compute()
    text = page.fetch().read_text("utf-8")
    assert text.count("data:image/png;base64,") == 6
    assert "<h1>&lt;s&amp;1&gt;</h1>" in text
    assert "http:" not in text
    assert "https:" not in text
    assert {each.declared["figure"] for each in page.companions} == {
        "qc",
        "doublets",
        "hvg",
        "elbow",
        "umap",
        "markers",
    }
    best = stages["find_markers"].markers(top=1)["gene"]
    assert all(gene in text for gene in best)
    early = sg.add(stages["qc_filter"].path, sg.AnnData())
    assert report(early).compute().fetch().read_text("utf-8").count("data:image") == 2


@pytest.mark.slow
def test_markers_of_any_column_and_on_counts(store: Store, stages: dict[str, AnnData]) -> None:
    done = sg.add(stages["cluster"].path, sg.AnnData())
    by_type = find_markers(done, groupby="cell_type").compute()
    assert by_type.open().uns["rank_genes_groups"]["params"]["groupby"] == "cell_type"
    on_counts = find_markers(done, layer="counts", method="t-test").compute().open()
    assert on_counts.uns["rank_genes_groups"]["params"]["layer"] == "counts"
    with pytest.raises(DataError, match="no column 'nope' in obs"):
        find_markers(done, groupby="nope").compute()


@pytest.mark.slow
def test_one_cluster_has_no_markers_and_comes_out_all_the_same(store: Store, tmp_path: Path) -> None:
    import anndata

    path = simulate_cells(tmp_path / "one.zarr", 80, Population(n_genes=300, n_types=1, depth=600, damaged=0))
    done = cluster_cells(sg.add(path, sg.AnnData(sample_id="one")), resolution=0.1).compute()
    view = done.open()
    assert view.obs["leiden"].nunique() == 1
    assert "rank_genes_groups" not in view.uns
    markers = done.markers()
    assert len(markers) == 0
    assert markers.dtypes["scores"] == np.float32
    assert list(markers) == ["group", "gene", "scores", "logfoldchanges", "pvals", "pvals_adj", "pts", "pts_rest"]
    assert "has one group of cells" in AnnDataTree(done.fetch()).stages()["find_markers"]["notes"][0]
    plain = anndata.read_zarr(done.fetch())
    assert plain.uns["rank_genes_groups"]["scores"].shape == (0, done.n_vars)
    done.write_h5ad(tmp_path / "one.h5ad")
    assert anndata.read_h5ad(tmp_path / "one.h5ad").n_obs == done.n_obs
    page = report(done).compute().fetch().read_text("utf-8")
    assert "has one group of cells" in page
    assert page.count("data:image/png;base64,") == 5
    with pytest.raises(DataError, match="no cell has a value"):
        run(find_markers, tmp_path, raw(_without_groups(done, tmp_path)), groupby="none")


def _without_groups(done: AnnData, directory: Path) -> Path:
    tree = AnnDataTree(done.fetch())
    draft = TreeDraft(directory / "none.zarr", tree)
    draft.column("obs", "none", Categories(np.full(tree.n_obs, -1, np.int8), np.array(["a"], object)))
    return draft.path


@pytest.mark.slow
def test_few_cells_give_fewer_components_and_say_so(store: Store, tmp_path: Path) -> None:
    few = simulate_cells(tmp_path / "few.zarr", 12, Population(n_genes=200, n_types=2, depth=300, damaged=0))
    cells = sg.add(few, sg.AnnData(organism="human"))
    done = cluster_cells(cells, min_genes=1, min_cells=1, resolution=2.0, n_neighbors=5, max_pct_mt=100).compute()
    notes: dict[str, Any] = AnnDataTree(done.fetch()).stages()
    assert done.open().obsm["X_pca"].shape == (12, 11)
    assert "11 components, not 50" in notes["reduce_dimensions"]["notes"][0]
    assert "too few to look for doublets" in notes["qc_filter"]["notes"][-1]
    assert "200 genes" in " ".join(notes["select_features"]["notes"]) or notes["select_features"]["n_chosen"] <= 200


def test_a_trace_leads_back_to_the_counts(store: Store, simulated: AnnData) -> None:
    cells = sg.add(simulated.path, sg.AnnData(sample_id="s", organism="human"))
    filtered = qc_filter(cells, doublets=False).compute()
    assert "qc_filter" in str(sg.trace(filtered))
    assert filtered.source_cid == cells.cid
    assert raw(filtered.fetch()).open().n_obs == filtered.n_obs


@pytest.mark.parametrize("name", ["", "a/b", "kept", "size_factor"])
def test_a_column_that_stages_rely_on_is_not_overwritten(stages: dict[str, AnnData], tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be the name of a new column"):
        run(cluster, tmp_path, stages["reduce_dimensions"], key_added=name)


@pytest.mark.slow
def test_little_memory_makes_the_same_bytes(stages: dict[str, AnnData], simulated: AnnData, tmp_path: Path) -> None:
    """With so little nothing is kept between passes, and marker tests take some genes at a time."""
    others = all_stages(tmp_path, simulated, memory=1 << 21)
    for name in ("qc_filter", "reduce_dimensions", "find_markers"):
        assert cid_of_path(others[name].path, symlinks="follow") == cid_of_path(stages[name].path, symlinks="follow"), (
            name
        )


@pytest.mark.slow
def test_an_object_store_shares_stages_too(tmp_path: Path, simulated: AnnData) -> None:
    with Store(f"memory://{tmp_path.name}") as store:
        cells = sg.add(simulated.path, sg.AnnData(sample_id="s", organism="human"))
        done = cluster_cells(cells, doublets=False, umap=False).compute()
        assert store.resolve(f"{done.cid}/X") == store.resolve(f"{cells.cid}/X")
        assert done.open().n_obs == done.n_obs
        assert done.picture() == ""
