"""Integrations and models of another package: their contracts, and how a project uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stargazer as sg
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError, PluginError
from stargazer.store import Store
from stargazer.tasks.scrna import cluster, measure_integration
from stargazer.tasks.scrna.integrations import CellsToMix, find_mixing, find_naming
from stargazer.testing.integrations import MixingContract, NamingContract
from stargazer.tools import Workdir

pytestmark = pytest.mark.usefixtures("lab")


class TestCentred(MixingContract):
    """An integration that gives coordinates."""

    @pytest.fixture
    def task(self) -> Any:
        return find_mixing("centred")

    def test_coordinates_lie_where_the_record_says(self, task: Any, reduced: sg.AnnData, tmp_path: Path) -> None:
        made = task.body(Workdir(tmp_path / "a", cpus=1), reduced, batch_key="batch")
        tree = AnnDataTree(made.path)
        found = np.asarray(tree.read("obsm/X_centred"))[tree.kept("obs")]
        batches = np.asarray(tree.labels("obs", "batch").codes)[tree.kept("obs")]
        assert all(abs(found[batches == each].mean(axis=0)).max() < 1e-3 for each in (0, 1))
        told = AnnDataTree(measure_integration.body(Workdir(tmp_path / "b", cpus=1), made, batch_key="batch").path)
        assert told.stages()["measure_integration"]["after"]["ilisi"] > 1

    def test_coordinates_of_other_cells_are_refused(self, task: Any, reduced: sg.AnnData, tmp_path: Path) -> None:
        cells = CellsToMix(Workdir(tmp_path / "c", cpus=1), reduced, "wrong", "batch")
        with pytest.raises(DataError, match=r"wrong gave coordinates \(3, 2\) for"):
            cells.with_coordinates(np.zeros((3, 2)))
        with pytest.raises(DataError, match="not finite"):
            cells.with_coordinates(np.full((len(cells), 2), np.nan))
        with pytest.raises(DataError, match="not symmetric"):
            cells.with_graph(np.eye(len(cells)), np.triu(np.ones((len(cells), len(cells)))))
        assert cells.counts().shape == (len(cells), len(cells.genes))


class TestBalanced(MixingContract):
    """An integration that gives a graph."""

    @pytest.fixture
    def task(self) -> Any:
        return find_mixing("balanced")


class TestLinear(NamingContract):
    """A model of cell types."""

    options = {"weights": {"one": {"MT-ND1": 1.0}, "other": {"MT-CO1": 1.0}}}

    @pytest.fixture
    def task(self) -> Any:
        return find_naming("linear")

    def test_types_are_those_of_the_markers(self, task: Any, reduced: sg.AnnData, tmp_path: Path) -> None:
        tree = AnnDataTree(reduced.path)
        markers = tree.labels("var", "marker_of")
        weights: dict[str, dict[str, float]] = {}
        for gene, code in zip(tree.names("var"), markers.codes, strict=True):
            if code >= 0:
                weights.setdefault(str(markers.names[code]), {})[str(gene)] = 1.0
        clustered = cluster.body(Workdir(tmp_path / "a", cpus=1), reduced)
        made = task.body(Workdir(tmp_path / "b", cpus=1), clustered, weights=weights)
        obs = made.open().obs
        assert (obs["cell_type_cell"].astype(str) == obs["cell_type_before"].astype(str)).mean() > 0.85


def test_names_that_nobody_offers_are_told() -> None:
    with pytest.raises(DataError, match=r"no integration 'scvi': there are harmony, none, .*centred.*linear"):
        find_mixing("scvi")
    with pytest.raises(PluginError, match="'linear' is no Mixing"):
        find_mixing("linear")
    with pytest.raises(PluginError, match="'centred' is no Naming"):
        find_naming("centred")


def test_a_project_uses_them(store: Store, tmp_path: Path) -> None:
    for number in range(2):
        simulate_cells(tmp_path / f"{number}.zarr", 60, Population(n_genes=200, n_types=2, seed=number))
    (tmp_path / "samples.csv").write_text("sample,path\na,0.zarr\nb,1.zarr\n")
    weights = {"weights": {"one": {"MT-ND1": 1.0}}}
    project = sg.workflows.scrna(
        str(tmp_path / "samples.csv"), integrate="centred", model="linear", options={"linear": weights}
    )
    names = repr(sg.plan(project.cells))
    assert "centre_batches" in names
    assert "linear_types" in names
    assert "annotate" not in names
    with pytest.raises(DataError, match="options are given for bbknn"):
        sg.workflows.scrna(str(tmp_path / "samples.csv"), options={"bbknn": {}})
    with pytest.raises(DataError, match="give one of both"):
        sg.workflows.scrna(str(tmp_path / "samples.csv"), model="linear", markers="types.csv")
