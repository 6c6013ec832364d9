"""Conditions hold exactly of what is returned, however the rows lie in files: NaN, NULL, numbers that are none."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, AssetError, DataError
from stargazer.tables import read_table, scan

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pyiceberg")

NAN = float("nan")
NUMBERS = [5.0, 5.0, NAN, None, 1.0, 2.0, NAN, 9.0, 9.0, NAN]
COMPARED: dict[str, Any] = {
    "x is nan": lambda x: x is not None and math.isnan(x),
    "x is not nan": lambda x: x is not None and not math.isnan(x),
    "x != 9": lambda x: x is not None and x != 9,
    "not x = 9": lambda x: x is not None and x != 9,
    "x not in (5, 9)": lambda x: x not in (5.0, 9.0),
    "not x > 1": lambda x: x is not None and not x > 1,
    "x > 1 and x != 9": lambda x: x is not None and x > 1 and x != 9,
    "x = 5 or x is nan": lambda x: x is not None and (x == 5 or math.isnan(x)),
    "x <= 2": lambda x: x is not None and x <= 2,
    "x is null": lambda x: x is None,
}


def written(folder: Path, rows: int, **columns: Any) -> str:
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "0.parquet", row_group_size=rows)
    return folder.as_uri()


def table_of_iceberg(folder: Path, table: Any, files: int, rows: int) -> str:
    from pyiceberg.catalog.sql import SqlCatalog

    folder.mkdir()
    catalog = SqlCatalog("default", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace("db")
    made = catalog.create_table("db.t", table.schema, properties={"write.parquet.row-group-limit": str(rows)})
    step = -(-table.num_rows // files)
    for start in range(0, table.num_rows, step):
        made.append(table.slice(start, step))
    catalog.engine.dispose()
    return f"file://{folder}#db.t"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("where", COMPARED)
def test_numbers_that_are_none_are_found_wherever_they_lie(store: sg.Store, tmp_path: Path, where: str) -> None:
    table = pa.table({"n": range(len(NUMBERS)), "x": pa.array(NUMBERS, pa.float64())})
    wanted = [number for number, value in enumerate(NUMBERS) if COMPARED[where](value)]
    places = [written(tmp_path / str(rows), rows, n=table["n"], x=table["x"]) for rows in (1, 2, 100)]
    places += [table_of_iceberg(tmp_path / f"i{files}", table, files, 2) for files in (1, 5)]
    for place in places:
        found = scan(place, ["n"], where)
        assert sorted(found.to_table()["n"].to_pylist()) == wanted, place
        assert found.call.compute().rows == len(wanted), place


def test_statistics_still_leave_row_groups_out(store: sg.Store, tmp_path: Path) -> None:
    place = written(tmp_path / "t", 2, n=range(10), x=[float(number) for number in range(10)])
    assert (scan(place, where="x > 7").counts.kept, scan(place, where="n != 3 and n < 2").counts.kept) == (1, 1)
    assert scan(place, where="x > 7 and x != 9").counts.kept == 1


@pytest.mark.parametrize("where", ["n = 2.5", "n < 2.5", "n >= 2.5", "n != 2.5", "n = '2.5'", "n = 2 or not n > 2.5"])
def test_whole_numbers_are_compared_with_whole_numbers(store: sg.Store, tmp_path: Path, where: str) -> None:
    place = written(tmp_path / "t", 2, n=range(4))
    with pytest.raises(ArgumentError, match=r"whole numbers, and 2\.5 is none"):
        scan(place, where=where)
    assert scan(place, where="n >= 2.0").to_table()["n"].to_pylist() == [2, 3]


def test_numbers_without_signs_are_not_compared_with_more_than_fits(store: sg.Store, tmp_path: Path) -> None:
    numbers = pa.array([1, 4_000_000_000], pa.uint32())
    place = written(tmp_path / "t", 2, n=range(2), u=numbers)
    assert scan(place, ["n"], "u > 5").to_table()["n"].to_pylist() == [1]
    with pytest.raises(ArgumentError, match="uint32"):
        scan(place, ["n"], "u > 3000000000")
    with pytest.raises(ArgumentError, match="does not fit"):
        scan(place, ["n"], "u = 'abc'")


@pytest.mark.parametrize(
    ("where", "rows"), [("i > 3000000000", 0), ("i < 3000000000", 4), ("i = 5 and i > 3000000000", 0)]
)
def test_a_condition_may_name_a_column_that_is_not_wanted(
    store: sg.Store, tmp_path: Path, where: str, rows: int
) -> None:
    place = written(tmp_path / "t", 2, n=range(4), i=pa.array(range(4), pa.int32()))
    assert scan(place, ["n"], where).to_table().num_rows == rows


HOLES = [1, None, -5, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("i < 3000000000", [0, 2, 3, 4]),
        ("i != 3000000000", [0, 2, 3, 4]),
        ("i = 3000000000 or i <= 99999999999999999999", [0, 2, 3, 4]),
        ("not i >= 3000000000", [0, 2, 3, 4]),
        ("not i < 3000000000", []),
        ("i > -3000000000", [0, 2, 3, 4]),
        ("i != -3000000000 and i < 5", [0, 2, 4]),
        ("not i > -3000000000", []),
        ("i < -3000000000", []),
    ],
)
def test_null_is_neither_more_nor_less_than_what_a_column_cannot_hold(
    store: sg.Store, tmp_path: Path, where: str, rows: list[int]
) -> None:
    table = pa.table({"n": pa.array(range(5), pa.int64()), "i": pa.array(HOLES, pa.int32())})
    places = [written(tmp_path / str(size), size, n=table["n"], i=table["i"]) for size in (1, 100)]
    places.append(table_of_iceberg(tmp_path / "iceberg", table, 2, 1))
    for place in places:
        assert sorted(scan(place, ["n"], where).to_table()["n"].to_pylist()) == rows, place


@pytest.mark.parametrize(
    "where", ["x < 'inf'", "x != '1e300'", "x > '-inf'", "x in (1.0, 1000000000000000000000000000000000000000.5)"]
)
def test_numbers_of_single_precision_are_compared_with_such(store: sg.Store, tmp_path: Path, where: str) -> None:
    place = written(tmp_path / "t", 9, n=range(3), x=pa.array([1.0, None, NAN], pa.float32()))
    with pytest.raises(ArgumentError, match="x is of type float"):
        scan(place, ["n"], where)
    assert scan(place, ["n"], "x < 2.5").to_table()["n"].to_pylist() == [0]


def test_numbers_without_signs_in_another_file_count(store: sg.Store, tmp_path: Path) -> None:
    place = written(tmp_path / "t", 9, u=pa.array([1], pa.int32()))
    pq.write_table(pa.table({"u": pa.array([4_000_000_000], pa.uint32())}), tmp_path / "t" / "1.parquet")
    with pytest.raises(ArgumentError, match="uint32"):
        scan(place, where="u < 3000000000")


def test_parts_of_different_width_are_one_table(store: sg.Store, tmp_path: Path) -> None:
    place = written(tmp_path / "t", 9, a=pa.array([1], pa.int32()))
    pq.write_table(pa.table({"a": pa.array([2], pa.int8())}), tmp_path / "t" / "1.parquet")
    assert sg.materialize([place], "scan@v1").to_table()["a"].to_pylist() == [1, 2]
    pq.write_table(pa.table({"a": pa.array([2], pa.int8()), "b": [1]}), tmp_path / "t" / "2.parquet")
    with pytest.raises(DataError, match=r"other columns than the first file.*: b"):
        scan(place)
    assert scan(place, ["a"]).to_table()["a"].to_pylist() == [1, 2, 2]


def test_a_folder_of_different_tables_is_none(tmp_path: Path) -> None:
    for number, column in enumerate((["x"], [1])):
        pq.write_table(pa.table({"a": column}), tmp_path / f"{number}.parquet")
    with pytest.raises(AssetError, match="different types"):
        read_table(tmp_path)
    pq.write_table(pa.table({"b": [1]}), tmp_path / "1.parquet")
    with pytest.raises(AssetError, match="different columns"):
        read_table(tmp_path)


def test_random_conditions_on_random_layouts(store: sg.Store, tmp_path: Path) -> None:
    """What is returned does not depend on how many rows a row group has: one group of all rows cannot be pruned."""
    draw = random.Random(22)
    choices = [None, NAN, -1.0, 0.0, -0.0, 1.0, 2.5, math.inf, -math.inf]
    rows = 60
    columns = {"x": [draw.choice(choices) for _ in range(rows)], "n": list(range(rows))}
    columns["s"] = [draw.choice([None, "", "a", "b", "ä"]) for _ in range(rows)]
    atoms = ["x > 0", "x <= 1", "x = 0", "x != 1", "x is nan", "x is not nan", "x is null", "x not in (1.0, 2.5)"]
    atoms += ["s = 'a'", "s != 'a'", "s is null", "s not in ('a', 'b')", "s like 'a%'", "n < 30", "n != 7"]
    whole, cut = (written(tmp_path / str(size), size, **columns) for size in (1000, 3))
    for _ in range(60):
        where = draw.choice(atoms)
        for _ in range(draw.randrange(3)):
            where = f"({where}) {draw.choice(['and', 'or'])} {draw.choice(['', 'not '])}({draw.choice(atoms)})"
        found, all_of_it = (scan(place, ["n"], where).to_table()["n"].to_pylist() for place in (cut, whole))
        assert found == all_of_it, where
