"""Inputs beside their reference, before anything runs: what does not belong to it, all at once, with line and file."""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Reference, ReferenceIndex, SequenceDict
from stargazer.errors import DataError, StargazerError
from stargazer.tasks.fasta import check_fasta
from stargazer.tasks.general.consequences import genes_problem, info_names
from stargazer.tasks.regions import bed_text, merge, other_names, parse_bed, runs_of_n
from stargazer.tasks.sam import is_long, is_recalibrated, sam_contigs, sam_md5s, vcf_contigs
from stargazer.tasks.vcf import vcf_lines
from stargazer.workflows.gvcf_reach import Reached, reached
from stargazer.workflows.lanes import path_of
from stargazer.workflows.sheet_files import alignment_header, caller_of, is_cut_short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from stargazer.assets import Asset, Intervals, KnownSites
    from stargazer.calls import Call
    from stargazer.workflows.gvcf_records import Bases
    from stargazer.workflows.sheet import SampleSheet

__all__ = ["Contigs", "check_against", "contigs_of"]

LARGEST_SCANNED = 256 << 20
"""Bytes of a FASTA up to which it is read for the lengths of its contigs where no index is known."""

PACKED = (".gz", ".bgz")
"""Ends of the names of files that are compressed."""

REGION = re.compile(r"\S+:[0-9,]+(-[0-9,]+)?")
"""How GATK and samtools take a region; contigs may have colons in their names."""

COLUMNS = 8
"""Columns that every record of a VCF has, from CHROM to INFO."""

