"""Recalibration of base qualities (BQSR).

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035890531 (Base Quality Score Recalibration)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import (
    Alignment,
    AlignmentIndex,
    BQSRReport,
    Intervals,
    KnownSites,
    KnownSitesIndex,
    Reference,
)
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import CALLER, Extra, run_gatk
from stargazer.tasks.sam import bam_header, check_alignment, check_blocks, is_recalibrated
from stargazer.tasks.vcf import has_records
from stargazer.tools import EMBEDDED, Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["apply_bqsr", "base_recalibrator", "gather_bqsr_reports"]

INDULGENT = ("--allow-missing-read-group", "true", "--create-output-bam-index", "false")
PROGRAM = "@PG\tID:GATK ApplyBQSR\tPN:GATK ApplyBQSR\n"
"""What the header of a recalibrated BAM says, so that nobody recalibrates it again."""


def recalibrate_command(
    bam: Path,
    fasta: Path,
    known_sites: Sequence[Path],
    table: Path,
    intervals: Path | None = None,
    *,
    baq: bool = False,
) -> list[Argument]:
    """``BaseRecalibrator``; with `baq`, bases near indels count less (``--enable-baq``)."""
    sites = [word for path in known_sites for word in ("--known-sites", path)]
    where: list[Argument] = ["-L", intervals] if intervals else []
    baqs = ["--enable-baq"] if baq else []
    return ["gatk", "BaseRecalibrator", "-R", fasta, "-I", bam, "-O", table, *sites, *where, *baqs]


def gather_command(tables: Sequence[Path], table: Path) -> list[Argument]:
    """``GatherBQSRReports``."""
    return ["gatk", "GatherBQSRReports", *(word for each in tables for word in ("-I", each)), "-O", table]


def apply_command(bam: Path, fasta: Path, table: Path, output: Path) -> list[Argument]:
    """``ApplyBQSR``; without a @PG line, which would hold the command. What the table lacks is left as it is."""
    files: list[Argument] = ["-R", fasta, "-I", bam, "--bqsr-recal-file", table, "-O", output]
    return ["gatk", "ApplyBQSR", *files, "--add-output-sam-program-record", "false", *INDULGENT]


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def base_recalibrator(
    work: Workdir,
    alignment: Alignment,
    ref: Reference,
    known_sites: list[KnownSites],
    intervals: Intervals | None = None,
    *,
    enable_baq: bool = False,
    extra: Extra | None = None,
) -> BQSRReport:
    """Learn how base qualities deviate from the errors that are seen outside known variants.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate with its index, duplicates marked.
    ref
        FASTA with its index and dictionary.
    known_sites
        VCFs of known variants, each with its index: what differs there is no error.
    intervals
        Where to look; everywhere by default.
    enable_baq
        Whether bases near indels count less.
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    BQSRReport
        The table.

    Raises
    ------
    DataError
        There are no known sites, or the alignment belongs to another reference, or is recalibrated already.
    AssetError
        An index is missing; `index_feature_file` makes those of VCFs.
    """
    if not known_sites:
        raise DataError("BQSR needs known_sites, VCFs of known variants: without them each variant counts as an error")
    if not any(has_records(site.path) for site in known_sites):
        names = ", ".join(site.name or site.path.name for site in known_sites)
        raise DataError(f"{names} has no known sites at all, so that each variant would count as an error")
    check_alignment(alignment, ref)
    check_blocks(work, alignment)
    if alignment.bqsr_applied or (alignment.path.suffix == ".bam" and is_recalibrated(bam_header(alignment.path))):
        raise DataError(
            f"{alignment.path.name} is recalibrated already, as its header or its facts say; use it as it is"
        )
    for each in (alignment, *known_sites):
        each.companion(AlignmentIndex if each is alignment else KnownSitesIndex)
    table = work.file(f"{alignment.sample_id}.aligned.bqsr.table")
    sites = [site.path for site in known_sites]
    where = intervals.path if intervals else None
    command = recalibrate_command(alignment.path, ref.path, sites, table, where, baq=enable_baq)
    run_gatk(work, command, alignment.path, extra=extra)
    return BQSRReport(path=table, sample_id=alignment.sample_id, tool=CALLER, alignment_cid=alignment.cid or "")


@task(tools=["gatk"], memory=["2 GiB", "8 GiB"])
def gather_bqsr_reports(work: Workdir, reports: list[BQSRReport]) -> BQSRReport:
    """Add up the tables of the parts of one alignment.

    Parameters
    ----------
    work
        The scratch directory.
    reports
        What `base_recalibrator` made of each part.

    Returns
    -------
    BQSRReport
        The table. Its EmpiricalQuality may differ by one from that of the whole: reads across the border of two parts
        are counted in both, and sums are rounded once more.

    Raises
    ------
    DataError
        There are none, or they are of different samples or alignments.
    """
    origins = {(report.sample_id, report.alignment_cid) for report in reports}
    if len(origins) != 1:
        raise DataError(f"tables of one alignment are wanted, not of {len(origins)}: {sorted(origins)}")
    table = work.file(f"{reports[0].sample_id}.aligned.bqsr.table")
    run_gatk(work, gather_command([report.path for report in reports], table))
    return replace(reports[0], path=table, cid=None, name=table.name, source=None)


@task(tools=["gatk", "pysam"], memory=["3 GiB", "8 GiB", "24 GiB"])
def apply_bqsr(
    work: Workdir, alignment: Alignment, ref: Reference, bqsr_report: BQSRReport, *, extra: Extra | None = None
) -> Alignment:
    """Replace base qualities by recalibrated ones; those of read groups without usable reads stay as they are.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        The BAM that the table was learned from.
    ref
        FASTA with its index and dictionary.
    bqsr_report
        The table.
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    Alignment
        BAM with the facts of the input, whose header says that it is recalibrated; its index ``x.bai`` is a companion.

    Raises
    ------
    DataError
        The table is of another sample or alignment, or the alignment belongs to another reference.
    """
    if bqsr_report.sample_id not in ("", alignment.sample_id):
        raise DataError(f"the table is of sample {bqsr_report.sample_id!r}, the reads of {alignment.sample_id!r}")
    if alignment.cid and bqsr_report.alignment_cid not in ("", alignment.cid):
        raise DataError(
            f"the table was learned from another alignment ({bqsr_report.alignment_cid}) than {alignment!r}"
        )
    check_alignment(alignment, ref)
    check_blocks(work, alignment)
    part, bam = work.file("part.bam"), work.file(f"{alignment.sample_id}.recalibrated.bam")
    run_gatk(work, apply_command(alignment.path, ref.path, bqsr_report.path, part), alignment.path, extra=extra)
    header, index = work.file("header.sam"), bam.with_suffix(".bai")
    text = bam_header(part)
    header.write_text(f"{text.rstrip()}\n{PROGRAM}", "utf-8")
    work.run([*EMBEDDED, "samtools", "reheader", "--no-PG", header, part], stdout=bam)
    work.run([*EMBEDDED, "samtools", "index", "-b", bam, index])
    known = _known_groups(bqsr_report.path.read_text("utf-8"))
    missing = [name for name, unit in _groups(text) if unit not in known]
    if missing:
        work.warn(f"{alignment.sample_id}: read groups {', '.join(missing)} have no usable reads; not recalibrated")
    companions = (AlignmentIndex(path=index, sample_id=alignment.sample_id),)
    made = replace(alignment, path=bam, cid=None, name=bam.name, companions=companions, source=None, format="bam")
    return replace(made, bqsr_applied=bool(known), tool=CALLER, reference_cid=ref.cid or alignment.reference_cid)


def _groups(header: str) -> Iterator[tuple[str, str]]:
    """ID of each read group, and what GATK calls it by: PU, else ID."""
    for line in header.splitlines():
        if line.startswith("@RG\t"):
            tags = dict(field.split(":", 1) for field in line.split("\t")[1:] if ":" in field)
            yield tags.get("ID", ""), tags.get("PU") or tags.get("ID", "")


def _known_groups(table: str) -> set[str]:
    """Read groups of the first table of a recalibration report."""
    _, _, rows = table.partition("RecalTable0")
    names = (line.split() for line in rows.partition("\n\n")[0].splitlines()[2:])
    return {fields[0] for fields in names if fields}
