"""Small counts for the kernels: simulated cells with planted groups, and real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_cells import Cells, simulate


@pytest.fixture(scope="session")
def cells() -> Cells:
    return simulate()


@pytest.fixture(scope="session")
def real_counts(request: pytest.FixtureRequest) -> Any:
    """The 274 real cells (CEL-seq2, three cell lines)."""
    import anndata

    shared: Path = request.getfixturevalue("shared_data")
    return anndata.read_h5ad(shared / "scrna" / "sc_celseq2.h5ad").X


@pytest.fixture(params=["simulated", "real"])
def counts(request: pytest.FixtureRequest) -> Any:
    """Counts as floats in CSR: once simulated, once real."""
    if request.param == "real":
        return request.getfixturevalue("real_counts")
    return request.getfixturevalue("cells").counts
