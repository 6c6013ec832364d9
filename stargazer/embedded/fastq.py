"""FASTQ read strictly: what is cut short, malformed or does not pair is an error, never fewer reads.

bwa itself drops a record that is cut short, and all that follow it, with exit code 0; a first file that is
shorter than the second costs a warning.
"""

from __future__ import annotations

import gzip
import itertools
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PROBE", "Read", "apart", "is_interleaved", "main", "read_file", "read_pairs", "read_single"]

GZIP_MAGIC = b"\x1f\x8b"
OTHERS = {
    b"BZh": "compressed by bzip2",
    b"PK\x03": "a zip archive",
    b"\xfd7z": "compressed by xz",
    b"(\xb5/": "compressed by zstd",
    b"CRA": "a CRAM file, which belongs into the column cram",
    b"BAM": "a BAM file, which belongs into the column bam",
    b"\x1f\x8b\x08": "compressed by gzip twice",
    b"\xef\xbb\xbf": "text with a byte order mark, as an editor saves it",
    b"\xff\xfe@": "UTF-16",
    b"\xfe\xff\0": "UTF-16",
}
"""What is not read as FASTQ, by how it begins (within gzip)."""
LONGEST = 1 << 26
"""Characters of a line: a few kilobytes may be gzip for gigabytes; the longest read of a nanopore has four million."""


NUMBERED = 4
"""Reads that tell whether their numbers are those of mates: two alone may be the first two of a run."""

PROBE = 1000
"""Reads at the beginning of a file that tell what is in all of it."""

PHRED_64 = ";", "L", "n"
"""The lowest quality of Phred+64, one that Phred+33 hardly reaches, and one above all of Phred+64 (of long reads)."""

LONGEST_NAME = 254
"""Characters of a read's name that SAM and BAM allow."""

NUMBERS = ((".1", ".2"), ("_1", "_2"))
"""How some programs write the numbers of mates as parts of their names; ``/1`` and ``/2`` are none."""

EMPTY = "N", "#"
"""What stands for a read that a trimmer left nothing of: aligners want a base, and do not align this one."""


class Read(NamedTuple):
    """One record: its name up to the first blank and without ``/1`` or ``/2``, its bases, their qualities."""

    name: str
    sequence: str
    quality: str


def _open(path: Path) -> IO[str]:
    with open(path, "rb") as file:
        start = file.read(3)
    if start[:2] == GZIP_MAGIC:
        with gzip.open(path, "rb") as packed:
            start = packed.read(3)
        _check_start(path, start)
        return gzip.open(path, "rt", encoding="ascii")
    _check_start(path, start)
    return open(path, encoding="ascii")


def _check_start(path: Path, start: bytes) -> None:
    if kind := OTHERS.get(start) or ("FASTA, which has no base qualities" if start[:1] == b">" else ""):
        raise ValueError(f"{path.name} is {kind}: reads are FASTQ, plain or compressed by gzip")


def _name(header: str) -> str:
    name = header[1:].split(maxsplit=1)[0]
    return name[:-2] if name[-2:-1] == "/" and name[-1:].isdigit() else name


def read_file(path: Path) -> Iterator[Read]:
    """Records of one FASTQ file, gzipped or not.

    Blank lines at the end are passed over, as aligners do, and a read without bases is one N.

    Parameters
    ----------
    path
        A file with four lines a record.

    Raises
    ------
    ValueError
        It is empty, cut short, no FASTQ (or one that is compressed by another program than gzip), or its qualities are
        Phred+64: names the file and the record, from 1.
    """
    count, qualities = 0, ""
    try:
        with _open(path) as file:
            lines = iter(partial(file.readline, LONGEST + 1), "")
            for count, record in enumerate(itertools.zip_longest(*[lines] * 4), 1):
                if not (record[0] or "").strip():
                    _check_blank(itertools.chain(record, lines))
                    count -= 1
                    break
                read = _checked(record)
                if count <= PROBE:
                    if "U" in read.sequence or "u" in read.sequence:
                        raise IndexError("it has U, of RNA, which aligners do not know; write T for it")
                    qualities = "".join({*qualities, *read.quality})
                    if count == PROBE:
                        _check_qualities(qualities)
                yield read if read.sequence else Read(read.name, *EMPTY)
        if count < PROBE:
            _check_qualities(qualities)
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is damaged after record {count}: {error}") from None
    except IndexError as error:
        raise ValueError(f"{path.name}, record {count}: {error}") from None
    if not count:
        raise ValueError(f"{path.name} has no reads")


