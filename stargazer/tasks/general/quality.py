"""Reads and alignments measured, and reads trimmed: samtools stats, samtools coverage, fastp.

References
----------
samtools-stats(1), https://www.htslib.org/doc/samtools-stats.html; samtools-coverage(1)
Chen S et al. fastp: an ultra-fast all-in-one FASTQ preprocessor. Bioinformatics 34, i884-i890 (2018).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from stargazer.assets import R1, R2, Alignment, AlignmentStats, Asset, Coverage, Reference, TrimmingReport
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tasks.sam import check_references
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["Trimmed", "coverage", "fastp", "samtools_stats"]

COMMAND = re.compile(r"^(# The command line was:\s+stats ).*?([^/\s]+)$", re.MULTILINE)
FASTP_THREADS = 1
"""fastp's estimate of insert sizes depends on the number of its threads."""


class Trimmed(NamedTuple):
    """What `fastp` returns: reads, and its report."""

    r1: R1
    r2: R2 | None
    report: TrimmingReport


def stats_command(engine: Engine, alignment: Path, fasta: Path | None = None, prefix: str = "") -> list[Argument]:
    """``samtools stats``; with a prefix, of each read group too, in files that begin with it."""
    against: list[Argument] = ["--ref-seq", fasta] if fasta else []
    split = ["--split", "RG", "--split-prefix", prefix] if prefix else []
    return [*command("samtools", engine), "stats", *against, *split, alignment]


def coverage_command(engine: Engine, alignment: Path, table: Path) -> list[Argument]:
    """``samtools coverage``; duplicates, secondary and failed reads do not count."""
    return [*command("samtools", engine), "coverage", "-o", table, alignment]


def fastp_command(reads: list[Path], trimmed: list[Path], report: Path, *, quality: int, length: int) -> list[Argument]:
    """``fastp``; adapters are found by the overlap of mates.

    Parameters
    ----------
    reads, trimmed
        FASTQ of one or both ends, as they are and as they will be.
    report
        JSON to write.
    quality
        Phred score from which on a base is good.
    length
        Bases that a read must have in the end.
    """
    files = [word for pair in zip(("-i", "-I"), reads, strict=False) for word in pair]
    files += [word for pair in zip(("-o", "-O"), trimmed, strict=False) for word in pair]
    adapters = ["--detect_adapter_for_pe"] if len(reads) == 2 else []
    limits: list[Argument] = ["--qualified_quality_phred", quality, "--length_required", length]
    output: list[Argument] = ["--json", report, "--html", "/dev/null", "--thread", FASTP_THREADS]
    return ["fastp", *files, *adapters, *limits, *output]


@task(memory="1 GiB", tools=tools("samtools"))
def samtools_stats(
    work: Workdir, alignment: Alignment, ref: Reference | None = None, *, engine: Engine = "embedded"
) -> AlignmentStats:
    """Count reads, mapped reads, duplicates, errors and insert sizes.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        SAM, BAM or CRAM.
    ref
        FASTA, for GC content and mismatches by cycle; CRAM wants it.
    engine
        Where samtools comes from.

    Returns
    -------
    AlignmentStats
        What samtools stats writes, without directories of files; a table of reads by read group is its companion.
    """
    stats = work.file(f"{alignment.sample_id}.stats.txt")
    check_references(work, alignment, engine)
    prefix = work.directory("groups").relative_to(work.path)
    work.run(stats_command(engine, alignment.path, ref.path if ref else None, f"{prefix}/rg"), stdout=stats)
    text = COMMAND.sub(r"\1\2", stats.read_text("utf-8"))
    stats.write_text(text, "utf-8")
    counts = dict(line.split("\t")[1:3] for line in text.splitlines() if line.startswith("SN\t"))
    return AlignmentStats(
        path=stats,
        companions=(_read_groups(work, alignment.sample_id),),
        sample_id=alignment.sample_id,
        alignment_cid=alignment.cid or "",
        reads=int(counts["raw total sequences:"]),
        mapped=int(counts["reads mapped:"]),
        duplicates=int(counts["reads duplicated:"]),
        insert_size=float(counts["insert size average:"]),
    )


