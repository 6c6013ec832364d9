"""Sample sheets: which files are reads of which sample, and of which lane and library.

Columns are ``sample,lane,fastq_1,fastq_2,bam,cram,gvcf,library,platform,sex,patient,father,mother``, in any order;
those of nf-core/sarek are understood as well. A sheet is checked as a whole: every mistake is reported, with its line.

References
----------
nf-core/sarek, https://nf-co.re/sarek/usage (input sample sheet). SAM/BAM format specification (PL of a read group),
https://samtools.github.io/hts-specs/SAMv1.pdf
"""

from __future__ import annotations

import difflib
import filecmp
import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import check_reading, judge_of_reading
from stargazer.errors import DataError
from stargazer.workflows.first_reads import Note
from stargazer.workflows.sheet_files import (
    NoReads,
    check_alignment,
    check_gvcf,
    check_reads,
    first_of,
    is_url,
    local_copy,
)
from stargazer.workflows.sheet_text import file_of, gap_notes, sheet_lines, spread, without_gaps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from stargazer.embedded.fastq import Read

__all__ = ["SampleSheet", "SheetRow", "SheetSample", "read_sheet"]

FILES = ("fastq_1", "fastq_2", "bam", "cram", "gvcf")
COLUMNS = ("sample", "lane", *FILES, "library", "platform", "sex", "patient", "father", "mother", "status")
BESIDE = ("bai", "crai")
"""Columns of indices: they are made anew."""

OF_TUMOURS = ("ploidy", "contamination")
"""Columns of sarek that say how copy numbers of tumours are called."""

SPRING = ("spring_1", "spring_2")
ALIASES = {"gender": "sex"}

LEAST_READS = 4
"""Reads that are not the same in two files by chance."""

SHOWN = 200
"""Mistakes that are told."""

LATER = ("table", "vcf", "variantcaller")
"""Columns of sarek for runs that begin with later steps."""

