"""Tables as Arrow, only where the very same table comes back: types, index, names, gaps."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

from stargazer.notebook.values import check_size

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "read_frame",
    "read_polars",
    "read_series",
    "read_table",
    "same_frame",
    "write_frame",
    "write_polars",
    "write_series",
    "write_table",
]

UNNAMED = "stargazer-unnamed"
PANDAS = b"pandas"


def write_frame(frame: Any, path: Path) -> bool:
    """Write a data frame; False where it would come back as another one."""
    return _written(frame, path) and same_frame(frame, read_frame(path))


def _written(frame: Any, path: Path) -> bool:
    try:
        import pyarrow as pa
    except ImportError:
        return False
    if len({type(name) for name in frame.columns}) > 1:
        return False
    check_size(int(frame.memory_usage(index=True).sum()), f"a data frame of {frame.shape}")
    try:
        table = pa.Table.from_pandas(frame)
        write_table(table.replace_schema_metadata(_metadata(table.schema.metadata)), path)
        return True
    except (pa.ArrowException, ValueError, TypeError, KeyError, NotImplementedError, AttributeError, OverflowError):
        return False


def _metadata(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Without the versions of what wrote it: they make equal tables differ."""
    told = json.loads(found[PANDAS])
    told.pop("creator", None)
    return {**found, PANDAS: json.dumps(told).encode()}


def read_frame(path: Path) -> Any:
    """Read a data frame."""
    return read_table(path).to_pandas()


def write_series(series: Any, path: Path) -> bool:
    """Write a series, as the only column of a frame."""
    name = UNNAMED if series.name is None else series.name
    return _written(series.to_frame(name), path) and same_series(series, read_series(path))


def read_series(path: Path) -> Any:
    """Read a series."""
    series = read_frame(path).iloc[:, 0]
    if series.name == UNNAMED:
        return series.rename(None)
    return series.rename(series.name.item()) if hasattr(series.name, "item") else series


def write_table(table: Any, path: Path) -> bool:
    """Write a table of Arrow's own, in one piece."""
    import pyarrow as pa

    check_size(int(table.nbytes), f"a table of {table.shape}")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return True


def read_table(path: Path) -> Any:
    """Read a table; its memory is the file."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def write_polars(frame: Any, path: Path) -> bool:
    """Write a data frame of polars."""
    import polars

    check_size(int(frame.estimated_size()), f"a data frame of {frame.shape}")
    try:
        with path.open("wb") as file:
            frame.write_ipc(file)
        back = read_polars(path)
    except (polars.exceptions.PolarsError, TypeError):
        return False
    return bool(back.schema == frame.schema and back.equals(frame))


def read_polars(path: Path) -> Any:
    """Read a data frame of polars."""
    import polars

    return polars.read_ipc(io.BytesIO(path.read_bytes()))


def same_frame(one: Any, other: Any) -> bool:
    """Whether two data frames are one to every program: types, index, names and each kind of gap."""
    return (
        type(one) is type(other)
        and one.shape == other.shape
        and one.attrs == other.attrs
        and one.flags.allows_duplicate_labels == other.flags.allows_duplicate_labels
        and _same_index(one.index, other.index)
        and _same_index(one.columns, other.columns)
        and all(_same_column(one.iloc[:, n], other.iloc[:, n]) for n in range(one.shape[1]))
    )


def same_series(one: Any, other: Any) -> bool:
    """As `same_frame`, for series."""
    return (
        type(one) is type(other)
        and type(one.name) is type(other.name)
        and one.name == other.name
        and one.attrs == other.attrs
        and _same_index(one.index, other.index)
        and _same_column(one, other)
    )


def _same_index(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.nlevels != other.nlevels or not _same_names(one.names, other.names):
        return False
    if one.nlevels > 1:
        return all(_same_index(one.levels[n], other.levels[n]) for n in range(one.nlevels)) and all(
            list(a) == list(b) for a, b in zip(one.codes, other.codes, strict=True)
        )
    return getattr(one, "freq", None) == getattr(other, "freq", None) and _same_column(one.array, other.array)


def _same_names(one: Any, other: Any) -> bool:
    return [(type(a), a) for a in one] == [(type(b), b) for b in other]


def _same_column(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or repr(one.dtype) != repr(other.dtype):
        return False
    if hasattr(one.dtype, "categories"):
        categories = one.dtype.categories, other.dtype.categories
        codes = (getattr(each, "cat", each).codes for each in (one, other))
        return _same_index(*categories) and bool((next(codes) == next(codes)).all())
    if one.dtype == object:
        return all(map(_same_item, one, other))
    missing = one.isna(), other.isna()
    if not (missing[0] == missing[1]).all():
        return False
    there = ~missing[0]
    return bool((one[there] == other[there]).all())


def _same_item(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isnan(one) == math.isnan(other) and (math.isnan(one) or one.hex() == other.hex())
    if one is None or isinstance(one, (str, int, bytes)):
        return bool(one == other)
    return one is other
