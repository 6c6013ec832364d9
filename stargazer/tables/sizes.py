"""What rows of a Parquet file take once they are read: told before they are, so that none fills the memory.

A value that stands in a dictionary takes a few bits for each row that has it. So a file of three hundred bytes may
stand for many gigabytes; what it says of its size is that of its pages.

References
----------
Parquet format, https://parquet.apache.org/docs/file-format/data-pages/encodings/ (RLE_DICTIONARY)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.errors import DataError
from stargazer.tables.arrow import arrow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["check_row_group"]

FREE_BYTES, MOST_EXPANSION = 1 << 30, 4000
"""Bytes that rows may take however small their file is, and how much more than in the file they may take beyond."""

WIDEST = 8
"""Bytes of a number; of texts, where each begins is counted so."""


def check_row_group(source: Any, group: int, columns: Collection[str] | None, name: str) -> None:
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

    Raises
    ------
    DataError
        It does.
    """
    about = arrow("parquet").ParquetFile(source).metadata.row_group(group)
    chunks = [about.column(number) for number in range(about.num_columns)]
    chunks = [each for each in chunks if columns is None or each.path_in_schema.partition(".")[0] in columns]
    allowed = FREE_BYTES + MOST_EXPANSION * sum(each.total_compressed_size for each in chunks)
    taken = sum(each.num_values * WIDEST + each.total_uncompressed_size for each in chunks)
    if taken <= allowed and (coded := [each.path_in_schema for each in chunks if _may_repeat(each, allowed)]):
        read = arrow("parquet").ParquetFile(source, read_dictionary=coded).read_row_group(group, columns=coded)
        taken += sum(_decoded(part) for column in read.columns for part in column.chunks)
    if taken > allowed:
        raise DataError(
            f"{name}: row group {group} takes {taken / 2**30:,.1f} GiB once it is read, far more than a file of its "
            "size holds: it is damaged, or made to fill the memory"
        )


def _may_repeat(chunk: Any, allowed: int) -> bool:
    """Whether texts of a column may take more than is allowed, because they stand in a dictionary."""
    is_text = chunk.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
    in_dictionary = any("DICTIONARY" in each for each in chunk.encodings)
    return is_text and in_dictionary and chunk.num_values * chunk.total_uncompressed_size > allowed


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
    elif types.is_list(array.type) or types.is_large_list(array.type):
        yield array.flatten()