PLATFORMS = (
    "CAPILLARY", "DNBSEQ", "ELEMENT", "HELICOS", "ILLUMINA", "IONTORRENT", "LS454", "ONT", "PACBIO", "SINGULAR",
    "SOLID", "ULTIMA",
)  # fmt: skip
SEXES = {"XX": "XX", "XY": "XY", "FEMALE": "XX", "MALE": "XY", "F": "XX", "M": "XY", "ZZ": "", "NA": "", "": ""}
"""``ZZ`` is what sarek 2 writes where nobody knows."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
LONGEST_NAME = 100
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
    father, mother
        Samples of the parents.
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
    father: str
    mother: str
    files: Mapping[str, Path]


class SheetSample(NamedTuple):
    """A sample and its lines, in the order of the sheet."""

    sex: str
    patient: str
    rows: tuple[SheetRow, ...]
    father: str = ""
    mother: str = ""


class SampleSheet(NamedTuple):
    """A sheet without mistakes.

    Parameters
    ----------
    path
        Where it is.
    samples
        Each sample by its name, in the order of the sheet.
    notes
        What a person should know: lines that were passed over, lanes and samples that are left out.
    left_out
        Why samples are left out, by their names.
    lost_lanes
        Lanes that are left out, by their samples.
    """

    path: Path
    samples: Mapping[str, SheetSample]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = MappingProxyType({})
    lost_lanes: Mapping[str, tuple[str, ...]] = MappingProxyType({})


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
            found = sorted(dict.fromkeys(self._found))
            lines = "".join(f"\n  line {line}: {what}" for line, what in found[:SHOWN])
            more = len(found) - SHOWN
            lines += f"\n  and {more:,} more" if more > 0 else ""
            count = f"{len(found)} mistakes" if len(found) > 1 else "a mistake"
            raise DataError(f"{self._sheet} has {count}:{lines}")


def read_sheet(path: str | Path, *, strict: bool = False) -> SampleSheet:
    """Read a sample sheet and check all of it, the files that it names included.

    Parameters
    ----------
    path
        CSV, or separated by tabs or semicolons. Files are found from the folder that the sheet is in; URLs are read
        where fsspec reads them, and kept in the cache.
    strict
        Whether a lane without reads is a mistake; otherwise it is left out, with a note, and so is a sample that has no
        other.

    Raises
    ------
    DataError
        What is wrong, every mistake with its line.
    """
    sheet = Path(path)
    check_reading(sheet)
    mistakes = _Mistakes(sheet)
    lines = sheet_lines(sheet)
    number, names = lines.header
    _check_header(number, names, mistakes)
    mistakes.stop()
    read = [(line, given, *without_gaps(given, ("sample", "sex", "gender"))) for line, given in spread(lines)]
    named = {given.get("sample", "") for _, given, _, _ in read}
    rows = [_row(sheet.parent, line, _without_nobody(said, named), mistakes) for line, _, said, _ in read]
    for line, fields in lines.rows:
        if len(fields) != len(names):
            mistakes.add(line, f"{len(fields)} fields, but there are {len(names)} columns")
    if not lines.rows:
        mistakes.add(number, "there are no samples below the names of the columns")
    repeated = _check_repeated(rows, mistakes)
    told: dict[str, list[int]] = {}
    empty = _check_files(rows, mistakes, told, repeated, strict=strict)
    _check_same_reads(rows, mistakes, repeated)
    by_name: dict[str, list[SheetRow]] = {}
    for row in rows:
        by_name.setdefault(row.sample, []).append(row)
    samples = {name: _sample(of_one, mistakes, repeated) for name, of_one in by_name.items()}
    _check_parents(samples, mistakes)
    mistakes.stop()
    notes = [*lines.notes, *gap_notes((line, given, gaps) for line, given, _, gaps in read), *_alike(samples)]
    notes += [f"{_where(lines_of_it)}: {what}" for what, lines_of_it in told.items()]
    return _without_empty(sheet, samples, empty, notes)


def _without_nobody(said: Mapping[str, str], samples: Collection[str]) -> Mapping[str, str]:
    """Fields without parents that are 0, as nobody is in the pedigrees of PLINK, unless a sample is called so."""
    if "0" in samples:
        return said
    return {name: "" if name in ("father", "mother") and value == "0" else value for name, value in said.items()}


def _alike(samples: Iterable[str]) -> Iterator[str]:
    """Samples whose files are one where a disk takes capital letters for small ones."""
    seen: dict[str, str] = {}
    for name in samples:
        if (first := seen.setdefault(name.casefold(), name)) != name:
            yield f"samples {first!r} and {name!r} differ in capital letters alone"


def _without_empty(
    sheet: Path, samples: Mapping[str, SheetSample], empty: Mapping[int, str], notes: Sequence[str]
) -> SampleSheet:
    told = [*notes, *(f"line {line}: {what}; the lane is left out" for line, what in empty.items())]
    kept: dict[str, SheetSample] = {}
    left_out: dict[str, str] = {}
    lost: dict[str, tuple[str, ...]] = {}
    for name, sample in samples.items():
        rows = tuple(row for row in sample.rows if row.line not in empty)
        if len(rows) < len(sample.rows):
            lost[name] = tuple(f"line {row.line}: {empty[row.line]}" for row in sample.rows if row.line in empty)
        if rows:
            kept[name] = sample._replace(rows=rows)
        else:
            left_out[name] = "it has no reads"
    if not kept:
        lines_of_all = "".join(f"\n  line {line}: {what}" for line, what in sorted(empty.items()))
        raise DataError(f"{sheet}: no sample has any reads: {', '.join(left_out)}{lines_of_all}")
    told += [f"sample {name!r} is left out: {why}" for name, why in left_out.items()]
    return SampleSheet(sheet, kept, tuple(told), left_out, lost)


def _check_header(line: int, names: Sequence[str], mistakes: _Mistakes) -> None:
    known = (*COLUMNS, *BESIDE, *LATER, *OF_TUMOURS, *SPRING, *ALIASES)
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            mistakes.add(line, f"column {name!r} stands there {names.count(name)} times")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COLUMNS)}"
            mistakes.add(line, f"there is no column {name!r}; {hint}")
    if "sample" not in names:
        mistakes.add(line, "column 'sample' is missing")
    if not {"fastq_1", "bam", "cram", "gvcf", *SPRING, *LATER} & set(names):
        mistakes.add(line, "column 'fastq_1' is missing (or 'bam', 'cram' or 'gvcf')")
    for name, other in ALIASES.items():
        if name in names and other in names:
            mistakes.add(line, f"columns {name!r} and {other!r} say the same; leave one")


def _row(folder: Path, line: int, given: Mapping[str, str], mistakes: _Mistakes) -> SheetRow:
    given = {ALIASES.get(name, name): value for name, value in given.items()}
    fields = {name: given.get(name, "") for name in (*COLUMNS, *LATER, *OF_TUMOURS, *SPRING)}
    for problem in _problems(fields):
        mistakes.add(line, problem)
    files = {}
    for name in FILES:
        if fields[name]:
            try:
                place = fields[name] if is_url(fields[name]) else file_of(folder, fields[name])
                check_reading(place)
                files[name] = local_copy(place, judge_of_reading()) if isinstance(place, str) else place
            except DataError as error:
                mistakes.add(line, str(error))
    return SheetRow(
        line,
        fields["sample"],
        fields["lane"],
        fields["library"],
        fields["platform"].upper(),
        SEXES.get(fields["sex"].upper(), ""),
        fields["patient"],
        fields["father"],
        fields["mother"],
        files,
    )


def _problems(fields: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the fields of a line, the files aside."""
    if not fields["sample"]:
        yield "there is no sample"
    for name in ("sample", "lane", "library"):
        if fields[name] and not NAME.fullmatch(fields[name]):
            yield f"{name} {fields[name]!r} cannot be used: {NAME_RULE}"
        if len(fields[name]) > LONGEST_NAME:
            yield f"{name} {fields[name][:20]!r}… has {len(fields[name])} characters; {LONGEST_NAME} are allowed"
    if fields["platform"] and fields["platform"].upper() not in PLATFORMS:
        yield f"platform {fields['platform']!r} is none of {', '.join(PLATFORMS)}"
    if fields["sex"].upper() not in SEXES:
        yield f"sex {fields['sex']!r} is neither XX nor XY (NA, or nothing, if it is not known)"
    if fields["status"] not in ("", "0"):
        yield f"status {fields['status']!r}: only germline samples (0) can be called, no tumours"
    if fields["ploidy"] not in ("", "2"):
        yield f"ploidy {fields['ploidy']!r}: two copies are called (sex says what of X and Y); GatkOptions has ploidy="
    if fields["contamination"] not in ("", "0", "0.0"):
        yield f"contamination {fields['contamination']!r} is for tumours; it is measured here, so leave it empty"
    yield from (f"{name}: reads in Spring's form; unpack them with spring -d" for name in SPRING if fields[name])
    yield from (f"column {name!r} is of a later step; leave it empty" for name in LATER if fields[name])
    aligned = fields["bam"] or fields["cram"] or fields["gvcf"]
    for name in ("library", "platform"):
        if aligned and fields[name]:
            yield f"{name} of aligned reads stands in their read groups; leave it empty"
    if not any(fields[name] for name in (*SPRING, *LATER)):
        yield from _file_problems([name for name in FILES if fields[name]])


