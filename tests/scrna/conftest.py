"""Simulated cells with known types, written once, and the stages made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scrna_stages import all_stages, raw

from stargazer.assets import AnnData
from stargazer.bio.simulate.cells import Population, simulate_cells

POPULATION = Population(n_genes=1_200, n_types=5, n_markers=20, depth=2_000, n_batches=2)


@pytest.fixture(scope="session")
def population() -> Population:
    return POPULATION


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> AnnData:
    """900 cells with 5 types, doublets, damaged cells and two batches."""
    path = simulate_cells(tmp_path_factory.mktemp("simulated") / "cells.zarr", 900, POPULATION)
    return raw(path, sample_id="simulated", organism="human")


@pytest.fixture(scope="session")
def stages(simulated: AnnData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnnData]:
    """Every stage of the simulated cells."""
    return all_stages(tmp_path_factory.mktemp("stages"), simulated)


@pytest.fixture(scope="session")
def real_file(shared_data: Path) -> Path:
    """274 real cells of three lines (CEL-seq2)."""
    return shared_data / "scrna" / "sc_celseq2.h5ad"


@pytest.fixture
def counts() -> Any:
    matrix = sparse.random(30, 20, 0.3, format="csr", rng=np.random.default_rng(0))
    matrix.data = np.ceil(matrix.data * 400)
    return matrix