def _checked(record: tuple[str | None, ...]) -> Read:
    header, sequence, plus, quality = ((line or "").rstrip() for line in record)
    if record[3] is None or (sequence and not quality):
        raise IndexError("the file ends in the middle of it (truncated FASTQ)")
    if max(map(len, (header, sequence, quality))) > LONGEST - 2:
        raise IndexError(f"a line of more than {LONGEST:,} characters: the file is damaged, or made to harm")
    if header[:1] != "@" or len(header) < 2 or plus[:1] != "+":
        raise IndexError(f"not FASTQ with four lines a record: starts with {header[:40]!r}")
    if len(sequence) != len(quality):
        raise IndexError(f"{len(sequence)} bases but {len(quality)} qualities (truncated FASTQ)")
    if sequence and not (sequence.isalpha() or sequence.replace(".", "N").replace("*", "N").isalpha()):
        kind = "colours (of SOLiD)" if any(map(str.isdigit, sequence)) else "signs that are no bases"
        raise IndexError(f"its sequence has {kind}: {sequence[:40]!r}")
    if " " in quality or not quality.isprintable():
        raise IndexError(f"its qualities have signs that are none: {quality[:40]!r}")
    name = _name(header)
    if len(name) > LONGEST_NAME:
        raise IndexError(f"its name has {len(name)} characters, and SAM allows {LONGEST_NAME}: {name[:40]!r}…")
    return Read(name, sequence, quality)


def _check_blank(rest: Iterator[str | None]) -> None:
    if any((line or "").strip() for line in rest):
        raise IndexError("not FASTQ with four lines a record: there are blank lines before it")


def _check_qualities(seen: str) -> None:
    """Refuse Phred+64, which read as Phred+33 makes every base 31 better than it is."""
    lowest, unlikely, above = PHRED_64
    if seen and len(set(seen)) > 1 and lowest <= min(seen) and unlikely <= max(seen) < above:
        raise IndexError(
            f"its base qualities go from {min(seen)!r} to {max(seen)!r}: they are Phred+64 (Illumina 1.3 to 1.7), and "
            "Phred+33 is wanted; convert the file, as with seqtk seq -VQ64"
        )


def read_single(path: Path) -> Iterator[Read]:
    """Records of a file that has no mates beside it.

    Raises
    ------
    ValueError
        As `read_file`; or it holds mates after all, side by side or one half after the other.
    """
    first: dict[str, int] = {}
    for count, read in enumerate(read_file(path), 1):
        if count == NUMBERED and is_interleaved([*first, read.name]):
            raise ValueError(
                f"{path.name}: {read.name!r} is the mate of the read before it, and so are those before: interleaved "
                "mates, in a file that has no mates beside it; give both ends as two files (fastq_1, fastq_2)"
            )
        if (before := first.get(read.name)) is not None:
            how = "interleaved mates" if count == before + 1 else "mates after each other, or the same reads twice"
            raise ValueError(
                f"{path.name}, record {count}: read {read.name!r} is there a second time: {how}, in a file that has no "
                "mates beside it; give both ends as two files (fastq_1, fastq_2), as seqtk seq -1 and -2 split them"
            )
        if count <= PROBE:
            first[read.name] = count
        yield read


def is_interleaved(names: Sequence[str]) -> bool:
    """Whether reads are mates, two by two, by numbers that are parts of their names."""
    pairs = list(zip(names[::2], names[1::2], strict=False))
    return len(names) >= NUMBERED and all(_are_mates(left, right) for left, right in pairs)


def _are_mates(left: str, right: str) -> bool:
    return left[:-2] == right[:-2] and (left[-2:], right[-2:]) in NUMBERS


def read_pairs(first: Path, second: Path) -> Iterator[tuple[Read, Read]]:
    """Records of two FASTQ files side by side.

    Raises
    ------
    ValueError
        As `read_file`; or the files have different names in one place, or different lengths.
    """
    pairs, last = itertools.zip_longest(read_file(first), read_file(second)), ""
    for count, (left, right) in enumerate(pairs, 1):
        if left is None or right is None:
            short, long = (first, second) if left is None else (second, first)
            raise ValueError(f"{short.name} ends after {count - 1} reads, {long.name} goes on: mates are missing")
        if left.name != right.name:
            raise ValueError(
                f"mates differ in record {count}: {left.name!r} in {first.name}, {right.name!r} in {second.name}; "
                f"{apart(left.name, right.name)}"
            )
        if left.name == last and count <= PROBE:
            raise ValueError(
                f"{first.name} and {second.name}, record {count}: read {last!r} is there a second time: each file has "
                "both ends, interleaved; give each end as a file of its own (fastq_1, fastq_2)"
            )
        last = left.name
        yield left, right


def apart(left: str, right: str) -> str:
    """Why two reads in one place may have different names, and what to do."""
    if _are_mates(left, right):
        return (
            "the mates' numbers are parts of the names, as fastq-dump -I writes them; get the reads with "
            "fasterq-dump --split-files, or write the names with "
            f"/1 and /2 in place of {left[-2:]} and {right[-2:]}"
        )
    return "the files do not belong together, or one of them has been filtered or sorted"


def main(argv: Sequence[str]) -> int:
    """``fastq R1 [R2]``: check reads and print them, mates one after the other (for ``bwa mem -p PREFIX -``)."""
    files = [Path(name) for name in argv]
    records = itertools.chain.from_iterable(read_pairs(*files)) if len(files) == 2 else read_single(*files)
    sys.stdout.writelines(f"@{name}\n{sequence}\n+\n{quality}\n" for name, sequence, quality in records)
    return 0
