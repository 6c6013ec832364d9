"""Picard's view of the coverage of a genome.

References
----------
Picard, WgsMetrics: https://broadinstitute.github.io/picard/picard-metric-definitions.html#CollectWgsMetrics.WgsMetrics
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Alignment, Reference, WgsMetrics
from stargazer.calls import task
from stargazer.tasks.gatk.java import run_gatk
from stargazer.tasks.sam import check_alignment, check_blocks
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["collect_wgs_metrics"]

TABLE = "## METRICS CLASS"


def wgs_metrics_command(alignment: Path, fasta: Path, metrics: Path, *, length: int) -> list[Argument]:
    """``CollectWgsMetrics``; reads are taken to be no longer than `length` on the reference."""
    files: list[Argument] = ["-I", alignment, "-R", fasta, "-O", metrics]
    return ["gatk", "CollectWgsMetrics", *files, "--READ_LENGTH", length]


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def collect_wgs_metrics(work: Workdir, alignment: Alignment, ref: Reference, *, read_length: int = 150) -> WgsMetrics:
    """Measure the coverage of a genome by bases and mates that count: well mapped, no duplicates, no overlaps.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate.
    ref
        FASTA with its index and dictionary.
    read_length
        Bases of a read, on average.

    Returns
    -------
    WgsMetrics
        Picard's metrics and histogram, without command and date.

    Raises
    ------
    DataError
        The alignment belongs to another reference.
    """
    check_alignment(alignment, ref)
    check_blocks(work, alignment)
    metrics = work.file(f"{alignment.sample_id}.aligned.wgs_metrics.txt")
    command = wgs_metrics_command(alignment.path, ref.path, metrics, length=read_length)
    run_gatk(work, command, alignment.path, ref.path)
    text = metrics.read_text("utf-8")
    lines = text[text.index(TABLE) :].splitlines()
    metrics.write_text("\n".join(["## htsjdk.samtools.metrics.StringHeader", *lines]) + "\n", "utf-8")
    found = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    return WgsMetrics(
        path=metrics,
        sample_id=alignment.sample_id,
        alignment_cid=alignment.cid or "",
        mean_coverage=float(found["MEAN_COVERAGE"]),
        median_coverage=float(found["MEDIAN_COVERAGE"]),
        breadth_20x=float(found["PCT_20X"]),
    )