def _file_problems(given: Sequence[str]) -> Iterator[str]:
    if not given:
        yield "there is no file: give fastq_1, bam, cram or gvcf"
    elif given == ["fastq_2"]:
        yield "there is fastq_2 without fastq_1"
    elif len({name.partition("_")[0] for name in given}) > 1:
        yield f"{', '.join(given)} are given; a line has reads (fastq_1, fastq_2), a bam, a cram or a gvcf"


def _check_repeated(rows: Sequence[SheetRow], mistakes: _Mistakes) -> set[int]:
    """Each file is named once; the lines that name one again are returned."""
    seen: dict[str, int] = {}
    found = set()
    for row in rows:
        before: dict[int, list[str]] = {}
        for name, path in row.files.items():
            first = seen.setdefault(os.path.realpath(path), row.line)  # Path.resolve raises on links in a ring
            if first != row.line or list(row.files.values()).count(path) > 1:
                before.setdefault(first, []).append(name)
        for line, names in before.items():
            where = f"on line {line}" if line != row.line else f"on this line, as {' and '.join(names)}"
            mistakes.add(row.line, f"{row.files[names[0]]} is named before, {where}")
            found.add(row.line)
    return found


def _check_same_reads(rows: Iterable[SheetRow], mistakes: _Mistakes, repeated: Collection[int]) -> None:
    """No two files begin with the same reads, as copies do that were compressed anew, or cut.

    Those with the same bytes are told by their CIDs.
    """
    seen: dict[tuple[Read, ...], list[tuple[int, Path]]] = {}
    for row in rows:
        for path in (row.files[name] for name in FILES[:2] if name in row.files and row.line not in repeated):
            first = first_of(path)
            others = seen.setdefault(first, [])
            before = [(line, other) for line, other in others if line != row.line]
            if len(first) >= LEAST_READS and before and not any(_are_equal(path, other) for _, other in before):
                line, other = before[0]
                mistakes.add(row.line, f"{path.name} begins with the very reads of {other.name}, on line {line}")
            others.append((row.line, path))


