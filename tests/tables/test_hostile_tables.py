"""Tables that somebody else wrote: they are read by what lies in their folder, and run nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import DataError, NotFound, RunFailed
from stargazer.tables import scan
from stargazer.tables.warehouses import in_catalog, without_readers

pa = pytest.importorskip("pyarrow")
MEGABYTE = 1 << 20
pytest.importorskip("pyiceberg")


@pytest.fixture
def folder(store: sg.Store, tmp_path: Path) -> Iterator[Path]:
    """A warehouse with one table of three rows."""
    from pyiceberg.catalog.sql import SqlCatalog

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = tmp_path / "warehouse"
        made.mkdir()
        catalog = SqlCatalog("default", uri=f"sqlite:///{made}/catalog.db", warehouse=f"file://{made}")
        catalog.create_namespace("db")
        catalog.create_table("db.events", schema=rows(0).schema).append(rows(0))
        catalog.engine.dispose()
        yield made


def rows(start: int) -> Any:
    return pa.table({"id": list(range(start, start + 3))})


def newest(folder: Path) -> Path:
    """The newest metadata of the table."""
    return max((folder / "db" / "events" / "metadata").glob("*.metadata.json"))


def changed(folder: Path, **members: Any) -> None:
    """Let the newest metadata say something else."""
    path = newest(folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


@pytest.mark.parametrize("with_catalog", [True, False])
@pytest.mark.parametrize("what", ["subprocess.Popen", "subprocess.check_output"])
def test_a_table_does_not_choose_what_reads_it(folder: Path, tmp_path: Path, what: str, with_catalog: bool) -> None:
    """pyiceberg calls the class that metadata name with all of their properties, in the order in which they stand."""
    ran = tmp_path / "RAN"
    words = ["sh", "-c", f"touch {ran}"]
    changed(folder, properties={**dict.fromkeys(words, ""), "py-io-impl": what})
    if not with_catalog:
        (folder / "catalog.db").unlink()
    assert scan(f"file://{folder}#db.events").to_table()["id"].to_pylist() == [0, 1, 2]
    assert not ran.exists()


def test_a_table_of_a_catalog_does_not_choose_either(folder: Path, tmp_path: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    ran = tmp_path / "RAN"
    changed(folder, properties={"py-io-impl": "pathlib.Path"})
    catalog = SqlCatalog("default", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    try:
        with pytest.raises(TypeError):
            catalog.load_table("db.events")
        assert without_readers(catalog).load_table("db.events").scan().to_arrow().num_rows == 3
    finally:
        catalog.engine.dispose()
    assert not ran.exists()


@pytest.mark.parametrize("with_catalog", [True, False])
def test_no_data_file_outside_of_the_folder_is_read(folder: Path, tmp_path: Path, with_catalog: bool) -> None:
    """The manifests name what they name: the folder was given to somebody, and the file is his."""
    private = tmp_path / "private"
    shutil.copytree(folder / "db" / "events" / "data", private)
    shutil.rmtree(folder / "db" / "events" / "data")
    (folder / "db" / "events" / "data").symlink_to(private)
    if not with_catalog:
        (folder / "catalog.db").unlink()
    with pytest.raises(DataError, match=r"warehouse#db\.events: |which does not lie in") as raised:
        scan(f"file://{folder}#db.events")
    assert "iceberg://CATALOG" in str(raised.value)


def test_a_folder_that_was_moved_reads_nothing_where_it_was(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(DataError, match="which does not lie in"):
        scan(f"file://{tmp_path}/copy#db.events")
    assert scan(f"file://{folder}#db.events").to_table().num_rows == 3


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x", "s3://bucket/x", "file://host/x", "x"]
)
def test_no_manifest_outside_of_the_folder_is_read(folder: Path, place: str) -> None:
    told = json.loads(newest(folder).read_text())
    for snapshot in told["snapshots"]:
        snapshot["manifest-list"] = place
    changed(folder, snapshots=told["snapshots"])
    with pytest.raises(DataError, match="which does not lie in"):
        scan(f"file://{folder}#db.events")


def test_a_link_to_the_warehouse_is_the_warehouse(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert scan(f"file://{tmp_path}/link#db.events").to_table().num_rows == 3


def test_what_a_catalog_names_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "x.metadata.json"
    shutil.copyfile(newest(folder), outside)
    with sqlite3.connect(folder / "catalog.db") as connection:
        connection.execute("UPDATE iceberg_tables SET metadata_location = ?", (f"file://{outside}",))
    connection.close()
    with pytest.raises(DataError, match="which does not lie in"):
        scan(f"file://{folder}#db.events")


@pytest.mark.timeout(120)
def test_a_catalog_that_goes_on_for_ever_ends(tmp_path: Path) -> None:
    database = tmp_path / "catalog.db"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS metadata_location, "
    endless += "i AS catalog_name, i AS table_namespace, i AS table_name FROM n"
    with sqlite3.connect(database) as connection:
        connection.execute(f"CREATE VIEW iceberg_tables AS {endless}")
    connection.close()
    with pytest.raises(DataError, match="no catalog that can be read"):
        in_catalog(database, "db.events")


@pytest.mark.parametrize("place", [None, b"x", 7])
def test_a_catalog_that_says_something_else_has_no_such_table(folder: Path, place: Any) -> None:
    with sqlite3.connect(folder / "catalog.db") as connection:
        connection.execute("UPDATE iceberg_tables SET metadata_location = ?", (place,))
    connection.close()
    with pytest.raises((NotFound, DataError)):
        scan(f"file://{folder}#db.events")


def test_metadata_that_unpack_without_end_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr("stargazer.tables.warehouses.LARGEST_METADATA", 1 << 20)
    (folder / "catalog.db").unlink()
    bomb = newest(folder).with_name("99999-x.gz.metadata.json")
    bomb.write_bytes(gzip.compress(b" " * (8 << 20)))
    with pytest.raises(DataError, match="larger than the 1 MiB"):
        scan(f"file://{folder}#db.events")


def test_parquet_files_are_files_of_their_folder(store: sg.Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder, outside = tmp_path / "files", tmp_path / "private.parquet"
    folder.mkdir()
    pq.write_table(rows(0), folder / "0.parquet")
    pq.write_table(rows(10), outside)
    (folder / "1.parquet").symlink_to("0.parquet")
    (folder / "Spark.parquet").mkdir()
    assert scan(folder.as_uri()).to_table().num_rows == 6
    (folder / "2.parquet").symlink_to(outside)
    with pytest.raises(DataError, match=r"2\.parquet is a link that leads out of"):
        scan(folder.as_uri())
    (folder / "2.parquet").unlink()
    os.mkfifo(folder / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet is no regular file"):
        scan(folder.as_uri())


def test_a_link_that_somebody_names_is_followed(store: sg.Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows(0), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").symlink_to("a.parquet")
    assert scan((tmp_path / "b.parquet").as_uri()).to_table().num_rows == 3


@pytest.mark.parametrize("kind", ["a codec that runs code", "a chunk that is a link", "a shape like a bomb"])
def test_a_group_of_zarr_is_data(store: sg.Store, tmp_path: Path, kind: str) -> None:
    zarr, np = pytest.importorskip("zarr"), pytest.importorskip("numpy")
    place = tmp_path / "x.zarr"
    group = zarr.open_group(str(place), mode="w", zarr_format=2)
    group.create_array("n", data=np.arange(8, dtype="i4"), chunks=(8,), compressors=None)
    assert scan(place.as_uri()).to_table()["n"].to_pylist() == list(range(8))
    about = json.loads((place / "n" / ".zarray").read_text())
    if kind == "a codec that runs code":
        about |= {"dtype": "|O", "fill_value": None, "filters": [{"id": "pickle", "protocol": 5}]}
    elif kind == "a shape like a bomb":
        about |= {"shape": [1 << 42], "chunks": [1 << 42]}
    else:
        (tmp_path / "private").write_bytes(b"p" * 32)
        (place / "n" / "0").unlink()
        (place / "n" / "0").symlink_to(tmp_path / "private")
    (place / "n" / ".zarray").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"known to be harmless|outside of the folder|claims .* GiB"):
        scan(place.as_uri())


def bomb(folder: Path, kind: str) -> Path:
    """Write a Parquet file of some hundred bytes whose column takes 64 MiB once it is read."""
    import pyarrow.parquet as pq

    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["x" * MEGABYTE]))
    column = {
        "texts": texts,
        "lists": pa.ListArray.from_arrays(pa.array(range(65), pa.int32()), texts),
        "structs": pa.StructArray.from_arrays([texts], ["f"]),
        "numbers": pa.array([7] * (8 * MEGABYTE), pa.int64()),
        "bytes": texts.cast(pa.dictionary(pa.int32(), pa.binary())),
        "a name with a dot": texts,
        "of one width": pa.array([b"x" * MEGABYTE] * 64, pa.binary(MEGABYTE)),
        "lists of one length": pa.FixedSizeListArray.from_arrays(texts, 2),
        "like those before": pa.array(["x" * MEGABYTE] * 64),
        "extensions": pa.ExtensionArray.from_storage(pa.json_(), pa.array([f'"{"x" * MEGABYTE}"'] * 64)),
    }[kind]
    path, name = folder / f"{kind}.parquet", "a.b" if kind == "a name with a dot" else "a"
    shape: dict[str, Any] = {"compression": "zstd", "row_group_size": 1 << 30}
    shape["store_schema"] = kind in ("lists of one length", "extensions")
    if kind == "like those before":
        shape |= {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({name: column}), path, **shape)
    assert path.stat().st_size < 65_536
    return path


@pytest.mark.parametrize(
    "kind", ["texts", "lists", "structs", "numbers", "bytes", "a name with a dot", "like those before"]
)
def test_a_small_file_does_not_stand_for_gigabytes(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = bomb(tmp_path, kind)
    assert scan(path.as_uri()).to_table().nbytes >= 64 * MEGABYTE, "it is below what any file may have"
    monkeypatch.setattr("stargazer.tables.sizes.FREE_BYTES", 1 << 20)
    monkeypatch.setattr("stargazer.tables.sizes.MOST_EXPANSION", 40)
    path.rename(path.with_name("again.parquet"))
    with pytest.raises(RunFailed, match=r"far more than a file of its size holds"):
        scan(path.with_name("again.parquet").as_uri()).to_table()


@pytest.mark.parametrize("kind", ["of one width", "lists of one length", "extensions"])
def test_a_data_file_of_a_kind_that_tables_seldom_have_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Manifests name it all the same, and it is counted before pyiceberg looks at it."""
    from stargazer.tables.sizes import check_row_group

    path = bomb(tmp_path, kind)
    check_row_group(path, 0, None, kind)
    monkeypatch.setattr("stargazer.tables.sizes.FREE_BYTES", 1 << 20)
    monkeypatch.setattr("stargazer.tables.sizes.MOST_EXPANSION", 40)
    with pytest.raises(DataError, match=r"far more than a file of its size holds"):
        check_row_group(path, 0, None, kind)


def test_usual_tables_are_read_whatever_they_repeat(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    from stargazer.tables.sizes import check_row_group

    monkeypatch.setattr("stargazer.tables.sizes.FREE_BYTES", 1 << 20)
    count = 20_000
    words = [f"word {number % 97}" for number in range(count)]
    table = pa.table({
        "kind": words, "id": range(count), "none": pa.nulls(count, pa.string()),
        "many": [[each, None] for each in words], "pairs": [{"a": each, "b": 1} for each in words],
        "map": pa.array([[("k", each)] for each in words], pa.map_(pa.string(), pa.string())),
    })  # fmt: skip
    path = tmp_path / "usual.parquet"
    pq.write_table(table, path)
    check_row_group(path, 0, None, "usual.parquet")
    shared = {"kind": "DELTA_BYTE_ARRAY", "id": "PLAIN"}
    pq.write_table(table.select(["kind", "id"]), path, use_dictionary=False, column_encoding=shared)
    check_row_group(path, 0, None, "usual.parquet")
    check_row_group(path, 0, ["kind"], "usual.parquet")
