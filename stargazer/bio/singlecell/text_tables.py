"""Counts of plain tables: ``.csv``, ``.tsv``, ``.txt``, gzipped or not, genes × cells or cells × genes."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.bio.singlecell.genes import ENSEMBL
from stargazer.bio.singlecell.source import UNREADABLE, of_features
from stargazer.bio.singlecell.spill import row_blocks_of
from stargazer.bounded import lines_of
from stargazer.errors import DataError
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from stargazer.bio.singlecell.source import Said, Source

__all__ = ["is_text_table", "read_text_table"]

NAMES = re.compile(r"\.(csv|tsv|txt|tab)(\.gz)?$", re.IGNORECASE)
GENE = re.compile(r"(MT[-.]|mt[-.:]|RP[LS]\d|Rp[ls]\d|ACTB$|Actb$|GAPDH$|Gapdh$|MALAT1$|Malat1$)")
BARCODE = re.compile(r"(.*[_.:#-])?[ACGTN]{8,}([-_.].*)?$")
MISSING = ("", "NA", "N/A", "NULL", "null", "None", "-")
BESIDE = frozenset(("chr", "chrom", "chromosome", "start", "end", "strand", "length", "width", "effective_length"))
"""Columns, also of numbers, that featureCounts and its like write between the names of genes and their counts."""
NO_CELL = re.compile(
    r"(grand|row|overall)?[ ._-]?(totals?|sums?)|total[ ._-]?(counts?|reads)|sum[ ._-]?of[ ._-]?counts|"
    r"((eff|effective|gene|transcript|exon|feature)[ ._-]?)?length",
    re.IGNORECASE,
)
"""What spreadsheets and programs write where the names of cells stand: sums over cells, and lengths of genes."""
DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")
LONGEST_ROW = 64 << 20
ROWS_SEEN = 50
AT_ONCE = 4_000_000
"""Fields that are read at once."""


class _Form(NamedTuple):
    """How a table is written: separator, lines up to the names, these, columns before counts, coding.

    Of the columns before the counts `measures` are those of numbers.
    """

    separator: str
    skipped: int
    columns: list[str]
    texts: int
    coding: str
    measures: list[str]

    def said(self) -> list[str]:
        """What is to be said of numbers before the counts, where no text tells that they are none of a sample."""
        if not self.measures or len(self.measures) < self.texts:
            return []
        return [f"{', '.join(self.measures)} stands before the counts, and is taken for what describes the rows"]


def is_text_table(path: Path) -> bool:
    """Whether a file is named as a table of text."""
    return bool(NAMES.search(path.name))


def read_text_table(path: Path, said: Said) -> Source:
    """Counts of a table with the names of cells on one side and those of genes on the other.

    Parameters
    ----------
    path
        The file. Columns of text before the counts describe the rows.
    said
        What to take of it.

    Raises
    ------
    DataError
        It is no such table.
    """
    import pandas as pd

    try:
        form = _form(path)
        _check_rows(path, form)
        names, beside = _row_names(path, form)
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as a table of counts ({error})") from error
    columns = form.columns
    across, why = _genes_in_rows(names, columns)
    rows = pd.DataFrame(beside, index=pd.Index(names, dtype=object))
    others = pd.DataFrame(index=pd.Index(columns, dtype=object))
    obs, var = (others, rows) if across else (rows, others)
    _check_cells(path, obs.index)
    blocks = partial(_blocks, path, form, across, (len(obs), len(var)))
    source = of_features(obs, var, blocks, path, said)
    source.notes += form.said()
    said_of = "genes are rows" if across else "cells are rows"
    (source.remarks if why else source.notes).append(
        f"{said_of}, {why or 'which nothing tells: as most tables have it'}"
    )
    return source


def _form(path: Path) -> _Form:
    coding = _coding(path)
    with _opened(path, coding) as file:
        lines = [line.rstrip("\r\n") for line in islice(lines_of(file, path.name, LONGEST_ROW), 200)]
    filled = [number for number, line in enumerate(lines) if line.strip()]
    told = [number for number in filled if not lines[number].startswith("#")]
    if len(told) < 2:
        raise DataError(f"{path} is no table of counts: it has fewer than two lines")
    separator = max(("\t", ",", ";", " "), key=lambda each: (lines[told[0]].count(each) > 0, -"\t,; ".index(each)))
    at, below = _named(lines, filled, told, separator)
    header, first = (
        next(csv.reader([lines[each].removeprefix("#")], delimiter=separator, skipinitialspace=True))
        for each in (at, below)
    )
    if len(header) not in (len(first), len(first) - 1) or len(first) < 2:
        raise DataError(f"{path} is no table of counts: {len(header)} names, and {len(first)} fields below them")
    names = header if len(header) == len(first) - 1 else header[1:]
    while names and not names[-1].strip() and len(first) > 1 and not first[-1].strip():
        names, first = names[:-1], first[:-1]
    rows = [_fields(line, separator)[1:] for line in lines[at + 1 : at + ROWS_SEEN] if line.strip()]
    texts = next((each for each in range(len(names)) if not _is_beside(names, rows, each)), len(names))
    if texts == len(names):
        comma = any(DECIMAL_COMMA.fullmatch(field) for field in first[1:])
        why = (
            "its numbers have decimal commas; write them with points"
            if comma
            else "there is no number in its second line"
        )
        raise DataError(f"{path} is no table of counts: {why}")
    names = [name.strip() for name in names]
    _check_names(path, header, names[texts:])
    measures = [names[each] for each in range(texts) if not _is_text(row[each] for row in rows if each < len(row))]
    return _Form(separator, at + 1, names[texts:], texts, coding, measures)


def _named(lines: list[str], filled: list[int], told: list[int], separator: str) -> tuple[int, int]:
    """The line of the names, and the first below it: one that begins with ``#`` has them where numbers follow it."""
    above = [number for number in filled if number < told[0]]
    fields = _fields(lines[told[0]], separator)
    if above and all(map(_is_number, fields[1:])) and len(_fields(lines[above[-1]], separator)) == len(fields):
        return above[-1], told[0]
    return told[0], told[1]


