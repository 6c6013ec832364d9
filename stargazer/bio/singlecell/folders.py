"""Counts of folders with a Matrix Market file: Cell Ranger, STARsolo, kallisto|bustools, alevin-fry, Parse, archives.

References
----------
https://math.nist.gov/MatrixMarket/formats.html; https://www.kallistobus.tools;
https://alevin-fry.readthedocs.io/en/latest/quant.html; https://support.parsebiosciences.com (split-pipe's outputs)
"""

from __future__ import annotations

import codecs
import gzip
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.bio.singlecell.source import UNREADABLE, of_features
from stargazer.bio.singlecell.spill import row_blocks_of
from stargazer.bounded import lines_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from stargazer.bio.singlecell.source import Said, Source

__all__ = ["is_matrix_folder", "read_folder"]

LONGEST_ROW = 1 << 20
"""Characters of a line of names."""
AT_ONCE = 2_000_000
"""Lines of a matrix that are read at once."""


class Layout(NamedTuple):
    """How a program names its three files, whether its matrix lies genes × cells, and whether names are in tables."""

    matrix: str
    barcodes: tuple[str, ...]
    features: tuple[str, ...]
    genes_first: bool = True
    tables: bool = False


LAYOUTS = (
    Layout(
        "matrix.mtx",
        ("barcodes.tsv", "barcodes.txt", "cells.tsv"),
        ("features.tsv", "genes.tsv", "features.txt", "genes.txt"),
    ),
    Layout("cells_x_genes.mtx", ("cells_x_genes.barcodes.txt",), ("cells_x_genes.genes.txt",), genes_first=False),
    Layout("quants_mat.mtx", ("quants_mat_rows.txt",), ("quants_mat_cols.txt",), genes_first=False),
    *(
        Layout(matrix, ("cell_metadata.csv",), ("all_genes.csv",), genes_first=False, tables=True)
        for matrix in ("count_matrix.mtx", "DGE.mtx")
    ),
)
ENDS = ("", ".gz")
HEADERS = frozenset(
    (
        *("x", "v1", "v2", "v3", "barcode", "barcodes", "cell", "cells", "cell_id", "cellid", "cell_barcode", "ident"),
        *("gene", "genes", "gene_id", "geneid", "gene_ids", "gene_name", "gene_names", "gene_symbol", "gene_symbols"),
        *("symbol", "symbols", "ensembl", "ensembl_id", "ensembl_ids", "id", "name", "feature", "features", "type"),
        *("feature_type", "feature_types", "feature_id", "feature_name", "gene_short_name", "cellnames", "genenames"),
    )
)
"""What the first line of a file of names says if it names columns."""


class _Files(NamedTuple):
    """The three files, and matrices of other samples beside them."""

    matrix: Path
    barcodes: Path
    features: Path
    layout: Layout
    others: tuple[Path, ...] = ()


def is_matrix_folder(path: Path) -> bool:
    """Whether a directory holds a matrix of a name that is known, gzipped or not."""
    return _layout(path) is not None


def _layout(path: Path) -> Layout | None:
    """Whose folder it is; ``count_matrix.mtx`` is Parse's where its tables are, else a name of 10x with a prefix."""
    found = sorted((layout for layout in LAYOUTS if _matrices(path, layout)), key=lambda one: not one.tables)
    return next((one for one in found if not one.tables or any(_all(path, (*one.barcodes, *one.features)))), None)


