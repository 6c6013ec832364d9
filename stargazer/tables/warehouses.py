"""Tables of Iceberg in a folder: what they say of places outside of it, and of programs, is not followed.

Metadata name manifests, manifests name data files, each by a whole URL: of a folder that somebody gave to somebody
else, they may name any file of whoever reads it. Metadata may also name a class that is to open the files, and
pyiceberg calls it with what else they say. So nothing of them but the shape of the table is believed here; who means
a table whose files lie elsewhere says so by a catalog of his own configuration.

References
----------
Iceberg table specification, https://iceberg.apache.org/spec/ (metadata, manifests, version 2)
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stargazer.errors import DataError, NotFound
from stargazer.tables.planning import REMEMBERED

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_inside", "in_catalog", "open_table", "without_readers"]

LARGEST_METADATA = 256 << 20
"""Bytes of a table's metadata: those of ten thousand snapshots have ten million."""

PACKED = ".gz.metadata.json"
READER = "py-io-impl"
"""Property that names a class, which pyiceberg imports and calls."""

STEPS, MOST_STEPS = 10_000, 10_000
"""Steps of SQLite between two looks at their number, and how many looks there may be."""


def open_table(folder: Path, table: str, location: str) -> Any:
    """Return a table of a folder as pyiceberg knows it, of which nothing outside of that folder is read.

    Parameters
    ----------
    folder
        The warehouse.
    table
        ``namespace.table``.
    location
        URL of its metadata.

    Raises
    ------
    DataError
        It names a file outside, or its metadata are too large.
    """
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.table import StaticTable
    from pyiceberg.table.metadata import TableMetadataUtil

    reader = _reader(folder)
    metadata = TableMetadataUtil.parse_raw(_text_of(reader, location))
    return StaticTable((*table.split("."),), metadata, location, reader, NoopCatalog("folder"))


def _reader(folder: Path) -> Any:
    """What pyiceberg opens files with: those in a folder alone, for reading."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    reader: Any = PyArrowFileIO()
    opens = reader.new_input

    def new_input(location: str) -> Any:
        check_inside(location, folder)
        return opens(location)

    reader.new_input = new_input
    return reader


def _text_of(reader: Any, location: str) -> str:
    with reader.new_input(location).open() as file:
        data: bytes = file.read(LARGEST_METADATA + 1)
    if location.endswith(PACKED):
        data = zlib.decompressobj(wbits=31).decompress(data, LARGEST_METADATA + 1)
    if len(data) > LARGEST_METADATA:
        raise DataError(f"{location} is larger than the {LARGEST_METADATA >> 20} MiB that metadata of a table may have")
    return data.decode("utf-8")


def check_inside(url: str, folder: Path) -> None:
    """Refuse a file that a table names and that does not lie in its folder, by whatever links.

    Raises
    ------
    DataError
        It lies elsewhere.
    """
    if not _is_inside(url, str(folder)):
        raise DataError(
            f"the table names {url[:200]!r}, which does not lie in {folder}: of a folder nothing else is read. If that "
            "is meant, name the table by a catalog of pyiceberg's configuration: iceberg://CATALOG/db.table"
        )


@functools.lru_cache(maxsize=REMEMBERED)
def _is_inside(url: str, folder: str) -> bool:
    """Whether a URL is that of a file below a folder, also for who takes its escapes for letters."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc or "\0" in url:
        return False
    root = os.path.join(os.path.realpath(folder), "")
    return all(os.path.realpath(path).startswith(root) for path in {parts.path, unquote(parts.path)})


def without_readers(catalog: Any) -> Any:
    """Return a catalog whose tables do not choose the class that opens their files; its own configuration may."""
    load = catalog._load_file_io

    def _load_file_io(properties: Any = (), location: str | None = None) -> Any:
        told = {name: value for name, value in dict(properties).items() if name != READER}
        own = catalog.properties.get(READER)
        return load({**told, **({READER: own} if own else {})}, location)

    catalog._load_file_io = _load_file_io
    return catalog


def in_catalog(database: Path, table: str) -> tuple[str, str]:
    """Return the name of the catalog in a file of SQLite, and where it says that a table's metadata is.

    Raises
    ------
    NotFound
        It has no such table.
    DataError
        It holds several catalogs, or is none.
    """
    named = "SELECT metadata_location FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            _limit(connection)
            names = [str(row[0]) for row in connection.execute("SELECT DISTINCT catalog_name FROM iceberg_tables")]
            place = connection.execute(named, table.rpartition(".")[::2]).fetchone()
    except sqlite3.Error as error:
        raise DataError(f"{database} is no catalog that can be read: {error}") from error
    if len(names) > 1:
        raise DataError(f"{database} holds several catalogs: {', '.join(sorted(names))}; name one by iceberg://CATALOG")
    if place is None or not isinstance(place[0], str):
        raise NotFound(f"there is no table {table} in {database}")
    return names[0] if names else "default", place[0]


def _limit(connection: sqlite3.Connection) -> None:
    """Let a question end: what is called a table may be a view that goes on for ever."""
    left = iter(range(MOST_STEPS))
    connection.set_progress_handler(lambda: int(next(left, None) is None), STEPS)
