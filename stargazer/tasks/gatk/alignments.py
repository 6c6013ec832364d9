"""Picard's tools inside GATK: dictionaries of references, order and duplicates of alignments.

References
----------
Picard, https://broadinstitute.github.io/picard/; GATK best practices, data pre-processing for variant discovery,
https://gatk.broadinstitute.org/hc/en-us/articles/360035535912
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Alignment, AlignmentIndex, DuplicateMetrics, Reference, SequenceDict
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import CALLER, Extra, run_gatk
from stargazer.tasks.guard import oddities, read_flags
from stargazer.tasks.sam import bam_header, check_alignment, check_blocks, check_lengths, sam_contigs
from stargazer.tools import EMBEDDED, Workdir

if TYPE_CHECKING:
    from pathlib import Path

    Argument = str | int | Path

__all__ = [
    "DuplicatesMarked",
    "create_sequence_dictionary",
    "mark_duplicates",
    "merge_bam_alignment",
    "sort_sam",
]

ORDERS = ("coordinate", "queryname", "duplicate")
NO_PROGRAM: tuple[Argument, ...] = ("--PROGRAM_RECORD_ID", "null", "--ADD_PG_TAG_TO_READS", "false")
"""Headers that say how a file was made would change its name; the record of the call says it."""

STARTED = re.compile(r"## htsjdk\.samtools\.metrics\.StringHeader\n# Started on: [^\n]*\n")
DIRECTORIES = re.compile(r"(?<= )\S*/(?=\S)")
INPUT = re.compile(r" --INPUT \S+")
"""MultiQC would take it for the name of the sample."""


class DuplicatesMarked(NamedTuple):
    """What `mark_duplicates` returns: the alignment with its index, and the counts of duplicates."""

    alignment: Alignment
    metrics: DuplicateMetrics


def dictionary_command(fasta: Path, dictionary: Path) -> list[Argument]:
    """``CreateSequenceDictionary``; UR is the name of the file, for its place must not count."""
    return ["gatk", "CreateSequenceDictionary", "-R", fasta, "-O", dictionary, "--URI", fasta.name]


def sort_command(alignment: Path, bam: Path, order: str) -> list[Argument]:
    """``SortSam``; an index is written where the order is by coordinate."""
    index = ["--CREATE_INDEX", "true"] if order == "coordinate" else []
    return ["gatk", "SortSam", "-I", alignment, "-O", bam, "--SORT_ORDER", order, *index]


def duplicates_command(alignment: Path, bam: Path, metrics: Path, *, distance: int) -> list[Argument]:
    """``MarkDuplicates`` of an alignment sorted by coordinate."""
    files: list[Argument] = ["-I", alignment, "-O", bam, "-M", metrics, "--CREATE_INDEX", "true"]
    return ["gatk", "MarkDuplicates", *files, "--OPTICAL_DUPLICATE_PIXEL_DISTANCE", distance, *NO_PROGRAM]


def merge_command(aligned: Path, unmapped: Path, fasta: Path, bam: Path) -> list[Argument]:
    """``MergeBamAlignment``, as the GATK best practices have it."""
    files: list[Argument] = ["-R", fasta, "-ALIGNED", aligned, "-UNMAPPED", unmapped, "-O", bam]
    reads = ["--ADD_MATE_CIGAR", "true", "--CLIP_ADAPTERS", "true", "--CLIP_OVERLAPPING_READS", "true"]
    records = ["--INCLUDE_SECONDARY_ALIGNMENTS", "true", "--MAX_INSERTIONS_OR_DELETIONS", "-1"]
    output = ["--SORT_ORDER", "coordinate", "--CREATE_INDEX", "true", "--ADD_PG_TAG_TO_READS", "false"]
    return ["gatk", "MergeBamAlignment", *files, *reads, *records, *output]


def undated(metrics: str) -> str:
    """Picard's metrics without the time at which it was started, its input, and the directories of files."""
    return "".join(
        DIRECTORIES.sub("", INPUT.sub("", line)) if line.startswith("# ") else line
        for line in STARTED.sub("", metrics).splitlines(keepends=True)
    )


