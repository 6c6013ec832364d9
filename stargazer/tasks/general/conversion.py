"""Alignments in other forms: CRAM from BAM and back, the lanes of a sample in one file.

References
----------
samtools-view(1), https://www.htslib.org/doc/samtools-view.html;
CRAM 3.0, https://samtools.github.io/hts-specs/CRAMv3.pdf
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from stargazer.assets import Alignment, Reference, ReferenceIndex, SequenceDict
from stargazer.calls import task
from stargazer.errors import DataError, ToolFailed
from stargazer.tasks.engines import Engine, command, label, tools
from stargazer.tasks.lanes import joined_lanes
from stargazer.tasks.sam import (
    check_header,
    check_sample,
    is_recalibrated,
    read_groups,
    read_header,
    sam_contigs,
    with_index,
    with_md5s,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["convert_alignment", "join_lanes"]

OTHER_SEQUENCE = b"MD5 checksum reference mismatch"
"""What htslib says of a CRAM whose slices were written with another reference."""

CRAM = "version=3.0"
"""GATK reads no newer one, which some samtools write unless told otherwise."""


def convert_command(
    engine: Engine, alignment: Path, fasta: Path, output: Path, *, form: str, threads: int, unmark: bool = False
) -> list[Argument]:
    """``samtools view`` that writes an alignment as BAM or CRAM.

    Parameters
    ----------
    engine
        Where samtools comes from.
    alignment, fasta
        What is read.
    output
        File to write.
    form
        ``"bam"`` or ``"cram"``.
    threads
        Threads of samtools.
    unmark
        Whether to take away the marks of duplicates.
    """
    flags = ["--remove-flags", "DUP"] if unmark else []
    write: list[Argument] = ["-b"] if form == "bam" else ["-C", "--output-fmt-option", CRAM]
    return [
        *(*command("samtools", engine), "view", "--no-PG", *write, *flags, "-T", fasta),
        *("-@", threads - 1, "-o", output, alignment),
    ]


@task(cpus=2, memory="2 GiB", tools=tools("samtools"))
def convert_alignment(
    work: Workdir,
    alignment: Alignment,
    ref: Reference,
    *,
    to: Literal["bam", "cram"] = "cram",
    unmark: bool = False,
    engine: Engine = "embedded",
) -> Alignment:
    """Write an alignment as CRAM or BAM; so it is also taken over from elsewhere, for it must fit reference and sample.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        SAM, BAM or CRAM with read groups.
    ref
        FASTA with its index and dictionary; CRAM holds only what differs from it, and can be read with it alone.
    to
        ``"cram"`` or ``"bam"``.
    unmark
        Whether to take away the marks of duplicates.
    engine
        Where samtools comes from.

    Returns
    -------
    Alignment
        The same reads with the same facts; sorted by coordinate, its index (``.crai``, ``.bai``) is a companion.

    Raises
    ------
    DataError
        It belongs to another reference or sample, or not all its reads have a read group of its header.
    """
    text = read_header(work, alignment, engine)
    check_header(alignment.path.name, text, ref)
    check_sample(alignment.path.name, text, alignment.sample_id)
    with ref.companion(SequenceDict).open("r") as dictionary:
        known = dictionary.read()
    source, order = alignment.path, alignment.sorted if alignment.tool else _believed(alignment.sorted)
    if list(sam_contigs(text).items()) != [tuple(contig) for contig in ref.contigs]:
        source, order = _with_contigs(work, alignment, ref, engine), "" if order == "" else "unsorted"
        text = _contigs_replaced(text, known)
    header, part = work.file("header.sam"), work.file(f"{alignment.path.stem}.part.{to}")
    header.write_text(with_md5s(text, known), "utf-8")
    command_line = convert_command(engine, source, ref.path, part, form=to, threads=work.cpus, unmark=unmark)
    if alignment.tool:
        work.run(command_line)
    else:
        _take_over(work, alignment.path.name, text, ref, command_line, engine)
    output = work.file(f"{alignment.path.stem}.{to}")
    # samtools writes into a CRAM where it found the FASTA.
    work.run([*command("samtools", engine), "reheader", "--no-PG", header, part], stdout=output)
    made = replace(alignment, path=output, cid=None, name=output.name, companions=(), source=None, format=to)
    made = replace(made, duplicates_marked=made.duplicates_marked and not unmark, reference_cid=ref.cid or "")
    made = replace(made, sorted=order, bqsr_applied=made.bqsr_applied or is_recalibrated(text))
    made = replace(made, tool=made.tool or label("samtools", engine))
    return with_index(work, made, engine) if order == "coordinate" else made


def _take_over(
    work: Workdir, name: str, header: str, ref: Reference, command_line: Sequence[Argument], engine: Engine
) -> None:
    """Convert what others wrote: reads without a group of the header would be of no sample, and of no library."""
    groups, rest = work.file("groups.txt"), work.file("rest")
    groups.write_text("".join(f"{group}\n" for group in read_groups(header)), "utf-8")
    try:
        work.run([*command_line, "-R", groups, "-e", "[RG]", "-U", rest])  # -R lets pass what has none
    except ToolFailed as error:
        if OTHER_SEQUENCE in work.log():
            raise DataError(
                f"{name} was written with another sequence than {ref.name}, though its contigs have the same names "
                "and lengths: make BAM of it with its own reference, and align it to this one"
            ) from error
        raise
    lost = int(work.output([*command("samtools", engine), "view", "--no-PG", "-c", "-T", ref.path, rest]))
    if lost:
        raise DataError(
            f"{name} has {lost:,} records without a read group of its header, so that their sample and library are "
            "unknown; samtools addreplacerg gives them one"
        )
    rest.unlink()


def _believed(order: str) -> str:
    """The order that others say a file has: only that by coordinate is found out when the index is made."""
    return order if order == "coordinate" else "unsorted"


def _with_contigs(work: Workdir, alignment: Alignment, ref: Reference, engine: Engine) -> Path:
    """The records with the reference's own list of contigs, of which they had some, or in another order."""
    samtools, bam = command("samtools", engine), work.file(f"{alignment.path.stem}.contigs.bam")
    work.pipe(
        [*samtools, "view", "--no-PG", "-T", ref.path, alignment.path],
        [*samtools, "view", "--no-PG", "-b", "-t", ref.companion(ReferenceIndex).path, "-o", bam, "-"],
    )
    return bam


