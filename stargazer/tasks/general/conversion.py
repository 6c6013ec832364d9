"""Alignments in other forms: CRAM from BAM and back, the lanes of a sample in one file.

References
----------
samtools-view(1), https://www.htslib.org/doc/samtools-view.html;
CRAM 3.0, https://samtools.github.io/hts-specs/CRAMv3.pdf
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from stargazer.assets import Alignment, AlignmentIndex, Reference, SequenceDict
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, label, tools
from stargazer.tasks.sam import check_header, check_sample, join_headers, read_header, with_md5s
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["convert_alignment", "join_lanes"]

CRAM = "version=3.0"
"""GATK reads no newer one, which some samtools write unless told otherwise."""

INDICES = {"bam": ".bai", "cram": ".crai"}


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
        It belongs to another reference or sample, or has no read groups.
    """
    text = read_header(work, alignment, engine)
    check_header(alignment.path.name, text, ref)
    check_sample(alignment.path.name, text, alignment.sample_id)
    with ref.companion(SequenceDict).open("r") as dictionary:
        text = with_md5s(text, dictionary.read())
    header, part = work.file("header.sam"), work.file(f"{alignment.path.stem}.part.{to}")
    header.write_text(text, "utf-8")
    work.run(convert_command(engine, alignment.path, ref.path, part, form=to, threads=work.cpus, unmark=unmark))
    output = work.file(f"{alignment.path.stem}.{to}")
    # samtools writes into a CRAM where it found the FASTA.
    work.run([*command("samtools", engine), "reheader", "--no-PG", header, part], stdout=output)
    made = replace(alignment, path=output, cid=None, name=output.name, companions=(), source=None, format=to)
    made = replace(made, duplicates_marked=made.duplicates_marked and not unmark, reference_cid=ref.cid or "")
    made = replace(made, tool=made.tool or label("samtools", engine))
    return _indexed(work, made, engine) if alignment.sorted == "coordinate" else made


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
        The lanes are of several samples or references, or share the ID of a read group.
    """
    samples = sorted({lane.sample_id for lane in lanes})
    if len(samples) != 1:
        raise DataError(f"lanes of one sample are wanted, not of {len(samples)}: {', '.join(samples) or 'none'}")
    header, bam = work.file("header.sam"), work.file(f"{samples[0]}.bam")
    header.write_text(join_headers([read_header(work, lane, engine) for lane in lanes]), "utf-8")
    work.run(join_command(engine, header, [lane.path for lane in lanes], bam))
    tool = lanes[0].tool if all(lane.tool for lane in lanes) else ""  # blocks are copied as they are, unchecked
    return replace(lanes[0], path=bam, cid=None, name=bam.name, companions=(), source=None, sorted="", tool=tool)


def join_command(engine: Engine, header: Path, lanes: Sequence[Path], bam: Path) -> list[Argument]:
    """``samtools cat``: blocks are copied as they are."""
    return [*command("samtools", engine), "cat", "--no-PG", "-h", header, "-o", bam, *lanes]


def _indexed(work: Workdir, alignment: Alignment, engine: Engine) -> Alignment:
    index = work.file(f"{alignment.path.name}{INDICES[alignment.format]}")
    work.run([*command("samtools", engine), "index", alignment.path, index])
    return replace(alignment, companions=(AlignmentIndex(path=index, sample_id=alignment.sample_id),))
