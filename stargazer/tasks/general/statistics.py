"""Alignments and variants counted: samtools flagstat, samtools idxstats, bcftools stats.

References
----------
samtools-flagstat(1), https://www.htslib.org/doc/samtools-flagstat.html; samtools-idxstats(1)
bcftools(1), https://samtools.github.io/bcftools/bcftools.html#stats
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Alignment, AlignmentIndex, ContigCounts, FlagCounts, Variants, VariantStats
from stargazer.assets.fact_types import Share
from stargazer.calls import task
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tasks.metrics import read_variant_stats
from stargazer.tasks.sam import check_references
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["bcftools_stats", "samtools_flagstat", "samtools_idxstats"]

COMMAND_LINE = "# The command line was:"


def variant_stats_command(engine: Engine, vcf: Path, *, passed: bool) -> list[Argument]:
    """``bcftools stats``, with counts of each sample."""
    only = ["--apply-filters", ".,PASS"] if passed else []
    return [*command("bcftools", engine), "stats", "--samples", "-", *only, vcf]


@task(tools=tools("samtools"))
def samtools_flagstat(work: Workdir, alignment: Alignment, *, engine: Engine = "embedded") -> FlagCounts:
    """Count alignments by their flags.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        SAM, BAM or CRAM.
    engine
        Where samtools comes from.

    Returns
    -------
    FlagCounts
        What samtools flagstat writes.
    """
    check_references(work, alignment, engine)
    counts = work.file(f"{alignment.sample_id}.flagstat.txt")
    work.run([*command("samtools", engine), "flagstat", alignment.path], stdout=counts)
    return FlagCounts(path=counts, sample_id=alignment.sample_id, alignment_cid=alignment.cid or "")


@task(tools=tools("samtools"))
def samtools_idxstats(work: Workdir, alignment: Alignment, *, engine: Engine = "embedded") -> ContigCounts:
    """Count alignments by contig, from the index.

    Parameters
    ----------
    work
        The scratch directory.
    alignment
        BAM sorted by coordinate, with its index.
    engine
        Where samtools comes from.

    Returns
    -------
    ContigCounts
        What samtools idxstats writes.

    Raises
    ------
    AssetError
        The index is missing.
    """
    alignment.companion(AlignmentIndex)
    counts = work.file(f"{alignment.sample_id}.idxstats.txt")
    work.run([*command("samtools", engine), "idxstats", alignment.path], stdout=counts)
    return ContigCounts(path=counts, sample_id=alignment.sample_id, alignment_cid=alignment.cid or "")


@task(tools=tools("bcftools"))
def bcftools_stats(
    work: Workdir, variants: Variants, *, passed: bool = True, engine: Engine = "embedded"
) -> VariantStats:
    """Count SNVs and indels, transitions and transversions, of all samples together and of each.

    Parameters
    ----------
    work
        The scratch directory.
    variants
        VCF.
    passed
        Whether records that a filter rejected are left out.
    engine
        Where bcftools comes from.

    Returns
    -------
    VariantStats
        What bcftools stats writes, without its command line.
    """
    vcf, stats = work.file(variants.name), work.file(f"{variants.name.partition('.vcf')[0]}.bcftools_stats.txt")
    # bcftools writes down where it found the file.
    vcf.symlink_to(variants.path)
    work.run(variant_stats_command(engine, vcf, passed=passed), stdout=stats)
    lines = [line for line in stats.read_text("utf-8").splitlines() if not line.startswith(COMMAND_LINE)]
    stats.write_text("\n".join(lines) + "\n", "utf-8")
    counted = read_variant_stats("\n".join(lines))
    return VariantStats(
        path=stats,
        sample_id=variants.sample_id,
        variants_cid=variants.cid or "",
        snvs=counted.totals["number of SNPs"],
        indels=counted.totals["number of indels"],
        ts_tv=Share(counted.ts_tv),
        notes=variants.notes,
    )
