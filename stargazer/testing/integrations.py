"""What every integration of batches, and every model of cell types, does: contracts as classes.

::

    from stargazer.testing.integrations import MixingContract


    class TestMine(MixingContract):
        @pytest.fixture
        def task(self):
            return find_mixing("mine")
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.cid import cid_of_path
from stargazer.errors import DataError
from stargazer.tasks.scrna import (
    cluster,
    embed,
    measure_integration,
    normalize,
    qc_filter,
    reduce_dimensions,
    select_features,
)
from stargazer.tools import Workdir

__all__ = ["MixingContract", "NamingContract"]

POPULATION = Population(n_genes=400, n_types=3, n_markers=20, depth=800, n_batches=2)


def _run(task: Any, folder: Path, cells: AnnData, **parameters: Any) -> Any:
    return task.body(Workdir(tempfile.mkdtemp(dir=folder), cpus=1, memory=1 << 30), cells, **parameters)


def _reduced(folder: Path) -> AnnData:
    """Cells of three types in two batches, some of which quality control drops, with components."""
    raw = AnnData(path=simulate_cells(folder / "cells.zarr", 240, POPULATION), name="cells.zarr", stage="raw")
    kept = _run(qc_filter, folder, raw, min_genes=20, doublets=False, organism="human")
    chosen = _run(select_features, folder, _run(normalize, folder, kept), n_top_genes=150)
    made: AnnData = _run(reduce_dimensions, folder, chosen, n_pcs=10, umap=False)
    return made


class _Contract:
    """What both have in common: options, and the cells."""

    options: ClassVar[dict[str, Any]] = {}
    """Parameters of the task without which it cannot run."""

    @pytest.fixture(scope="class")
    def reduced(self, tmp_path_factory: pytest.TempPathFactory) -> AnnData:
        """Make cells with components."""
        return _reduced(tmp_path_factory.mktemp("cells"))


class MixingContract(_Contract):
    """Tests that any integration must pass; a subclass has a fixture ``task``."""

    def test_it_gives_a_graph_of_kept_cells_that_later_stages_take(
        self, task: Any, reduced: AnnData, tmp_path: Path
    ) -> None:
        made = _run(task, tmp_path, reduced, batch_key="batch", **self.options)
        tree = AnnDataTree(made.path)
        assert made.stage == tree.stage == "reduced"
        cells, graph = tree.kept("obs"), tree.read("obsp/connectivities")
        assert 0 < cells.sum() < tree.n_obs, "some cells are not kept, and none of them is a neighbour"
        assert (np.diff(graph.indptr)[cells] > 0).all()
        assert not np.diff(graph.indptr)[~cells].any()
        clustered = _run(embed, tmp_path, _run(cluster, tmp_path, made))
        assert AnnDataTree(clustered.path).made("obs/leiden")

    def test_batches_are_mixed_better_than_before(self, task: Any, reduced: AnnData, tmp_path: Path) -> None:
        made = _run(task, tmp_path, reduced, batch_key="batch", **self.options)
        told = AnnDataTree(_run(measure_integration, tmp_path, made, batch_key="batch").path).stages()
        measured = told["measure_integration"]
        assert measured["after"]["ari_batch"] <= measured["before"]["ari_batch"] + 0.05

    def test_the_same_cells_give_the_same_bytes(self, task: Any, reduced: AnnData, tmp_path: Path) -> None:
        made = [_run(task, tmp_path, reduced, batch_key="batch", **self.options) for _ in range(2)]
        first, second = (cid_of_path(each.path) for each in made)
        assert first == second

    def test_a_column_that_is_not_there_is_refused(self, task: Any, reduced: AnnData, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="nowhere"):
            _run(task, tmp_path, reduced, batch_key="nowhere", **self.options)


class NamingContract(_Contract):
    """Tests that any model of cell types must pass; a subclass has a fixture ``task``."""

    def test_cells_and_clusters_have_types(self, task: Any, reduced: AnnData, tmp_path: Path) -> None:
        made = _run(task, tmp_path, _run(cluster, tmp_path, reduced), groupby="leiden", **self.options)
        tree = AnnDataTree(made.path)
        assert made.stage == tree.stage == "clustered"
        cells, labels = tree.kept("obs"), tree.labels("obs", "cell_type")
        assert (np.asarray(labels.codes)[cells] >= 0).all()
        assert (np.asarray(labels.codes)[~cells] < 0).all()
        assert set(tree.record.last("annotate")["types"].values()) <= set(map(str, labels.names))

    def test_the_same_cells_give_the_same_bytes(self, task: Any, reduced: AnnData, tmp_path: Path) -> None:
        clustered = _run(cluster, tmp_path, reduced)
        made = [_run(task, tmp_path, clustered, groupby="leiden", **self.options) for _ in range(2)]
        first, second = (cid_of_path(each.path) for each in made)
        assert first == second
