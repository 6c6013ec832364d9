"""A first look at files of reads and alignments: whether they are what a sample sheet says."""

from __future__ import annotations

import gzip
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from stargazer.bounded import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["alignment_order", "check_alignment", "check_reads"]

FASTQ = re.compile(r"\.(fastq|fq)(\.gz)?$")


def check_reads(paths: Sequence[Path]) -> Iterator[str]:
    """Yield what is wrong with the FASTQ files of a lane, as far as their names and first records tell."""
    names = []
    for path in paths:
        if problem := _absent(path):
            yield problem
        elif not FASTQ.search(path.name):
            yield f"{path} is not named as FASTQ: .fastq.gz, .fq.gz, .fastq or .fq"
        else:
            try:
                names.append(_first_name(path))
            except (OSError, EOFError, ValueError) as error:
                yield f"{path} is no FASTQ: {error}"
    if len(names) == 2 and names[0] != names[1]:
        yield f"{paths[0].name} begins with read {names[0]!r}, {paths[1].name} with {names[1]!r}: they are no mates"


def check_alignment(path: Path, sample: str) -> Iterator[str]:
    """Yield what is wrong with a BAM or CRAM file of a sample, as far as its header tells."""
    if problem := _absent(path):
        yield problem
        return
    try:
        header = _header(path)
    except (OSError, ValueError) as error:
        yield f"{path} is neither BAM nor CRAM: {error}"
        return
    groups = header.get("RG", [])
    samples = sorted({str(group.get("SM", "")) for group in groups})
    if not groups:
        yield f"{path} has no read groups, so its sample and library are unknown"
    elif samples != [sample]:
        yield f"{path} has reads of {', '.join(map(repr, samples))}, not of {sample!r}"
    if groups and not all(group.get("LB") for group in groups):
        yield f"{path} has a read group without library (LB), within which duplicates are marked"


def alignment_order(path: Path) -> str:
    """Order of a BAM or CRAM: coordinate, queryname, unsorted, or empty where those of a read stand together."""
    line: Any = _header(path).get("HD", {})
    order = line.get("SO", "unknown")
    if order in ("coordinate", "queryname"):
        return str(order)
    return "" if line.get("GO") == "query" else "unsorted"


def _header(path: Path) -> dict[str, Any]:
    import pysam

    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        return dict(file.header.to_dict())


def _absent(path: Path) -> str:
    if path.is_file():
        return ""
    return f"{path} is a folder" if path.is_dir() else f"there is no file {path}"


def _first_name(path: Path) -> str:
    """Name of the first read, without the number of the mate."""
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt") if compressed else open(path) as file:
        lines = [line.rstrip("\r\n") for line in islice(lines_of(file, path.name), 4)]
    if not lines:
        raise ValueError("it is empty")
    if len(lines) < 4 or not lines[0].startswith("@") or not lines[2].startswith("+") or len(lines[1]) != len(lines[3]):
        raise ValueError(f"its first record is malformed: {lines[0][:40]!r}")
    name = lines[0][1:].split(maxsplit=1)[0] if lines[0][1:].strip() else ""
    return name[:-2] if name.endswith(("/1", "/2")) else name
