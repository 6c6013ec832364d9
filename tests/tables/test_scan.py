"""Tables of Iceberg and Parquet: equal to what pyiceberg itself reads, in all shapes, and no more read than needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, DataError, NotFound
from stargazer.tables import scan

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyiceberg")

SMALL_GROUPS = {"write.parquet.row-group-limit": "10"}


def rows(start: int, count: int) -> Any:
    numbers = list(range(start, start + count))
    kinds = [("a", "b", None)[number % 3] for number in numbers]
    return pa.table({"id": numbers, "value": [number / 2 for number in numbers], "kind": kinds})


class Warehouse:
    """A warehouse in a folder, with one table."""

    def __init__(self, folder: Path) -> None:
        from pyiceberg.catalog.sql import SqlCatalog

        folder.mkdir()
        self.folder = folder
        self.catalog = SqlCatalog("default", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
        self.catalog.create_namespace("db")

    def table(self, schema: Any = None, **options: Any) -> Any:
        return self.catalog.create_table("db.events", schema=schema or rows(0, 1).schema, **options)

    @property
    def uri(self) -> str:
        return f"file://{self.folder}#db.events"

    def same(self, columns: list[str] | None = None, where: str | None = None, **at: Any) -> Any:
        """Read both ways, and compare; return our scan."""
        from pyiceberg.expressions import AlwaysTrue

        table = self.catalog.load_table("db.events")
        snapshot = at.get("snapshot")
        theirs = table.scan(
            row_filter=where or AlwaysTrue(), selected_fields=tuple(columns or ("*",)),
            snapshot_id=table.snapshot_by_name(snapshot).snapshot_id if isinstance(snapshot, str) else snapshot,
        )  # fmt: skip
        found = scan(self.uri, columns, where, **at)
        assert found.to_table().equals(theirs.to_arrow()), (found.to_table(), theirs.to_arrow())
        return found


@pytest.fixture
def warehouse(store: sg.Store, tmp_path: Path) -> Iterator[Warehouse]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = Warehouse(tmp_path / "warehouse")
        yield made
        made.catalog.engine.dispose()


def test_rows_and_columns_are_pruned_and_exact(warehouse: Warehouse) -> None:
    table = warehouse.table(properties=SMALL_GROUPS)
    table.append(rows(0, 30))
    table.append(rows(30, 30))
    assert warehouse.same().counts == (2, 0, 6, 6)
    assert warehouse.same(["value", "id"], "id >= 45").counts == (1, 0, 3, 2)
    assert warehouse.same(["kind"], "id = 7 or value > 29").counts.kept == 2
    assert warehouse.same(["id"], "kind is null").counts.kept == 6
    assert warehouse.same(["id"], "id > 1000").counts == (0, 0, 0, 0)


def test_an_append_reads_only_what_is_new(warehouse: Warehouse) -> None:
    table = warehouse.table(properties=SMALL_GROUPS)
    table.append(rows(0, 30))
    first = warehouse.same(["id"])
    table.append(rows(30, 10))
    second = scan(warehouse.uri, ["id"])
    assert (len(second), len(sg.plan(list(second)).to_run)) == (4, 1)
    assert {call.plan_key for call in first} < {call.plan_key for call in second}
    warehouse.same(["id"], "id < 35")
    assert not sg.plan(list(scan(warehouse.uri, ["id"], "id > 2"))).to_run


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Conditions under which pyiceberg planned a scan."""
    from pyiceberg.table import DataScan

    made: list[str] = []
    plan = DataScan.plan_files
    monkeypatch.setattr(DataScan, "plan_files", lambda self: made.append(str(self.row_filter)) or plan(self))
    return made


