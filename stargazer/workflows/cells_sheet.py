"""Sheets of single-cell samples: whose counts lie where, and what is compared.

Columns are ``sample,path,condition,donor,batch,organism,expected_cells``, in any order, and where a file needs it
``prefix,layer,genome,round``; ``calling`` says which barcodes are cells, where that must be said. Further columns are
carried to the cells. The sheets of nf-core/scdownstream are
understood, and what nf-core/scrnaseq writes. A sheet is checked as a whole: every mistake is reported, with its line.

References
----------
nf-core/scrnaseq, https://nf-co.re/scrnaseq/usage; nf-core/scdownstream, https://nf-co.re/scdownstream/usage
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import check_reading, is_count
from stargazer.errors import DataError, StargazerError
from stargazer.workflows.sheet_files import is_url
from stargazer.workflows.sheet_text import file_of, gap_notes, sheet_lines, without_gaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["CellsRow", "CellsSheet", "read_cells_sheet"]

KNOWN = ("sample", "path", "condition", "donor", "batch", "organism", "expected_cells", "calling")
READING = ("prefix", "layer", "genome", "round")
ALIASES = {
    "sample_id": "sample",
    "sample_name": "sample",
    "file": "path",
    "matrix": "path",
    "filtered": "path",
    "h5ad": "path",
    "counts": "path",
    "group": "condition",
    "treatment": "condition",
    "patient": "donor",
    "individual": "donor",
    "subject": "donor",
    "species": "organism",
    "expected_cell": "expected_cells",
}
"""Names of columns that others write, and what they are here; ``filtered`` is scdownstream's."""
OF_OTHERS = (
    *("fastq_1", "fastq_2", "seq_center", "sample_type", "feature_type", "fastq_barcode", "protocol"),
    *("unfiltered", "batch_col", "label_col", "condition_col", "unknown_label", "min_genes", "min_cells"),
    *(
        "min_counts_cell",
        "min_counts_gene",
        "max_mito_percentage",
        "ambient_correction",
        "ambient_corrected_integration",
    ),
    *("doublet_detection", "symbol_col", "counts_layer", "hash_col"),
)
"""Columns of nf-core's sheets that say nothing here."""
INSTEAD = {
    "batch_col": "a column of the cells to integrate over is named by batch_key= (--batch)",
    "label_col": "labels stay in their column of the cells, and nothing goes by them",
    "condition_col": "give the condition of each sample in the column condition",
    "min_genes": "one limit holds for all samples: min_genes= (--min-genes)",
    "min_cells": "one limit holds for all samples: min_cells=",
    "min_counts_cell": "cells go by their genes, and by their distance from the median: mads=",
    "min_counts_gene": "genes go by their cells: min_cells=",
    "max_mito_percentage": "one limit holds for all samples: max_pct_mt= (--max-pct-mt)",
    "ambient_correction": "give the corrected counts, of CellBender or SoupX, as path",
    "doublet_detection": "doublets are sought in all samples, or in none: doublets=",
    "symbol_col": "the column of symbols is the same of all samples: symbols=",
    "hash_col": "give each of the samples that were hashed as a file of its own",
}
"""Those that would change results, and what says it here."""
COMPARED = ("condition", "donor", "batch")
BETWEEN = re.compile(r"(?<![0-9])[\s_.-]|[\s_.-](?![0-9])")
"""What stands between words; between digits it tells numbers apart, as 1, 10 and 1.0."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
NAME_RULE = "it names cells and files: letters, digits and _ . + -, a letter or digit first"
COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
RESERVED = frozenset(
    (
        *("kept", "called", "size_factor", "total_counts", "n_genes", "leiden", "doublet_score", "predicted_doublet"),
        *("n_genes_by_counts", "total_counts_mt", "total_counts_ribo", "total_counts_hb"),
        *("pct_counts_mt", "pct_counts_ribo", "pct_counts_hb"),
    )
)
"""What stages make of each sample: a column of that name in the sheet would be written over."""
CALLING = ("auto", "knee", "expected", "all")
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
SHOWN = 200


class CellsRow(NamedTuple):
    """A sample.

    Parameters
    ----------
    line
        Where it stands in the sheet.
    sample
        Its name.
    path
        File or folder of its counts.
    organism
        Empty if the genes are to tell.
    expected_cells
        0 if nobody knows.
    columns
        What goes to its cells: condition, donor, batch and further columns, by name; only those that have a value.
    reading
        What must be said of the file: prefix, layer, genome, round.
    calling
        As ``method`` of `call_cells`; empty for the usual.
    """

    line: int
    sample: str
    path: Path
    organism: str
    expected_cells: int
    columns: Mapping[str, str]
    reading: Mapping[str, str]
    calling: str = ""


class CellsSheet(NamedTuple):
    """A sheet without mistakes: where it is, its samples, and what was passed over."""

    path: Path
    rows: tuple[CellsRow, ...]
    notes: tuple[str, ...] = ()

    def values(self, column: str) -> list[str]:
        """Different values of a column, in the order of the sheet."""
        return list(dict.fromkeys(row.columns[column] for row in self.rows if column in row.columns))


def read_cells_sheet(path: str | Path) -> CellsSheet:
    """Read a sheet and check all of it.

    Parameters
    ----------
    path
        CSV, or separated by tabs or semicolons. Files are found from the folder that the sheet is in.

    Raises
    ------
    DataError
        What is wrong, every mistake with its line.
    """
    sheet = Path(path)
    check_reading(sheet)
    mistakes: list[tuple[int, str]] = []
    (head, header), lines, notes = sheet_lines(sheet, "sample,path,condition,donor,batch,organism")
    names = [ALIASES.get(name, name) for name in header]
    mistakes += [(head, problem) for problem in _header_problems(names)]
    named = not {"path", "unfiltered"}.isdisjoint(names)
    rows, empty = [], []
    passed_over: dict[str, int] = {}
    for line, fields in lines:
        if len(fields) != len(names):
            mistakes.append((line, f"{len(fields)} fields, but there are {len(names)} columns"))
            continue
        read = dict(zip(names, fields, strict=True))
        said, gaps = without_gaps(read, ("sample", "path"))
        empty.append((line, read, gaps))
        given = {name: field for name, field in said.items() if field}
        passed_over.update((name, line) for name in INSTEAD if name not in passed_over and _is_said(given.get(name)))
        mistakes += [(line, problem) for problem in _problems(given, sheet.parent, named=named)]
        rows.append(_row(line, given, sheet.parent))
    if not lines:
        mistakes.append((head, "there are no samples below the names of the columns"))
    mistakes += _double(rows, named=named)
    _stop(sheet, mistakes)
    notes += [*gap_notes(empty)]
    notes += [f"line {line}: {name} was passed over: {INSTEAD[name]}" for name, line in passed_over.items()]
    return CellsSheet(sheet, tuple(rows), (*notes, *_alike(rows)))


def _is_said(value: str | None) -> bool:
    """Whether a field of another pipeline asks for anything."""
    return (value or "none").lower() not in ("none", "false", "no", "0")


def _alike(rows: Iterable[CellsRow]) -> Iterator[str]:
    """Values that are most likely one, and count as two."""
    for column in COMPARED:
        seen: dict[str, str] = {}
        for value in dict.fromkeys(row.columns[column] for row in rows if column in row.columns):
            plain = BETWEEN.sub("", value).casefold()
            first = seen.setdefault(plain.lstrip("0") or plain, value)
            if first != value:
                yield f"{column} {first!r} and {value!r} count as two, though they are written alike"


def _header_problems(names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"column {name!r} stands there {names.count(name)} times"
        if name in (*KNOWN, *READING, *OF_OTHERS):
            continue
        near = difflib.get_close_matches(name, (*KNOWN, *READING), 1, cutoff=0.75)
        if near:
            yield f"there is no column {name!r}; did you mean {near[0]!r}?"
        elif not COLUMN.fullmatch(name) or name in RESERVED:
            yield f"column {name!r} cannot be one of the cells: take another name"
    if "sample" not in names:
        yield "column 'sample' is missing"
    if "path" not in names and "unfiltered" not in names:
        if "fastq_1" in names:
            yield (
                "this is a sheet of reads: run nf-core/scrnaseq with it first, and give the matrices that it writes in "
                "a column 'path'"
            )
        else:
            yield "column 'path' is missing: where the counts of a sample are"


def _problems(given: Mapping[str, str], folder: Path, *, named: bool) -> Iterator[str]:
    """What is wrong with a line; `named` is whether there is a column of paths."""
    if "sample" not in given:
        yield "there is no sample"
    elif not NAME.fullmatch(given["sample"]):
        yield f"sample {given['sample']!r} cannot be used: {NAME_RULE}"
    place = given.get("path") or given.get("unfiltered")
    if not place:
        if named:  # else the first line lacks the column, and is told so once
            yield "there is no path"
    elif is_url(place):
        yield f"{place} is an address: fetch the file first, and give its path"
    else:
        check_reading(file := file_of(folder, place))
        if not file.exists():
            yield f"there is no file or folder {file}"
    if not re.fullmatch(r"[0-9]{0,18}", given.get("expected_cells", "")):
        yield f"expected_cells is {given['expected_cells']!r}, and should be a whole number"
    if (calling := given.get("calling", "auto").lower()) not in CALLING:
        yield f"calling is {calling!r}, and should be one of {', '.join(CALLING)}"
    elif calling == "expected" and not given.get("expected_cells", "").strip("0"):
        yield "calling is expected, and nothing says how many cells are: expected_cells"
    if given.get("round", "").lower() not in (*TRUE, *FALSE):
        yield f"round is {given['round']!r}, and should be true or false"
    if given.get("organism"):
        yield from _organism_problem(given["organism"])


def _organism_problem(organism: str) -> Iterator[str]:
    from stargazer.bio.singlecell.genes import organism_of

    try:
        organism_of(organism)
    except StargazerError as error:
        yield f"{error} (leave it empty for others, and say mt_genes=)"


def _row(line: int, given: Mapping[str, str], folder: Path) -> CellsRow:
    expected = given.get("expected_cells", "")
    place = given.get("path") or given.get("unfiltered") or ""
    plain = ("sample", "path", "organism", "expected_cells", "calling", *READING, *OF_OTHERS)
    layer = given.get("layer") or given.get("counts_layer", "")
    reading = {name: given[name] for name in ("prefix", "genome") if name in given} | (
        {"layer": layer} if layer else {}
    )
    if given.get("round", "").lower() in TRUE:
        reading["round"] = "true"
    return CellsRow(
        line,
        given.get("sample", ""),
        file_of(folder, place),
        given.get("organism", ""),
        int(expected) if is_count(expected) else 0,
        {name: value for name, value in given.items() if name not in plain},
        reading,
        given.get("calling", "").lower(),
    )


def _double(rows: Iterable[CellsRow], *, named: bool) -> list[tuple[int, str]]:
    """Samples and files that stand there twice."""
    found: list[tuple[int, str]] = []
    names: dict[str, int] = {}
    places: dict[tuple[str, str, str], int] = {}
    for row in rows:
        if row.sample and names.setdefault(row.sample, row.line) != row.line:
            found.append((row.line, f"sample {row.sample!r} stands there before, on line {names[row.sample]}"))
        key = (str(row.path.resolve()), row.reading.get("prefix", ""), row.reading.get("genome", ""))
        if named and places.setdefault(key, row.line) != row.line:
            found.append((row.line, f"{row.path} stands there before, on line {places[key]}"))
    return found


def _stop(sheet: Path, mistakes: Sequence[tuple[int, str]]) -> None:
    if not mistakes:
        return
    lines = "".join(f"\n  line {line}: {what}" for line, what in sorted(mistakes)[:SHOWN])
    lines += f"\n  and {len(mistakes) - SHOWN:,} more" if len(mistakes) > SHOWN else ""
    raise DataError(f"{sheet} has {f'{len(mistakes)} mistakes' if len(mistakes) > 1 else 'a mistake'}:{lines}")