def _read_groups(work: Workdir, sample: str) -> Asset:
    """Reads, mapped reads and duplicates of each read group."""
    table = work.file(f"{sample}.read_groups.tsv")
    rows = ["read_group\treads\tmapped\tduplicates"]
    for part in sorted((work.path / "groups").glob("rg_*.bamstat")):
        counts = dict(line.split("\t")[1:3] for line in part.read_text("utf-8").splitlines() if line.startswith("SN\t"))
        name = part.name.removeprefix("rg_").removesuffix(".bamstat")
        numbers = (counts[f"{key}:"] for key in ("raw total sequences", "reads mapped", "reads duplicated"))
        rows.append("\t".join([name, *numbers]))
    table.write_text("\n".join(rows) + "\n", "utf-8")
    return Asset(path=table, table="read_groups", sample_id=sample)


@task(memory="1 GiB", tools=tools("samtools"))
def coverage(work: Workdir, alignment: Alignment, *, engine: Engine = "embedded") -> Coverage:
    """Measure depth and breadth of coverage, contig by contig.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate.
    engine
        Where samtools comes from.

    Returns
    -------
    Coverage
        The table of samtools coverage.

    Raises
    ------
    DataError
        The alignment is not sorted by coordinate.
    """
    if alignment.sorted not in ("", "coordinate"):
        raise DataError(f"{alignment!r} is sorted by {alignment.sorted}; coverage wants the order of coordinates")
    table = work.file(f"{alignment.sample_id}.aligned.coverage.tsv")
    check_references(work, alignment, engine)
    work.run(coverage_command(engine, alignment.path, table))
    rows = [line.split("\t") for line in table.read_text("utf-8").splitlines()[1:]]
    total = sum(int(row[2]) for row in rows) or 1
    return Coverage(
        path=table,
        sample_id=alignment.sample_id,
        alignment_cid=alignment.cid or "",
        mean_depth=round(sum(float(row[6]) * int(row[2]) for row in rows) / total, 4),
        breadth=round(sum(int(row[4]) for row in rows) / total, 6),
    )


@task(cpus=1, memory="1 GiB", tools=["fastp"])
def fastp(
    work: Workdir, r1: R1, r2: R2 | None = None, *, lane: str = "", quality: int = 15, min_length: int = 15
) -> Trimmed:
    """Trim adapters, and drop reads that are too bad or too short, mates together.

    Parameters
    ----------
    work
        The scratch directory.
    r1, r2
        Reads of both ends; single-end without `r2`.
    lane
        Name of the lane, where the sample has several.
    quality
        Phred score from which on a base is good; reads with more than 40 per cent of others are dropped.
    min_length
        Bases that a read must have in the end.

    Returns
    -------
    Trimmed
        Reads with the facts of the input, except the link to the mate, and fastp's report. There may be none left.
    """
    reads = [one.path for one in (r1, r2) if one is not None]
    names = [path.name.partition(".")[0] for path in reads]
    if len(set(names)) < len(names):  # R1/x.fq.gz and R2/x.fq.gz, x.R1.fq.gz and x.R2.fq.gz
        names = [f"{name}_R{mate}" for mate, name in enumerate(names, 1)]
    trimmed = [work.file(f"{name}.trimmed.fq.gz") for name in names]
    report = work.file(f"{'.'.join(filter(None, (r1.sample_id, lane)))}.fastp.json")
    work.run(fastp_command(reads, trimmed, report, quality=quality, length=min_length))
    content = json.loads(report.read_text("utf-8"))
    content["command"] = "fastp"
    report.write_text(json.dumps(content, indent="\t"), "utf-8")
    first = replace(r1, path=trimmed[0], cid=None, name=trimmed[0].name, source=None, mate_cid="", trimmed_by="fastp")
    second = replace(r2, path=trimmed[1], cid=None, name=trimmed[1].name, source=None, mate_cid="") if r2 else None
    after = content["summary"]["after_filtering"]["total_reads"]
    before = content["summary"]["before_filtering"]["total_reads"]
    if not after:
        work.warn(f"{r1.sample_id}: fastp left none of {before:,} reads{f' of lane {lane}' if lane else ''}.")
    made = TrimmingReport(path=report, sample_id=r1.sample_id, lane=lane, r1_cid=r1.cid or "", reads=before, kept=after)
    return Trimmed(first, second, made)
