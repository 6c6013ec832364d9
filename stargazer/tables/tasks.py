"""The calls of a scan: one row group, one file that pyiceberg reads, and all of them as one table."""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from stargazer.assets.table import Table
from stargazer.calls.task import task
from stargazer.calls.unwatched import Unwatched
from stargazer.tables.arrow import arrow, write_table
from stargazer.tools import Workdir  # noqa: TC001 - annotations of tasks are read when they run

__all__ = ["gather_rows", "read_data_file", "read_folder_rows", "read_row_group", "read_zarr_rows"]


@task(uses=["pyarrow"])
def read_row_group(
    work: Workdir, *, file: str, size: int, stamp: str, group: int, columns: list[str], catalog: str
) -> Table:
    """Read columns of one row group of a Parquet file.

    Parameters
    ----------
    file
        URL of the file.
    size
        Its bytes. Data files of Iceberg never change: URL and size are an identity.
    stamp
        Of a file that may change: what changes with it.
    group
        Number of the row group, from 0.
    columns
        Their names, in the order of the table.
    catalog
        Name of the catalog that knows how to reach the file; empty for files of this host.

    Returns
    -------
    Table
        An Arrow IPC file, without the metadata of Parquet.
    """
    from stargazer.tables.files import opened
    from stargazer.tables.sizes import check_row_group

    with opened(file, catalog) as source:
        check_row_group(source, group, columns, file)
        found = arrow("parquet").ParquetFile(source).read_row_group(group, columns=columns)
    return _kept(work, _plain(found.select(columns)))


@functools.partial(Unwatched, uses=["pyarrow"])
def read_folder_rows(
    work: Workdir, *, file: str, size: int, stamp: str, group: int, columns: list[str], folders: list[list[Any]]
) -> Table:
    """Read columns of one row group of a Parquet file whose folders are named for values of others.

    Parameters
    ----------
    file
        URL of the file on this host.
    size
        Its bytes.
    stamp
        What changes with it.
    group
        Number of the row group, from 0.
    columns
        Names of its own columns, in the order of the table.
    folders
        Name, type and value of the columns that its folders tell, in the order of the table.

    Returns
    -------
    Table
        An Arrow IPC file, without the metadata of Parquet; what the folders tell stands behind the others.
    """
    from stargazer.tables.files import opened
    from stargazer.tables.hive import FolderValue, with_values
    from stargazer.tables.sizes import check_row_group, check_rows

    values = [FolderValue(*each) for each in folders]
    with opened(file, "") as source:
        parquet = arrow("parquet").ParquetFile(source)
        rows = parquet.metadata.row_group(group).num_rows
        check_row_group(source, group, columns, file, parquet.metadata)
        check_rows(rows, [each.value for each in values], size, file)
        found = parquet.read_row_group(group, columns=columns)
    return _kept(work, with_values(_plain(found.select(columns)), rows, values))


@functools.partial(Unwatched, uses=["pyarrow", "zarr"])
def read_zarr_rows(work: Workdir, *, group: str, stamp: str, start: int, stop: int, columns: list[str]) -> Table:
    """Read rows of a group of zarr, whose arrays are columns.

    Parameters
    ----------
    group
        URL of its folder on this host.
    stamp
        Of the files that hold the rows: what changes with them.
    start
        Number of the first row.
    stop
        Number of the row after the last.
    columns
        Their names, in the order of the table.

    Returns
    -------
    Table
        An Arrow IPC file.
    """
    from stargazer.tables.files import local_path
    from stargazer.tables.zarrs import read_rows

    return _kept(work, read_rows(Path(str(local_path(group))), columns, start, stop))


@task(uses=["pyarrow", "pyiceberg"])
def read_data_file(work: Workdir, *, file: dict[str, Any], table: dict[str, Any], catalog: str) -> Table:
    """Read one data file as pyiceberg does: with its deletes, and by the table's schema.

    Parameters
    ----------
    file
        What the manifests say of it and of its deletes.
    table
        Schemas, partition, name mapping and format of the table, as far as reading depends on them.
    catalog
        Name of the catalog that knows how to reach the file; empty for files of this host.

    Returns
    -------
    Table
        An Arrow IPC file.
    """
    from stargazer.tables.files import check_sizes, read_by_iceberg

    check_sizes(file, catalog)
    return _kept(work, _plain(read_by_iceberg(file, table, catalog)))


@task(uses=["pyarrow", "pyiceberg"])
def gather_rows(work: Workdir, parts: list[Table], *, schema: str, columns: list[str], where: str) -> Table:
    """Put the parts of a table together: rows that fit, and no others.

    Parameters
    ----------
    parts
        In their order.
    schema
        Of Iceberg, as JSON: of all columns that the parts may have.
    columns
        Those that are wanted, in their order.
    where
        What must hold of a row; empty for all rows.

    Returns
    -------
    Table
        A folder of the parts as they are where nothing of them is left out, else one Arrow IPC file.
    """
    from stargazer.tables.files import fitting

    names = [part.columns for part in parts]
    if len(parts) > 1 and not where and all(tuple(columns) == each for each in names):
        return _folder(work, parts, columns)
    return _kept(work, fitting([part.path for part in parts], schema, columns, where))


def _plain(table: Any) -> Any:
    """A table without what Parquet and pandas noted of it."""
    pa = arrow()
    return pa.Table.from_arrays(table.columns, schema=pa.schema(map(_plain_field, table.schema)))


def _plain_field(field: Any) -> Any:
    return arrow().field(field.name, _plain_type(field.type), field.nullable)


def _plain_type(kind: Any) -> Any:
    """A type without the metadata of its fields."""
    pa = arrow()
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(number)) for number in range(kind.num_fields)])
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field))
    return kind


def _kept(work: Workdir, table: Any) -> Table:
    out = work.file("table.arrow")
    write_table(out, table)
    return Table(path=out, rows=table.num_rows, columns=tuple(table.column_names))


def _folder(work: Workdir, parts: list[Table], columns: list[str]) -> Table:
    """The parts in a folder: files that the store has are not written again."""
    out = work.file("table")
    out.mkdir()
    digits = len(str(len(parts) - 1))
    for number, part in enumerate(parts):
        _lay(part.path, out / f"{number:0{digits}d}.arrow")
    return Table(path=out, rows=sum(part.rows for part in parts), columns=tuple(columns))


def _lay(path: Path, target: Path) -> None:
    if path.is_symlink():
        os.symlink(os.readlink(path), target)
    else:
        shutil.copyfile(path, target)


def as_text(members: dict[str, Any]) -> str:
    """Canonical JSON of a schema."""
    return json.dumps(members, sort_keys=True, separators=(",", ":"))