def _are_equal(path: Path, other: Path) -> bool:
    return filecmp.cmp(path, other, shallow=False)


def _where(lines: Sequence[int]) -> str:
    return f"line {lines[0]}" if len(lines) == 1 else f"{len(lines):,} lines, from line {lines[0]} on"


def _check_files(
    rows: Iterable[SheetRow],
    mistakes: _Mistakes,
    told: dict[str, list[int]],
    repeated: Collection[int],
    *,
    strict: bool,
) -> dict[int, str]:
    """Each file is what it should be; lanes without reads are returned, with why, by their lines; notes are added."""
    empty: dict[int, str] = {}
    for row in rows:
        reads = [row.files[name] for name in FILES[:2] if name in row.files]
        # Of a line that names a file again, only what is wrong with each file: that its mates differ follows from it.
        checked = [check_reads(each) for each in ([[one] for one in reads] if row.line in repeated else [reads])]
        checked += [check_alignment(row.files[name], row.sample, name) for name in ("bam", "cram") if name in row.files]
        checked += [check_gvcf(row.files["gvcf"], row.sample)] if "gvcf" in row.files else []
        for problem in dict.fromkeys(problem for each in checked for problem in each):
            if isinstance(problem, Note):
                told.setdefault(problem, []).append(row.line)
            elif isinstance(problem, NoReads) and not strict:
                empty[row.line] = problem
            else:
                mistakes.add(row.line, problem)
    return empty


def _check_parents(samples: Mapping[str, SheetSample], mistakes: _Mistakes) -> None:
    sexes: dict[str, tuple[str, str]] = {}
    for name, sample in samples.items():
        line = sample.rows[0].line
        for problem in _parent_problems(name, sample, samples):
            mistakes.add(line, problem)
        if sample.patient and sample.sex:
            first, sex = sexes.setdefault(sample.patient, (name, sample.sex))
            if sex != sample.sex:
                mistakes.add(
                    line, f"{name!r} and {first!r} are of one patient, and their sexes are {sample.sex} and {sex}"
                )


def _parent_problems(name: str, sample: SheetSample, samples: Mapping[str, SheetSample]) -> Iterator[str]:
    for role, parent, other in (("father", sample.father, "XX"), ("mother", sample.mother, "XY")):
        if parent and (parent not in samples or parent == name):
            yield f"{parent!r}, a parent of {name!r}, is no other sample of the sheet"
        elif parent and samples[parent].sex == other:
            yield f"{parent!r} is the {role} of {name!r}, and its sex is {other}"
    if sample.father and sample.father == sample.mother:
        yield f"{sample.father!r} is both father and mother of {name!r}"
    elif name not in (sample.father, sample.mother) and name in _ancestors(name, samples):
        yield f"{name!r} is an ancestor of itself"


def _ancestors(name: str, samples: Mapping[str, SheetSample]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        sample = samples.get(todo.pop())
        new = {sample.father, sample.mother} - found - {""} if sample is not None else set()
        found |= new
        todo += new
    return found


def _sample(rows: Sequence[SheetRow], mistakes: _Mistakes, repeated: Collection[int]) -> SheetSample:
    first, *others = rows
    for row in others:
        for name in ("sex", "patient", "father", "mother"):
            if getattr(row, name) != getattr(first, name):
                shown = f"{getattr(row, name) or 'nothing'}, on line {first.line} {getattr(first, name) or 'nothing'}"
                mistakes.add(row.line, f"{name} of sample {row.sample!r} is {shown}")
        if {"gvcf"} & (row.files.keys() | first.files.keys()):
            mistakes.add(row.line, f"sample {row.sample!r} has a gvcf, which has all its reads: it wants one line")
    lanes: dict[str, int] = {}
    for row in rows:
        if row.lane and lanes.setdefault(row.lane, row.line) != row.line and row.line not in repeated:
            mistakes.add(row.line, f"lane {row.lane!r} of sample {row.sample!r} is there, on line {lanes[row.lane]}")
    return SheetSample(first.sex, first.patient, tuple(rows), first.father, first.mother)
