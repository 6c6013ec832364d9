"""Scans: which files and row groups of a table may hold a wanted row, and the calls that read them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from stargazer.errors import ArgumentError, BlobLost
from stargazer.runs import run
from stargazer.store import active_store
from stargazer.tables.arrow import arrow
from stargazer.tables.conditions import check_numbers, check_unsigned, fields_of, parsed_filter, prunable
from stargazer.tables.files import fitting, opened
from stargazer.tables.hive import FolderValue, check_agreement, fields_of_folders, folder_values, in_folders
from stargazer.tables.parts import Group, called, known_results
from stargazer.tables.planning import REMEMBERED, planned
from stargazer.tables.sources import TableURI, iceberg, open_iceberg, parquet_files, read_table_uri, refusals
from stargazer.tables.tasks import gather_rows, read_data_file, read_zarr_rows
from stargazer.tables.warehouses import check_inside
from stargazer.tables.zarrs import columns_of, is_zarr, parts_of, schema_of

if TYPE_CHECKING:
    from stargazer.calls import Call
    from stargazer.store import Store
    from stargazer.store.blobs.base import Blobs

__all__ = ["Counts", "Scan", "scan"]


FORMS = (
    "write comparisons as id >= 5, kind in ('a', 'b'), kind is null, joined by and, or, not; texts stand in single "
    "quotes, and the numbers of a list have all a point or none"
)


class Counts(NamedTuple):
    """What a scan looked at.

    Parameters
    ----------
    files
        Data files that the manifests leave.
    by_iceberg
        Of these, those that pyiceberg reads: with deletes, or of another schema than the table's.
    groups
        Row groups of the others.
    kept
        Of these, those whose statistics may fit.
    """

    files: int
    by_iceberg: int
    groups: int
    kept: int


@dataclass(frozen=True, eq=False)
class Scan(Sequence["Call"]):
    """Calls that read a table, one a row group and columns; nothing runs before it is asked for.

    Parameters
    ----------
    uri
        Of the table.
    parts
        What the calls are made of, in the order of the rows.
    counts
        What was looked at.
    schema
        Iceberg's, as JSON, of the columns that the calls read.
    columns
        Those that are wanted.
    where
        What must hold of a row; empty for all.
    store
        Where the calls run.
    """

    uri: str
    parts: tuple[Call | Group, ...]
    counts: Counts
    schema: str
    columns: tuple[str, ...]
    where: str
    store: Store

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Call, ...]: ...
    def __getitem__(self, index: int | slice) -> Call | tuple[Call, ...]:
        return self.calls[index]

    def __len__(self) -> int:
        return len(self.parts)

    @functools.cached_property
    def calls(self) -> tuple[Call, ...]:
        """The calls, in the order of the rows: made when somebody asks for them, for what is known needs none."""
        with self.store:
            return tuple(map(called, self.parts))

    def __repr__(self) -> str:
        counts = self.counts
        return f"<scan of {self.uri}: {counts.kept} of {counts.groups} row groups in {counts.files} files>"

    @property
    def call(self) -> Call:
        """The call that gives the wanted rows as one stored table."""
        with self.store:
            made: Any = gather_rows(list(self.calls), schema=self.schema, columns=list(self.columns), where=self.where)
        found: Call = made
        return found

    def to_table(self) -> Any:
        """Return the wanted rows as a `pyarrow.Table`; what is stored is mapped into memory, not copied.

        Raises
        ------
        RunFailed
            Some file could not be read.
        """
        parts: list[Any] = known_results(self.parts, self.store)
        if not parts and self.parts:
            parts = run(list(self.calls), progress=False).result()
        blobs = self.store.blobs
        with refusals(self.uri), blobs.in_use():
            return fitting(_paths(blobs, parts), self.schema, list(self.columns), self.where)


def _paths(blobs: Blobs, parts: Sequence[Any]) -> list[Path]:
    """Paths of stored files as the store has them: what is mapped at once needs no name, which costs a link each."""
    cids = [str(part.cid) for part in parts]
    try:
        blobs.prefetch(cids)
        paths = [blobs.path(cid) for cid in cids]
    except BlobLost:  # harmed, or gone since they were looked up: remotes may have them
        return [part.fetch() for part in parts]
    for cid in cids:
        blobs.lend(cid)
    return paths


def scan(
    uri: str, columns: Sequence[str] | None = None, where: str | None = None, snapshot: int | str | None = None
) -> Scan:
    """Return the calls that read what is wanted of a table: one a row group, known ones at no cost.

    Their keys hold the data file, its size, the row group and the columns: after an append only new files are read.
    Files with deletes, and files that are older than the table's schema, are read by pyiceberg, each as a whole.

    Parameters
    ----------
    uri
        ``file:///warehouse#db.events``, ``iceberg://CATALOG/db.events``, ``file:///folder`` of Parquet files, or
        ``file:///x.zarr/obs``, a group of zarr.
    columns
        Names of whole columns; all by default. They come in the order of the table.
    where
        A condition as Iceberg writes it: ``"id >= 5 and kind in ('a', 'b')"``. It holds exactly of what is returned.
    snapshot
        Id of a snapshot, or name of a branch or tag; the newest by default.

    Raises
    ------
    ArgumentError
        There is no such column or snapshot, or the condition cannot be read.
    NotFound
        There is no such table.
    DataError
        The table cannot be read, as one with equality deletes.

    Examples
    --------
    >>> import pyarrow, pyarrow.parquet
    >>> from pathlib import Path
    >>> import stargazer as sg
    >>> pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2, 3], "kind": ["a", "b", "a"]}), "events.parquet")
    >>> from stargazer.tables import scan
    >>> scan(Path("events.parquet").absolute().as_uri(), where="id > 1").to_table().to_pylist()
    [{'id': 2, 'kind': 'b'}, {'id': 3, 'kind': 'a'}]
    """
    source, condition = read_table_uri(uri), "" if where is None else where
    arrow()
    if columns is not None and not _are_names(columns):
        raise ArgumentError(f"columns is a list of names, not {columns!r:.80}")
    if not isinstance(condition, str):
        raise ArgumentError(f'where is a condition, such as "id >= 5", and not {condition!r:.80}')
    if snapshot is not None and (isinstance(snapshot, bool) or not isinstance(snapshot, (int, str))):
        raise ArgumentError(f"snapshot is an id, or the name of a branch or tag, and not {snapshot!r:.80}")
    with refusals(uri):
        _check(condition)
        made = _of_iceberg if iceberg(source) else _of_zarr if is_zarr(Path(source.place)) else _of_parquet
        found, schema, wanted = made(source, columns, condition, snapshot)
    parts = [part for each in found for part in each.parts]
    odd = sum(each.groups == 0 and bool(each.parts) for each in found)
    counts = Counts(len(found), odd, sum(each.groups for each in found), len(parts) - odd)
    return Scan(uri, tuple(parts), counts, schema.model_dump_json(), tuple(wanted), condition, active_store())


def _are_names(columns: Any) -> bool:
    return not isinstance(columns, str) and isinstance(columns, Iterable) and all(isinstance(n, str) for n in columns)


def _check(where: str) -> None:
    try:
        parsed_filter(where)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("pyparsing", "pyiceberg") and not isinstance(
            error, (ValueError, TypeError)
        ):
            raise
        place = getattr(error, "loc", None)  # of pyparsing, whose own words list its whole grammar
        told = str(error) if place is None else f"at {where[place : place + 20]!r}; {FORMS}"
        raise ArgumentError(f"where={where!r} cannot be read: {told}") from error


class _File(NamedTuple):
    """A data file: what reads what may be wanted of it, and its row groups; 0 where pyiceberg reads it."""

    parts: Sequence[Call | Group]
    groups: int


def _columns(schema: Any, columns: Sequence[str] | None, where: str) -> tuple[list[str], Any]:
    """Names of the wanted columns, and the schema of these and of those that the condition needs."""
    from pyiceberg.expressions.visitors import bind
    from pyiceberg.schema import Schema

    there = [field.name for field in schema.fields]
    if unknown := [name for name in columns or () if name not in there]:
        raise ArgumentError(f"there is no column {', '.join(unknown)}; there are {', '.join(there)}")
    wanted = [name for name in there if columns is None or name in columns]
    try:
        condition = parsed_filter(where)
        bind(schema, condition, True)
        check_numbers(condition, schema)
        asked = fields_of(condition, schema)
    except ArgumentError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ArgumentError(f"where={where!r} does not fit the table: {error}") from error
    needed = [field for field in schema.fields if field.name in wanted or asked & set(Schema(field).field_ids)]
    return wanted, Schema(*needed)


# Tables of Iceberg.


def _of_iceberg(
    source: TableURI, columns: Sequence[str] | None, where: str, snapshot: int | str | None
) -> tuple[list[_File], Any, list[str]]:
    table = open_iceberg(source)
    number = _snapshot(table, snapshot)
    wanted, needed = _columns(table.scan(snapshot_id=number).projection(), columns, where)
    catalog = source.place if source.catalog else ""
    shape = needed.model_dump_json()
    files = planned(table, where, number)
    if not source.catalog:
        _check_places(files, Path(source.place))
    names = tuple(field.name for field in needed.fields)
    return [_file_of(each, table.metadata, shape, names, where, catalog) for each in files], needed, wanted


def _check_places(files: Sequence[Any], folder: Path) -> None:
    """Refuse a table whose data files lie outside of the folder that it was named by."""
    for each in files:
        for file in (each.file, *each.delete_files):
            check_inside(file.file_path, folder)


def _snapshot(table: Any, wanted: int | str | None) -> int | None:
    if wanted is None:
        return None
    number = isinstance(wanted, int) or (isinstance(wanted, str) and wanted.isdigit())
    found = table.snapshot_by_id(int(wanted)) if number else table.snapshot_by_name(wanted)
    if found is None:
        there = ", ".join([*table.metadata.refs, *(str(each.snapshot_id) for each in table.snapshots())])
        raise ArgumentError(f"there is no snapshot {wanted}; there are {there or 'none'}")
    identifier: int = found.snapshot_id
    return identifier


def _file_of(planned: Any, metadata: Any, shape: str, names: tuple[str, ...], where: str, catalog: str) -> _File:
    file = planned.file
    if not planned.delete_files and file.file_format.value == "PARQUET":
        groups = _groups(file.file_path, file.file_size_in_bytes, "", catalog, shape, where)
        if groups is not None:
            kept, number = groups
            made = [Group(file.file_path, file.file_size_in_bytes, "", each, names, catalog) for each in kept]
            return _File(made, number)
    call: Any = read_data_file(
        file=_facts(file) | {"deletes": sorted(map(_facts, planned.delete_files), key=lambda each: str(each["path"]))},
        table=_table_facts(metadata, file.spec_id, shape),
        catalog=catalog,
    )
    return _File([call], 0)


def _facts(file: Any) -> dict[str, Any]:
    """What reading a data or delete file needs to know of it."""
    partition = [file.partition[number] for number in range(len(file.partition))]
    told = {"path": file.file_path, "size": file.file_size_in_bytes, "rows": file.record_count, "spec": file.spec_id}
    return {**told, "content": int(file.content), "format": file.file_format.name, "partition": partition}


def _table_facts(metadata: Any, spec: int, shape: str) -> dict[str, Any]:
    mapping = metadata.name_mapping()
    return {
        "projection": shape,
        "schema": metadata.schema().model_dump_json(),
        "spec": metadata.specs()[spec].model_dump_json(),
        "mapping": mapping.model_dump_json() if mapping is not None else "",
        "format": metadata.format_version,
    }


@functools.lru_cache(maxsize=REMEMBERED)
def _groups(
    url: str, size: int, stamp: str, catalog: str, shape: str, where: str
) -> tuple[tuple[int, ...], int] | None:
    """Row groups of a Parquet file that may fit, and how many it has; None where its schema is not the table's."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.schema import Schema

    needed = Schema.model_validate_json(shape)
    with opened(url, catalog) as source:
        fragment = arrow("dataset").ParquetFileFormat().make_fragment(source)
        try:
            there = pyarrow_to_schema(fragment.physical_schema, None, downcast_ns_timestamp_to_us=True)
        except (ValueError, TypeError, NotImplementedError):  # without ids of fields, or of types that Iceberg lacks
            return None
        if not _is_same(needed, there) or not _is_plain(needed, fragment.physical_schema):
            return None
        return _kept_groups(fragment, there, where)


