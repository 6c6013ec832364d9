"""Sample sheets: which files are reads of which sample, and of which lane and library.

Columns are ``sample,lane,fastq_1,fastq_2,bam,cram,library,platform,sex``, in any order; those of nf-core/sarek are
understood as well. A sheet is checked as a whole: every mistake is reported, with the line that it is on.

References
----------
nf-core/sarek, https://nf-co.re/sarek/usage (input sample sheet). SAM/BAM format specification (PL of a read group),
https://samtools.github.io/hts-specs/SAMv1.pdf
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import read_text
from stargazer.errors import DataError
from stargazer.workflows.sheet_files import check_alignment, check_reads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["SampleSheet", "SheetRow", "SheetSample", "read_sheet"]

FILES = ("fastq_1", "fastq_2", "bam", "cram")
COLUMNS = ("sample", "lane", *FILES, "library", "platform", "sex", "patient", "status")
BESIDE = ("bai", "crai")
"""Columns of indices: they are made anew."""

LARGEST_SHEET = 16 << 20
"""Bytes of a sheet: those of a hundred thousand lanes."""

SHOWN = 200
"""Mistakes that are told."""

LATER = ("table", "vcf", "variantcaller")
"""Columns of sarek for runs that begin with later steps."""

PLATFORMS = (
    "CAPILLARY", "DNBSEQ", "ELEMENT", "HELICOS", "ILLUMINA", "IONTORRENT", "LS454", "ONT", "PACBIO", "SINGULAR",
    "SOLID", "ULTIMA",
)  # fmt: skip
SEXES = {"XX": "XX", "XY": "XY", "FEMALE": "XX", "MALE": "XY", "F": "XX", "M": "XY", "NA": "", "": ""}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
NAME_RULE = "it names files and read groups: letters, digits and _ . + -, a letter or digit first"


class SheetRow(NamedTuple):
    """One line of a sheet: a lane of a sample, raw (`fastq_1`, `fastq_2`) or aligned (`bam`, `cram`).

    Parameters
    ----------
    line
        Where it stands in the sheet.
    sample, lane, library, platform
        As they go into the read group; empty where the sheet leaves them to the default.
    sex
        ``"XX"``, ``"XY"``, or empty.
    patient
        Whom the sample is from.
    files
        The columns that name files, by their names; only those that are given.
    """

    line: int
    sample: str
    lane: str
    library: str
    platform: str
    sex: str
    patient: str
    files: Mapping[str, Path]


class SheetSample(NamedTuple):
    """A sample and its lines, in the order of the sheet."""

    sex: str
    patient: str
    rows: tuple[SheetRow, ...]


class SampleSheet(NamedTuple):
    """A sheet without mistakes: where it is, and each sample by its name, in the order of the sheet."""

    path: Path
    samples: Mapping[str, SheetSample]


class _Mistakes:
    """What is wrong with a sheet, line by line."""

    def __init__(self, sheet: Path) -> None:
        self._sheet = sheet
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, what: str) -> None:
        self._found.append((line, what))

    def stop(self) -> None:
        """Raise what was found, if anything was."""
        if self._found:
            lines = "".join(f"\n  line {line}: {what}" for line, what in sorted(self._found)[:SHOWN])
            more = len(self._found) - SHOWN
            lines += f"\n  and {more:,} more" if more > 0 else ""
            count = f"{len(self._found)} mistakes" if len(self._found) > 1 else "a mistake"
            raise DataError(f"{self._sheet} has {count}:{lines}")


def read_sheet(path: str | Path) -> SampleSheet:
    """Read a sample sheet and check all of it, the files that it names included.

    Parameters
    ----------
    path
        CSV, or tab-separated. Files are found from the folder that the sheet is in.

    Raises
    ------
    DataError
        What is wrong, every mistake with its line.
    """
    sheet = Path(path)
    mistakes = _Mistakes(sheet)
    header, *lines = _lines(sheet)
    names = [name.strip().lower() for name in header[1]]
    _check_header(header[0], names, mistakes)
    mistakes.stop()
    whole = [(line, dict(zip(names, fields, strict=False))) for line, fields in lines if len(fields) == len(names)]
    rows = [_row(sheet.parent, line, given, mistakes) for line, given in whole]
    for line, fields in lines:
        if len(fields) != len(names):
            mistakes.add(line, f"{len(fields)} fields, but there are {len(names)} columns")
    if not lines:
        mistakes.add(header[0], "there are no samples below the names of the columns")
    _check_files(rows, mistakes)
    by_name: dict[str, list[SheetRow]] = {}
    for row in rows:
        by_name.setdefault(row.sample, []).append(row)
    samples = {name: _sample(of_one, mistakes) for name, of_one in by_name.items()}
    mistakes.stop()
    return SampleSheet(sheet, samples)


def _lines(sheet: Path) -> list[tuple[int, list[str]]]:
    """Fields of every line that has any, with its number."""
    try:
        text = read_text(sheet, LARGEST_SHEET)
    except (OSError, DataError) as error:
        raise DataError(f"{sheet} cannot be read as a sample sheet: {error}") from error
    tabs = "," not in text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",", strict=True)
    try:
        found = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise DataError(f"{sheet}, line {reader.line_num}: {error}") from error
    filled = [(line, fields) for line, fields in found if any(fields)]
    if not filled:
        raise DataError(f"{sheet} is empty; its first line names the columns: sample,lane,fastq_1,fastq_2")
    return filled


def _check_header(line: int, names: Sequence[str], mistakes: _Mistakes) -> None:
    known = (*COLUMNS, *BESIDE, *LATER)
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            mistakes.add(line, f"column {name!r} stands there {names.count(name)} times")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COLUMNS)}"
            mistakes.add(line, f"there is no column {name!r}; {hint}")
    if "sample" not in names:
        mistakes.add(line, "column 'sample' is missing")
    if not {"fastq_1", "bam", "cram"} & set(names):
        mistakes.add(line, "column 'fastq_1' is missing (or 'bam', or 'cram')")


def _row(folder: Path, line: int, given: Mapping[str, str], mistakes: _Mistakes) -> SheetRow:
    fields = {name: given.get(name, "") for name in (*COLUMNS, *LATER)}
    for problem in _problems(fields):
        mistakes.add(line, problem)
    return SheetRow(
        line,
        fields["sample"],
        fields["lane"],
        fields["library"],
        fields["platform"].upper(),
        SEXES.get(fields["sex"].upper(), ""),
        fields["patient"],
        {name: folder / fields[name] for name in FILES if fields[name]},
    )


def _problems(fields: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the fields of a line, the files aside."""
    if not fields["sample"]:
        yield "there is no sample"
    for name in ("sample", "lane", "library"):
        if fields[name] and not NAME.fullmatch(fields[name]):
            yield f"{name} {fields[name]!r} cannot be used: {NAME_RULE}"
    if fields["platform"] and fields["platform"].upper() not in PLATFORMS:
        yield f"platform {fields['platform']!r} is none of {', '.join(PLATFORMS)}"
    if fields["sex"].upper() not in SEXES:
        yield f"sex {fields['sex']!r} is neither XX nor XY (NA, or nothing, if it is not known)"
    if fields["status"] not in ("", "0"):
        yield f"status {fields['status']!r}: only germline samples (0) can be called, no tumours"
    yield from (f"column {name!r} is of a later step; leave it empty" for name in LATER if fields[name])
    aligned = fields["bam"] or fields["cram"]
    for name in ("library", "platform"):
        if aligned and fields[name]:
            yield f"{name} of aligned reads stands in their read groups; leave it empty"
    yield from _file_problems([name for name in FILES if fields[name]])