VCF_START, MARKS = b"##fileformat=VCF", (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""How a VCF begins, and byte order marks, with which none does."""

FIRST_RECORDS = 1000
"""Records of known sites that are looked at."""


class Contigs(NamedTuple):
    """What is known of a reference.

    Parameters
    ----------
    name
        Of its file.
    lengths, md5s
        Of its contigs; the MD5s as far as they are known.
    fasta, faidx
        Its file, and the text of its index; without them bases are not compared.
    """

    name: str
    lengths: Mapping[str, int]
    md5s: Mapping[str, str]
    fasta: Reference | None = None
    faidx: str = ""


def contigs_of(reference: Reference | Call) -> Contigs | None:
    """What is known of a reference without a run; None where that is nothing.

    Parameters
    ----------
    reference
        FASTA, with its indices or without, or the call that gives it its indices.
    """
    fasta, beside = _parts(reference)
    index, known, text = beside.get(ReferenceIndex), beside.get(SequenceDict), ""
    if index is not None:
        text = _text(index)
        lengths = {name: int(length) for name, length, *_ in (line.split("\t") for line in text.splitlines())}
    elif fasta is not None and (found := path_of(fasta)).stat().st_size <= LARGEST_SCANNED:
        lengths = _scanned(found, fasta.name)
    else:
        return None
    name = fasta.name if fasta is not None else "the reference"
    return Contigs(name, lengths, sam_md5s(_text(known)) if known is not None else {}, fasta, text)


def _scanned(path: Path, name: str) -> dict[str, int]:
    """Lengths of the contigs of a FASTA, compressed or not."""
    packed = name.endswith(PACKED)
    if not packed:
        check_fasta(path, name)
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as lines:
            return {contig: length for contig, length, _ in runs_of_n(lines)}
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} cannot be unpacked: {error}") from error


def _parts(reference: Any) -> tuple[Reference | None, dict[type, Asset]]:
    """The FASTA, and the indices of it that are stored."""
    found: list[Any] = []
    while not isinstance(reference, Reference) and reference is not None:
        found += [one for call in reference.inputs.get("indices", ()) for one in _known(call)]
        reference = next(iter(_known(reference)), None) or reference.inputs.get("ref")
    return reference, {type(one): one for one in (*found, *(reference.companions if reference else ()))}


def _known(call: Any) -> tuple[Any, ...]:
    known = call.known() if hasattr(call, "known") else (call,)
    return tuple(known or ())


def _text(asset: Asset) -> str:
    return path_of(asset).read_text("utf-8")


def check_against(
    contigs: Contigs,
    sheet: SampleSheet | None = None,
    *,
    target: Intervals | None = None,
    known_sites: Sequence[KnownSites] = (),
    engine: str = "embedded",
    genes: Asset | None = None,
    annotations: Sequence[KnownSites] = (),
    info: Sequence[str] = (),
) -> list[str]:
    """Look at every input beside the reference.

    Parameters
    ----------
    contigs
        What `contigs_of` gives.
    sheet
        Whose files are looked at.
    target
        BED file.
    known_sites
        VCFs.
    engine
        ``"embedded"``, ``"native"`` or ``"gatk"``.
    genes
        GFF3, for consequences.
    annotations, info
        Those of the known sites that INFO is taken from, and its names.

    Returns
    -------
    list of str
        What a person should know, though it is no mistake.

    Raises
    ------
    DataError
        What does not belong to the reference, all at once, with line and file.
    """
    problems, notes = [], []
    if engine == "gatk" and is_long(contigs.lengths.values()):
        problems.append(f"{contigs.name} has contigs beyond 512 Mb, which GATK cannot index; take another engine")
    for line, path, kind in _files(sheet):
        found = list(_gvcf_problems(path, contigs, engine) if kind == "gvcf" else _bam_problems(path, contigs))
        if kind == "gvcf" and not found:
            found, told = _look_at_records(path, contigs, target)
            notes += [f"line {line}: {note}" for note in told]
        problems += [f"line {line}: {path} {problem}" for problem in found]
        if kind != "gvcf" and is_recalibrated(alignment_header(path)):
            notes.append(f"line {line}: {path.name} was recalibrated before, as its header says")
    if target is not None:
        problems += [f"{target.name or 'the target'}: {problem}" for problem in _bed_problems(path_of(target), contigs)]
    for site in known_sites:
        problems += [f"{site.name}: {problem}" for problem in _site_problems(path_of(site), contigs)]
    if genes is not None and (problem := genes_problem(replace(genes, path=path_of(genes)), contigs.lengths)):
        problems.append(problem)
    problems += _info_problems(annotations, info)
    if problems:
        where = f"{sheet.path} and its inputs do" if sheet is not None else "the inputs do"
        raise DataError(f"{where} not fit {contigs.name}:" + "".join(f"\n  {one}" for one in problems))
    return notes


def _files(sheet: SampleSheet | None) -> Iterator[tuple[int, Path, str]]:
    """Line, file and kind of each file that has contigs."""
    for sample in sheet.samples.values() if sheet is not None else ():
        for row in sample.rows:
            yield from ((row.line, row.files[kind], kind) for kind in ("bam", "cram", "gvcf") if kind in row.files)


def _bam_problems(path: Path, contigs: Contigs) -> Iterator[str]:
    try:
        header = alignment_header(path)
        lengths, md5s = sam_contigs(header), sam_md5s(header)
    except (OSError, ValueError, StargazerError) as error:
        yield f"cannot be read: {error}"
        return
    yield from _length_problems(lengths, contigs, "was aligned to another reference")
    for name, md5 in md5s.items():
        if contigs.md5s.get(name, md5) != md5 and contigs.lengths.get(name) == lengths.get(name):
            yield f"was aligned to another sequence of {name} (MD5 {md5}, here {contigs.md5s[name]})"
            return


def _length_problems(found: Mapping[str, int], contigs: Contigs, what: str) -> Iterator[str]:
    for name, length in found.items():
        if name not in contigs.lengths:
            yield f"{what}: {name} is not in it; {other_names(name, contigs.lengths)}"
            return
        if contigs.lengths[name] != length:
            yield f"{what}: {name} has {length:,} bases there, and {contigs.lengths[name]:,} here"
            return


def _gvcf_problems(path: Path, contigs: Contigs, engine: str) -> Iterator[str]:
    try:
        header = "".join(itertools.takewhile(lambda line: line.startswith("#"), vcf_lines(path)))
    except DataError as error:
        yield str(error)
        return
    lengths = vcf_contigs(header)
    if not lengths:
        yield "has no contigs with lengths in its header (##contig); bcftools reheader --fai takes them from an index"
    yield from _length_problems(lengths, contigs, "was called on another reference")
    wanted = "gatk" if engine == "gatk" else "bcftools"
    if (caller := caller_of(header)) and caller != wanted:
        yield f"was called by {caller}, and this engine joins gVCFs of {wanted}; gVCFs of different callers never mix"


def _bed_problems(path: Path, contigs: Contigs) -> Iterator[str]:
    try:
        lines = bed_text(path)
        if hint := _other_regions(lines):
            yield hint
            return
        regions = parse_bed(lines)
        if not regions:
            yield "there are no regions in it"
        merge(regions, contigs.lengths)
    except DataError as error:
        yield str(error)


def _look_at_records(path: Path, contigs: Contigs, target: Intervals | None) -> Reached:
    """What is wrong with the records of a gVCF, and what a person should know of them."""
    try:
        regions = merge(parse_bed(bed_text(path_of(target))), contigs.lengths) if target is not None else []
    except DataError:
        return Reached([], [])  # whoever looks at the target says what is wrong
    return reached(path, contigs.name, contigs.lengths, _bases(contigs), regions)


def _bases(contigs: Contigs) -> Bases | None:
    """The bases of the reference; None where they are compressed, or the store does not have them."""
    from stargazer.workflows.gvcf_records import Bases

    if contigs.fasta is None or not contigs.faidx or contigs.fasta.name.endswith(PACKED):
        return None
    return Bases.of(path_of(contigs.fasta), contigs.faidx)


def _other_regions(lines: Iterable[str]) -> str:
    """How to make BED of regions in another form; empty of what looks like BED."""
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith(("@HD\t", "@SQ\t")):
        return "is an interval list of Picard, which counts from 1; gatk IntervalListToBed makes BED of it"
    if first.startswith("##fileformat=VCF"):
        return "is a VCF, no BED; bcftools query -f '%CHROM\\t%POS0\\t%END\\n' makes BED of it"
    if REGION.fullmatch(first):
        return f"has regions such as {first[:60]!r}, which count from 1; write contig, start - 1 and end, with tabs"
    return ""


def _site_problems(path: Path, contigs: Contigs) -> Iterator[str]:
    if other := _other_sites(path):
        yield other
        return
    with path.open("rb") as raw:
        start = raw.read(16)
    if start[:2] == b"\x1f\x8b" and start[12:14] != b"BC":
        yield "is compressed by gzip, which no tool can index; compress it with bgzip"
    if is_cut_short(path):
        yield "is cut short: the mark with which such files end is missing; get it again"
    if path.name.endswith(PACKED) and start[:2] != b"\x1f\x8b":
        yield "is not compressed, though its name says so, and tools go by names; compress it with bgzip, or rename it"
    try:
        lines = vcf_lines(path)
        header, columns = [], next(lines)
        while columns.startswith("##"):
            header.append(columns)
            columns = next(lines, "")
        if not columns.startswith("#CHROM"):
            what = columns.strip()[:60]
            yield f"has no line #CHROM, which names the columns, before {what!r}; it is no VCF, or damaged"
            return
        found = [line.rstrip("\r\n") for line in itertools.islice(lines, FIRST_RECORDS) if line.strip()]
    except DataError as error:
        yield str(error)
        return
    if short := next((line for line in found if not line.startswith("#") and line.count("\t") < COLUMNS - 1), ""):
        what = "it is no VCF, or damaged"
        yield f"a record has fewer than {COLUMNS} columns with tabs between them: {short[:60]!r}; {what}"
        return
    records = [line.split("\t", 2) for line in found]
    names = {fields[0] for fields in records if not fields[0].startswith("#")}
    if not names:
        yield "there are no known sites in it: each variant would count as an error"
        return
    unknown = sorted(names - set(contigs.lengths))
    if unknown:
        yield f"{unknown[0]} is not in the reference; {other_names(unknown[0], contigs.lengths)}"
    if why := _unsorted([fields for fields in records if not fields[0].startswith("#")]):
        yield why
    yield from _beyond(records, contigs)
    lengths = vcf_contigs("".join(header))
    shared = {name: length for name, length in lengths.items() if name in names and name in contigs.lengths}
    yield from _length_problems(shared, contigs, "is of another reference")


def _other_sites(path: Path) -> str:
    """What a file is that is no VCF, by how it begins, and what to do; empty of what looks like one."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            start = file.read(len(VCF_START) + len(MARKS[0]))
    except (OSError, EOFError, zlib.error) as error:
        return f"{path.name} cannot be read as VCF: {error}"
    if not start:
        return "is empty: there are no known sites in it"
    if start.startswith(b"BCF"):
        return "is a BCF; bcftools view -Oz makes a VCF of it"
    if start.startswith(MARKS):
        return "begins with a byte order mark, as an editor saves it; write it as UTF-8 without one"
    if start.startswith(b"<"):
        return "is a web page, as servers give it in place of a file that one may not have; get it again"
    known = start.startswith(VCF_START)
    return "" if known else f"is no VCF, which begins with {VCF_START.decode()}: {start.decode('utf-8', 'replace')!r} …"


def _info_problems(annotations: Sequence[KnownSites], info: Sequence[str]) -> Iterator[str]:
    """INFO that none of the files has from which it is to be taken."""
    try:
        there = {name for site in annotations for name in info_names(path_of(site))} if info else set()
    except DataError:
        return  # whoever looks at the sites says what is wrong
    if missing := [name for name in info if name not in there]:
        yield f"INFO {', '.join(missing)} is in none of the files {', '.join(site.name for site in annotations)}"


def _beyond(records: Iterable[Sequence[str]], contigs: Contigs) -> Iterator[str]:
    """A record that lies beyond the end of its contig: sites of another build may lack the lengths in their header."""
    for contig, *more in records:
        end = contigs.lengths.get(contig)
        if end is not None and more and more[0].isdecimal() and int(more[0]) > end:
            yield f"is of another reference: it has {contig}:{int(more[0]):,}, and {contig} has {end:,} bases here"
            return


def _unsorted(records: Sequence[Sequence[str]]) -> str:
    """Why the first records cannot be indexed; empty where they can."""
    seen: set[str] = set()
    last, before = "", 0
    for contig, *more in records:
        place = more[0] if more else ""
        if not place.isdecimal():
            return f"a record has no position: {contig[:40]!r}, {place[:40]!r}"
        if contig != last and contig in seen:
            return f"is not sorted: {contig} is in two places; sort it, with bcftools sort"
        if contig == last and int(place) < before:
            return f"is not sorted: {contig}:{place} comes after {contig}:{before}; sort it, with bcftools sort"
        seen.add(contig)
        last, before = contig, int(place)
    return ""