def _contigs_replaced(header: str, dictionary: str) -> str:
    first, rest = list[str](), list[str]()
    for line in header.splitlines():
        (first if line.startswith("@HD\t") else rest).append(line)
    contigs = [
        "\t".join(field for field in line.split("\t") if not field.startswith("UR:"))
        for line in dictionary.splitlines()
        if line.startswith("@SQ\t")
    ]
    return "\n".join([*first, *contigs, *(line for line in rest if not line.startswith("@SQ\t"))]) + "\n"


@task(memory="1 GiB", tools=tools("samtools"))
def join_lanes(work: Workdir, lanes: list[Alignment], *, engine: Engine = "embedded") -> Alignment:
    """Put the lanes of a sample into one file, one after the other.

    Parameters
    ----------
    work
        The scratch directory.
    lanes
        BAMs of one sample, aligned to one reference, with read groups.
    engine
        Where samtools comes from.

    Returns
    -------
    Alignment
        BAM in no order.

    Raises
    ------
    DataError
        The lanes are of several samples or references.
    """
    samples = sorted({lane.sample_id for lane in lanes})
    if len(samples) != 1:
        raise DataError(f"lanes of one sample are wanted, not of {len(samples)}: {', '.join(samples) or 'none'}")
    header, bam = work.file("header.sam"), work.file(f"{samples[0]}.bam")
    joined = joined_lanes(work, lanes, engine)
    header.write_text(joined.header, "utf-8")
    work.run(join_command(engine, header, joined.files, bam))
    tool = lanes[0].tool if all(lane.tool for lane in lanes) else ""  # blocks are copied as they are, unchecked
    made = replace(lanes[0], path=bam, cid=None, name=bam.name, companions=(), source=None, sorted="", tool=tool)
    return replace(made, bqsr_applied=all(lane.bqsr_applied for lane in lanes))


def join_command(engine: Engine, header: Path, lanes: Sequence[Path], bam: Path) -> list[Argument]:
    """``samtools cat``: blocks are copied as they are."""
    return [*command("samtools", engine), "cat", "--no-PG", "-h", header, "-o", bam, *lanes]
