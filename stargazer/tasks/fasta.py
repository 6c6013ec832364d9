"""Whether a FASTA is one that every tool reads alike, before any of them does.

Tools agree on little of what is odd: samtools takes no notice of a second sequence of one name, bwa aligns to both; a
protein or an alignment with gaps is a reference to all of them.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 1.2.1, names of references)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_fasta"]

BASES = b"ACGTNRYKMSWBDHVacgtnrykmswbdhv"
"""Letters of nucleotides, ambiguous ones included (IUPAC). U is none: aligners know no U, and VCF has no REF of it."""

NAME = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")
HEADERS = re.compile(rb">[^\n]*")
"""Fast, for ``>`` is rare; one within a line of bases is no header, and is found to be no base."""
PIECE = 8 << 20
NEWLINE = ord("\n")
PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"PK": "zip", b"\xfd7": "xz", b"(\xb5": "zstd"}
TEXTS = {b"LO": "GenBank", b"ID": "EMBL", b"@S": "SAM or FASTQ", b"##": "VCF or GFF", b"<!": "a web page"}


def check_fasta(path: Path, name: str = "") -> None:
    """Look at every line of a FASTA.

    Parameters
    ----------
    path
        The file, not compressed.
    name
        What it is called.

    Raises
    ------
    DataError
        Where it is none, or what tools would read differently: names the file and the line.
    """
    told = name or path.name
    seen: dict[str, int] = {}
    bases, last, line = 0, 0, 1
    for piece in _pieces(path, told):
        place = 0
        for found in HEADERS.finditer(piece):
            if found.start() and piece[found.start() - 1] != NEWLINE:
                continue
            bases += _bases(piece[place : found.start()], told, line, first=not last)
            line += piece.count(b"\n", place, found.start())
            _check_bases(bases, last, told)
            _check_name(found.group()[1:], seen, told, line)
            place, last, bases = found.end(), line, 0
        bases += _bases(piece[place:], told, line, first=not last)
        line += piece.count(b"\n", place)
    if not last:
        raise DataError(f"{told} is empty: a FASTA has a line >name, and bases below it")
    _check_bases(bases, last, told)


def _pieces(path: Path, told: str) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    with path.open("rb") as file:
        start = file.read(2)
        if kind := PACKED.get(start):
            raise DataError(f"{told} is compressed by {kind}, though it is not named so; unpack it, or name it .gz")
        if kind := TEXTS.get(start):
            raise DataError(f"{told} is no FASTA, which begins with >: it looks like {kind}")
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece + file.readline()


def _bases(lines: bytes, told: str, line: int, *, first: bool) -> int:
    """How many bases there are on lines without headers; `line` is the number of the first."""
    if not (first and lines.strip()) and not lines.translate(None, BASES + b"\r\n"):
        return len(lines) - lines.count(b"\n") - lines.count(b"\r")
    for number, one in enumerate(lines.split(b"\n"), line):
        wrong = one.strip() if first else one.rstrip(b"\r").translate(None, BASES)
        if wrong:
            shown = wrong.decode("utf-8", "replace")[:20]
            if first:
                raise DataError(f"{told}, line {number}: a FASTA begins with >name, not with {shown!r}")
            if shown[0] in "Uu":
                raise DataError(
                    f"{told}, line {number}: {shown[0]!r} is of RNA, which aligners do not know; write T for it"
                )
            raise DataError(
                f"{told}, line {number}: {shown[0]!r} is no base: a reference has nucleotides (A, C, G, T, N and the "
                "ambiguous ones), no gaps, digits, blanks or amino acids"
            )
    return 0


def _check_bases(bases: int, header: int, told: str) -> None:
    if header and not bases:
        raise DataError(f"{told}, line {header}: there are no bases below this name; get the file again")


def _check_name(header: bytes, seen: dict[str, int], told: str, line: int) -> None:
    words = header.decode("utf-8", "replace").split()
    if not words or header[:1].isspace():
        raise DataError(f"{told}, line {line}: there is no name behind >, or a blank before it")
    if not NAME.fullmatch(words[0]):
        raise DataError(
            f"{told}, line {line}: a sequence cannot be called {words[0]!r}: SAM and VCF allow letters, digits and "
            "most signs, but no comma, quote, bracket or backslash, and no * or = in front; rename it"
        )
    if seen.setdefault(words[0], line) != line:
        raise DataError(f"{told} has more than one sequence named {words[0]}: on lines {seen[words[0]]} and {line}")
