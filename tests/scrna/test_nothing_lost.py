"""Nothing of a user's file is lost without a word, and notes are those that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, logged, saved
from scipy import sparse

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError
from stargazer.store import Store
from stargazer.tasks.scrna import concat


def add(given: Any, path: Path, name: str = "s", **facts: Any) -> Any:
    return sg.add(saved(given, path / f"{name}.h5ad"), sg.AnnData(sample_id=name, **facts))


def notes(asset: Any, stage: str = "ingest", what: str = "notes") -> list[str]:
    found: list[str] = AnnDataTree(asset.fetch()).stages()[stage][what]
    return found


def test_a_usual_file_has_no_note(store: Store, tmp_path: Path) -> None:
    assert notes(add(cells(), tmp_path)) == []


# --- columns and their names


def test_gaps_types_and_names_stay(store: Store, tmp_path: Path) -> None:
    given = cells()
    given.obs["yes"] = pd.array([True, None] * 60, dtype="boolean")
    given.obs["whole"] = pd.array([2**40, None, 3] * 40, dtype="Int64")
    given.obs["small"] = pd.array([1, 2] * 60, dtype="UInt8")
    given.obs["order"] = pd.Categorical(["lo", "hi"] * 60, categories=["lo", "hi", "never"], ordered=True)
    given.obs["text"] = ["a", None, "b"] * 40
    given.obs["number"] = np.where(np.arange(120) % 5 == 0, np.nan, 1.5)
    given.obs["number category"] = pd.Categorical([1.0, 2.0] * 60)
    given.obs.index.name, given.var.index.name = "barcode", "gene"
    added = add(given, tmp_path)
    for view in (added.open(), anndata.read_zarr(added.fetch())):
        assert (view.obs.index.name, view.var.index.name) == ("barcode", "gene")
        for name in ("yes", "whole", "order", "number category"):
            pd.testing.assert_series_equal(view.obs[name], given.obs[name])
        assert view.obs["small"].tolist() == [1, 2] * 60
        assert view.obs["text"].isna().sum() == 40
        np.testing.assert_array_equal(view.obs["number"], given.obs["number"])
    assert notes(added) == []


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("other", ["G1_S", "G1_S-1"])
def test_two_names_that_would_become_one_stay_two(store: Store, tmp_path: Path, other: str) -> None:
    path = saved(cells(), tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        for name, values in (("G1/S", np.arange(120.0)), ("G1_S", np.zeros(120)), ("G1_S-1", np.ones(120))):
            if name in ("G1/S", "G1_S", other):
                file[f"obs/{name}"] = values
                file[f"obs/{name}"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
                file["obs"].attrs["column-order"] = np.array([*file["obs"].attrs["column-order"], name], dtype=object)
    added = sg.add(path, sg.AnnData())
    obs = added.open().obs
    assert obs["G1_S"].tolist() == [0.0] * 120
    new = "G1_S-1" if other == "G1_S" else "G1_S-2"
    assert obs[new].tolist() == list(range(120))
    assert notes(added) == [f"column 'G1/S' of obs is now {new!r}"]


def test_members_of_uns_that_would_become_one_stay_two(store: Store, tmp_path: Path) -> None:
    given = cells()
    given.uns["in"] = {"a_b": 1}
    path = saved(given, tmp_path / "a.h5ad")
    view = sg.add(path, sg.AnnData()).open()
    assert view.uns["in"] == {"a_b": 1}


# --- layers


def test_equal_counts_are_stored_once_and_other_counts_are_kept(store: Store, tmp_path: Path) -> None:
    given, twice = cells(), cells()
    plain = add(given, tmp_path, "plain")
    twice.layers["counts"], twice.layers["spliced"] = twice.X.copy(), twice.X.copy()
    added = add(twice, tmp_path, "twice")
    assert store.resolve(f"{added.cid}/layers/spliced") == store.resolve(f"{plain.cid}/X")
    assert not AnnDataTree(added.fetch()).has("layers/counts")
    assert notes(added) == []
    view = added.open()
    assert view.layers["spliced"].dtype == np.float32
    assert (view.layers["spliced"] != given.X).nnz == 0
    other = cells()
    other.layers["counts"] = (other.X * 2).tocsr()
    differs = add(other, tmp_path, "differs")
    opened = differs.open()
    assert (opened.layers["counts"] != given.X).nnz == 0
    assert (opened.layers["counts_before"] != 2 * given.X).nnz == 0
    assert "other counts than X" in notes(differs)[0]


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_layers_of_every_form_come_along(store: Store, tmp_path: Path, form: str) -> None:
    given = cells()
    values = sparse.random(*given.shape, 0.1, format="csr", rng=np.random.default_rng(0), dtype=np.float32)
    given.layers["some"] = {"csr": values, "csc": values.tocsc(), "dense": values.toarray()}[form]
    assert (sparse.csr_matrix(add(given, tmp_path).open().layers["some"]) != values).nnz == 0


def test_logs_that_are_left_out_take_their_note_with_them(store: Store, tmp_path: Path) -> None:
    given = logged(cells())
    given.layers["counts"], given.uns["log1p"] = cells().X, {"base": None}
    added = add(given, tmp_path)
    assert "log1p" not in added.open().uns
    assert notes(added) == ["X has no counts; they come from layers/counts, and X is left out"]


# --- joined samples


def two(tmp_path: Path, **columns: Any) -> list[Any]:
    found = []
    for number, name in enumerate("ab"):
        given = cells(seed=number)
        for column, value in columns.items():
            given.obs[column] = value[number] if isinstance(value, list) else value
        found.append(add(given, tmp_path, name))
    return found


def test_a_sample_column_of_the_users_is_kept(store: Store, tmp_path: Path) -> None:
    joined: Any = concat(two(tmp_path, sample=["d1", "d2"])).compute()
    obs = joined.open().obs
    assert obs["sample"].astype(str).tolist() == ["a"] * 120 + ["b"] * 120
    assert obs["sample_before"].astype(str).tolist() == ["d1"] * 120 + ["d2"] * 120
    assert "'sample' of the samples is now 'sample_before'" in notes(joined, "concat")[0]


def test_one_that_says_the_same_is_not_kept_twice(store: Store, tmp_path: Path) -> None:
    joined: Any = concat(two(tmp_path, sample=["a", "b"])).compute()
    assert "sample_before" not in joined.open().obs
    assert notes(joined, "concat") == []


@pytest.mark.parametrize(("shared", "refused"), [(80, True), (99, True), (101, False), (190, False)])
def test_an_inner_join_says_what_it_loses(store: Store, tmp_path: Path, shared: int, refused: bool) -> None:
    first, second = cells(), cells(seed=1)
    second.var_names = [name if place < shared else f"other{place}" for place, name in enumerate(second.var_names)]
    samples = [add(first, tmp_path, "a"), add(second, tmp_path, "b")]
    if refused:
        with pytest.raises(DataError, match=rf"{shared} genes in common.*join='outer', or min_common=0"):
            concat(samples).compute()
    joined: Any = concat(samples, min_common=0.0).compute()
    assert joined.n_vars == shared
    assert f"{200 - shared} of 200 of a, {200 - shared} of 200 of b" in notes(joined, "concat")[0]
    outer: Any = concat(samples, join="outer").compute()
    theirs = anndata.concat([first, second], join="outer", index_unique="-")
    assert abs(outer.open()[:, theirs.var_names].X - theirs.X).max() == 0


def test_the_same_cells_twice_are_refused(store: Store, tmp_path: Path) -> None:
    given = cells()
    columns = given.copy()
    columns.X = columns.X.tocsc()
    first, again, other = (add(each, tmp_path, name) for each, name in ((given, "a"), (given, "b"), (columns, "c")))
    for pair in ([first, first], [first, again], [again, other]):
        with pytest.raises(DataError, match="are the same cells"):
            concat(pair).compute()


def test_layers_embeddings_and_free_members_are_joined_or_named(store: Store, tmp_path: Path) -> None:
    samples = []
    for number, name in enumerate("ab"):
        given = cells(seed=number)
        given.obs_names = [f"{name}{cell}" for cell in given.obs_names]
        given.layers["spliced"], given.layers["dense"] = given.X * 2, 3 * given.X.toarray()
        given.obsm["protein"] = np.full((120, 3), float(number))
        given.obsm["table"] = pd.DataFrame({"q": np.arange(120.0)}, index=given.obs_names)
        given.obsm["uneven"] = np.zeros((120, 2 + number))
        given.uns["same"], given.uns["different"] = {"k": [1, 2]}, number
        given.varm["loadings"], given.obsp["near"] = np.zeros((200, 2)), sparse.eye(120, format="csr")
        if not number:
            given.layers["only"] = given.X.copy()
        samples.append(add(given, tmp_path, name))
    joined: Any = concat(samples).compute()
    view = joined.open()
    assert (view.layers["spliced"] != 2 * view.layers["counts"]).nnz == 0
    np.testing.assert_array_equal(view.layers["dense"], 3 * view.layers["counts"].toarray())
    assert view.obsm["protein"][:, 0].tolist() == [0.0] * 120 + [1.0] * 120
    assert view.obsm["table"]["q"].tolist() == [*range(120), *range(120)]
    assert list(view.uns["same"]["k"]) == [1, 2]
    said = " ".join(notes(joined, "concat"))
    for place in ("layers/only", "obsm/uneven", "uns/different", "varm/loadings", "obsp/near"):
        assert f"{place} was left out" in said
    assert "spliced" not in said


def test_columns_that_one_sample_lacks_are_said(store: Store, tmp_path: Path) -> None:
    first, second = cells(), cells(seed=1)
    first.obs["age"], first.obs.index.name, second.obs.index.name = 3, "barcode", "barcode"
    joined: Any = concat([add(first, tmp_path, "a"), add(second, tmp_path, "b")]).compute()
    obs = joined.open().obs
    assert obs["age"].isna().sum() == 120
    assert obs.index.name == "barcode"
    assert notes(joined, "concat") == ["not all samples have obs columns age: cells of the others have gaps there"]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["uint8"], "UInt64"),
        (["uint32", "int16"], "Int64"),
        (["uint64"], "UInt64"),
        (["int32"], "Int64"),
        (["bool"], "boolean"),
        (["uint64", "int64"], "float64"),  # no whole number holds all of both
    ],
)
def test_whole_numbers_that_one_sample_lacks_stay_whole(
    store: Store, tmp_path: Path, kinds: list[str], expected: str
) -> None:
    given = [cells(seed=seed) for seed in range(len(kinds) + 1)]
    for each, kind in zip(given, kinds, strict=False):
        each.obs["age"] = np.full(each.n_obs, 1, dtype=kind)
    joined: Any = concat([add(each, tmp_path, f"s{number}") for number, each in enumerate(given)]).compute()
    age = joined.open().obs["age"]
    assert str(age.dtype) == expected
    assert age.isna().sum() == given[-1].n_obs
    assert set(age.dropna().astype(float)) == {1.0}


def test_numbers_that_stand_for_samples_are_said(store: Store, tmp_path: Path) -> None:
    first, second = cells(), cells(seed=1)
    joined: Any = concat(
        [add(first, tmp_path, "a"), sg.add(saved(second, tmp_path / "b.h5ad"), sg.AnnData())]
    ).compute()
    assert joined.open().obs["sample"].cat.categories.tolist() == ["0", "1"]
    assert notes(joined, "concat") == [
        "not every sample has a sample_id of its own, and numbers stand for them: 0 is a, 1 is without sample_id"
    ]


def test_numeric_categories_stay_categories_and_a_lost_order_is_said(store: Store, tmp_path: Path) -> None:
    given = [cells(), cells(seed=1)]
    for each, clusters, grades in zip(given, ([1, 2], [2, 3]), (["lo", "hi"], ["hi", "lo"]), strict=True):
        each.obs["cluster"] = pd.Categorical(clusters * 60)
        each.obs["grade"] = pd.Categorical(["lo", "hi"] * 60, categories=grades, ordered=True)
        each.obs["day"] = pd.Categorical(["d1", "d2"] * 60, categories=["d2", "d1"], ordered=True)
    given[0].obs.index.name, given[1].obs.index.name = "barcode", "cell"
    joined: Any = concat([add(each, tmp_path, name) for each, name in zip(given, "ab", strict=True)]).compute()
    obs = joined.open().obs
    assert obs["cluster"].cat.categories.tolist() == [1, 2, 3]
    assert obs["cluster"].tolist() == [1, 2] * 60 + [2, 3] * 60
    assert (obs["day"].cat.ordered, obs["grade"].cat.ordered) == (True, False)
    assert obs["grade"].tolist() == ["lo", "hi"] * 120
    assert notes(joined, "concat") == [
        "categories of obs columns grade have no order: samples order them differently",
        "the index of obs has no name: samples call it barcode, cell",
    ]
