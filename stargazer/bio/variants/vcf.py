"""What the samples of a VCF carry, contig after contig."""

from __future__ import annotations

import gzip
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.bio.variants.haplotypes import Edit, Spelled, reach, trimmed
from stargazer.bounded import check_header
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["VCF", "ContigCalls", "Contigs", "Regions", "VariantCall", "read_bed"]

BASES = frozenset("ACGT")
DELETED = "*"
PASSED = (".", "PASS")
NUMBER = re.compile(r"\d+")
LARGEST_HEADER = 1 << 20
"""Characters of a header in which the reason is looked for why it cannot be read."""
ERRORS = 1
"""Of htslib's levels of verbosity the one at which it tells errors alone."""


class VariantCall(NamedTuple):
    """A record of which a sample carries another allele than the reference.

    Parameters
    ----------
    spelled
        What it does to the haplotypes.
    first, last
        The places over which it can be written.
    position, ref, alts, genotype
        As in the VCF.
    """

    spelled: Spelled
    first: int
    last: int
    position: int
    ref: str
    alts: str
    genotype: str

    @property
    def edits(self) -> list[Edit]:
        """What it changes, each change once."""
        return sorted({edit for edit in self.spelled.genotype if edit is not None})

    @property
    def is_snv(self) -> bool:
        """Whether no change of it has another length than what it replaces."""
        return all(len(edit.alt) == edit.end - edit.start for edit in self.edits)


class ContigCalls(NamedTuple):
    """A contig's calls of each sample, in the order of the samples.

    Parameters
    ----------
    samples
        The calls.
    symbolic
        How many records have symbolic alleles.
    repeated
        How many calls stand there a second time, letter by letter.
    """

    samples: list[list[VariantCall]]
    symbolic: int
    repeated: int = 0


def _opened(path: Path) -> Any:
    """Open a VCF; htslib would warn on the terminal of every tag that its author declares unusually."""
    import pysam

    check_header(path, "#")
    before = pysam.set_verbosity(ERRORS)
    try:
        return pysam.VariantFile(str(path))
    finally:
        pysam.set_verbosity(before)


