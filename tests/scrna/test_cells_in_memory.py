"""Cells in memory with what no file can hold: made text, left out and said, or refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells

from stargazer.bio.singlecell.memory import write_cells
from stargazer.errors import DataError

HALF = 12


def written(given: Any, path: Path) -> tuple[Any, str]:
    """What comes back, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        write_cells(given, path / "a.h5ad")
    found = anndata.read_h5ad(path / "a.h5ad")
    np.testing.assert_array_equal(found.X.toarray(), given.X.toarray())
    return found, " ".join(str(each.message) for each in said if "not all of this" in str(each.message))


COLUMNS: dict[str, tuple[Any, Any, str]] = {
    "of several kinds": ([1, "a"] * HALF, ["1", "a"] * HALF, "column 'm' of obs is now text"),
    "dates": (pd.date_range("2020", periods=24), [f"2020-01-{day:02} 00:00:00" for day in range(1, 25)], "now text"),
    "lists": ([[1]] * 24, ["[1]"] * 24, "now text"),
    "categories of two kinds": (pd.Categorical([1, "1"] * HALF), ["1"] * 24, "categories of column 'm' of obs"),
    "ranges": (pd.cut(np.arange(24), [-1, 11, 24]), ["(-1, 11]"] * HALF + ["(11, 24]"] * HALF, "categories of"),
    "gaps alone": ([None] * 24, [None] * 24, ""),
    "truth with gaps": ([True, None] * HALF, [True, None] * HALF, ""),
    "numbers with gaps": (pd.Series([5, None] * HALF, dtype=object), [5, None] * HALF, ""),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_is_kept_as_what_it_says(tmp_path: Path, case: str) -> None:
    values, expected, words = COLUMNS[case]
    given = cells(24, 40)
    given.obs["m"] = pd.Series(values).array
    found, said = written(given, tmp_path)
    column = found.obs["m"]
    assert [value if here else None for value, here in zip(column, column.notna(), strict=True)] == expected
    assert words in said


def test_free_members_that_no_file_holds_are_left_out_and_said(tmp_path: Path) -> None:
    given = cells(24, 40)
    given.uns = {"f": len, "s": {1}, "m": {1: "a", "deep": {"g": print, "k": 3}}, "t": (1, "b"), "": 7, "..": 8}
    found, said = written(given, tmp_path)
    assert found.uns["m"]["1"] == "a"
    assert found.uns["m"]["deep"] == {"k": 3}
    assert sorted(value for value in found.uns.values() if isinstance(value, (int, np.integer))) == [7, 8]
    for words in ("uns/f is left out: no file can hold a builtin", "uns/s is left out", "uns/m/deep/g is left out"):
        assert words in said


def test_columns_of_one_name_stay_two(tmp_path: Path) -> None:
    given = cells(24, 40)
    given.obs.insert(0, "truth", 1, allow_duplicates=True)
    given.obs[0] = 2
    found, said = written(given, tmp_path)
    assert list(found.obs) == ["truth", "truth-1", "0"]
    assert "column 'truth' of obs is now 'truth-1'" in said


def test_levels_of_an_index_are_joined_and_said(tmp_path: Path) -> None:
    given = cells(24, 40)
    given.obs.index = pd.MultiIndex.from_arrays([["s1"] * 24, list(given.obs_names)], names=["sample", "cell"])
    found, said = written(given, tmp_path)
    assert found.obs_names[0] == "s1-C0000-1"
    assert "the 2 levels of the index of obs are now one text" in said


@pytest.mark.parametrize("place", ["X", "layers"])
def test_values_behind_a_mask_are_no_counts(tmp_path: Path, place: str) -> None:
    given = cells(24, 40)
    masked = np.ma.masked_array(given.X.toarray(), given.X.toarray() == 1)
    if place == "X":
        given.X = masked
    else:
        given.layers["m"] = masked
    with pytest.raises(DataError, match="has masked values"):
        write_cells(given, tmp_path / "a.h5ad")


def test_what_can_be_written_is_written_without_a_word(tmp_path: Path) -> None:
    assert written(cells(24, 40), tmp_path)[1] == ""


def test_gaps_that_a_file_can_hold_are_no_change(tmp_path: Path) -> None:
    given = cells(24, 40)
    given.obs["m"] = pd.Series([True, None] * HALF, dtype=object).array
    found, said = written(given, tmp_path)
    assert (found.obs["m"].dtype, said) == ("boolean", "")
