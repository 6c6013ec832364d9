"""How a tree of cells is laid out: sizes of chunks, codecs, names.

::

    zarr.json                     AnnData 0.1.0
    X/                            counts of all cells and genes, CSR: data (smallest unsigned type), indices, indptr
    obs/, var/                    one array a column; ``kept`` is the mask of what later stages use
    obsm/, varm/, obsp/           rows of cells and genes that are not kept are NaN, 0 or empty
    layers/, varp/                as they came
    uns/stargazer/                format, about, and one JSON text a stage: its parameters, numbers and notes
    uns/…                         as scanpy has it; tables of markers as plain arrays
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ABOUT",
    "ASIDE",
    "COLUMN_ROWS",
    "FORMAT",
    "KEPT",
    "METADATA",
    "ROWS",
    "STATE",
    "array_chunks",
    "compressor",
    "matrix_chunk",
    "text_compressor",
]

FORMAT = 2
ROWS = 5_000
"""Cells of a row block."""
COLUMN_ROWS = 250_000
"""Rows of a chunk of a column."""
ASIDE = "before"
"""What is added to the name of an element of the user's file that a stage takes the name of."""
KEPT = "kept"
METADATA = "zarr.json"
"""Of every group and array of zarr v3."""
STATE = "stargazer"
ABOUT = (
    "X has the counts of all cells and genes as they came. The boolean columns obs['kept'] and var['kept'], where a "
    "stage made them, say which cells and genes the analysis uses: rows of the others are NaN, empty or without "
    "category. Log-normalised values are not stored: log1p(count / obs['size_factor']). stargazer's AnnData.open() "
    "does all that. X has the smallest unsigned type that holds all counts: functions that multiply counts in their "
    "own type, such as variances, want adata.X = adata.X.astype('float32') first. What stages made is told in "
    "uns['stargazer'], as 'made' of each; everything else came with the file."
)

_CHUNK_BYTES = 4 << 20
_STEP, _SHORTEST, _LONGEST = 1 << 16, 1 << 20, 1 << 22
_BLOCK_BYTES = 1 << 20


def matrix_chunk(entries: int) -> int:
    """Length of a chunk of a sparse matrix: about one row block, or a whole fraction of it.

    The first row block decides, so files that begin with the same cells share chunks. Column indices of a chunk take
    16 MiB at most: memory of that size is used again and again by the C library, larger pieces are fetched anew from
    the system each time.

    Parameters
    ----------
    entries
        Stored values of the first row block.
    """
    parts = -(-entries // _LONGEST) or 1
    return min(max(-(-entries // (parts * _STEP)) * _STEP, _SHORTEST), _LONGEST)


def array_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of a dense array: whole rows, of a column `COLUMN_ROWS`, otherwise about 4 MiB in whole row blocks.

    Parameters
    ----------
    shape
        Of the array.
    itemsize
        Bytes of an element.
    """
    if len(shape) == 1:
        return (min(max(shape[0], 1), COLUMN_ROWS),)
    width = max(itemsize, 1)
    for length in shape[1:]:
        width *= max(length, 1)
    rows = max(_CHUNK_BYTES // (width * ROWS), 1) * ROWS
    return (min(max(shape[0], 1), rows), *(max(length, 1) for length in shape[1:]))


def compressor(itemsize: int) -> Any:
    """Blosc with bitshuffle and Zstandard, in blocks of 1 MiB; zarr runs it on one thread, so bytes never differ.

    Parameters
    ----------
    itemsize
        Bytes of an element.

    Notes
    -----
    At 3,900 counts a cell, bytes a count and million counts a second to write: level 3 1.24 and 100, level 5 1.22 and
    40; level 5 in Blosc's own blocks of 128 KiB 1.30 and 40. All are read at 400.
    """
    from zarr.codecs import BloscCodec

    return BloscCodec(typesize=itemsize, cname="zstd", clevel=3, shuffle="bitshuffle", blocksize=_BLOCK_BYTES)


def text_compressor() -> Any:
    """Zstandard, for texts."""
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=3)