def _why_not(path: Path) -> str:
    """What is wrong with the header of a text that should be a VCF; empty where nothing is known."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_HEADER + 1)
    except OSError:
        return ""
    if not text:
        return "it is empty"
    columns = next((line for line in text.decode("utf-8", "replace").splitlines() if line.startswith("#CHROM")), "")
    names = columns.split("\t")[9:]
    if text.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "it begins with a byte order mark; write it as UTF-8 without one"
    if columns and "\t" not in columns:
        return "there are spaces between its columns, where tabs are wanted"
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1 and len(text) <= LARGEST_HEADER]
    return f"sample {twice[0]!r} has {names.count(twice[0])} columns" if twice else ""


class VCF:
    """A VCF or BCF, compressed by bgzip or not, read once from start to end; no index is needed.

    Parameters
    ----------
    path
        The file.
    filtered
        Whether to take records that a filter rejected as well.

    Raises
    ------
    DataError
        It is no VCF, has no samples or genotypes, is cut short or not sorted, or belongs to another reference.
    """

    def __init__(self, path: Path, *, filtered: bool = False) -> None:
        self.name, self._filtered = path.name, filtered
        try:
            self._file = _opened(path)
        except NotImplementedError as error:
            raise DataError(f"{self.name} is compressed by gzip; unpack it, or compress it with bgzip") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{self.name} cannot be read as VCF: {_why_not(path) or error}") from error
        self.samples: list[str] = list(self._file.header.samples)
        if not self.samples:
            raise DataError(f"{self.name} has no samples; genotypes are compared, so at least one is wanted")
        self._genotyped = False

    def contigs(self, reference: Mapping[str, str], samples: Sequence[str]) -> Iterator[tuple[str, ContigCalls]]:
        """Yield each contig and what the samples carry there.

        Parameters
        ----------
        reference
            Sequence of each contig, in upper case.
        samples
            Which to read.
        """
        seen: set[str] = set()
        for contig, records in groupby(self._records(), key=lambda record: str(record.contig)):
            if contig in seen:
                raise DataError(f"{self.name} is not sorted: {contig} is in two places; sort it, with bcftools sort")
            seen.add(contig)
            yield contig, self._calls(contig, records, reference, samples)

    def _records(self) -> Iterator[Any]:
        seen, last = False, "the header"
        try:
            for record in self._file:
                seen, last = True, f"{record.contig}:{record.pos}"
                self._check_form(record)
                self._genotyped = self._genotyped or "GT" in record.format
                yield record
            if seen and not self._genotyped:
                raise DataError(f"{self.name} has no genotypes (GT), which are what is compared; call them first")
        except DataError:
            raise
        except (OSError, ValueError) as error:
            told = f"{self.name} is damaged or cut short: after {last} comes what is no record ({error})"
            raise DataError(told) from error
        finally:
            self._file.close()

    def _calls(
        self, contig: str, records: Iterator[Any], reference: Mapping[str, str], samples: Sequence[str]
    ) -> ContigCalls:
        found, sequence, before = ContigCalls([[] for _ in samples], 0), "", 0
        for record in records:
            if record.pos < before:
                raise DataError(
                    f"{self.name} is not sorted: {contig}:{record.pos} comes after {contig}:{before}; "
                    "sort it, with bcftools sort"
                )
            before = record.pos
            if not record.alts or not (self._filtered or set(record.filter.keys()) <= set(PASSED)):
                continue
            given = [record.samples[sample].allele_indices or () for sample in samples]
            if any(None in alleles for alleles in given):
                self._check_numbers(record)
            carried = [self._carried(record, *pair) for pair in zip(samples, given, strict=True)]
            if any(any(alleles) for alleles in carried):
                sequence = sequence or self._sequence(contig, reference)
                self._check(record, sequence)
                found = found._replace(symbolic=found.symbolic + _add(found.samples, record, sequence, carried))
        return found._replace(repeated=sum(len(calls) - len(set(calls)) for calls in found.samples))

    def _check_form(self, record: Any) -> None:
        """Refuse what htslib reads as if there were no genotype."""
        where, keys = f"{self.name}, {record.contig}:{record.pos}", list(record.format)
        if len(record.samples) != len(self._file.header.samples):
            raise DataError(f"{where}: there are fewer columns than samples; the file is damaged")
        if "GT" in keys[1:]:
            raise DataError(f"{where}: GT is not the first of {':'.join(keys)}, as it must be in a VCF; write it first")

    def _check_numbers(self, record: Any) -> None:
        """Refuse alleles that the record does not have, which htslib gives out as missing ones."""
        genotypes = [column.partition(":")[0] for column in str(record).rstrip("\n").split("\t")[9:]]
        numbers = {int(one) for one in NUMBER.findall(" ".join(genotypes))}
        if max(numbers, default=0) > len(record.alts):
            where = f"{self.name}, {record.contig}:{record.pos}"
            raise DataError(f"{where}: a genotype has allele {max(numbers)}, and ALT is {','.join(record.alts)}")

    def _carried(self, record: Any, sample: str, given: Sequence[int | None]) -> tuple[int, ...]:
        """Allele of each haplotype; missing ones count as the reference's, a haploid one stands for both."""
        alleles = tuple(allele or 0 for allele in given)
        if len(alleles) > 2:
            raise DataError(f"{self.name}, {record.contig}:{record.pos}: {sample} has {len(alleles)} alleles, not two")
        return alleles * 2 if len(alleles) == 1 else alleles

    def _sequence(self, contig: str, reference: Mapping[str, str]) -> str:
        try:
            return reference[contig]
        except KeyError:
            raise DataError(f"{self.name} has variants on {contig}, which the reference does not have") from None

    def _check(self, record: Any, sequence: str) -> None:
        ref = record.ref.upper()
        if record.pos < 1:
            raise DataError(f"{self.name} has a variant on {record.contig}:0, before the first base of the contig")
        there = sequence[record.start : record.start + len(ref)]
        if ref != there and (
            len(ref) != len(there) or any(a != b and {a, b} <= BASES for a, b in zip(ref, there, strict=True))
        ):
            raise DataError(
                f"{self.name} belongs to another reference: at {record.contig}:{record.pos} its REF is {ref[:20]}, "
                f"the reference has {there[:20] or 'no base there'}"
            )


def _add(samples: list[list[VariantCall]], record: Any, sequence: str, carried: list[tuple[int, ...]]) -> int:
    """Add the calls of a record to those of each sample; return how many have alleles without sequence."""
    ref, alts = record.ref.upper(), [alt.upper() for alt in record.alts]
    edits: dict[int, Edit | None] = {0: None}
    edits |= {number: trimmed(record.start, ref, alt) for number, alt in enumerate(alts, 1) if set(alt) <= BASES}
    edits |= {number: None for number, alt in enumerate(alts, 1) if alt in (DELETED, ref)}
    symbolic = 0
    for calls, alleles in zip(samples, carried, strict=True):
        if not all(allele in edits for allele in alleles):
            symbolic += 1
        elif any(edits[allele] for allele in alleles):
            calls.append(_call(record, sequence, [edits[allele] for allele in alleles], alleles))
    return symbolic


