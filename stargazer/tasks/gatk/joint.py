"""Joint calling: genotypes of a cohort from the gVCFs of its samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from stargazer.assets import (
    Asset,
    GenomicsDB,
    Intervals,
    KnownSites,
    KnownSitesIndex,
    Reference,
    ReferenceIndex,
    Variants,
    VariantsIndex,
)
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.java import CALLER, Extra, run_gatk
from stargazer.tasks.regions import bed_text, parse_bed
from stargazer.tasks.sam import check_gvcfs
from stargazer.tasks.vcf import NO_COMMAND, draft_variants, need_indices, samples_of
from stargazer.tools import EMBEDDED, Workdir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stargazer.tasks.regions import Region

    Argument = str | int | Path

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
    workspace = import_gvcfs(work, gvcfs, where, cohort_id, ref)
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


@task(tools=["gatk", "pysam"], memory=["3 GiB", "8 GiB", "24 GiB"])
def joint_call_gvcfs(
    work: Workdir,
    gvcfs: list[Variants],
    ref: Reference,
    intervals: Intervals | None = None,
    dbsnp: KnownSites | None = None,
    *,
    cohort_id: str = "cohort",
    extra: Extra | None = None,
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
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        No gVCFs, one that is no gVCF or of another caller, a sample twice, or facts that name
        another sample than the file.
    AssetError
        An index is missing.
    """
    samples = sorted(checked_samples(gvcfs))
    where = intervals or Intervals(path=everywhere(work, ref))
    workspace = import_gvcfs(work, gvcfs, where, cohort_id, ref, extra=extra)
    source, vcf = workspace_address(work, workspace), work.file(f"{cohort_id}.vcf.gz")
    regions = parse_bed(bed_text(where.path))
    if not _is_many(regions):
        return genotype(work, source, ref, vcf, where, dbsnp, samples, extra=extra)
    # Each interval would be a query of its own, a third of a second: all is read at once, and what is wanted taken.
    made = genotype(work, source, ref, vcf, None, dbsnp, samples, extra=extra)
    return made if _are_whole(regions, ref) else _started_in(work, made, where.path)


def _is_many(regions: Sequence[Region]) -> bool:
    return len({one.contig for one in regions}) > MANY_CONTIGS


def _are_whole(regions: Sequence[Region], ref: Reference) -> bool:
    """Whether regions are whole contigs."""
    lengths = dict(ref.contigs)
    return all(one.start == 0 and one.end == lengths[one.contig] for one in regions)


def _started_in(work: Workdir, vcf: Variants, bed: Path) -> Variants:
    """The variants that start in regions."""
    output = work.file(f"started/{vcf.path.name}")
    bcftools = [*EMBEDDED, "bcftools"]
    work.run([*bcftools, "view", "--no-version", "-T", bed, "--targets-overlap", 0, "-Oz", "-o", output, vcf.path])
    work.run([*bcftools, "index", "-t", "-o", f"{output}.tbi", output])
    index = VariantsIndex(path=output.with_name(f"{output.name}.tbi"), sample_id=vcf.sample_id)
    return replace(vcf, path=output, companions=(index,))


# GATK's joint calling, as several tasks run it.
#
# References
# ----------
# https://gatk.broadinstitute.org/hc/en-us/articles/360035890431 (joint calling of germline short variants);
# https://github.com/GenomicsDB/GenomicsDB


MANY_INTERVALS = 100
"""Intervals from which on GenomicsDB imports what lies between them too: it makes an array of each otherwise."""


def combine_command(gvcfs: Sequence[Path], fasta: Path, gvcf: Path, intervals: Path | None = None) -> list[Argument]:
    """``CombineGVCFs``."""
    inputs = [word for path in gvcfs for word in ("-V", path)]
    where: list[Argument] = ["-L", intervals] if intervals else []
    return ["gatk", "CombineGVCFs", "-R", fasta, "-O", gvcf, *inputs, *where, *NO_COMMAND]


Merging: TypeAlias = Literal["", "intervals", "contigs"]
MERGING: Mapping[Merging, Sequence[str]] = {
    "": (),
    "intervals": ("--merge-input-intervals", "true"),
    "contigs": ("--merge-contigs-into-num-partitions", "1"),
}
MANY_CONTIGS = 100
"""Contigs from which on GenomicsDB is given whole ones, to put all of them into one array."""


def import_command(sample_map: Path, workspace: Path, intervals: Path, *, merge: Merging = "") -> list[Argument]:
    """``GenomicsDBImport`` into a new workspace.

    Parameters
    ----------
    sample_map
        Sample and file of each gVCF.
    workspace
        The directory to make.
    intervals
        BED file of where to import.
    merge
        ``"intervals"`` to import what lies between them too, ``"contigs"`` to put whole contigs into one array; for
        there are very many.
    """
    few = list(MERGING[merge])
    files: list[Argument] = ["--genomicsdb-workspace-path", workspace, "--sample-name-map", sample_map, "-L", intervals]
    return ["gatk", "GenomicsDBImport", *files, *few, *NO_COMMAND]


