"""Where tables are: warehouses of Iceberg, catalogs of pyiceberg's own configuration, folders of Parquet files."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from stargazer.errors import ArgumentError, DataError, NotFound, StargazerError, ToolMissing
from stargazer.tables.planning import Remembered, is_unique
from stargazer.tables.warehouses import in_catalog, open_table, without_readers

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TableURI", "iceberg", "is_table_uri", "open_iceberg", "parquet_files", "read_table_uri", "refusals"]

SCHEMES = re.compile(r"(file|iceberg|s3|s3a|gs|gcs|abfss?|hdfs)://", re.IGNORECASE)
CATALOG_FILES = ("catalog.db", "pyiceberg_catalog.db", "iceberg.db")
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
VERSION = re.compile(r"v?(\d+)")
_tables: Remembered[Any] = Remembered(16)


class TableURI(NamedTuple):
    """A table, as somebody named it.

    Parameters
    ----------
    place
        Folder or URL of a warehouse, or of Parquet files; name of a catalog.
    table
        ``namespace.table``; empty of Parquet files.
    catalog
        Whether `place` is the name of a catalog in pyiceberg's own configuration.
    """

    place: str
    table: str = ""
    catalog: bool = False


def is_table_uri(text: object) -> bool:
    """Whether something has the form of a table's URI: an asset's is ``stargazer://…``."""
    return isinstance(text, str) and SCHEMES.match(text) is not None


def read_table_uri(uri: str) -> TableURI:
    """Read the URI of a table.

    Parameters
    ----------
    uri
        ``file:///warehouse#db.events``: a table of a warehouse in a folder; ``iceberg://CATALOG/db.events``: of a
        catalog of pyiceberg's own configuration; ``file:///folder``: the Parquet files in a folder, or one of them; or
        a group of zarr.

    Raises
    ------
    ArgumentError
        It is none of these.
    """
    if not is_table_uri(uri) or CONTROLS.search(uri):  # those are passed over by who splits URLs: `.<tab>.` is a way up
        raise ArgumentError(
            f"{uri!r:.200} names no table: write file:///warehouse#db.events, iceberg://CATALOG/db.events, or "
            "file:///folder of Parquet files"
        )
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ArgumentError(f"{uri!r:.200} names no table: {error}") from error
    if "?" in uri:  # what stands behind it would be passed over, though patterns of tables are held against it
        raise ArgumentError(f"{uri!r:.200} names no table: it has a ?, which the name of a file has as %3F")
    if parts.scheme.lower() == "iceberg":
        table = parts.path.strip("/").replace("/", ".")
        if not parts.netloc or "." not in table or "#" in uri:
            raise ArgumentError(f"{uri} names no table: write iceberg://CATALOG/db.events")
        return TableURI(parts.netloc, table, True)
    if parts.scheme.lower() == "file":
        if parts.netloc not in ("", "localhost"):
            raise ArgumentError(f"{uri}: {parts.netloc} is another host; write file:///path, with three slashes")
        found = TableURI(unquote(parts.path), unquote(parts.fragment))
        if found.table and not all(name and "/" not in name for name in found.table.split(".")):
            raise ArgumentError(f"{uri!r:.200}: {found.table!r} is no name of a table, such as db.events")
        return found
    raise ArgumentError(f"{uri}: tables in {parts.scheme} are read by a catalog: iceberg://CATALOG/db.events")


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Let what Iceberg's and Arrow's libraries raise about a table be told as ours, with the table's name."""
    try:
        yield
    except StargazerError:
        raise
    except ImportError as error:
        raise ToolMissing(f"{what}: tables of Iceberg want pyiceberg: pip install 'stargazer-dask[iceberg]'") from error
    except (FileNotFoundError, LookupError) as error:
        raise NotFound(f"{what}: {error}") from error
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise DataError(f"{what}: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith(("pyiceberg.", "pyarrow.", "sqlalchemy.", "pydantic")):
            raise (NotFound if "NoSuch" in type(error).__name__ else DataError)(f"{what}: {error}") from error
        raise


def open_iceberg(source: TableURI) -> Any:
    """Return a table as pyiceberg knows it.

    Raises
    ------
    NotFound
        There is no such warehouse, catalog or table.
    DataError
        It cannot be read.
    """
    if source.catalog:
        from pyiceberg.catalog import load_catalog

        return without_readers(load_catalog(source.place)).load_table(source.table)
    folder = Path(source.place)
    if not folder.is_dir():
        raise NotFound(f"there is no warehouse {source.place}")
    database = next((folder / name for name in CATALOG_FILES if (folder / name).is_file()), None)
    if database is None:
        return _from_folder(folder, source.table)
    return _of_catalog(database, folder, source.table)


def _of_catalog(database: Path, folder: Path, table: str) -> Any:
    """A table of the catalog in a file of SQLite; as long as that names the same metadata, it is remembered."""
    catalog, location = in_catalog(database, table)
    key = str(database), catalog, table, location
    found = _tables.get(key)
    if found is None:
        found = open_table(folder, table, location)
        if is_unique(location):
            _tables.keep(key, found)
    return found


def _from_folder(folder: Path, table: str) -> Any:
    """A table of which only the files are there: the newest of its metadata counts."""
    places = [
        folder.joinpath(*table.split(".")),
        folder.joinpath(f"{table.rpartition('.')[0]}.db", table.split(".")[-1]),
    ]
    for place in places:
        found = sorted((place / "metadata").glob("*.metadata.json"), key=_version)
        if found:
            return open_table(folder, table, f"file://{found[-1]}")
    raise NotFound(f"{folder} has neither a catalog ({', '.join(CATALOG_FILES)}) nor a table {table}")


def _version(path: Path) -> tuple[int, str]:
    found = VERSION.match(path.name)
    return (int(found[1]) if found else -1, path.name)


def iceberg(source: TableURI) -> bool:
    """Whether a URI names a table of Iceberg, and not Parquet files."""
    return bool(source.table)


def parquet_files(source: TableURI) -> list[Path]:
    """Return the Parquet files that a URI names, in order of their paths.

    Raises
    ------
    NotFound
        There are none.
    DataError
        One of a folder is a link that leads out of it, or no file.
    """
    place = Path(source.place)
    found = [place] if place.is_file() else sorted(place.rglob("*.parquet")) if place.is_dir() else []
    files = [path for path in found if not any(part.startswith(("_", ".")) for part in path.relative_to(place).parts)]
    files = [path for path in files if not path.is_dir()]
    for path in files:
        _check_file(path, place)
    if not files:
        raise NotFound(f"there are no Parquet files in {source.place}; a table of Iceberg is named file://…#db.events")
    return files


def _check_file(path: Path, folder: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} is no regular file")
    if path != folder and path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} is a link that leads out of {folder}: name the folder that it leads to, or a copy")