@task(tools=["gatk"], memory=["1 GiB", "4 GiB"])
def create_sequence_dictionary(work: Workdir, ref: Reference) -> SequenceDict:
    """Write names, lengths and MD5s of a reference's sequences with Picard.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA.

    Returns
    -------
    SequenceDict
        The ``.dict``, which belongs beside the FASTA.
    """
    dictionary = work.file(ref.path.with_suffix(".dict").name)
    run_gatk(work, dictionary_command(ref.path, dictionary), ref.path)
    cid = ref.cid or ""
    return SequenceDict(path=dictionary, build=ref.build, tool=CALLER, reference_cid=cid)


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def sort_sam(
    work: Workdir, alignment: Alignment, *, sort_order: str = "coordinate", extra: Extra | None = None
) -> Alignment:
    """Sort an alignment with Picard's SortSam.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        SAM or BAM.
    sort_order
        ``"coordinate"``, ``"queryname"`` or ``"duplicate"``.
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    Alignment
        BAM with the facts of the input; sorted by coordinate, its index ``x.bai`` is a companion.

    Raises
    ------
    DataError
        There is no such order, or a contig is too long.
    ToolFailed
        The file is damaged.
    """
    if sort_order not in ORDERS:
        raise DataError(f"sort_order is {sort_order!r}, but must be one of {', '.join(ORDERS)}")
    check_blocks(work, alignment)
    if alignment.path.suffix == ".bam":
        check_lengths(alignment.path.name, sam_contigs(bam_header(alignment.path)))
    bam = work.file(f"{alignment.sample_id or alignment.path.stem}.{sort_order}.bam")
    run_gatk(work, sort_command(alignment.path, bam, sort_order), alignment.path, extra=extra)
    return _made(alignment, bam, sorted=sort_order)


@task(tools=["gatk", "pysam"], memory=["3 GiB", "8 GiB", "24 GiB"])
def mark_duplicates(
    work: Workdir, alignment: Alignment, *, optical_distance: int = 100, extra: Extra | None = None
) -> DuplicatesMarked:
    """Mark duplicates with Picard's MarkDuplicates, within each library.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate, with read groups that name their libraries.
    optical_distance
        Pixels within which a duplicate on the same tile counts as optical (100; 2500 for patterned flow cells).
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    DuplicatesMarked
        BAM with its index ``x.bai``, and Picard's metrics without their date, which note what is odd about the reads.
    """
    check_blocks(work, alignment)
    bam, metrics = (
        work.file(f"{alignment.sample_id}.markdup.bam"),
        work.file(f"{alignment.sample_id}.markdup.metrics.txt"),
    )
    command = duplicates_command(alignment.path, bam, metrics, distance=optical_distance)
    run_gatk(work, command, alignment.path, extra=extra)
    metrics.write_text(undated(metrics.read_text("utf-8")), "utf-8")
    flags = work.output([*EMBEDDED, "samtools", "flagstat", "-@", work.cpus - 1, "-O", "tsv", bam])
    notes = oddities(read_flags(flags))
    for note in notes:
        work.warn(f"{alignment.sample_id}: {note}")
    made = _made(alignment, bam, sorted="coordinate", duplicates_marked=True)
    told: dict[str, Any] = {"tool": CALLER, "notes": tuple(notes), "optical_distance": optical_distance}
    counted = DuplicateMetrics(path=metrics, sample_id=alignment.sample_id, **told)
    return DuplicatesMarked(made, counted)


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def merge_bam_alignment(work: Workdir, aligned_bam: Alignment, unmapped_bam: Alignment, ref: Reference) -> Alignment:
    """Give aligned reads back what the aligner dropped: tags, read groups, reads that it left out.

    Parameters
    ----------
    work
        The scratch directory.
    aligned_bam
        What the aligner made.
    unmapped_bam
        The reads as they came, sorted by name.
    ref
        FASTA with its index and dictionary.

    Returns
    -------
    Alignment
        BAM sorted by coordinate; its index ``x.bai`` is a companion.

    Raises
    ------
    DataError
        The alignment belongs to another reference, or the two are of different samples.
    """
    check_alignment(aligned_bam, ref)
    check_blocks(work, aligned_bam, unmapped_bam)
    samples = {aligned_bam.sample_id, unmapped_bam.sample_id} - {""}
    if len(samples) > 1:
        raise DataError(f"aligned and unmapped reads are of different samples: {', '.join(sorted(samples))}")
    bam = work.file(f"{aligned_bam.sample_id}.merged.bam")
    command = merge_command(aligned_bam.path, unmapped_bam.path, ref.path, bam)
    run_gatk(work, command, aligned_bam.path, unmapped_bam.path)
    return _made(aligned_bam, bam, sorted="coordinate", reference_cid=ref.cid or aligned_bam.reference_cid)


def _made(alignment: Alignment, bam: Path, **facts: Any) -> Alignment:
    """A draft with the facts of what it was made from; Picard writes ``x.bai`` beside ``x.bam``."""
    index = bam.with_suffix(".bai")
    companions = (AlignmentIndex(path=index, sample_id=alignment.sample_id),) if index.exists() else ()
    facts |= {"format": "bam", "tool": CALLER}
    return replace(alignment, path=bam, cid=None, name=bam.name, companions=companions, source=None, **facts)
