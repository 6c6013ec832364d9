"""Tables of cells whose columns have names that a tree cannot have."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.store import Store


def test_columns_that_would_be_paths_get_other_names(store: Store, tmp_path: Path) -> None:
    obs = pd.DataFrame({"..": [1, 2], "zarr.json": ["x", "y"], "kept": [False, True]}, index=["a", "b"])
    anndata.AnnData(np.ones((2, 3), np.float32), obs).write_h5ad(tmp_path / "a.h5ad")
    added = sg.add(tmp_path / "a.h5ad", sg.AnnData())
    view = added.open().obs
    assert list(view) == ["column_", "column_zarr.json", "kept"]
    assert view["column_"].tolist() == [1, 2]
    assert view["kept"].tolist() == [False, True]
    assert len(AnnDataTree(added.fetch()).stages()["ingest"]["notes"]) == 2
