"""Passes over row blocks: the same bytes for any cut, in one process, by several workers, and after one has died."""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scrna_stages import raw, run, tree_of

import stargazer as sg
from stargazer.assets import AnnData, RowBlock
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.kernels.blocks import row_blocks as cut_rows
from stargazer.bio.singlecell.kernels.moments import gene_moments, gene_sums, joined_sums
from stargazer.bio.singlecell.kernels.qc import GeneMasks, joined_rows, qc_metrics, row_sums
from stargazer.cid import cid_of_path
from stargazer.errors import DataError
from stargazer.tasks.scrna import measure_cells, normalize, qc_filter, select_features, sum_genes
from stargazer.workflows.clustering import cluster_cells
from stargazer.workflows.row_blocks import row_blocks

CUTS = [(37,), (1, 2, 3, 36, 90), tuple(range(1, 120))]


@pytest.fixture(scope="module")
def sparse_counts() -> Any:
    matrix = sparse.random(120, 50, 0.1, format="csr", rng=np.random.default_rng(4))
    matrix.data = np.ceil(matrix.data * 90)
    return matrix


def pieces(rows: int, ends: tuple[int, ...]) -> list[slice]:
    edges = [0, *ends, rows]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


@pytest.mark.parametrize("ends", CUTS)
def test_metrics_of_any_cut_are_those_of_one_pass(sparse_counts: Any, ends: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    sets = {"mt": rng.random(50) < 0.2, "spike_in": np.arange(50) > 46}
    wanted, exclude = rng.random(120) < 0.9, sets["spike_in"]
    limits = {"min_genes": 3, "min_cells": 12}
    whole = qc_metrics([sparse_counts], 50, sets, exclude=exclude, wanted=wanted, **limits)
    masks = GeneMasks(50, sets, exclude)
    parts = [row_sums([sparse_counts[rows]], masks, wanted=wanted[rows], **limits) for rows in pieces(120, ends)]
    joined = joined_rows(parts, masks, min_cells=12)
    assert 0 < whole.genes.sum() < 47
    assert 0 < whole.cells.sum() < wanted.sum()
    for name, value in vars(whole).items():
        other = getattr(joined, name)
        assert all(
            map(np.array_equal, value.values(), other.values()) if name == "set_counts" else [(value == other).all()]
        )


@pytest.mark.parametrize("rows", [1, 7, 120])
def test_sums_of_parts_have_the_same_bits_wherever_blocks_and_parts_are_cut(sparse_counts: Any, rows: int) -> None:
    factors = np.random.default_rng(2).random(120).astype(np.float32) + 0.5
    codes = np.arange(120) // 50
    parts = [40, 0, 30, 50]
    whole = gene_moments([sparse_counts], factors, 50, codes, parts=parts)
    found = []
    for start, sizes in ((0, parts[:2]), (40, parts[2:])):
        here = slice(start, start + sum(sizes))
        found += gene_sums(cut_rows(sparse_counts[here], rows), factors[here], 50, codes[here], parts=sizes)
    joined = joined_sums(found, np.bincount(codes), 50)
    assert [len(part.batches) for part in found] == [1, 0, 2, 2]
    assert joined.mean.tobytes() == whole.mean.tobytes()
    assert joined.variance.tobytes() == whole.variance.tobytes()
    exact = sparse_counts.multiply(1 / factors[:, None]).toarray()[codes == 1]
    np.testing.assert_allclose(joined.mean[1], exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(joined.variance[1], exact.var(axis=0, ddof=1), rtol=1e-5, atol=1e-9)


def test_parts_that_do_not_fit_the_cells_are_refused(sparse_counts: Any) -> None:
    with pytest.raises(DataError, match="parts of 119 cells do not fit 120 cells"):
        gene_moments([sparse_counts], np.ones(120), 50, parts=[100, 19])
    with pytest.raises(DataError, match="119 size factors do not fit"):
        gene_moments([sparse_counts], np.ones(119), 50, parts=[100, 19])


# The tasks, without a store: parts are small here, so that some hundred cells have several.


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.tasks.scrna.row_blocks.PART_ROWS", 100)


def cid(adata: AnnData) -> str:
    return cid_of_path(adata.path, symlinks="follow")


def blocks_of(task: Any, directory: Path, cells: AnnData, blocks: int, **parameters: Any) -> list[RowBlock]:
    return [run(task, directory, cells, block=block, blocks=blocks, **parameters) for block in range(blocks)]


@pytest.mark.parametrize("blocks", [2, 3, 14])
def test_stages_make_the_same_tree_of_blocks(
    simulated: AnnData, tmp_path: Path, small_parts: None, blocks: int
) -> None:
    counted = {"min_genes": 150, "min_cells": 5}
    whole = run(qc_filter, tmp_path, simulated, doublets=False, **counted)
    measured = blocks_of(measure_cells, tmp_path, simulated, blocks, **counted)
    assert cid(run(qc_filter, tmp_path, simulated, measured, doublets=False, **counted)) == cid(whole)
    normal = run(normalize, tmp_path, whole)
    for batch_key in ("", "batch"):
        chosen = run(select_features, tmp_path, normal, batch_key=batch_key)
        sums = blocks_of(sum_genes, tmp_path, normal, blocks, batch_key=batch_key)
        assert cid(run(select_features, tmp_path, normal, sums, batch_key=batch_key)) == cid(chosen)


def test_a_block_has_the_same_bytes_each_time(simulated: AnnData, tmp_path: Path, small_parts: None) -> None:
    first, second = (run(measure_cells, tmp_path, simulated, block=1, blocks=3) for _ in range(2))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_droplets_that_were_not_called_are_in_no_block(simulated: AnnData, tmp_path: Path, small_parts: None) -> None:
    tree = tree_of(simulated)
    draft = TreeDraft(tmp_path / "called.zarr", tree, "call_cells")
    draft.column("obs", "called", np.arange(tree.n_obs) % 3 > 0)
    draft.note("call_cells", {})
    cells = raw(draft.path, organism="human")
    measured = blocks_of(measure_cells, tmp_path, cells, 4)
    found = run(qc_filter, tmp_path, cells, measured, doublets=False)
    assert cid(found) == cid(run(qc_filter, tmp_path, cells, doublets=False))
    assert not tree_of(found).kept("obs")[::3].any()


def test_blocks_of_something_else_are_refused(simulated: AnnData, tmp_path: Path, small_parts: None) -> None:
    measured = blocks_of(measure_cells, tmp_path, simulated, 2)
    for wrong, match in (
        (measured[::-1], "1 of 2, 0 of 2: all blocks of one cut are wanted"),
        (measured[:1], "0 of 2: all blocks"),
        ([replace(each, source_cid=cid(simulated)) for each in measured], "of other cells"),
        (blocks_of(measure_cells, tmp_path, simulated, 2, min_genes=7), "with other parameters"),
    ):
        with pytest.raises(DataError, match=match):
            run(qc_filter, tmp_path, simulated, wrong, doublets=False)
    with pytest.raises(DataError, match="block is 2 of 2"):
        run(measure_cells, tmp_path, simulated, block=2, blocks=2)


def test_genes_of_another_organism_are_told_by_the_stage_that_joins(simulated: AnnData, tmp_path: Path) -> None:
    mouse = replace(simulated, organism="mouse")
    measured = blocks_of(measure_cells, tmp_path, mouse, 2)
    with pytest.raises(DataError, match="mouse"):
        run(qc_filter, tmp_path, mouse, measured, doublets=False)
    marked = run(qc_filter, tmp_path, mouse, measured, doublets=False, on_failure="mark")
    assert "mouse" in tree_of(marked).stages()["qc_filter"]["failed"]


# In a store, by workers.


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    population = Population(n_genes=250, n_types=3, n_markers=10, depth=100, n_batches=2)
    return simulate_cells(tmp_path_factory.mktemp("many") / "cells.zarr", 31_000, population)


def test_the_workflow_cuts_by_the_number_of_cells_alone(many: Path, store: sg.Store) -> None:
    cells = sg.add(many, sg.AnnData(sample_id="s", organism="human"))
    names = [planned.call.name for planned in sg.plan(cluster_cells(cells, doublets=False, umap=False))]
    assert names.count("measure_cells") == names.count("sum_genes") == 3
    assert row_blocks(19_999) == []
    assert row_blocks(20_000) == [{"block": 0, "blocks": 2}, {"block": 1, "blocks": 2}]
    assert len(row_blocks(5_000_000)) == 64


def test_a_project_cuts_by_what_its_samples_have_and_are_expected_to_have(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stargazer.workflows.row_blocks.PART_ROWS", 100)
    for seed in (1, 2):
        simulate_cells(tmp_path / f"s{seed}.zarr", 300, Population(n_genes=200, n_types=2, seed=seed))
    (tmp_path / "samples.csv").write_text("sample,path,expected_cells\ns1,s1.zarr,\ns2,s2.zarr,150\n")
    project = sg.workflows.scrna(str(tmp_path / "samples.csv"))
    names = [planned.call.name for planned in sg.plan(project.cells)]
    assert names.count("measure_cells") == names.count("sum_genes") == 4


@sg.task
def dies_once(work: sg.Workdir, block: RowBlock, *, mark: str) -> RowBlock:
    if not os.path.exists(mark):
        with open(mark, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_two_workers_one_of_which_dies_make_the_bytes_of_one_process(many: Path, tmp_path: Path) -> None:
    counted = {"min_genes": 20, "min_cells": 3}
    made = []
    for name in ("one", "threads", "workers"):
        with sg.Store(str(tmp_path / name)):
            cells = sg.add(many, sg.AnnData(sample_id="s", organism="human"))
            if name == "one":
                normal = normalize(qc_filter(cells, doublets=False, **counted))
                made.append(sg.run(select_features(normal, batch_key="batch"), progress=False).result().cid)
                continue
            blocks = row_blocks(cells.n_obs)
            measured: list[Any] = [measure_cells(cells, **each, **counted) for each in blocks]
            client = None
            if name == "workers":
                client = sg.connect("local", workers=2)
                measured[0] = dies_once(measured[0], mark=str(tmp_path / "died"))
            normal = normalize(qc_filter(cells, measured, doublets=False, **counted))
            sums = [sum_genes(normal, **each, batch_key="batch") for each in blocks]
            flight = sg.run(select_features(normal, sums, batch_key="batch"), client=client, progress=False)
            made.append(flight.result().cid)
            if client is not None:
                client.close()
    assert len(set(made)) == 1
    assert (tmp_path / "died").exists()
