"""Lines of a sample sheet, as spreadsheets, editors and other pipelines write them; and files that it names."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import read_text
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

__all__ = ["Lines", "file_of", "gap_notes", "sheet_lines", "spread", "without_gaps"]

LARGEST_SHEET = 16 << 20
"""Bytes of a sheet: those of a hundred thousand lanes."""

SAREK_2 = {
    7: ("patient", "sex", "status", "sample", "lane", "fastq_1", "fastq_2"),
    6: ("patient", "sex", "status", "sample", "bam", "bai"),
}
"""Columns of the tab-separated sheets of sarek 2, which have no names; by how many there are."""


ILLUMINA = ("[Header]", "[Data]", "[Settings]", "[BCLConvert", "[Reads]")
"""How sheets of Illumina's begin."""

WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How workbooks of Excel and LibreOffice begin, of today and of long ago."""

NOTHING = frozenset(("NA", "N/A", "#N/A", "nan", "NaN", "NULL"))
"""What R, pandas and spreadsheets write where there is no value."""


class Lines(NamedTuple):
    """What a sheet has.

    Parameters
    ----------
    header
        The line of the names of the columns, and the names in lower case.
    rows
        Number and fields of every other line that has any.
    notes
        What was passed over.
    """

    header: tuple[int, list[str]]
    rows: list[tuple[int, list[str]]]
    notes: list[str]


def file_of(folder: Path, name: str) -> Path:
    """A file that a sheet names: found from the sheet's folder, ``~`` being the home of who runs it."""
    return folder / (Path(name).expanduser() if name.startswith("~/") else name)


def sheet_lines(sheet: Path, columns: str = "sample,lane,fastq_1,fastq_2") -> Lines:
    """Read a sheet: commas, semicolons or tabs, UTF-8 or UTF-16; lines that begin with # are passed over, and named.

    So are names of columns that stand there again, as in sheets that were put behind each other.

    Parameters
    ----------
    sheet
        The file.
    columns
        What its first line should name.

    Raises
    ------
    DataError
        It cannot be read, or is empty.
    """
    text = _text(sheet)
    if text.lstrip("\ufeff").startswith(ILLUMINA):
        raise DataError(
            f"{sheet} is a sheet for a sequencer or for demultiplexing, which names no files; write one with the "
            f"columns {columns}"
        )
    comments = {number: line for number, line in enumerate(text.splitlines(), 1) if _is_beside(line, number)}
    kept = "".join(
        "\n" if number in comments else line.replace("#", "", 1) if number == 1 and line.startswith("#") else line
        for number, line in enumerate(text.splitlines(keepends=True), 1)
    )
    first = next((line for line in kept.splitlines() if line.strip()), "")
    separator, lines = max("\t;,", key=first.count), io.StringIO(kept, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        found = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise DataError(f"{sheet}, line {reader.line_num}: {error}") from error
    filled = [(line, fields) for line, fields in found if any(fields)]
    if not filled:
        raise DataError(f"{sheet} is empty; its first line names the columns: {columns}")
    (number, names), *rows = filled
    if (known := SAREK_2.get(len(_trimmed(names, 0)))) and _is_sarek_2(names):
        number, names, rows = 0, list(known), filled
    names = [name.lower() for name in _trimmed(names, 0)]
    notes = [
        f"line {number} begins with {'#' if '#' in line else 'sep='} and was passed over"
        for number, line in comments.items()
    ]
    again = [line for line, fields in rows if [field.lower() for field in _trimmed(fields, 0)] == names]
    notes += [f"line {line} names the columns once more and was passed over" for line in again]
    rows = [(line, fields) for line, fields in rows if line not in again]
    return Lines((number, names), [(line, _trimmed(fields, len(names))) for line, fields in rows], notes)


def _is_beside(line: str, number: int) -> bool:
    """Whether a line is no line of the table: a remark, or what Excel notes of the separator; names may follow a #."""
    if number == 1 and re.match(r"#\s*\"?(sample|patient)\"?\s*[,;\t]", line, re.IGNORECASE):
        return False
    return line.lstrip().startswith("#") or (number == 1 and re.fullmatch(r"sep=.", line.rstrip("\r\n")) is not None)


def _text(sheet: Path) -> str:
    try:
        if sheet.is_file():
            with open(sheet, "rb") as file:
                if file.read(4) in WORKBOOKS:
                    raise DataError("it is a workbook (or another archive)")
        text = read_text(sheet, LARGEST_SHEET)
        if "\0" in text:
            raise DataError("it has NUL characters, as UTF-16 without a byte order mark has")
        return text
    except (OSError, DataError) as error:
        raise DataError(f"{sheet} cannot be read as a sample sheet: {error}; write it as CSV in UTF-8") from error


def _trimmed(fields: Sequence[str], least: int) -> list[str]:
    """Fields without empty ones at the end, as spreadsheets leave them, but at least so many."""
    found = list(fields)
    while len(found) > least and not found[-1]:
        found.pop()
    return found


def _is_sarek_2(fields: Sequence[str]) -> bool:
    return fields[1].upper() in ("XX", "XY", "ZZ", "NA") and fields[2] in ("0", "1")


def spread(lines: Lines) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and fields, by the names of their columns, of every line that has as many as there are columns."""
    names = lines.header[1]
    for number, fields in lines.rows:
        if len(fields) == len(names):
            yield number, dict(zip(names, fields, strict=True))


def without_gaps(given: Mapping[str, str], kept: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Fields of a line without those that say that there is no value, and the names of these.

    Parameters
    ----------
    given
        Fields by the names of their columns.
    kept
        Columns in which such a text is a value, or says nothing that must be noted.
    """
    gaps = [name for name, value in given.items() if value in NOTHING and name not in kept]
    return {name: "" if name in gaps else value for name, value in given.items()}, gaps


def gap_notes(found: Iterable[tuple[int, Mapping[str, str], Sequence[str]]]) -> Iterator[str]:
    """What is to be noted of texts that stand for no value: once for each text, however many lines have it.

    Parameters
    ----------
    found
        Lines, their fields, and the names of those that `without_gaps` emptied.
    """
    columns: dict[str, dict[str, None]] = {}
    lines: dict[str, dict[int, None]] = {}
    for line, given, gaps in found:
        for name in gaps:
            columns.setdefault(given[name], {})[name] = None
            lines.setdefault(given[name], {})[line] = None
    for text, there in lines.items():
        first = next(iter(there))
        where = f"line {first}" if len(there) == 1 else f"{len(there):,} lines, from line {first} on"
        yield f"{where}: {text} is taken for no value ({', '.join(columns[text])})"
