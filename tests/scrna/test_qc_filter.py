"""Quality control: organisms, spike-ins, doublets, outliers, and inputs that cannot be filtered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scrna_stages import raw, run, tree_of
from sklearn.metrics import roc_auc_score

from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.ingest import ingest
from stargazer.errors import DataError
from stargazer.tasks.scrna import normalize, qc_filter, select_features

MT = ("ND1", "ND2", "CO1")


def tree(directory: Path, counts: Any, genes: list[str], **obs: Any) -> AnnData:
    draft = TreeDraft(directory / "cells.zarr")
    draft.matrix("X", sparse.csr_matrix(counts))
    draft.frame("obs", np.array([f"c{i}" for i in range(counts.shape[0])], object))
    draft.frame("var", np.array(genes, object))
    for name, values in obs.items():
        draft.column("obs", name, values)
    draft.note("ingest", {})
    return raw(draft.path)


def dense(cells: int = 60, genes: int = 40, seed: int = 0) -> Any:
    return np.random.default_rng(seed).poisson(2.0, (cells, genes))


def names(prefix: str, genes: int = 40) -> list[str]:
    return [*(f"{prefix}{name}" for name in MT), *(f"GENE{i}" for i in range(genes - 3))]


def qc(directory: Path, cells: AnnData, **parameters: Any) -> AnnData:
    defaults: dict[str, Any] = {"min_genes": 1, "min_cells": 1, "doublets": False}
    return run(qc_filter, directory, cells, **defaults | parameters)


def notes(adata: AnnData) -> dict[str, Any]:
    return tree_of(adata).stages()["qc_filter"]


@pytest.mark.parametrize(
    ("organism", "prefix"), [("human", "MT-"), ("mouse", "mt-"), ("Mus musculus", "mt-"), ("fly", "mt:")]
)
def test_the_organism_decides_what_is_mitochondrial(tmp_path: Path, organism: str, prefix: str) -> None:
    counts = dense()
    done = tree_of(qc(tmp_path, tree(tmp_path, counts, names(prefix)), organism=organism, max_pct_mt=50))
    expected = counts[:, :3].sum(axis=1) / counts.sum(axis=1) * 100
    np.testing.assert_allclose(done.column("obs", "pct_counts_mt"), expected, rtol=1e-5)
    assert done.column("var", "mt").sum() == 3


def test_no_mitochondrial_gene_is_an_error_with_a_hint(tmp_path: Path) -> None:
    cells = tree(tmp_path, dense(), names("X-"))
    with pytest.raises(DataError, match=r"no mitochondrial gene of human was found.*X-ND1.*max_pct_mt=100"):
        qc(tmp_path, cells)
    done = qc(tmp_path, cells, max_pct_mt=100)
    assert "no mitochondrial gene" in notes(done)["notes"][-1]
    with pytest.raises(DataError, match="'klingon' is not known; known are human, mouse"):
        qc(tmp_path, cells, organism="klingon")


def ids(prefix: str, genes: int = 40) -> list[str]:
    return [f"{prefix}{i:011d}" for i in range(genes)]


def titled(genes: int = 40) -> list[str]:
    return ["mt-Nd1", "mt-Co1", *(f"Gene{i}" for i in range(genes - 2))]


@pytest.mark.parametrize(
    ("genes", "organism", "reason"),
    [
        (names("MT-"), "human", "mitochondrial genes like MT-ND1"),
        (titled(), "mouse", "mitochondrial genes like mt-Nd1"),
        (["Mt-nd1", *titled()[2:]], "rat", "Mt-nd1"),
        ([name.lower() for name in names("mt-")], "zebrafish", "mt-nd1"),
        (["mt:ND1", *titled()[2:]], "fly", "mt:ND1"),
        (["ENSG00000198888", *ids("ENSG")], "human", "ids ENSG…"),
        (["ENSMUSG00000064341", *ids("ENSMUSG"), "ERCC-00002"], "mouse", "ids ENSMUSG…"),
    ],
)
def test_genes_tell_the_organism(tmp_path: Path, genes: list[str], organism: str, reason: str) -> None:
    done = qc(tmp_path, tree(tmp_path, dense(genes=len(genes)), genes), max_pct_mt=50)
    assert done.organism == notes(done)["organism"] == organism
    assert f"organism is {organism}, by the names of the genes" in notes(done)["notes"][0]
    assert reason in notes(done)["notes"][0]
    assert tree_of(done).column("var", "mt").sum() >= 1


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (names("mt-"), "mt-ND1 is named like a gene of mouse, but most symbols are in upper case"),
        ([*names("MT-", 20), *titled(20)], "named like MT-ND1 of human and mt-Nd1 of mouse"),
        ([*ids("ENSG", 25), *ids("ENSMUSG", 15)], "25 begin with ENSG and 15 begin with ENSMUSG"),
        ([f"{genome}_{i}" for i in range(20) for genome in ("GRCh38", "mm10")], "genomes GRCh38, mm10"),
        (ids("ENSSSCG"), "organism is not known: ids begin with ENSSSCG, and known are ENSG"),
        ([f"{i}" for i in range(40)], "organism is not known: genes are named like 0, 1, 2"),
    ],
)
def test_genes_that_tell_no_organism_or_two_are_an_error(tmp_path: Path, genes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"{message}.*organism="):
        qc(tmp_path, tree(tmp_path, dense(), genes))


def test_an_organism_that_genes_contradict_is_an_error(tmp_path: Path) -> None:
    mouse, human = tree(tmp_path, dense(), titled()), tree(tmp_path / "h", dense(), ids("ENSG"))
    with pytest.raises(DataError, match=r"organism is human, but.*like those of mouse.*organism='mouse'"):
        qc(tmp_path, mouse, organism="human", max_pct_mt=100)
    with pytest.raises(DataError, match=r"organism is mouse, but.*like those of human \(ids ENSG…\)"):
        qc(tmp_path, human, organism="mouse")
    assert qc(tmp_path, mouse, organism="rat", max_pct_mt=50).organism == "rat"
    mixed = qc(tmp_path, tree(tmp_path / "m", dense(), names("mt-")), organism="mouse", max_pct_mt=50)
    assert "contradict each other" in notes(mixed)["notes"][0]


def test_cells_of_an_unknown_organism_go_without_mitochondrial_genes(tmp_path: Path) -> None:
    done = qc(tmp_path, tree(tmp_path, dense(), ids("ENSSSCG")), max_pct_mt=100)
    assert done.organism == ""
    assert not tree_of(done).column("var", "mt").any()
    assert "organism is not known" in notes(done)["notes"][0]


def test_the_organism_of_the_asset_is_used(tmp_path: Path) -> None:
    cells = tree(tmp_path, dense(), names("mt-"))
    done = qc(tmp_path, AnnData(path=cells.path, name="x", organism="mouse"), max_pct_mt=50)
    assert done.organism == "mouse"


def test_symbols_may_stand_in_a_column(tmp_path: Path) -> None:
    ids = [f"ENSG{i:011d}" for i in range(40)]
    cells = tree(tmp_path, dense(), ids)
    draft = TreeDraft(tmp_path / "named.zarr", tree_of(cells))
    draft.column("var", "feature_name", np.array(names("MT-"), object))
    found = tree_of(qc(tmp_path, raw(draft.path), max_pct_mt=50))
    assert found.column("var", "mt").sum() == 3
    assert "feature_name" in notes(raw(found.path))["notes"][1]
    with pytest.raises(DataError, match="no column 'nope' in var"):
        qc(tmp_path, raw(draft.path), symbols="nope")


def test_real_cells_have_13_mitochondrial_ids_and_62_spike_ins(real_file: Path, tmp_path: Path) -> None:
    cells = raw(ingest(real_file, tmp_path).path, organism="human")
    done = run(qc_filter, tmp_path, cells)
    found = tree_of(done)
    assert found.column("var", "mt").sum() == 13
    assert found.column("var", "spike_in").sum() == notes(done)["n_spike_ins"] == 62
    total, mt = found.column("obs", "total_counts").sum(), found.column("obs", "total_counts_mt").sum()
    assert 100 * mt / total == pytest.approx(4.58, abs=0.02)
    assert not found.kept("var")[found.column("var", "spike_in")].any()
    assert any("Ensembl ids" in note for note in notes(done)["notes"])


def test_damaged_cells_and_doublets_go(simulated: AnnData, stages: dict[str, AnnData]) -> None:
    done = tree_of(stages["qc_filter"])
    kept = done.kept("obs")
    assert not kept[done.column("obs", "damaged")].any()
    scores, planted = done.column("obs", "doublet_score"), done.column("obs", "doublet")
    known = ~np.isnan(scores)
    assert roc_auc_score(planted[known], scores[known]) > 0.95
    assert (kept & planted).sum() < 0.3 * planted.sum()
    assert notes(stages["qc_filter"])["n_cells_kept"] == kept.sum() == stages["qc_filter"].n_obs


def test_doublets_are_sought_in_each_batch_by_itself(simulated: AnnData, tmp_path: Path) -> None:
    one = run(qc_filter, tmp_path, simulated, batch_key="batch")
    two = run(qc_filter, tmp_path, simulated)
    batches = tree_of(one).read("uns/scrublet")["batches"]
    assert set(batches) == {"batch0", "batch1"}
    first = tree_of(simulated).labels("obs", "batch").codes == 0
    scores = [tree_of(each).column("obs", "doublet_score")[first] for each in (one, two)]
    assert not np.array_equal(*scores)
    assert len(batches["batch0"]["doublet_scores_sim"]) == 2 * first.sum()


def test_a_batch_of_one_cell_has_no_scores_and_says_so(tmp_path: Path) -> None:
    batch = Categories(np.r_[np.zeros(150, np.int8), np.int8(1)], np.array(["many", "one"], object))
    cells = tree(tmp_path, dense(151, 200), names("MT-", 200), batch=batch)
    done = qc(tmp_path, cells, batch_key="batch", doublets=True, max_pct_mt=50)
    scores = tree_of(done).column("obs", "doublet_score")
    assert np.isnan(scores[150])
    assert not np.isnan(scores[:150]).any()
    assert any("batch one: 1 cells are too few" in note for note in notes(done)["notes"])
    featured = run(select_features, tmp_path, run(normalize, tmp_path, done), batch_key="batch", n_top_genes=50)
    assert "batch one had no say" in tree_of(featured).stages()["select_features"]["notes"][0]
    with pytest.raises(DataError, match="no column 'nope' in obs"):
        qc(tmp_path, cells, batch_key="nope", doublets=True, max_pct_mt=50)


def test_outliers_by_deviations_from_the_median(tmp_path: Path) -> None:
    counts = dense(200, 40)
    counts[7] *= 50
    cells = tree(tmp_path, counts, names("MT-"))
    plain = qc(tmp_path, cells, max_pct_mt=100)
    robust = qc(tmp_path, cells, max_pct_mt=100, mads=5.0)
    assert plain.n_obs == 200
    assert not tree_of(robust).kept("obs")[7]
    assert notes(robust)["n_cells_outliers"] == 200 - robust.n_obs
    counts[9, :3] = 200
    upper = qc(tmp_path / "u", tree(tmp_path / "u", counts, names("MT-")), max_pct_mt=100, mads_mt=5.0)
    assert not tree_of(upper).kept("obs")[9]


def test_an_all_zero_cell_goes(tmp_path: Path) -> None:
    counts = dense()
    counts[5] = 0
    done = qc(tmp_path, tree(tmp_path, counts, names("MT-")), min_genes=0, max_pct_mt=100)
    assert np.flatnonzero(~tree_of(done).kept("obs")).tolist() == [5]
    normal = run(normalize, tmp_path, done)
    assert np.isfinite(normal.open().X.data).all()


def test_an_empty_result_says_what_was_dropped(tmp_path: Path) -> None:
    cells = tree(tmp_path, dense() + 1, names("MT-"))
    with pytest.raises(DataError, match=r"of 60 cells were dropped 60 for few genes \(min_genes=1000; there are 40"):
        qc(tmp_path, cells, min_genes=1_000)
    with pytest.raises(DataError, match="no gene is left: none has a count in min_cells=1000 of 60 cells"):
        qc(tmp_path, cells, min_cells=1_000)
    with pytest.raises(DataError, match="60 for much mt"):
        qc(tmp_path, cells, max_pct_mt=0.001)


def test_the_same_cells_go_however_they_are_cut(tmp_path: Path) -> None:
    """More cells than a row block, so that sums run over blocks."""
    path = simulate_cells(tmp_path / "c.zarr", 6_000, Population(n_genes=300, n_types=2, depth=200))
    done = tree_of(qc(tmp_path, raw(path), min_genes=60, min_cells=400))
    counts = tree_of(raw(path)).counts.read().toarray().astype(int)
    cells = (counts > 0).sum(axis=1) >= 60
    genes = (counts[cells] > 0).sum(axis=0) >= 400
    assert 0 < genes.sum() < 300
    assert 0 < cells.sum() < 6_000
    assert np.array_equal(done.kept("var"), genes)
    assert np.array_equal(done.column("obs", "total_counts")[cells], counts[cells][:, genes].sum(axis=1))
