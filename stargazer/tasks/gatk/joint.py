"""Joint calling: genotypes of a cohort from the gVCFs of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Asset, GenomicsDB, Intervals, KnownSites, Reference, Variants
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.joining import (
    checked_samples,
    combine_command,
    everywhere,
    genotype,
    import_gvcfs,
    workspace_address,
)
from stargazer.tasks.jvm import CALLER, run_gatk
from stargazer.tasks.vcf import draft_variants
from stargazer.workdir import Workdir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["combine_gvcfs", "genomics_db_import", "genotype_gvcfs", "joint_call_gvcfs"]


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def combine_gvcfs(
    work: Workdir,
    gvcfs: list[Variants],
    ref: Reference,
    intervals: Intervals | None = None,
    *,
    cohort_id: str = "cohort",
) -> Variants:
    """Put the gVCFs of samples into one.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        What `haplotype_caller` made of each sample.
    ref
        FASTA with its index and dictionary.
    intervals
        Where to combine; everywhere by default.
    cohort_id
        Name of the cohort.

    Returns
    -------
    Variants
        gVCF of all samples; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        No gVCFs, one that is no gVCF or of another caller, or a sample twice.
    AssetError
        An index is missing.
    """
    samples = checked_samples(gvcfs)
    gvcf = work.file(f"{cohort_id}.g.vcf.gz")
    paths = [one.path for one in gvcfs]
    run_gatk(work, combine_command(paths, ref.path, gvcf, intervals.path if intervals else None), *paths)
    return draft_variants(gvcf, name=cohort_id, samples=samples, caller=CALLER, build=ref.build, kind="gvcf")


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def genomics_db_import(
    work: Workdir,
    gvcfs: list[Variants],
    ref: Reference,
    intervals: Intervals | None = None,
    *,
    cohort_id: str = "cohort",
) -> GenomicsDB:
    """Import the gVCFs of samples into a GenomicsDB workspace.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        What `haplotype_caller` made of each sample.
    ref
        FASTA with its index.
    intervals
        Where to import; everywhere by default. `list_intervals` makes them of regions.
    cohort_id
        Name of the cohort.

    Returns
    -------
    GenomicsDB
        The workspace. GenomicsDB names files at random, so the same gVCFs give another CID each time; the ledger
        knows the call all the same.

    Raises
    ------
    DataError
        No gVCFs, one that is no gVCF or of another caller, or a sample twice.
    AssetError
        An index is missing.
    """
    samples = checked_samples(gvcfs)
    where = intervals or Intervals(path=everywhere(work, ref))
    workspace = import_gvcfs(work, gvcfs, where, cohort_id)
    return GenomicsDB(
        path=workspace,
        sample_id=cohort_id,
        caller=CALLER,
        build=ref.build,
        sample_count=len(samples),
        source_samples=tuple(samples),
    )


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def genotype_gvcfs(
    work: Workdir,
    gvcfs: Asset,
    ref: Reference,
    intervals: Intervals | None = None,
    dbsnp: KnownSites | None = None,
    *,
    cohort_id: str = "cohort",
) -> Variants:
    """Call the genotypes of a cohort.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        gVCF of one or more samples, or a GenomicsDB workspace.
    ref
        FASTA with its index and dictionary.
    intervals
        Where to call: each variant where it starts. Everywhere by default.
    dbsnp
        Known variants, whose ids are taken.
    cohort_id
        Name of the cohort.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        No gVCF, or one of another caller.
    AssetError
        An index is missing.
    """
    vcf = work.file(f"{cohort_id}.vcf.gz")
    samples: list[str]
    source: str | Path
    if isinstance(gvcfs, GenomicsDB):
        samples, source = list(gvcfs.source_samples), workspace_address(work, gvcfs.path)
    elif isinstance(gvcfs, Variants):
        samples, source = checked_samples([gvcfs]), gvcfs.path
    else:
        raise DataError(f"genotypes are called from a gVCF or a GenomicsDB workspace, not from {gvcfs!r}")
    return genotype(work, source, ref, vcf, intervals, dbsnp, samples)


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def joint_call_gvcfs(
    work: Workdir,
    gvcfs: list[Variants],
    ref: Reference,
    intervals: Intervals | None = None,
    dbsnp: KnownSites | None = None,
    *,
    cohort_id: str = "cohort",
) -> Variants:
    """Import gVCFs into GenomicsDB and call the genotypes of the cohort at once; the workspace is not kept.

    Parameters
    ----------
    work
        The scratch directory.
    gvcfs
        What `haplotype_caller` made of each sample; the VCF has the samples in the order of their names.
    ref
        FASTA with its index and dictionary.
    intervals
        Where to call: each variant where it starts. Everywhere by default.
    dbsnp
        Known variants, whose ids are taken.
    cohort_id
        Name of the cohort.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        No gVCFs, one that is no gVCF or of another caller, or a sample twice.
    AssetError
        An index is missing.
    """
    samples = sorted(checked_samples(gvcfs))
    where = intervals or Intervals(path=everywhere(work, ref))
    workspace = import_gvcfs(work, gvcfs, where, cohort_id)
    vcf = work.file(f"{cohort_id}.vcf.gz")
    return genotype(work, workspace_address(work, workspace), ref, vcf, where, dbsnp, samples)