def test_a_snapshot_is_planned_once_for_a_condition(warehouse: Warehouse, plans: list[str]) -> None:
    table = warehouse.table(properties=SMALL_GROUPS)
    table.append(rows(0, 30))
    first, again, columns = scan(warehouse.uri), scan(warehouse.uri), scan(warehouse.uri, ["id"])
    assert len(plans) == 1
    assert first.counts == again.counts == columns.counts == (1, 0, 3, 3)
    assert (scan(warehouse.uri, where="id > 25").counts.kept, len(plans)) == (1, 2)
    table.append(rows(30, 10))
    assert (scan(warehouse.uri).counts.files, len(plans)) == (2, 3)
    assert (scan(warehouse.uri, snapshot=table.snapshots()[0].snapshot_id).counts.files, len(plans)) == (1, 4)
    warehouse.same(["id"], "id > 25")


def test_another_table_of_the_same_name_is_another_table(warehouse: Warehouse) -> None:
    warehouse.table().append(rows(0, 10))
    assert warehouse.same().to_table().num_rows == 10
    warehouse.catalog.drop_table("db.events")
    with pytest.raises(NotFound):
        scan(warehouse.uri)
    warehouse.table().append(rows(5, 3))
    assert warehouse.same().to_table()["id"].to_pylist() == [5, 6, 7]


def test_a_table_that_goes_back_is_as_it_was(warehouse: Warehouse) -> None:
    table = warehouse.table()
    table.append(rows(0, 10))
    table.append(rows(10, 10))
    assert warehouse.same().to_table().num_rows == 20
    table.manage_snapshots().rollback_to_snapshot(table.snapshots()[0].snapshot_id).commit()
    assert warehouse.same().to_table().num_rows == 10