def read_folder(path: Path, said: Said) -> Source:
    """Counts of a folder with a matrix, barcodes and features, gzipped or not, also with a prefix.

    Parameters
    ----------
    path
        The folder.
    said
        What to take of it.

    Raises
    ------
    DataError
        A file is missing or damaged, there are several samples, or the files do not fit each other.
    """
    import pandas as pd

    files = _files(path, said)
    header = _read_header(files.matrix)
    if files.layout.tables:
        return _read_tables(files, header, path, said)
    cells, genes = header.shape if not files.layout.genes_first else header.shape[::-1]
    # Two rows more than the matrix has tell as well that they do not fit.
    most = max(header.shape) + 2
    barcodes, features = (_without_blanks(islice(_rows(each), most)) for each in (files.barcodes, files.features))
    remarks: list[str] = []
    turned = _turned(files.layout, header.shape, len(barcodes), len(features))
    if turned:
        cells, genes = genes, cells
        remarks.append(f"{files.matrix.name} lies the other way round, as its size tells")
    barcodes = _without_header(barcodes, cells, files.barcodes, remarks)
    features = _with_columns(_without_header(features, genes, files.features, remarks), files.features, remarks)
    features = _with_symbols(features, files.features, remarks)
    if (genes, cells) != (len(features), len(barcodes)):
        told = f"a matrix of {header.shape} does not fit {len(features)} genes, {len(barcodes)} cells"
        raise DataError(f"{path}: {told}")
    swapped = files.layout.genes_first != turned
    blocks = partial(_blocks, files.matrix, header, swapped, (cells, genes), path)
    obs = pd.DataFrame(index=pd.Index([fields[0] for fields in barcodes], dtype=object))
    source = of_features(obs, *_spliced(pd, features, blocks), path, said)
    source.remarks += remarks
    if files.others:
        names = ", ".join(each.name for each in files.others)
        source.notes.append(f"{names} are of other samples, and were left out: add each by its prefix=")
    if cells == genes and files.layout.genes_first:
        source.notes.append(f"there are as many cells as genes: {files.matrix.name} was taken as genes × cells")
    return source


def _read_tables(files: _Files, header: _Header, path: Path, said: Said) -> Source:
    """Counts whose cells and genes stand in tables with names of columns, as split-pipe of Parse Biosciences writes."""
    cells, genes = header.shape
    obs, var = (_table(file, max(header.shape) + 2) for file in (files.barcodes, files.features))
    if (len(obs), len(var)) != (cells, genes):
        raise DataError(f"{path}: a matrix of {header.shape} does not fit {len(obs)} cells, {len(var)} genes")
    if "gene_name" in var:
        ids = var.index.astype(str)
        var = var.set_index("gene_name")
        var.index.name = None
        var.insert(0, "gene_ids", ids)
    return of_features(obs, var, partial(_blocks, files.matrix, header, False, (cells, genes), path), path, said)


def _table(file: Path, most: int) -> Any:
    """A table whose first column has the names; nothing but a blank is a gap, for there are genes called NA."""
    import pandas as pd

    try:
        packed = "gzip" if _is_packed(file) else None
        found = pd.read_csv(file, nrows=most, keep_default_na=False, low_memory=False, compression=packed)
        found = found.set_index(found.columns[0])
    except UNREADABLE as error:
        raise DataError(f"{file} cannot be read ({error}); is it complete?") from error
    return found.set_axis([str(name) for name in found.index], axis=0)


def _files(path: Path, said: Said) -> _Files:
    layout = _layout(path)
    if layout is None:
        raise DataError(f"{path} has no matrix")
    found = [each for each in _matrices(path, layout) if _prefix(each, layout.matrix).startswith(said.prefix)]
    exact = [each for each in found if _prefix(each, layout.matrix) == said.prefix]
    if not found:
        raise DataError(f"{path} has no file whose name begins with {said.prefix!r} and ends with {layout.matrix}")
    if len(found) > 1 and not exact:
        names = ", ".join(each.name for each in found)
        first = f"sg.CountsFile(prefix={_prefix(found[0], layout.matrix)!r})"
        raise DataError(f"{path} has several {layout.matrix} ({names}): add each by itself, as in {first}")
    matrix = (exact or found)[0]
    prefix = _prefix(matrix, layout.matrix)
    barcodes, features = (_beside(path, prefix, names) for names in (layout.barcodes, layout.features))
    missing = [names[0] for names, file in ((layout.barcodes, barcodes), (layout.features, features)) if file is None]
    if missing or barcodes is None or features is None:
        told = f"{path} has no {' and no '.join(missing)} (nor .gz)"
        raise DataError(f"{told}; {'the' if layout.tables else 'a 10x'} folder needs all three files")
    others = () if said.prefix else tuple(each for each in found if each != matrix)
    return _Files(matrix, barcodes, features, layout, others)


def _matrices(path: Path, layout: Layout) -> list[Path]:
    """Files of that name, and those that have a prefix before it; of two that differ in ``.gz`` the plain one."""
    there = [each for each in sorted(path.iterdir()) if each.is_file()] if path.is_dir() else []
    found = {_prefix(each, layout.matrix): each for each in reversed(there) if _ends(each, layout.matrix)}
    return [found[prefix] for prefix in sorted(found)]


