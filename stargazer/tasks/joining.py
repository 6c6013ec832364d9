"""GATK's joint calling, as several tasks run it.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035890431 (joint calling of germline short variants);
https://github.com/GenomicsDB/GenomicsDB
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Intervals, KnownSites, KnownSitesIndex, Reference, ReferenceIndex, Variants
from stargazer.errors import DataError
from stargazer.tasks.fits import check_gvcfs
from stargazer.tasks.jvm import CALLER, run_gatk
from stargazer.tasks.vcf import NO_COMMAND, draft_variants, need_indices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stargazer.workdir import Workdir

    Argument = str | int | Path

__all__ = [
    "checked_samples",
    "combine_command",
    "everywhere",
    "genotype",
    "genotype_command",
    "import_command",
    "import_gvcfs",
    "workspace_address",
]

MANY_INTERVALS = 100
"""Intervals from which on GenomicsDB imports what lies between them too: it makes an array of each otherwise."""


def combine_command(gvcfs: Sequence[Path], fasta: Path, gvcf: Path, intervals: Path | None = None) -> list[Argument]:
    """``CombineGVCFs``."""
    inputs = [word for path in gvcfs for word in ("-V", path)]
    where: list[Argument] = ["-L", intervals] if intervals else []
    return ["gatk", "CombineGVCFs", "-R", fasta, "-O", gvcf, *inputs, *where, *NO_COMMAND]


def import_command(sample_map: Path, workspace: Path, intervals: Path, *, merge: bool = False) -> list[Argument]:
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
        Whether to import what lies between the intervals too, for there are very many.
    """
    few = ["--merge-input-intervals", "true"] if merge else []
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
) -> Variants:
    """Run GenotypeGVCFs; the parameters are those of the task `genotype_gvcfs`, and the samples of the VCF."""
    known = dbsnp.path if dbsnp and dbsnp.companion(KnownSitesIndex) else None
    where = intervals.path if intervals else None
    inputs = [source] if not isinstance(source, str) else []
    run_gatk(work, genotype_command(source, ref.path, vcf, intervals=where, dbsnp=known), *inputs)
    name = vcf.name.removesuffix(".vcf.gz")
    return draft_variants(vcf, name=name, samples=samples, caller=CALLER, build=ref.build)


def checked_samples(gvcfs: Sequence[Variants]) -> list[str]:
    """Samples of GATK's gVCFs; errors as in `check_gvcfs`, and an AssetError where an index is missing."""
    samples = check_gvcfs(gvcfs, CALLER)
    need_indices(*gvcfs)
    return samples


def import_gvcfs(work: Workdir, gvcfs: Sequence[Variants], intervals: Intervals, cohort_id: str) -> Path:
    """Import gVCFs into a new workspace, and return its place.

    Raises
    ------
    DataError
        One has several samples.
    """
    wrong = [gvcf.name for gvcf in gvcfs if len(gvcf.source_samples or (gvcf.sample_id,)) != 1]
    if wrong:
        raise DataError(
            f"GenomicsDB takes gVCFs of one sample each; {', '.join(wrong)} has several, use genotype_gvcfs"
        )
    sample_map, workspace = work.file("samples.tsv"), work.path / f"{cohort_id}.genomicsdb"
    lines = [f"{(gvcf.source_samples or (gvcf.sample_id,))[0]}\t{gvcf.path}\n" for gvcf in gvcfs]
    sample_map.write_text("".join(lines), "utf-8")
    many = intervals.path.read_bytes().count(b"\n") > MANY_INTERVALS
    paths = [gvcf.path for gvcf in gvcfs]
    run_gatk(work, import_command(sample_map, workspace, intervals.path, merge=many), *paths)
    return workspace


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
