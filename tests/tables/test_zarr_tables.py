"""Groups of zarr as tables: columns, row ranges, and what is read again after a change."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, DataError
from stargazer.tables import scan, zarrs

zarr = pytest.importorskip("zarr")
np = pytest.importorskip("numpy")
pytest.importorskip("pyiceberg")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarrs, "LEAST_ROWS", 4)


def group(path: Path, version: int = 3, rows: int = 10, **columns: Any) -> Any:
    made = zarr.open_group(str(path), mode="w", zarr_format=version)
    made.create_array("n", data=np.arange(rows, dtype="int16"), chunks=(4,))
    made.create_array("x", data=np.arange(rows) / 2, chunks=(2,))
    for name, values in columns.items():
        made.create_array(name, data=values, chunks=(4,))
    return made


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_are_columns(store: sg.Store, tmp_path: Path, version: int) -> None:
    group(tmp_path / "t.zarr", version)
    uri = (tmp_path / "t.zarr").as_uri()
    found = scan(uri)
    assert (len(found), found.counts.groups) == (3, 3)
    assert found.to_table().to_pydict() == {"n": list(range(10)), "x": [n / 2 for n in range(10)]}
    assert scan(uri, columns=["x"], where="n >= 8").to_table().to_pydict() == {"x": [4.0, 4.5]}
    made = sg.materialize([uri], {"executor": "scan@v1", "params": {"columns": ["n"]}})
    assert made.to_table().column("n").to_pylist() == list(range(10))
    with pytest.raises(ArgumentError, match="no column y"):
        scan(uri, columns=["y"])


def test_after_an_append_only_new_rows_are_read(store: sg.Store, tmp_path: Path) -> None:
    made = group(tmp_path / "t.zarr", rows=8)
    uri = (tmp_path / "t.zarr").as_uri()
    before = [call.plan_key for call in scan(uri)]
    assert [call.plan_key for call in scan(uri)] == before
    for name in ("n", "x"):
        made[name].append(np.arange(8, 12).astype(made[name].dtype))
    after = [call.plan_key for call in scan(uri)]
    assert (len(after), after[:2]) == (3, before)
    made["n"][5] = 100
    changed = [call.plan_key for call in scan(uri)]
    assert [one == two for one, two in zip(changed, after, strict=True)] == [True, False, True]
    assert scan(uri, columns=["n"], where="n > 50").to_table().to_pydict() == {"n": [100]}


def test_frames_of_anndata(store: sg.Store, tmp_path: Path) -> None:
    anndata, pd = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    columns = {"kind": pd.Categorical(["b", None, "a"]), "n": pd.array([1, None, 3], dtype="Int64")}
    frame = pd.DataFrame({**columns, "ok": [True, False, True]}, index=["c1", "c2", "c3"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats to come
        anndata.AnnData(np.zeros((3, 1)), obs=frame).write_zarr(tmp_path / "a.zarr")
    found = scan((tmp_path / "a.zarr" / "obs").as_uri()).to_table().to_pydict()
    assert found.pop(next(iter(found))) == ["c1", "c2", "c3"]
    assert found == {"kind": ["b", None, "a"], "n": [1, None, 3], "ok": [True, False, True]}


def test_what_is_no_table(store: sg.Store, tmp_path: Path) -> None:
    group(tmp_path / "wide.zarr").create_array("m", data=np.zeros((10, 2)))
    with pytest.raises(DataError, match="several dimensions"):
        scan((tmp_path / "wide.zarr").as_uri())
    group(tmp_path / "odd.zarr", y=np.zeros(9))
    with pytest.raises(DataError, match="lengths"):
        scan((tmp_path / "odd.zarr").as_uri())
    with pytest.raises(DataError, match="is one array"):
        scan((tmp_path / "odd.zarr" / "n").as_uri())
    zarr.open_group(str(tmp_path / "none.zarr"), mode="w")
    with pytest.raises(DataError, match="without arrays"):
        scan((tmp_path / "none.zarr").as_uri())
    group(tmp_path / "huge.zarr", y=np.zeros(10, dtype="uint64"))
    with pytest.raises(DataError, match="int64"):
        scan((tmp_path / "huge.zarr").as_uri())