def _is_same(needed: Any, there: Any) -> bool:
    """Whether a file has the columns under the names and types that the table has today."""
    files = {field.field_id: field for field in there.fields}
    return all(
        (mine := files.get(field.field_id)) is not None
        and (mine.name, mine.field_type) == (field.name, field.field_type)
        for field in needed.fields
    )


def _is_plain(needed: Any, physical: Any) -> bool:
    """Whether a file's columns have the types of Arrow that the table's have, texts of any width."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return all(
        physical.field(field.name).nullable == field.nullable
        and _narrow(physical.field(field.name).type) == _narrow(field.type)
        for field in schema_to_pyarrow(needed, include_field_ids=False)
    )


def _narrow(kind: Any) -> Any:
    """A type with texts, bytes and lists of the narrow kind."""
    pa = arrow()
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return pa.string() if pa.types.is_large_string(kind) else pa.binary()
    if pa.types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return pa.struct([each.with_type(_narrow(each.type)).remove_metadata() for each in fields])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_narrow(kind.value_type)).remove_metadata())
    if pa.types.is_map(kind):
        key, item = (each.with_type(_narrow(each.type)).remove_metadata() for each in (kind.key_field, kind.item_field))
        return pa.map_(key, item)
    return kind


def _kept_groups(fragment: Any, schema: Any, where: str, physical: Any = None) -> tuple[tuple[int, ...], int]:
    from pyiceberg.expressions.visitors import bind
    from pyiceberg.io.pyarrow import expression_to_pyarrow

    number = int(fragment.metadata.num_row_groups)
    if not where:
        return tuple(range(number)), number
    condition = expression_to_pyarrow(bind(schema, prunable(parsed_filter(where), schema), True), schema)
    left = fragment.split_by_row_group(condition, schema=physical or fragment.physical_schema)
    return tuple(group.id for each in left for group in each.row_groups), number


# Groups of zarr.


def _of_zarr(
    source: TableURI, columns: Sequence[str] | None, where: str, snapshot: int | str | None
) -> tuple[list[_File], Any, list[str]]:
    if snapshot is not None:
        raise ArgumentError(f"{source.place} has no snapshots: it is no table of Iceberg")
    place = Path(source.place).absolute()
    found = {column.name: column for column in columns_of(place)}
    wanted, needed = _columns(_numbered(schema_of(list(found.values()))), columns, where)
    names = [field.name for field in needed.fields]
    calls: list[Any] = [
        read_zarr_rows(group=place.as_uri(), stamp=part.stamp, start=part.start, stop=part.stop, columns=names)
        for part in parts_of(place, [found[name] for name in names])
    ]
    return [_File(calls, len(calls))], needed, wanted


# Parquet files that no catalog knows.


def _of_parquet(
    source: TableURI, columns: Sequence[str] | None, where: str, snapshot: int | str | None
) -> tuple[list[_File], Any, list[str]]:
    if snapshot is not None:
        raise ArgumentError(f"{source.place} has no snapshots: it is no table of Iceberg")
    files = parquet_files(source)
    physical = arrow("parquet").read_schema(files[0])
    folders = folder_values(files, Path(source.place))
    own = [field for field in fields_of_folders(folders[0]) if field.name not in physical.names]
    schema = _numbered(arrow().schema([*physical, *own]))
    wanted, needed = _columns(schema, columns, where)
    found = [_parquet_file(*each, schema, needed, where, columns is None) for each in zip(files, folders, strict=True)]
    return found, needed, wanted


def _numbered(schema: Any) -> Any:
    """Schema of a Parquet file as Iceberg has it, its columns numbered."""
    from pyiceberg.io.pyarrow import _ConvertToIcebergWithoutIDs as Convert
    from pyiceberg.io.pyarrow import visit_pyarrow
    from pyiceberg.schema import assign_fresh_schema_ids

    return assign_fresh_schema_ids(visit_pyarrow(schema, Convert(downcast_ns_timestamp_to_us=True)))


def _parquet_file(
    path: Path, folders: tuple[FolderValue, ...], schema: Any, needed: Any, where: str, whole: bool
) -> _File:
    found = path.stat()
    stamp = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_ctime_ns}"
    names = tuple(field.name for field in needed.fields)
    kept, number, own = _parquet_groups(str(path), stamp, schema.model_dump_json(), names, where, whole, folders)
    url = path.absolute().as_uri()
    told = tuple(each for each in folders if each.name in names and each.name not in own)
    read = tuple(name for name in names if name in own)
    return _File([Group(url, found.st_size, stamp, group, read, "", told) for group in kept], number)


class _Kept(NamedTuple):
    """Row groups of a Parquet file that may fit, how many it has, and the columns that it has itself."""

    groups: tuple[int, ...]
    number: int
    own: frozenset[str]


@functools.lru_cache(maxsize=REMEMBERED)
def _parquet_groups(
    path: str,
    stamp: str,
    schema: str,
    names: tuple[str, ...],
    where: str,
    whole: bool,
    folders: tuple[FolderValue, ...],
) -> _Kept:
    from pyiceberg.schema import Schema

    wanted = Schema.model_validate_json(schema)
    with arrow().memory_map(path) as source:
        formed = arrow("dataset").ParquetFileFormat()
        about = formed.make_fragment(source)
        own = about.physical_schema.names
        check_agreement(about.metadata, {each.name: each for each in folders if each.name in own}, path)
        told = [each for each in folders if each.name not in own]
        physical = arrow().schema([*about.physical_schema, *fields_of_folders(told)])
        _check_columns(path, physical, wanted, names, whole)
        check_unsigned(parsed_filter(where), physical)
        fragment = formed.make_fragment(source, partition_expression=in_folders(told)) if told else about
        return _Kept(*_kept_groups(fragment, wanted, where, physical), frozenset(own))


def _check_columns(path: str, physical: Any, wanted: Any, names: tuple[str, ...], whole: bool) -> None:
    """Refuse a file that has other columns than the first one of its folder."""
    from stargazer.errors import DataError

    there = {field.name: field.field_type for field in _numbered(physical).fields}
    other = [field.name for field in wanted.fields if field.name in names and there.get(field.name) != field.field_type]
    if whole:  # of all columns none is left out without a word
        other += sorted(there.keys() - {field.name for field in wanted.fields})
    if other:
        raise DataError(f"{path} has other columns than the first file of its folder: {', '.join(other)}")