def _ends(file: Path, name: str) -> bool:
    plain = file.name.removesuffix(".gz")
    return plain == name or (plain.endswith(name) and plain[-len(name) - 1] in "-_. ")


def _prefix(file: Path, name: str) -> str:
    return file.name.removesuffix(".gz").removesuffix(name)


def _beside(path: Path, prefix: str, names: Sequence[str]) -> Path | None:
    """The file of names of a sample; where only one of all has such a name, it is shared."""
    for name in names:
        for end in ENDS:
            if (exact := path / f"{prefix}{name}{end}").is_file():
                return exact
    shared = _all(path, names)
    return shared[0] if len(shared) == 1 else None


def _all(path: Path, names: Sequence[str]) -> list[Path]:
    return [each for each in sorted(path.iterdir()) if each.is_file() and any(_ends(each, name) for name in names)]


def _turned(layout: Layout, shape: tuple[int, int], n_barcodes: int, n_features: int) -> bool:
    """Whether a matrix lies the other way round than its layout says; a line of headers may be among the names."""
    usual = (n_features, n_barcodes) if layout.genes_first else (n_barcodes, n_features)
    fits = [
        all(found - length in (0, 1) for found, length in zip(usual, each, strict=True))
        for each in (shape, shape[::-1])
    ]
    return fits == [False, True]


def _without_blanks(rows: Iterable[list[str]]) -> list[list[str]]:
    """Rows without blank ones at the end."""
    found = list(rows)
    while found and not any(field.strip() for field in found[-1]):
        found.pop()
    return found


def _without_header(rows: list[list[str]], wanted: int, file: Path, remarks: list[str]) -> list[list[str]]:
    if len(rows) != wanted + 1 or not any(field.strip().lower().strip('"') in HEADERS for field in rows[0]):
        return rows
    remarks.append(f"the first line of {file.name} names columns")
    return rows[1:]


def _with_columns(rows: list[list[str]], file: Path, remarks: list[str]) -> list[list[str]]:
    """Rows whose columns blanks separate, where no tab does."""
    if not rows or len(rows[0]) > 1:
        return rows
    split = [row[0].split() for row in rows]
    if len({len(fields) for fields in split}) != 1 or not 2 <= len(split[0]) <= 3:
        return rows
    remarks.append(f"columns of {file.name} are separated by blanks")
    return split


def _with_symbols(rows: list[list[str]], file: Path, remarks: list[str]) -> list[list[str]]:
    """Ids with the symbols that kallisto|bustools writes into a file beside them."""
    beside = file.with_name(file.name.replace(".genes.txt", ".genes.names.txt"))
    if beside == file or not beside.is_file() or any(len(row) > 1 for row in rows):
        return rows
    names = [row[0] for row in islice(_rows(beside), len(rows) + 1)]
    if len(names) != len(rows):
        raise DataError(f"{beside} has {len(names)} names or more, and {file.name} has {len(rows)}: they do not fit")
    remarks.append(f"symbols of genes come from {beside.name}")
    return [[row[0], name] for row, name in zip(rows, names, strict=True)]


def _spliced(pd: Any, features: list[list[str]], blocks: Any) -> tuple[Any, Any]:
    """Table of genes, and the blocks; alevin-fry's spliced and ambiguous counts of a gene are added up."""
    width = max(map(len, features), default=1)
    features = [row + [""] * (width - len(row)) for row in features]
    names = [row[min(1, width - 1)] for row in features]
    columns = {
        name: [row[at] for row in features] for at, name in ((0, "gene_ids"), (2, "feature_types")) if at < width
    }
    var = pd.DataFrame(columns if width > 1 else {}, index=pd.Index(names, dtype=object))
    kinds = [name[-2:] for name in names]
    if not {"-U", "-A"} <= set(kinds) or min(kinds.count("-U"), kinds.count("-A")) * 3 != len(names):
        return var, blocks
    genes = [name for name, kind in zip(names, kinds, strict=True) if kind not in ("-U", "-A")]
    place = {name: number for number, name in enumerate(genes)}
    column = np.array(
        [-1 if kind == "-U" else place[name.removesuffix("-A")] for name, kind in zip(names, kinds, strict=True)]
    )
    return pd.DataFrame(index=pd.Index(genes, dtype=object)), partial(_summed, blocks, column, len(genes))


