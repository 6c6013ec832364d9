"""Arrow IPC files of stored tables: read by memory map, put together without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.errors import AssetError, ToolMissing

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["arrow", "read_table", "write_table"]

SUFFIXES = (".arrow", ".arrows", ".feather", ".parquet", ".csv", ".tsv")


def arrow(name: str = "") -> Any:
    """Return a module of pyarrow.

    Raises
    ------
    ToolMissing
        It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"pyarrow.{name}" if name else "pyarrow")
    except ImportError:
        raise ToolMissing("tables want pyarrow: pip install 'stargazer-dask[iceberg]'") from None


def read_table(path: Path) -> Any:
    """Return a table file, or a folder of them, as one `pyarrow.Table`.

    Arrow IPC files are mapped into memory and put together without a copy.

    Parameters
    ----------
    path
        An Arrow IPC file or stream, Parquet, or text with commas or tabs; or a folder of Arrow files, in order of name.

    Raises
    ------
    AssetError
        It is none of these.
    """
    pa = arrow()
    if path.is_dir():
        parts = [read_table(each) for each in sorted(path.iterdir())]
        if not parts:
            raise AssetError(f"{path.name} is an empty folder, and no table")
        return _together(path, parts)
    try:
        return _read_file(pa, path)
    except pa.ArrowInvalid as error:
        raise AssetError(f"{path.name} is no table that Arrow reads ({', '.join(SUFFIXES)}): {error}") from None


def _together(path: Path, parts: list[Any]) -> Any:
    """Parts of one table: as they are where their types are the same, else of the widest type each."""
    pa = arrow()
    if all(part.schema.equals(parts[0].schema) for part in parts):
        return pa.concat_tables(parts)
    if any(part.column_names != parts[0].column_names for part in parts):
        raise AssetError(f"{path.name} is a folder of tables with different columns, and no table")
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise AssetError(f"{path.name} is a folder of tables with different types, and no table: {error}") from error


def _read_file(pa: Any, path: Path) -> Any:
    if path.suffix == ".parquet":
        return arrow("parquet").read_table(path)
    if path.suffix in (".csv", ".tsv"):
        csv = arrow("csv")
        return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter="," if path.suffix == ".csv" else "\t"))
    mapped = pa.memory_map(str(path)).read_buffer()  # in one step: each asks the system to have its bytes at hand
    try:
        return pa.ipc.open_file(mapped).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(mapped).read_all()


def write_table(path: Path, table: Any) -> None:
    """Write an Arrow IPC file; the same rows in the same chunks are the same bytes."""
    pa = arrow()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
