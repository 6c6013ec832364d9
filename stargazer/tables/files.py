"""Data files as Arrow reads them, and as pyiceberg does where a file is not what the table has become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stargazer.tables.arrow import arrow, read_table
from stargazer.tables.conditions import exact, parsed_filter
from stargazer.tables.sizes import check_row_group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_sizes", "file_io", "fitting", "local_path", "opened", "read_by_iceberg"]


def local_path(url: str) -> str | None:
    """Path of a file of this host; None of others."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else url if not parts.scheme else None


def opened(url: str, catalog: str) -> Any:
    """Return a data file, opened for reading; a context."""
    path = local_path(url)
    return arrow().memory_map(path) if path is not None else file_io(url, catalog).new_input(url).open()


def file_io(url: str, catalog: str) -> Any:
    """Return pyiceberg's way to a file, with what its own configuration says of a catalog."""
    from pyiceberg.io import load_file_io
    from pyiceberg.utils.config import Config

    properties = (Config().get_catalog_config(catalog) or {}) if catalog else {}
    return load_file_io({name: str(value) for name, value in properties.items()}, url)


def check_sizes(file: dict[str, Any], catalog: str) -> None:
    """Refuse a data file or its deletes if they take far more once they are read than files of their size hold."""
    for each in (file, *file["deletes"]):
        if each["format"] == "PARQUET":
            with opened(each["path"], catalog) as source:
                about = arrow("parquet").ParquetFile(source).metadata
                for group in range(about.num_row_groups):
                    check_row_group(source, group, None, each["path"], about)


def read_by_iceberg(file: dict[str, Any], table: dict[str, Any], catalog: str) -> Any:
    """Return the rows of one data file as pyiceberg reads it.

    Parameters
    ----------
    file, table
        As `stargazer.tables.scanning` wrote them.
    catalog
        Name of the catalog whose configuration leads to the file.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask

    wanted = Schema.model_validate_json(table["projection"])
    task = FileScanTask(
        _data_file(file, table["format"]), {_data_file(each, table["format"]) for each in file["deletes"]}
    )
    scan = ArrowScan(_metadata(table), file_io(file["path"], catalog), wanted, AlwaysTrue())
    return scan.to_table([task])


def _data_file(file: dict[str, Any], version: Any) -> Any:
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    members = {"content": DataFileContent(file["content"]), "file_path": file["path"]}
    members |= {"file_format": FileFormat[file["format"]], "partition": Record(*file["partition"])}
    members |= {"record_count": file["rows"], "file_size_in_bytes": file["size"]}
    made = DataFile.from_args(version, **members)
    made.spec_id = file["spec"]
    return made


def _metadata(table: dict[str, Any]) -> Any:
    """As much of a table's metadata as reading a file needs."""
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadataV2

    schema = Schema.model_validate_json(table["schema"])
    spec = PartitionSpec.model_validate_json(table["spec"])
    return TableMetadataV2.model_validate(
        {
            "format-version": 2,
            "location": "memory:table",
            "last-updated-ms": 0,
            "last-column-id": schema.highest_field_id,
            "schemas": [schema],
            "current-schema-id": schema.schema_id,
            "partition-specs": [spec],
            "default-spec-id": spec.spec_id,
            "last-partition-id": max((field.field_id for field in spec.fields), default=999),
            "properties": {"schema.name-mapping.default": table["mapping"]} if table["mapping"] else {},
        }
    )


def fitting(paths: Sequence[Path], schema: str, columns: list[str], where: str) -> Any:
    """Return the rows of stored parts that fit, as one table.

    Parameters
    ----------
    paths
        Arrow files, each with all columns of the schema.
    schema
        Of Iceberg, as JSON.
    columns
        Those that are wanted, in their order.
    where
        What must hold of a row; empty for all.
    """
    from pyiceberg.expressions.visitors import bind
    from pyiceberg.io.pyarrow import expression_to_pyarrow, schema_to_pyarrow
    from pyiceberg.schema import Schema

    pa, known = arrow(), Schema.model_validate_json(schema)
    names = [field.name for field in known.fields]
    wanted = exact(parsed_filter(where), known)
    condition = expression_to_pyarrow(bind(known, wanted, True), known) if where else None
    parts = [read_table(path).select(names) for path in paths]
    left = [part if condition is None else part.filter(condition) for part in parts]
    # As pyiceberg puts files together: of the widths that texts have in them, the widest.
    found = [part for part in left if part.num_rows] or [
        schema_to_pyarrow(known, include_field_ids=False).empty_table()
    ]
    return pa.concat_tables(found, promote_options="permissive").select(columns)
