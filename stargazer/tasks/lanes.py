"""Lanes of a sample in one file: one header for all, and read groups that do not meet.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 1.3, the header)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command
from stargazer.tasks.sam import read_header, sam_contigs, sam_md5s
from stargazer.tools import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stargazer.assets import Alignment
    from stargazer.tools import Workdir

__all__ = ["Joined", "JoinedLanes", "join_headers", "joined_lanes"]

FIRST_LINE = "@HD\tVN:1.6\tSO:unsorted\tGO:query"


class Joined(NamedTuple):
    """One SAM header for several lanes, and how read groups of each are called in it, where that is not as before."""

    header: str
    renamed: list[dict[str, str]]


class JoinedLanes(NamedTuple):
    """Files of lanes whose read groups stand in one header."""

    header: str
    files: list[Path]


def join_headers(headers: Sequence[str]) -> Joined:
    """Make one header for the alignments of several lanes: the contigs, and the read groups of all.

    Contigs are the same where names, lengths and, as far as both tell them, MD5s are; what else a header says of them
    (where the FASTA lay, what it is of) is no difference. Read groups of one ID that are not the same get another.

    Raises
    ------
    DataError
        The lanes were aligned to different references, or to the contigs of one in different orders.
    """
    contigs, md5s = sam_contigs(headers[0]), sam_md5s(headers[0])
    for header in headers[1:]:
        _check_alike(contigs, md5s, header)
        md5s = {**sam_md5s(header), **md5s}
    lines = [_contig_line(name, length, md5s.get(name, "")) for name, length in contigs.items()]
    groups: dict[str, str] = {}
    renamed = [_groups(header, number, groups) for number, header in enumerate(headers, 1)]
    return Joined("".join(f"{line}\n" for line in (FIRST_LINE, *lines, *groups.values())), renamed)


def _check_alike(contigs: Mapping[str, int], md5s: Mapping[str, str], header: str) -> None:
    found = sam_contigs(header)
    if found != contigs:
        differing = sorted(set(found.items()) ^ set(contigs.items()))
        shown = ", ".join(f"{name} ({length} bases)" for name, length in differing[:3])
        raise DataError(f"the lanes were aligned to different references: not all have {shown}; align them to the same")
    if list(found) != list(contigs):
        raise DataError("the lanes have the same contigs in different orders; align them to the same FASTA")
    if wrong := [name for name, md5 in sam_md5s(header).items() if md5s.get(name, md5) != md5]:
        raise DataError(
            f"the lanes were aligned to different references: {wrong[0]} has two sequences (M5); align them to the same"
        )


def _contig_line(name: str, length: int, md5: str) -> str:
    return f"@SQ\tSN:{name}\tLN:{length}" + (f"\tM5:{md5}" if md5 else "")


def _groups(header: str, number: int, groups: dict[str, str]) -> dict[str, str]:
    """Add the read groups of a lane to those of the lanes before it, and return which of them got another name."""
    renamed = {}
    for line in header.splitlines():
        if line.startswith("@RG\t"):
            name = next((field[3:] for field in line.split("\t") if field.startswith("ID:")), "")
            new = name
            while new in groups and groups[new] != _with_name(line, new):
                new = f"{name}.{number}" if new == name else f"{new}x"
            groups[new] = _with_name(line, new)
            if new != name:
                renamed[name] = new
    return renamed


def _with_name(line: str, name: str) -> str:
    return "\t".join(f"ID:{name}" if field.startswith("ID:") else field for field in line.split("\t"))


def joined_lanes(work: Workdir, lanes: Sequence[Alignment], engine: Engine) -> JoinedLanes:
    """Read the headers of lanes and join them; lanes of which a read group gets another name are written anew.

    Raises
    ------
    DataError
        As `join_headers`; or a lane has no read groups.
    """
    joined = join_headers([read_header(work, lane, engine) for lane in lanes])
    files = [
        _renamed(work, lane, number, names, engine) if names else lane.path
        for number, (lane, names) in enumerate(zip(lanes, joined.renamed, strict=True), 1)
    ]
    return JoinedLanes(joined.header, files)


def _renamed(work: Workdir, lane: Alignment, number: int, names: Mapping[str, str], engine: Engine) -> Path:
    samtools, output = command("samtools", engine), work.file(f"lane{number}.bam")
    pairs = [word for pair in names.items() for word in pair]
    work.pipe(
        [*samtools, "view", "--no-PG", "-h", lane.path],
        [*EMBEDDED, "sam", *pairs],
        [*samtools, "view", "--no-PG", "-b", "--output-fmt-option", "level=1", "-o", output, "-"],
    )
    return output