def _check_names(path: Path, header: list[str], names: list[str]) -> None:
    """Refuse a first line that has counts: a table without names would lose its first row without a word."""
    if not all(map(_is_number, names)) or len(header) == len(names):
        return
    entrez = _is_number(header[0]) and not _are_counted([header[0], *names])
    if len(set(names)) < len(names) or entrez or _is_gene(header[0]) or _is_barcode(header[0]):
        raise DataError(
            f"{path} is no table of counts: its first line has numbers ({', '.join(names[:4])}, …) where names should "
            "be; add a line with the names of the columns"
        )


def _are_counted(names: list[str]) -> bool:
    """Whether names are numbers one after the other, as pandas calls columns without any."""
    numbers = [float(name) for name in names]
    return numbers == [numbers[0] + place for place in range(len(numbers))]


def _is_beside(names: list[str], rows: list[list[str]], at: int) -> bool:
    return names[at].strip().lower() in BESIDE or _is_text(row[at] for row in rows if at < len(row))


def _is_text(fields: Iterable[str]) -> bool:
    """Whether a column has texts and no number; gaps are neither: a cell whose first count is missing is told."""
    known = [field for field in fields if field.strip() not in MISSING]
    return bool(known) and not any(map(_is_number, known))


def _check_cells(path: Path, names: Iterable[str]) -> None:
    """Refuse sums over cells, and measures of genes, where a cell should be: it would be the largest of all."""
    if odd := [name for name in names if NO_CELL.fullmatch(name)]:
        raise DataError(
            f"{path}: {visible(odd[0][:40])!r} stands where the names of cells do, and reads like a sum or a measure "
            "of genes: take it out of the table, or give the cell another name"
        )