def _call(record: Any, sequence: str, changes: list[Edit | None], alleles: tuple[int, ...]) -> VariantCall:
    first, second = sorted(changes, key=lambda edit: (edit is not None, edit))
    edits = [edit for edit in changes if edit is not None]
    reaches = [reach(sequence, edit) for edit in edits]
    return VariantCall(
        Spelled(min(edit.start for edit in edits), max(edit.end for edit in edits), (first, second)),
        min(start for start, _ in reaches),
        max(end for _, end in reaches),
        record.pos,
        record.ref,
        ",".join(record.alts),
        "/".join(map(str, alleles)),
    )


# Sequences of a FASTA, one contig at a time.


class Contigs(Mapping[str, str]):
    """Contigs of a FASTA by name, in upper case; the last one that was read is kept.

    Parameters
    ----------
    fasta
        The file, not compressed or compressed by bgzip.
    index
        Its ``.fai``.

    Raises
    ------
    DataError
        It cannot be read.
    """

    def __init__(self, fasta: Path, index: Path) -> None:
        import pysam

        try:
            self._file: Any = pysam.FastaFile(str(fasta), filepath_index=str(index))
        except (OSError, ValueError) as error:
            raise DataError(f"{fasta.name} cannot be read as FASTA: {error}") from error
        self._last = ("", "")

    def __getitem__(self, contig: str) -> str:
        if self._last[0] != contig:
            if contig not in self._file.references:
                raise KeyError(contig)
            self._last = (contig, self._file.fetch(contig).upper())
        return self._last[1]

    def length(self, contig: str) -> int:
        """Bases of a contig."""
        return int(self._file.get_reference_length(contig))

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.references)

    def __len__(self) -> int:
        return len(self._file.references)


# Regions of a genome, such as those in which a truth is sure.


HEADERS = ("#", "track", "browser")


class Regions:
    """Regions that do not overlap, by contig.

    Parameters
    ----------
    spans
        First base, counted from 0, and first base after, of each region, in any order.
    """

    def __init__(self, spans: Mapping[str, list[tuple[int, int]]]) -> None:
        self._spans = {contig: _joined(found) for contig, found in spans.items()}
        self._starts = {contig: [start for start, _ in found] for contig, found in self._spans.items()}

    def __contains__(self, place: tuple[str, int, int]) -> bool:
        """Whether one region has all bases from `start` to before `end`: ``(contig, start, end) in regions``."""
        contig, start, end = place
        number = bisect_right(self._starts.get(contig, ()), start) - 1
        return number >= 0 and end <= self._spans[contig][number][1]

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs that have regions."""
        return tuple(self._spans)

    def end(self, contig: str) -> int:
        """First base after the last region of a contig."""
        return self._spans[contig][-1][1]

    @property
    def bases(self) -> int:
        """Bases in all regions."""
        return sum(end - start for found in self._spans.values() for start, end in found)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def read_bed(path: Path) -> Regions:
    """Read the first three columns of a BED file, gzipped or not.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        A line is malformed, or there is no region; names the line.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(_lines(path), 1):
        if line.strip() and not line.startswith(HEADERS):
            contig, start, end = _region(line, f"{path.name}, line {number}")
            spans.setdefault(contig, []).append((start, end))
    if not spans:
        raise DataError(f"{path.name} has no regions; a BED file has a contig, a start and an end on each line")
    return Regions(spans)


def _lines(path: Path) -> Iterator[str]:
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt", encoding="utf-8-sig") if compressed else open(path, encoding="utf-8-sig") as file:
        try:
            yield from file
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise DataError(f"{path.name} cannot be read: {error}") from error


def _region(line: str, where: str) -> tuple[str, int, int]:
    fields = line.split()
    if len(fields) < 3 or not (fields[1].isdecimal() and fields[2].isdecimal()) or int(fields[1]) > int(fields[2]):
        raise DataError(f"{where}: {line.strip()!r} is no region; wanted are contig, start and end, start <= end")
    return fields[0], int(fields[1]), int(fields[2])
