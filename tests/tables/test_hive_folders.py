"""Folders that are named for values (`year=2024/`): read as pyarrow reads them, and left out where they do not fit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import DataError
from stargazer.tables import scan

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ds = pytest.importorskip("pyarrow.dataset")
pytest.importorskip("pyiceberg")

NULL = "__HIVE_DEFAULT_PARTITION__"
VALUES = ["1", "2", "2", "01", "-1", "-0", "0x10", "0XfF", NULL]
ODD = ["a", "x%2Fy", "+1", "3000000000", "2147483648", "-2147483648", "", "1.0", " 1", "a=b", "ä", "%C3%A4", "1_0", "٣"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "rows"


def lay(folder: Path, name: str, **columns: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=2)


def of_pyarrow(folder: Path, where: Any = None) -> Any:
    return ds.dataset(folder, format="parquet", partitioning="hive").to_table(filter=where)


def told(table: Any) -> tuple[list[str], list[str], list[Any]]:
    """Columns, types (of texts, which have two widths, the narrow one) and rows, in any order."""
    return (
        table.column_names,
        [str(each).removeprefix("large_") for each in table.schema.types],
        sorted(map(repr, table.to_pylist())),
    )


def test_columns_are_what_folders_say(store: sg.Store, place: Path) -> None:
    lay(place, "year=2024/month=01/0.parquet", n=[1, 2, 3])
    lay(place, "year=2024/month=02/0.parquet", n=[4])
    lay(place, "year=2025/month=01/0.parquet", n=[5])
    uri = place.as_uri()
    assert told(scan(uri).to_table()) == told(of_pyarrow(place))
    found = scan(uri, ["n", "month"], "year = 2024 and month >= 2")
    assert found.counts == (3, 0, 4, 1)
    assert found.to_table().to_pylist() == [{"n": 4, "month": 2}]
    assert scan(uri, ["year"], "n > 2").to_table().to_pydict() == {"year": [2024, 2024, 2025]}
    assert scan(uri, ["year"]).call.compute().rows == 5


def test_random_folders_are_those_of_pyarrow(store: sg.Store, place: Path) -> None:
    from pyiceberg.expressions.parser import parse
    from pyiceberg.expressions.visitors import bind
    from pyiceberg.io.pyarrow import expression_to_pyarrow

    from stargazer.tables.scanning import _numbered

    draw = random.Random(25)
    asked = ["k is null", "k is not null", "n > 2", "n is null or k is null"]
    asked += ["{k} = {0}", "{k} != {0}", "{k} in ({0}, {1})", "{k} not in ({0}, {1})", "not ({k} > {0} and n > 1)"]
    for number in range(12):
        folder = place / str(number)
        values = VALUES + (ODD if number % 2 else [])
        lay(folder, f"k={draw.choice(['1', 'a'] if number % 2 else ['1'])}/first.parquet", n=[1, 2, None])
        for file in range(draw.randrange(1, 6)):
            parts = [f"{name}={draw.choice(values)}" for name in draw.sample(["k", "y", "K z"], draw.randrange(3))]
            parts.insert(draw.randrange(len(parts) + 1), "plain")
            lay(folder, "/".join([*parts, f"{file}.parquet"]), n=[draw.choice([None, 1, 2, 3]) for _ in range(4)])
        try:
            theirs = of_pyarrow(folder)
        except pa.ArrowInvalid:
            with pytest.raises(DataError, match="has no type"):
                scan(folder.as_uri())
            continue
        schema = _numbered(theirs.schema)
        assert told(scan(folder.as_uri()).to_table()) == told(theirs), folder
        numbers = ["'1'", "'a'"] if theirs.schema.field("k").type == pa.string() else [1, 2]
        for form in asked:
            where = form.format(*numbers, k="k")
            wanted = expression_to_pyarrow(bind(schema, parse(where), True), schema)
            assert told(scan(folder.as_uri(), where=where).to_table()) == told(of_pyarrow(folder, wanted)), where


def test_only_new_folders_are_read(store: sg.Store, place: Path) -> None:
    for year in (2023, 2024):
        lay(place, f"year={year}/0.parquet", n=[year])
    first = scan(place.as_uri()).to_table()
    lay(place, "year=2025/0.parquet", n=[2025])
    found = scan(place.as_uri())
    assert len(sg.plan(list(found)).to_run) == 1
    assert found.to_table().slice(0, 2).equals(first)
    assert not sg.plan(list(scan(place.as_uri(), where="year in (2023, 2025)"))).to_run


def test_a_value_that_is_no_number_makes_all_of_them_texts(store: sg.Store, place: Path) -> None:
    lay(place, "k=1/0.parquet", n=[1])
    assert scan(place.as_uri()).to_table()["k"].to_pylist() == [1]
    lay(place, "k=x/0.parquet", n=[2])
    assert scan(place.as_uri()).to_table()["k"].to_pylist() == ["1", "x"]


def test_a_file_that_has_the_column_itself_is_read_as_before(store: sg.Store, place: Path) -> None:
    for k in (1, 2):
        lay(place, f"k={k}/0.parquet", n=[k, k], k=[k, k])
    found = scan(place.as_uri(), where="k = 2")
    assert {call.name for call in scan(place.as_uri())} == {"read_row_group"}
    assert found.counts.kept == 1
    assert found.to_table().to_pydict() == {"n": [2, 2], "k": [2, 2]}


@pytest.mark.parametrize(
    "columns", [{"k": [1, 3]}, {"k": [1, None]}, {"k": ["one", "one"]}, {"k": [{"x": 1}, {"x": 1}]}]
)
def test_a_file_that_says_something_else_than_its_folder(store: sg.Store, place: Path, columns: Any) -> None:
    lay(place, "k=1/0.parquet", n=[1, 2], **columns)
    with pytest.raises(DataError, match=r"folder that says k=1, and has a column k with other values"):
        scan(place.as_uri())


def test_a_file_that_has_the_column_of_others_folders(store: sg.Store, place: Path) -> None:
    lay(place, "a/k=1/0.parquet", n=[1])
    lay(place, "b/0.parquet", n=[2], k=pa.array([7], pa.int64()))
    with pytest.raises(DataError, match="other columns than the first file of its folder: k"):
        scan(place.as_uri())
    lay(place, "b/0.parquet", n=[2], k=pa.array([7], pa.int32()))
    lay(place, f"c/k={NULL}/0.parquet", n=[3], k=pa.array([8], pa.int32()))
    assert told(scan(place.as_uri()).to_table())[2] == ["{'n': 1, 'k': 1}", "{'n': 2, 'k': 7}", "{'n': 3, 'k': 8}"]
    assert scan(place.as_uri(), ["n"], "k = 8").to_table().to_pydict() == {"n": [3]}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("k=1/k=2", "two of its folders say what k is"),
        ("k=1/%6B=2", "two of its folders say what k is"),
        ("=3", "says the value of a column, and not its name"),
        ("k=%FF", "is no text in UTF-8"),
        (f"k={NULL}", "no folder says what k is"),
    ],
)
def test_names_that_say_nothing_sure(store: sg.Store, place: Path, name: str, why: str) -> None:
    lay(place, f"{name}/0.parquet", n=[1])
    with pytest.raises(DataError, match=why):
        scan(place.as_uri())


def test_other_folders_have_the_keys_that_they_had(store: sg.Store, place: Path) -> None:
    """The name of the folder that was asked for says nothing, nor does that of a file."""
    lay(place, "k=1/plain/y=2.parquet", n=[1])
    for uri in ((place / "k=1").as_uri(), (place / "k=1/plain/y=2.parquet").as_uri()):
        (call,) = scan(uri)
        assert call.name == "read_row_group"
        assert scan(uri).to_table().column_names == ["n"]


def test_a_long_name_does_not_fill_the_memory() -> None:
    from stargazer.tables.sizes import check_rows

    check_rows(10_000_000, ["x" * 50, 1], 400, "ok.parquet")
    with pytest.raises(DataError, match="far more than a file of its size holds"):
        check_rows(10_000_000, ["x" * 200], 400, "bad.parquet")


def test_a_gathered_table_has_them(store: sg.Store, place: Path) -> None:
    lay(place, "k=a/0.parquet", n=[1, 2, 3])
    lay(place, "k=b/0.parquet", n=[4])
    params = {"where": "k != 'a' or n = 2"}
    found = sg.materialize(inputs=[place.as_uri()], transform={"executor": "scan@v1", "params": params})
    assert found.to_table().to_pydict() == {"n": [2, 4], "k": ["a", "b"]}
