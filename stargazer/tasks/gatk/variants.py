"""GATK's tools for files of variants: indices, selection, hard filters, gathering.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035890471 (hard filters of germline short variants)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from stargazer.assets import Intervals, KnownSites, KnownSitesIndex, Reference, Variants
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.filtering import HARD_FILTERS, filter_command
from stargazer.tasks.gatk.java import run_gatk
from stargazer.tasks.vcf import (
    BLOCKED,
    NO_COMMAND,
    draft_variants,
    gather_command,
    index_command,
    need_indices,
    samples_of,
    without_path,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["attach_known_sites_index", "gather_vcfs", "index_feature_file", "select_variants", "variant_filtration"]


def select_command(
    vcf: Path, fasta: Path, output: Path, *, kind: str, intervals: Path | None, samples: Sequence[str]
) -> list[Argument]:
    """``SelectVariants``."""
    kinds = {"": [], "SNP": ["SNP"], "INDEL": ["INDEL", "MIXED"]}[kind]
    types = [word for each in kinds for word in ("--select-type-to-include", each)]
    names = [word for sample in samples for word in ("--sample-name", sample)]
    where: list[Argument] = ["-L", intervals] if intervals else []
    return ["gatk", "SelectVariants", "-R", fasta, "-V", vcf, "-O", output, *types, *names, *where, *NO_COMMAND]


@task(tools=["gatk"], memory=["2 GiB", "8 GiB"])
def index_feature_file(work: Workdir, known_sites: KnownSites) -> KnownSitesIndex:
    """Index a VCF of known sites.

    Parameters
    ----------
    work
        The scratch directory.
    known_sites
        VCF sorted by position.

    Returns
    -------
    KnownSitesIndex
        ``.tbi`` of ``.gz`` and ``.bgz``, else ``.idx``; it belongs beside the VCF, see `attach_known_sites_index`.

    Raises
    ------
    ToolFailed
        The VCF is malformed or not sorted.
    """
    name = known_sites.path.name
    index = work.file(f"{name}.tbi" if name.endswith(BLOCKED) else f"{name}.idx")
    run_gatk(work, index_command(known_sites.path, index), known_sites.path)
    if index.suffix == ".idx":
        index.write_bytes(without_path(index.read_bytes()))
    return KnownSitesIndex(path=index, known_sites_cid=known_sites.cid or "")


@task
def attach_known_sites_index(work: Workdir, known_sites: KnownSites, index: KnownSitesIndex) -> KnownSites:
    """Give known sites their index as companion; no bytes are read or written.

    Parameters
    ----------
    work
        The scratch directory.
    known_sites
        VCF.
    index
        What `index_feature_file` made of it.
    """
    return replace(known_sites, companions=(index,))


@task(tools=["gatk"], memory=["2 GiB", "8 GiB"])
def select_variants(
    work: Workdir,
    vcf: Variants,
    ref: Reference,
    intervals: Intervals | None = None,
    *,
    kind: Literal["", "SNP", "INDEL"] = "",
    samples: list[str] | None = None,
) -> Variants:
    """Take some of the variants, or of the samples.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        VCF with its index.
    ref
        FASTA with its index and dictionary.
    intervals
        Where to take variants from; everywhere by default.
    kind
        ``"SNP"``; ``"INDEL"``, with sites that are both; all if empty.
    samples
        The samples to keep; all by default.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        The VCF does not have one of the samples.
    """
    need_indices(vcf)
    names = samples or []
    there = samples_of(vcf)
    unknown = [sample for sample in names if sample not in there]
    if unknown:
        raise DataError(f"{vcf.name} has no samples {', '.join(unknown)}; it has {', '.join(there)}")
    output = work.file(f"{vcf.sample_id}{f'.{kind.lower()}' if kind else '.selected'}.vcf.gz")
    where = intervals.path if intervals else None
    command = select_command(vcf.path, ref.path, output, kind=kind, intervals=where, samples=names)
    run_gatk(work, command, vcf.path)
    return _made(vcf, output, names or there)


@task(tools=["gatk"], memory=["2 GiB", "8 GiB"])
def variant_filtration(
    work: Workdir,
    vcf: Variants,
    ref: Reference,
    *,
    mode: Literal["SNP", "INDEL"],
    filters: dict[str, str] | None = None,
) -> Variants:
    """Mark variants of one kind that fail hard filters; none is removed, FILTER says which it failed.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        VCF of one kind of variants, as `select_variants` gives it, with its index.
    ref
        FASTA with its index and dictionary.
    mode
        The kind, which chooses the filters that GATK recommends.
    filters
        Other filters: expressions (JEXL) by name.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.
    """
    need_indices(vcf)
    output = work.file(f"{vcf.sample_id}.{mode.lower()}.filtered.vcf.gz")
    run_gatk(work, filter_command(vcf.path, ref.path, output, filters or HARD_FILTERS[mode]), vcf.path)
    return _made(vcf, output, samples_of(vcf))


@task(tools=["gatk"], memory=["2 GiB", "8 GiB"])
def gather_vcfs(work: Workdir, vcfs: list[Variants]) -> Variants:
    """Put the VCFs of consecutive intervals into one.

    Parameters
    ----------
    work
        The scratch directory.
    vcfs
        Of the same samples, in the order of the intervals.

    Returns
    -------
    Variants
        VCF or gVCF, as they are; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        There are none, or they differ in samples, caller or kind.
    """
    kinds = {(tuple(samples_of(one)), one.caller, one.variant_type, one.sample_id) for one in vcfs}
    if len(kinds) != 1:
        raise DataError(f"parts of one VCF have the same samples, caller and kind, not {sorted(kinds) or 'none'}")
    suffix = ".g.vcf.gz" if vcfs[0].variant_type == "gvcf" else ".vcf.gz"
    output = work.file(f"{vcfs[0].sample_id}{suffix}")
    run_gatk(work, gather_command([one.path for one in vcfs], output), *(one.path for one in vcfs))
    run_gatk(work, index_command(output, work.file(f"{output.name}.tbi")), output)
    return _made(vcfs[0], output, samples_of(vcfs[0]))


def _made(vcf: Variants, output: Path, samples: Sequence[str]) -> Variants:
    """A draft with the facts of what it was made from."""
    return draft_variants(
        output,
        name=vcf.sample_id,
        samples=samples,
        caller=vcf.caller,
        build=vcf.build,
        kind=vcf.variant_type or "vcf",
        mode=vcf.vqsr_mode,
    )
