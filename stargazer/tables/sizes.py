"""What rows of a Parquet file take once they are read: told before they are, so that none fills the memory.

A value that stands in a dictionary takes a few bits for each row that has it, and so does one that repeats what stands
before it. So a file of three hundred bytes may stand for many gigabytes; what it says of its size is that of its pages.

References
----------
Parquet format, https://parquet.apache.org/docs/file-format/data-pages/encodings/ (RLE_DICTIONARY, DELTA_BYTE_ARRAY)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.errors import DataError
from stargazer.tables.arrow import arrow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["check_row_group", "check_rows"]

FREE_BYTES, MOST_EXPANSION = 1 << 30, 4000
"""Bytes that rows may take however small their file is, and how much more than in the file they may take beyond."""

WIDEST = 8
"""Bytes of a number; of texts, where each begins is counted so."""

MOST_ROWS = 65_536
"""Rows of one part, where a column is read in parts."""


def check_row_group(source: Any, group: int, columns: Collection[str] | None, name: str, about: Any = None) -> None:
    """Refuse a row group that takes far more once it is read than a file of its size holds.

    Parameters
    ----------
    source
        The file, opened.
    group
        Number of the row group.
    columns
        Those that are read; None for all.
    name
        Of the file, for messages.
    about
        Its metadata, where they were read already: those of many row groups take long.

    Raises
    ------
    DataError
        It does.
    """
    about = about or arrow("parquet").ParquetFile(source).metadata
    chunks = _chunks(about, group, columns)
    allowed = FREE_BYTES + MOST_EXPANSION * sum(each.total_compressed_size for each, _ in chunks)
    taken = sum(each.num_values * width + each.total_uncompressed_size for each, width in chunks)
    texts = [each for each, _ in chunks if each.num_values * each.total_uncompressed_size > allowed]
    if taken <= allowed and texts:
        taken += _texts_of(source, group, texts, allowed - taken)
    if taken > allowed:
        raise DataError(
            f"{name}: row group {group} takes {taken / 2**30:,.1f} GiB once it is read, far more than a file of its "
            "size holds: it is damaged, or made to fill the memory"
        )


def check_rows(rows: int, values: Iterable[int | str | None], size: int, name: str) -> None:
    """Refuse to write one value so often that it takes far more than a file of its size holds.

    Parameters
    ----------
    rows
        How many the file says that there are.
    values
        What stands in each.
    size
        Bytes of the file.
    name
        Of the file, for messages.

    Raises
    ------
    DataError
        It would.
    """
    taken = rows * sum(WIDEST + len(str(value).encode()) for value in values)
    if taken > FREE_BYTES + MOST_EXPANSION * size:
        raise DataError(
            f"{name}: what its folders tell of {rows:,} rows takes {taken / 2**30:,.1f} GiB, far more than a file of "
            "its size holds: it is damaged, or made to fill the memory"
        )


def _chunks(about: Any, group: int, columns: Collection[str] | None) -> list[tuple[Any, int]]:
    """What a row group has of some columns, each with the bytes that one of its values takes at least."""
    row_group, schema = about.row_group(group), about.schema
    found = [(row_group.column(number), schema.column(number)) for number in range(about.num_columns)]
    return [(chunk, max(WIDEST, of.length or 0)) for chunk, of in found if columns is None or _is_of(of.path, columns)]


def _is_of(path: str, columns: Collection[str]) -> bool:
    """Whether a path is that of a column or of a part of one; names may have dots in them."""
    return any(path == each or path.startswith(f"{each}.") for each in columns)


def _texts_of(source: Any, group: int, chunks: Iterable[Any], allowed: int) -> int:
    """Bytes of the columns whose texts stand once for many rows, or say how much they share with those before."""
    chunks = [each for each in chunks if each.physical_type == "BYTE_ARRAY"]
    fields = arrow("parquet").ParquetFile(source).schema_arrow
    # Arrow reads no extension (JSON) as a dictionary.
    spread = [field.name for field in fields if "extension<" in str(field.type)]
    parts = [each for each in chunks if "DELTA_BYTE_ARRAY" in each.encodings or _is_of(each.path_in_schema, spread)]
    coded = [each.path_in_schema for each in chunks if each not in parts and _has_dictionary(each)]
    taken = 0
    if coded:
        read = arrow("parquet").ParquetFile(source, read_dictionary=coded).read_row_group(group, columns=coded)
        taken = sum(_decoded(part) for column in read.columns for part in column.chunks)
    return taken + sum(_read_in_parts(source, group, each, allowed) for each in parts)


def _has_dictionary(chunk: Any) -> bool:
    return any("DICTIONARY" in each for each in chunk.encodings)


def _read_in_parts(source: Any, group: int, chunk: Any, allowed: int) -> int:
    """Bytes of a column, read as far as they are allowed.

    No text is longer than all that stands in the pages, so as many rows as are read at once take no more than allowed.
    """
    file, taken = arrow("parquet").ParquetFile(source), 0
    rows = max(1, min(MOST_ROWS, allowed // chunk.total_uncompressed_size))
    for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=[chunk.path_in_schema]):
        taken += batch.nbytes
        if taken > allowed:
            break
    return taken


def _decoded(array: Any) -> int:
    """Bytes of texts of an array, as if none stood in a dictionary."""
    pa, compute = arrow(), arrow("compute")
    if pa.types.is_dictionary(array.type):
        if not len(array.dictionary):
            return 0
        lengths = compute.binary_length(array.dictionary).cast(pa.int64())
        return int(compute.sum(lengths.take(array.indices)).as_py() or 0)
    return sum(map(_decoded, _parts(array)))


def _parts(array: Any) -> Iterator[Any]:
    """What an array consists of, if it does of others."""
    types = arrow().types
    if types.is_map(array.type):
        yield from (array.keys, array.items)
    elif types.is_struct(array.type):
        yield from array.flatten()
    elif types.is_nested(array.type):
        yield array.flatten()
