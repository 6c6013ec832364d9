"""Groups of zarr as tables: arrays of one dimension and one length are columns, as `AnnData` keeps its frames."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.bio.singlecell.foreign import check_folder
from stargazer.errors import DataError, NotFound, ToolMissing
from stargazer.tables.arrow import arrow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Column", "Part", "columns_of", "is_zarr", "parts_of", "read_rows", "schema_of"]

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
LEAST_ROWS = 65_536
"""Rows of one call, where the chunks of the columns are smaller."""

WIDER = {
    "int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "uint32": "int64", "float16": "float32",
}  # fmt: skip
"""Types that tables of Iceberg lack, and what holds their values."""


class Column(NamedTuple):
    """A column.

    Parameters
    ----------
    name
        As the group says it.
    arrays
        Of zarr, by what they are: ``values``; ``codes`` and ``categories``; ``values`` and ``mask``.
    """

    name: str
    arrays: dict[str, Any]

    @property
    def first(self) -> Any:
        """The array whose length is the table's."""
        return self.arrays.get("codes", self.arrays.get("values"))


class Part(NamedTuple):
    """Rows of a zarr table that one call reads.

    Parameters
    ----------
    start, stop
        Numbers of the first, and of the one after the last.
    stamp
        Of the files that hold them, and of how they are read: what changes with either.
    """

    start: int
    stop: int
    stamp: str


def is_zarr(place: Path) -> bool:
    """Whether a folder is a group or an array of zarr."""
    return place.is_dir() and any((place / mark).is_file() for mark in MARKS)


def _opened(place: Path) -> Any:
    try:
        import zarr
    except ImportError:
        raise ToolMissing("tables of zarr want zarr: pip install 'stargazer-dask[zarr]'") from None
    check_folder(place)
    found = zarr.open(str(place), mode="r")
    if not isinstance(found, zarr.Group):
        raise DataError(f"{place} is one array: a table is a group, whose arrays are its columns")
    return found


def columns_of(place: Path) -> list[Column]:
    """Return the columns of a group, in its order.

    Raises
    ------
    DataError
        It has none, or they have several dimensions or lengths.
    """
    group = _opened(place)
    attributes = dict(group.attrs)
    names = sorted(group)
    if attributes.get("encoding-type") == "dataframe":
        names = [str(attributes["_index"]), *map(str, attributes["column-order"])]
    if missing := [name for name in names if name not in group]:
        raise DataError(f"{place} has no {', '.join(missing)}, which its attributes name")
    found = [Column(name, _arrays(group[name], f"{place}/{name}")) for name in names]
    if not found:
        raise DataError(f"{place} is a group without arrays, and no table")
    lengths = {column.name: column.first.shape for column in found}
    odd = [f"{name} {shape}" for name, shape in lengths.items() if len(shape) != 1]
    if odd or len(set(lengths.values())) > 1:
        told = ", ".join(odd) or ", ".join(f"{name} {shape[0]}" for name, shape in lengths.items())
        raise DataError(f"{place} is no table: its columns have several dimensions or lengths ({told})")
    return found


def _arrays(node: Any, where: str) -> dict[str, Any]:
    import zarr

    if isinstance(node, zarr.Array):
        return {"values": node}
    names = set(node)
    for wanted in ({"codes", "categories"}, {"values", "mask"}):
        if wanted <= names:
            return {name: node[name] for name in sorted(wanted)}
    raise DataError(f"{where} is neither an array, nor categories, nor values with a mask: no column of a table")


def schema_of(columns: Sequence[Column]) -> Any:
    """Schema of Arrow of the columns: read from their first rows."""
    return _table(columns, 0, 1).schema


def parts_of(place: Path, columns: Sequence[Column]) -> Iterator[Part]:
    """Cut the rows where the chunks of the columns end.

    Parameters
    ----------
    place
        Of the group.
    columns
        Those that are read.
    """
    rows = int(columns[0].first.shape[0])
    step = max([LEAST_ROWS, *(_file_rows(column.first) for column in columns)])
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield Part(start, stop, _stamp(place, columns, start, stop))


def _file_rows(array: Any) -> int:
    """Rows of one file of an array: of a shard, where there are some, else of a chunk."""
    return int((getattr(array, "shards", None) or array.chunks)[0])


def _stamp(place: Path, columns: Sequence[Column], start: int, stop: int) -> str:
    told = [_written(place, each, start, stop) for column in columns for each in sorted(column.arrays.items())]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _written(place: Path, named: tuple[str, Any], start: int, stop: int) -> list[Any]:
    """What tells the rows of an array from any others: how it is read, and its files; its length is none of that."""
    role, array = named
    metadata = {name: value for name, value in array.metadata.to_dict().items() if name not in ("shape", "attributes")}
    rows = (0, int(array.shape[0])) if role == "categories" else (start, stop)
    size = _file_rows(array)
    folder = Path(array.store_path.store.root) / array.store_path.path if hasattr(array, "store_path") else place
    files = [folder / array.metadata.encode_chunk_key((n,)) for n in range(rows[0] // size, -(-rows[1] // size))]
    return [role, array.path, metadata, [_file_stamp(file) for file in files]]


def _file_stamp(file: Path) -> list[int] | None:
    try:
        found = file.stat()
    except OSError:
        return None  # a chunk of nothing but the value that fills
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def read_rows(place: Path, names: Sequence[str], start: int, stop: int) -> Any:
    """Return some rows as a `pyarrow.Table`.

    Raises
    ------
    NotFound
        The group has no such column any more.
    """
    known = {column.name: column for column in columns_of(place)}
    if missing := [name for name in names if name not in known]:
        raise NotFound(f"{place} has no column {', '.join(missing)}")
    return _table([known[name] for name in names], start, stop)


def _table(columns: Sequence[Column], start: int, stop: int) -> Any:
    pa = arrow()
    return pa.table({column.name: _values(column, start, stop) for column in columns})


def _values(column: Column, start: int, stop: int) -> Any:
    pa, arrays = arrow(), column.arrays
    if "codes" in arrays:
        codes = arrays["codes"][start:stop]
        known = _plain(arrays["categories"][:])
        return known.take(pa.array(codes.astype("int64"), mask=codes < 0))
    values = arrays["values"][start:stop]
    return _plain(values, arrays["mask"][start:stop] if "mask" in arrays else None)


def _plain(values: Any, mask: Any = None) -> Any:
    """An array of Arrow, of a type that tables have."""
    pa = arrow()
    if values.dtype.kind in "OSUT":
        texts = [each.decode() if isinstance(each, bytes) else each for each in values.tolist()]
        return pa.array([None if isinstance(each, float) else each for each in texts], pa.string(), mask=mask)
    name = values.dtype.name
    if name == "uint64":
        raise DataError("a column of unsigned 64-bit integers has no type in a table: store it as int64")
    return pa.array(values.astype(WIDER.get(name, name)), mask=mask)
