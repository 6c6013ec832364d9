"""Which cells an expression means where columns have gaps, are truth values, or lack what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved

from stargazer.bio.singlecell.expressions import select_cells
from stargazer.bio.singlecell.ingest import ingest
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[AnnDataTree, Any]:
    here, given = tmp_path_factory.mktemp("gapped"), cells(24, 40)
    given.obs["drug"] = pd.Categorical(["ctrl", "stim", None] * 8)
    given.obs["score"] = [1.0, 2.0, np.nan] * 8
    given.obs["single"] = [True, False] * 12
    given.obs["sure"] = pd.array([True, None, False] * 8, "boolean")
    return AnnDataTree(ingest(saved(given, here / "a.h5ad"), here).path), given.obs


MEANT: dict[str, Callable[[Any], Any]] = {
    "not drug == ctrl": lambda obs: obs.drug == "stim",
    "not (drug == ctrl or score > 1)": lambda obs: obs.drug == "none",
    "not (drug == ctrl and score > 1)": lambda obs: obs.drug.notna(),
    "not score > 1": lambda obs: obs.score <= 1,
    "not not score > 1": lambda obs: obs.score > 1,
    "single": lambda obs: obs.single,
    "not single and drug == stim": lambda obs: ~obs.single & (obs.drug == "stim"),
    "(single) or score > 1": lambda obs: obs.single | (obs.score > 1),
    "single == false": lambda obs: ~obs.single,
    "sure": lambda obs: obs.sure.fillna(False),
    "not sure": lambda obs: ~obs.sure.fillna(True),
    "sure != TRUE": lambda obs: ~obs.sure.fillna(True),
}


@pytest.mark.parametrize("text", MEANT)
def test_cells_without_a_value_pass_no_test_either_way(gapped: tuple[AnnDataTree, Any], text: str) -> None:
    tree, obs = gapped
    np.testing.assert_array_equal(select_cells(tree, text), np.asarray(MEANT[text](obs), bool))


@pytest.mark.parametrize("text", ["drug in ctrl,stm", "drug not in ctrl,stm", "score in 1,2,7", "truth in t0, t1, t9"])
def test_a_value_that_no_cell_has_is_told_also_among_others(gapped: tuple[AnnDataTree, Any], text: str) -> None:
    with pytest.raises(DataError, match=r"has none of (stm|7|t9); it has: "):
        select_cells(gapped[0], text)
