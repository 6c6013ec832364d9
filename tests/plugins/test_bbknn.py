"""BBKNN itself as an integration, as the page on extending shows it; where the package ``bbknn`` is installed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.tasks.scrna.integrations import CellsToMix
from stargazer.testing.integrations import MixingContract
from stargazer.tools import Workdir

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@sg.task
def balance_with_bbknn(work: sg.Workdir, adata: sg.AnnData, *, batch_key: str, in_each: int = 3) -> sg.AnnData:
    """Give each cell neighbours in every batch, and weigh them: BBKNN (Polański et al. 2020)."""
    from bbknn.matrix import bbknn

    cells = CellsToMix(work, adata, "bbknn", batch_key)
    batches = np.array(cells.batch_names)[cells.batches]
    exact: dict[str, Any] = {"computation": "cKDTree", "metric": "euclidean"}
    distances, weights, told = bbknn(cells.components, batches, neighbors_within_batch=in_each, **exact)
    return cells.with_graph(distances, weights, in_each=in_each, **told["bbknn"])


def test_the_page_shows_it() -> None:
    assert inspect.getsource(balance_with_bbknn.body) in PAGE.read_text("utf-8")


class TestBBKNN(MixingContract):
    @pytest.fixture
    def task(self) -> Any:
        pytest.importorskip("bbknn")
        return balance_with_bbknn

    def test_the_graph_is_that_of_the_package(self, task: Any, reduced: sg.AnnData, tmp_path: Path) -> None:
        import bbknn

        made = task.body(Workdir(tmp_path, cpus=1), reduced, batch_key="batch")
        adata = reduced.open()
        bbknn.bbknn(adata, batch_key="batch", neighbors_within_batch=3, computation="cKDTree")
        tree = AnnDataTree(made.path)
        ours = tree.read("obsp/connectivities")[tree.kept("obs")][:, tree.kept("obs")]
        assert abs(ours - adata.obsp["connectivities"]).max() < 1e-6