def genotype_command(
    source: str | Path, fasta: Path, vcf: Path, *, intervals: Path | None = None, dbsnp: Path | None = None
) -> list[Argument]:
    """``GenotypeGVCFs``; with intervals, each variant is called where it starts and nowhere else.

    Parameters
    ----------
    source
        gVCF, or ``gendb://`` and the workspace.
    fasta, vcf
        What is read and written.
    intervals
        BED file of where to call.
    dbsnp
        VCF of known variants, whose ids are taken.
    """
    where: list[Argument] = ["-L", intervals, "--only-output-calls-starting-in-intervals"] if intervals else []
    known: list[Argument] = ["--dbsnp", dbsnp] if dbsnp else []
    return ["gatk", "GenotypeGVCFs", "-R", fasta, "-V", source, "-O", vcf, *where, *known, *NO_COMMAND]


def genotype(
    work: Workdir,
    source: str | Path,
    ref: Reference,
    vcf: Path,
    intervals: Intervals | None,
    dbsnp: KnownSites | None,
    samples: list[str],
    *,
    extra: Extra | None = None,
) -> Variants:
    """Run GenotypeGVCFs; the parameters are those of the task `genotype_gvcfs`, and the samples of the VCF."""
    known = dbsnp.path if dbsnp and dbsnp.companion(KnownSitesIndex) else None
    where = intervals.path if intervals else None
    inputs = [source] if not isinstance(source, str) else []
    run_gatk(work, genotype_command(source, ref.path, vcf, intervals=where, dbsnp=known), *inputs, extra=extra)
    name = vcf.name.removesuffix(".vcf.gz")
    return draft_variants(vcf, name=name, samples=samples, caller=CALLER, build=ref.build)


def checked_samples(gvcfs: Sequence[Variants]) -> list[str]:
    """Samples of GATK's gVCFs; errors as in `check_gvcfs`, and an AssetError where an index is missing."""
    need_indices(*gvcfs)
    return check_gvcfs(gvcfs, CALLER)


def import_gvcfs(
    work: Workdir,
    gvcfs: Sequence[Variants],
    intervals: Intervals,
    cohort_id: str,
    ref: Reference | None = None,
    *,
    extra: Extra | None = None,
) -> Path:
    """Import gVCFs into a new workspace, and return its place.

    Raises
    ------
    DataError
        One has several samples.
    """
    samples = [samples_of(gvcf) for gvcf in gvcfs]
    wrong = [gvcf.name for gvcf, names in zip(gvcfs, samples, strict=True) if len(names) != 1]
    if wrong:
        raise DataError(
            f"GenomicsDB takes gVCFs of one sample each; {', '.join(wrong)} has several, use genotype_gvcfs"
        )
    sample_map, workspace = work.file("samples.tsv"), work.path / f"{cohort_id}.genomicsdb"
    lines = [f"{names[0]}\t{gvcf.path}\n" for gvcf, names in zip(gvcfs, samples, strict=True)]
    sample_map.write_text("".join(lines), "utf-8")
    where, merge = _few_arrays(work, intervals, ref)
    paths = [gvcf.path for gvcf in gvcfs]
    run_gatk(work, import_command(sample_map, workspace, where, merge=merge), *paths, extra=extra)
    return workspace


def _few_arrays(work: Workdir, intervals: Intervals, ref: Reference | None) -> tuple[Path, Merging]:
    """Where to import from so that GenomicsDB makes few arrays: each costs a third of a second a sample."""
    regions = parse_bed(bed_text(intervals.path))
    touched = {one.contig for one in regions}
    if ref is None or not _is_many(regions):
        return intervals.path, "intervals" if len(regions) > MANY_INTERVALS else ""
    bed = work.file("contigs.bed")
    bed.write_text("".join(f"{name}\t0\t{length}\n" for name, length in ref.contigs if name in touched), "utf-8")
    return bed, "contigs"


def workspace_address(work: Workdir, workspace: Path) -> str:
    """How GATK names a workspace: by its place below the directory in which it runs."""
    return f"gendb://{workspace.relative_to(work.path) if workspace.is_relative_to(work.path) else workspace}"


def everywhere(work: Workdir, ref: Reference) -> Path:
    """BED file of a whole reference."""
    bed = work.file("everywhere.bed")
    with ref.companion(ReferenceIndex).open("r") as index:
        fields = (line.split("\t") for line in index)
        bed.write_text("".join(f"{name}\t0\t{length}\n" for name, length, *_ in fields), "utf-8")
    return bed