def _summed(blocks: Any, column: Any, n_genes: int) -> Iterator[Any]:
    from scipy import sparse

    kept = column >= 0
    rows = np.flatnonzero(kept)
    join = sparse.csr_matrix((np.ones(len(rows)), (rows, column[kept])), shape=(len(column), n_genes))
    for block in blocks():
        yield (block @ join).tocsr()


# The matrix itself, some lines at a time.


FIELDS = ("integer", "unsigned-integer", "real", "double", "pattern")
"""Of these may entries of a matrix of counts be; complex numbers are none."""


class _Header(NamedTuple):
    """What the head of a Matrix Market file says: rows, columns, entries, whether entries have values, lines of it."""

    shape: tuple[int, int]
    entries: int
    valued: bool
    lines: int


def _opened(path: Path) -> IO[str]:
    """Text of a file; browsers and servers unpack what is called ``.gz``, so its first bytes tell.

    Lists of genes that somebody saved from a spreadsheet are UTF-16, which their first bytes tell too.
    """
    opened: Any = gzip.open if _is_packed(path) else open
    with opened(path, "rb") as file:
        coding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    text: IO[str] = opened(path, "rt", encoding=coding)
    return text


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read_header(path: Path) -> _Header:
    try:
        with _opened(path) as file:
            first = next(lines_of(file, path.name, LONGEST_ROW), "").lower().split()
            if first[2:3] == ["array"]:
                raise DataError(f"{path} is a dense matrix: write it as a sparse one, coordinate in place of array")
            lines = 1
            for line in lines_of(file, path.name, LONGEST_ROW):
                lines += 1
                if line.strip() and not line.startswith("%"):
                    rows, columns, entries = (int(field) for field in line.split())
                    break
            else:
                raise ValueError("it ends before its size")
    except (*UNREADABLE, UnicodeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}); is it complete?") from error
    known = first[:3] == ["%%matrixmarket", "matrix", "coordinate"] and first[4:] == ["general"]
    if not known or first[3] not in FIELDS:
        raise DataError(f"{path} is no sparse matrix of Matrix Market: it begins with {' '.join(first)[:80]!r}")
    return _Header((rows, columns), entries, first[3] != "pattern", lines)


def _blocks(path: Path, header: _Header, swapped: bool, shape: tuple[int, int], folder: Path) -> Iterator[Any]:
    return row_blocks_of(_entries(path, header, swapped), shape)


def _entries(path: Path, header: _Header, swapped: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Cells, genes and counts, in the order of the file."""
    import pandas as pd

    names = ["row", "column", *(["value"] if header.valued else [])]
    seen = 0
    try:
        options: dict[str, Any] = {
            "sep": r"\s+",
            "header": None,
            "names": names,
            "skiprows": header.lines,
            "comment": "%",
            "compression": "gzip" if _is_packed(path) else None,
        }
        with pd.read_csv(path, chunksize=AT_ONCE, dtype={"row": np.int64, "column": np.int64}, **options) as reader:
            for chunk in reader:
                seen += len(chunk)
                values = chunk["value"].to_numpy(float) if header.valued else np.ones(len(chunk))
                places = chunk["row"].to_numpy() - 1, chunk["column"].to_numpy() - 1
                _check_inside(path, places, header.shape)
                yield (*(places[::-1] if swapped else places), values)
    except pd.errors.EmptyDataError:
        pass
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}); is it complete?") from error
    if seen != header.entries:
        raise DataError(f"{path} cannot be read (it has {seen} of {header.entries} entries); is it complete?")


def _check_inside(path: Path, places: tuple[Any, Any], shape: tuple[int, int]) -> None:
    outside = [(each < 0) | (each >= length) for each, length in zip(places, shape, strict=True)]
    wrong = np.flatnonzero(outside[0] | outside[1])
    if len(wrong):
        row, column = (int(each[wrong[0]]) + 1 for each in places)
        raise DataError(
            f"{path} has an entry at {row}, {column}, outside of its {shape[0]} × {shape[1]}: it is damaged"
        )


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with _opened(path) as file:
            for line in lines_of(file, path.name, LONGEST_ROW):
                fields = line.rstrip("\r\n").split("\t")
                yield [field[1:-1] if field[:1] == '"' == field[-1:] and len(field) > 1 else field for field in fields]
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); is it complete?") from error