def test_known_parts_are_mapped_as_the_store_has_them(
    warehouse: Warehouse, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stargazer.tables.scanning as scanning

    warehouse.table(properties=SMALL_GROUPS).append(rows(0, 30))
    asked = scan(warehouse.uri, ["id"])
    first = asked.to_table()
    monkeypatch.setattr(scanning, "run", None)
    assert asked.to_table().equals(first)
    assert not (store.context.cache / "fetched").exists()


def test_a_part_that_was_lost_is_read_again(warehouse: Warehouse, store: sg.Store) -> None:
    warehouse.table(properties=SMALL_GROUPS).append(rows(0, 30))
    asked = scan(warehouse.uri, ["id"])
    first = asked.to_table()
    part = sg.run(asked[1], progress=False).result()
    path = store.blobs.path(part.cid)
    path.parent.chmod(0o755)
    path.unlink()
    assert asked.to_table().equals(first)
    assert path.exists()


def test_a_part_that_was_harmed_comes_from_a_remote(warehouse: Warehouse, store: sg.Store, tmp_path: Path) -> None:
    warehouse.table(properties=SMALL_GROUPS).append(rows(0, 30))
    asked = scan(warehouse.uri, ["id"])
    first = asked.to_table()
    part = sg.run(asked[1], progress=False).result()
    path = store.blobs.path(part.cid)
    origin = sg.Store(tmp_path / "origin")
    origin.add(path)
    path.parent.chmod(0o755)
    path.unlink()  # what was mapped stays
    path.write_bytes(b"harmed")
    with dask.config.set({"stargazer.remotes": [{"store": origin.url}]}):
        assert asked.to_table().equals(first)


def test_stores_that_are_elsewhere(warehouse: Warehouse) -> None:
    warehouse.table(properties=SMALL_GROUPS).append(rows(0, 30))
    with sg.Store("memory://tables-elsewhere"):
        assert scan(warehouse.uri, ["id"]).to_table()["id"].to_pylist() == list(range(30))
        assert scan(warehouse.uri, ["id"], "id < 2").to_table()["id"].to_pylist() == [0, 1]


def evolve(table: Any, change: Callable[[Any], object]) -> None:
    with table.update_schema() as update:
        change(update)


def test_added_columns(warehouse: Warehouse) -> None:
    from pyiceberg.types import StringType

    table = warehouse.table()
    table.append(rows(0, 10))
    evolve(table, lambda update: update.add_column("note", StringType()))
    table.append(rows(10, 10).append_column("note", pa.array(["x"] * 10)))
    assert warehouse.same().counts.by_iceberg == 1
    assert warehouse.same(["id", "note"], "note = 'x'").to_table().num_rows == 10
    assert warehouse.same(["id"]).counts.by_iceberg == 0


def test_dropped_columns(warehouse: Warehouse) -> None:
    table = warehouse.table()
    table.append(rows(0, 10))
    evolve(table, lambda update: update.delete_column("value"))
    table.append(rows(10, 10).drop_columns(["value"]))
    assert warehouse.same().counts.by_iceberg == 0


def test_renamed_columns(warehouse: Warehouse) -> None:
    table = warehouse.table()
    table.append(rows(0, 10))
    evolve(table, lambda update: update.rename_column("kind", "sort"))
    table.append(rows(10, 10).rename_columns(["id", "value", "sort"]))
    assert warehouse.same().counts.by_iceberg == 1
    warehouse.same(["id", "sort"], "sort = 'a'")


def test_promoted_columns(warehouse: Warehouse) -> None:
    from pyiceberg.types import LongType

    table = warehouse.table(pa.schema([("id", pa.int32())]))
    table.append(pa.table({"id": pa.array([1, 2], pa.int32())}))
    evolve(table, lambda update: update.update_column("id", LongType()))
    table.append(pa.table({"id": pa.array([2**40], pa.int64())}))
    assert warehouse.same().counts.by_iceberg == 1
    warehouse.same(where="id > 1")


def test_a_dropped_name_that_came_back_is_another_column(warehouse: Warehouse) -> None:
    from pyiceberg.types import DoubleType

    table = warehouse.table()
    table.append(rows(0, 4))
    evolve(table, lambda update: update.delete_column("value"))
    evolve(table, lambda update: update.add_column("value", DoubleType()))
    assert warehouse.same().to_table().column("value").null_count == 4


def test_partitions(warehouse: Warehouse) -> None:
    from pyiceberg.transforms import IdentityTransform

    table = warehouse.table()
    with table.update_spec() as update:
        update.add_field("kind", IdentityTransform(), "kind")
    table.append(rows(0, 20))
    assert warehouse.same(where="kind = 'b'").counts.files == 1
    assert warehouse.same().counts.files == 3


@pytest.mark.parametrize("partitioned", [False, True])
def test_null_is_where_pyiceberg_has_it(warehouse: Warehouse, partitioned: bool) -> None:
    """`not in` of several values holds of NULL, `!=` and `not in` of one do not."""
    made = pa.table({"id": [1, 1, None, None, 2, 3, None], "kind": ["a", None, None, "b", "a", None, None]})
    table = warehouse.table(made.schema, properties={"write.parquet.row-group-limit": "2"})
    if partitioned:
        with table.update_spec() as update:
            update.add_identity("kind")
    table.append(made)
    table.append(made.slice(1, 3))
    found = {}
    for name, one, other in (("id", "1", "2"), ("kind", "'a'", "'b'")):
        for condition in ("{} not in ({}, {})", "not ({} in ({}, {}))", "{} not in ({})", "{} != {}", "not {} = {}"):
            where = condition.format(name, one, other)
            rows = warehouse.same(where=where).to_table()[name].to_pylist()
            found[name, condition] = None in rows
            assert warehouse.same(where=f"{where} and {name} is not null").to_table()[name].null_count == 0
    assert found == {place: place[1].count("{}") == 3 for place in found}


def test_nested_columns_and_nulls(warehouse: Warehouse) -> None:
    data = pa.table({
        "id": pa.array([1, None, 3], pa.int64()),
        "where": pa.array([{"chrom": "1", "pos": 5}, None, {"chrom": None, "pos": 7}]),
        "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
        "notes": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "nothing": pa.array([None, None, None], pa.string()),
    })  # fmt: skip
    table = warehouse.table(data.schema)
    table.append(data)
    assert warehouse.same().counts.by_iceberg == 0
    warehouse.same(["tags"], "id is null")
    warehouse.same(["where"], "where.pos > 5")


def test_time_travel_branches_and_tags(warehouse: Warehouse) -> None:
    table = warehouse.table()
    table.append(rows(0, 5))
    first = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(first, "v1").create_branch(first, "trial").commit()
    table.append(rows(5, 5))
    table.append(rows(90, 5), branch="trial")
    assert warehouse.same(snapshot=first).to_table().num_rows == 5
    warehouse.same(snapshot="v1")
    assert max(warehouse.same(snapshot="trial").to_table().column("id").to_pylist()) == 94
    with pytest.raises(ArgumentError, match="no snapshot v2; there are"):
        scan(warehouse.uri, snapshot="v2")


def test_an_empty_table(warehouse: Warehouse) -> None:
    warehouse.table()
    found = warehouse.same(["id"])
    assert len(found) == 0
    assert found.call.compute().rows == 0


def test_deleted_rows(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiceberg writes no delete files, so one is written here as other engines do."""
    import pyarrow.parquet as pq
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.table import DataScan, FileScanTask
    from pyiceberg.typedef import Record

    table = warehouse.table(properties=SMALL_GROUPS)
    table.append(rows(0, 30))
    table.append(rows(30, 10))
    planned = list(table.scan().plan_files())
    target = next(each.file for each in planned if each.file.record_count == 30)
    place = warehouse.folder / "deletes.parquet"
    pq.write_table(pa.table({"file_path": [target.file_path] * 3, "pos": [0, 11, 29]}), place)
    members = {"content": DataFileContent.POSITION_DELETES, "file_path": f"file://{place}", "partition": Record()}
    members |= {"file_format": FileFormat.PARQUET, "record_count": 3, "file_size_in_bytes": place.stat().st_size}
    deletes = DataFile.from_args(**members)
    deletes.spec_id = 0
    plan = DataScan.plan_files

    def with_deletes(self: Any) -> list[Any]:
        return [
            FileScanTask(each.file, {deletes} if each.file.file_path == target.file_path else None, each.residual)
            for each in plan(self)
        ]

    monkeypatch.setattr(DataScan, "plan_files", with_deletes)
    found = warehouse.same()
    assert (found.counts.by_iceberg, found.to_table().num_rows) == (1, 37)
    warehouse.same(["value"], "id >= 5 and id <= 12")


def test_a_row_deleted_by_pyiceberg_is_gone(warehouse: Warehouse) -> None:
    table = warehouse.table()
    table.append(rows(0, 10))
    table.delete("id < 3")
    assert warehouse.same().to_table().num_rows == 7


def test_a_table_without_its_catalog(warehouse: Warehouse) -> None:
    warehouse.table().append(rows(0, 3))
    warehouse.catalog.load_table("db.events").append(rows(3, 3))
    (warehouse.folder / "catalog.db").rename(warehouse.folder.parent / "gone.db")
    assert scan(warehouse.uri).to_table().num_rows == 6


def test_gathered_tables_are_folders_of_their_parts(warehouse: Warehouse) -> None:
    table = warehouse.table(properties=SMALL_GROUPS)
    table.append(rows(0, 30))
    found = scan(warehouse.uri)
    made = found.call.compute()
    assert (made.rows, made.columns) == (30, ("id", "value", "kind"))
    parts = {part.cid for part in sg.run(list(found), progress=False).result()}
    store = sg.active_store()
    assert {entry.cid for entry in store.dirs.entries(made.cid)} == parts
    filtered = scan(warehouse.uri, ["id"], "id < 4").call.compute()
    assert (filtered.rows, store.is_directory(filtered.cid)) == (4, False)


def test_parquet_folders(store: sg.Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = tmp_path / "files"
    (folder / "_temporary").mkdir(parents=True)
    for number in (0, 1):
        pq.write_table(rows(20 * number, 20), folder / f"{number}.parquet", row_group_size=10)
    (folder / "_temporary" / "x.parquet").write_text("torn")
    found = scan(folder.as_uri(), ["id"], "value >= 15")
    assert found.counts == (2, 0, 4, 1)
    assert found.to_table().column("id").to_pylist() == list(range(30, 40))
    pq.write_table(rows(100, 20), folder / "1.parquet", row_group_size=10)
    assert scan(folder.as_uri(), ["id"], "id >= 100").to_table().num_rows == 20
    pq.write_table(pa.table({"id": ["text"]}), folder / "2.parquet")
    with pytest.raises(DataError, match="other columns"):
        scan(folder.as_uri(), ["id"])


@pytest.mark.parametrize(
    ("uri", "options", "error", "told"),
    [
        ("db.events", {}, ArgumentError, "names no table"),
        ("file://host/x#a.b", {}, ArgumentError, "another host"),
        ("s3://bucket/x", {}, ArgumentError, "iceberg://CATALOG"),
        ("iceberg://catalog", {}, ArgumentError, "names no table"),
        ("file:///nowhere", {}, NotFound, "no Parquet files"),
        ("HERE#db.none", {}, NotFound, "db.none"),
        ("HERE#db.events", {"columns": ["nothing"]}, ArgumentError, "no column nothing; there are id"),
        ("HERE#db.events", {"columns": "id"}, ArgumentError, "a list of names"),
        ("HERE#db.events", {"where": "id >"}, ArgumentError, "cannot be read"),
        ("HERE#db.events", {"where": "size > 1"}, ArgumentError, "size"),
        ("HERE#db.events", {"snapshot": 7}, ArgumentError, "no snapshot 7"),
    ],
)
def test_what_is_wrong_is_told(
    warehouse: Warehouse, uri: str, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    warehouse.table().append(rows(0, 2))
    with pytest.raises(error, match=told):
        scan(uri.replace("HERE", f"file://{warehouse.folder}"), **options)


@pytest.mark.slow
def test_random_changes_in_random_order(store: sg.Store, tmp_path: Path, short: bool) -> None:
    """Whatever is done to a table, and in which order: equal rows, and old row groups are never read again."""
    import random

    from pyiceberg.types import StringType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(2 if short else 25):
            draw = random.Random(seed)
            made = Warehouse(tmp_path / f"warehouse{seed}")
            table = made.table(properties=SMALL_GROUPS)
            names = ["id", "value", "kind"]
            for step in range(6 if short else 20):
                action = draw.choice(["append", "append", "delete", "add", "rename", "drop"])
                if action == "append":
                    count = draw.randint(1, 25)
                    columns = {name: list(range(count)) if name == "id" else None for name in names}
                    types = {field.name: field.type for field in table.schema().as_arrow()}
                    table.append(
                        pa.table({n: pa.array(v if v else [None] * count, types[n]) for n, v in columns.items()})
                    )
                elif action == "delete":
                    table.delete(f"id = {draw.randint(0, 24)}")
                elif action == "add":
                    name = f"new{step}"
                    evolve(table, lambda update, name=name: update.add_column(name, StringType()))
                    names.append(name)
                elif action == "rename" and len(names) > 1:
                    old, new = draw.choice(names[1:]), f"renamed{step}"
                    evolve(table, lambda update, old=old, new=new: update.rename_column(old, new))
                    names[names.index(old)] = new
                elif len(names) > 2:
                    gone = names.pop(draw.randint(1, len(names) - 1))
                    evolve(table, lambda update, gone=gone: update.delete_column(gone))
                wanted = draw.sample(names, draw.randint(1, len(names)))
                made.same(wanted, draw.choice([None, f"id < {draw.randint(0, 24)}", f"{names[-1]} is null"]))
            made.catalog.engine.dispose()