def _check_rows(path: Path, form: _Form) -> None:
    """Refuse rows with more fields than there are names: pandas, told which columns to read, drops the rest of them."""
    wanted = form.texts + 1 + len(form.columns)
    with _opened(path, form.coding) as file:
        for number, line in enumerate(lines_of(file, path.name, LONGEST_ROW), 1):
            if number <= form.skipped or line.count(form.separator) < wanted:
                continue
            more = [field for field in _fields(line, form.separator)[wanted:] if field.strip()]
            if more:
                told = f"{path.name}, line {number}: more fields than the {wanted} that its names tell of"
                raise DataError(f"{told} (the first is {visible(more[0][:40])})")


def _fields(line: str, separator: str) -> list[str]:
    if separator == " " and '"' not in line:
        return line.split()
    return next(csv.reader([line.rstrip("\r\n")], delimiter=separator, skipinitialspace=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _row_names(path: Path, form: _Form) -> tuple[list[str], dict[str, list[str]]]:
    import pandas as pd

    table = pd.read_csv(path, usecols=list(range(form.texts + 1)), dtype=str, keep_default_na=False, **_options(form))
    names = [str(name).strip() for name in table.iloc[:, 0]]
    return names, {f"column_{at}": list(table.iloc[:, at]) for at in range(1, form.texts + 1)}


def _options(form: _Form) -> dict[str, Any]:
    blank = form.separator == " "
    rest = {"header": None, "skiprows": form.skipped, "index_col": False, "encoding": form.coding}
    return {"sep": r"\s+" if blank else form.separator, **rest}


def _genes_in_rows(rows: list[str], columns: list[str]) -> tuple[bool, str]:
    """Whether rows are genes, and by what that is known; empty where nothing tells."""
    for test, what in ((_is_gene, "by their names"), (_is_barcode, "by the barcodes of cells")):
        here, there = (sum(map(test, names)) / max(len(names), 1) for names in (rows, columns))
        if max(here, there) > 0 and min(here, there) < 0.2 * max(here, there):
            return (here > there) == (test is _is_gene), what
    return True, ""


def _is_gene(name: str) -> bool:
    return bool(GENE.match(name) or ENSEMBL.match(name))


def _is_barcode(name: str) -> bool:
    return bool(BARCODE.match(name))


def _blocks(path: Path, form: _Form, genes_in_rows: bool, shape: tuple[int, int]) -> Iterator[Any]:
    return row_blocks_of(_entries(path, form, genes_in_rows), shape)


def _entries(path: Path, form: _Form, genes_in_rows: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Cells, genes and counts, in the order of the file."""
    import pandas as pd

    width, start = len(form.columns), 0
    wanted = list(range(form.texts + 1, form.texts + 1 + width))
    options = {"usecols": wanted, "chunksize": max(AT_ONCE // width, 1), "dtype": np.float64, **_options(form)}
    try:
        with pd.read_csv(path, **options) as reader:
            for chunk in reader:
                values = chunk.to_numpy()
                rows, columns = np.nonzero(values)
                places = (columns, rows + start) if genes_in_rows else (rows + start, columns)
                yield (*places, values[rows, columns])
                start += len(values)
    except UNREADABLE as error:
        why = _no_number(path, form) or str(error)
        raise DataError(f"{path} cannot be read as a table of counts ({why})") from error


def _no_number(path: Path, form: _Form) -> str:
    """Where the first field is that is no count, in words; empty if there is none."""
    with _opened(path, form.coding) as file:
        for number, line in enumerate(lines_of(file, path.name, LONGEST_ROW), 1):
            fields = _fields(line, form.separator)[form.texts + 1 :] if number > form.skipped and line.strip() else []
            for name, field in zip(form.columns, fields, strict=False):
                if field.strip() not in MISSING and not _is_number(field):
                    told = f"line {number}, column {visible(name[:40])!r}: {visible(field[:40])!r} is no number"
                    return f"{told}; columns of text stand before those of counts"
    return ""


def _coding(path: Path) -> str:
    """Spreadsheets write UTF-16 too, and say so by its mark."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _opened(path: Path, coding: str) -> Any:
    options: dict[str, Any] = {"mode": "rt", "encoding": coding}
    return gzip.open(path, **options) if path.suffix == ".gz" else open(path, **options)