def _file_problems(given: Sequence[str]) -> Iterator[str]:
    if not given:
        yield "there is no file: give fastq_1, bam or cram"
    elif given == ["fastq_2"]:
        yield "there is fastq_2 without fastq_1"
    elif len({name.partition("_")[0] for name in given}) > 1:
        yield f"{', '.join(given)} are given; a line has reads (fastq_1, fastq_2), or a bam, or a cram"


def _check_files(rows: Iterable[SheetRow], mistakes: _Mistakes) -> None:
    """Each file is there, is what it should be, and is named once."""
    seen: dict[Path, int] = {}
    for row in rows:
        for path in row.files.values():
            first = seen.setdefault(path.resolve(), row.line)
            if first != row.line or list(row.files.values()).count(path) > 1:
                mistakes.add(row.line, f"{path} is named before, on line {first}")
        checked = [check_reads([row.files[name] for name in FILES[:2] if name in row.files])]
        checked += [check_alignment(row.files[name], row.sample) for name in ("bam", "cram") if name in row.files]
        for problem in dict.fromkeys(problem for each in checked for problem in each):
            mistakes.add(row.line, problem)


def _sample(rows: Sequence[SheetRow], mistakes: _Mistakes) -> SheetSample:
    first, *others = rows
    for row in others:
        for name in ("sex", "patient"):
            if getattr(row, name) != getattr(first, name):
                shown = f"{getattr(row, name) or 'nothing'}, on line {first.line} {getattr(first, name) or 'nothing'}"
                mistakes.add(row.line, f"{name} of sample {row.sample!r} is {shown}")
    lanes: dict[str, int] = {}
    for row in rows:
        if row.lane and lanes.setdefault(row.lane, row.line) != row.line:
            mistakes.add(row.line, f"lane {row.lane!r} of sample {row.sample!r} is there, on line {lanes[row.lane]}")
    return SheetSample(first.sex, first.patient, tuple(rows))
