"""Recalibration of variant qualities (VQSR): a model of what true variants look like, and a filter by it.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035531612 (Variant Quality Score Recalibration);
https://gatk.broadinstitute.org/hc/en-us/articles/360035890471 (hard filters, where a model cannot be trained)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import (
    KnownSites,
    Reference,
    Variants,
    VariantsIndex,
    VQSRModel,
    VQSRTranches,
)
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.gatk.filtering import (
    ANNOTATIONS,
    GAUSSIANS,
    LEVELS,
    apply_command,
    check_mode,
    check_resources,
    read_lines,
    resource_uses,
    train_command,
    varying,
)
from stargazer.tasks.gatk.java import run_gatk
from stargazer.tasks.vcf import draft_variants, need_indices, samples_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["apply_vqsr", "variant_recalibrator"]


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def variant_recalibrator(
    work: Workdir,
    vcf: Variants,
    ref: Reference,
    resources: list[KnownSites],
    *,
    mode: str = "SNP",
    annotations: list[str] | None = None,
    max_gaussians: int | None = None,
) -> VQSRModel:
    """Learn what true variants look like.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        Genotyped VCF with its index.
    ref
        FASTA with its index and dictionary.
    resources
        Known variants, each with its index, and with what they are good for (`training`, `truth`, `prior`, …).
    mode
        ``"SNP"`` or ``"INDEL"``.
    annotations
        What the model is of: by default QD, MQ, MQRankSum, ReadPosRankSum, FS and SOR, of indels QD, FS and SOR. Those
        that are the same everywhere are left out, and the tranches say so.
    max_gaussians
        Clusters of the model, at most; 6 by default, 4 for indels.

    Returns
    -------
    VQSRModel
        Scores of the variants; their index and the tranches (`VQSRTranches`) are companions.

    Raises
    ------
    DataError
        Another mode, no resources, none to train with or none of the truth, or no annotation that varies.
    AssetError
        An index is missing.
    ToolFailed
        There are too few variants to make a model of.
    """
    check_mode(mode)
    check_resources(resources, mode)
    need_indices(vcf)
    wanted = list(annotations or ANNOTATIONS[mode])
    used = varying(read_lines(vcf.path), wanted)
    if not used:
        raise DataError(f"{vcf.name}: none of the annotations {', '.join(wanted)} varies; use hard filters")
    name = f"{vcf.sample_id or 'cohort'}.{mode.lower()}"
    recal, tranches = work.file(f"{name}.recal.vcf.gz"), work.file(f"{name}.tranches")
    uses = resource_uses(resources)
    gaussians = max_gaussians or GAUSSIANS[mode]
    command = train_command(
        vcf.path, ref.path, uses, recal, tranches, mode=mode, annotations=used, max_gaussians=gaussians
    )
    run_gatk(work, command, vcf.path)
    return _model(vcf, ref, recal, tranches, mode, used, wanted)


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def apply_vqsr(
    work: Workdir,
    vcf: Variants,
    ref: Reference,
    vqsr_model: VQSRModel,
    *,
    truth_sensitivity_filter_level: float | None = None,
) -> Variants:
    """Filter variants by a model; none is removed, FILTER says which tranche they are in.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        The VCF that the model was learned from, or the same with the other kind filtered already.
    ref
        FASTA with its index and dictionary.
    vqsr_model
        What `variant_recalibrator` made, with its tranches.
    truth_sensitivity_filter_level
        Per cent of the truth to keep: 99.5 for SNPs and 99.0 for indels by default.

    Returns
    -------
    Variants
        VCF; its index ``.tbi`` is a companion.

    Raises
    ------
    DataError
        The model has another mode.
    AssetError
        It comes without its tranches, or an index is missing.
    """
    mode = vqsr_model.mode
    check_mode(mode)
    need_indices(vcf)
    tranches, given = vqsr_model.companion(VQSRTranches).path, truth_sensitivity_filter_level
    output = work.file(f"{vcf.sample_id or 'cohort'}.vqsr.{mode.lower()}.vcf.gz")
    level = LEVELS[mode] if given is None else given
    command = apply_command(vcf.path, ref.path, vqsr_model.path, tranches, output, mode=mode, level=level)
    run_gatk(work, command, vcf.path)
    return draft_variants(
        output,
        name=vcf.sample_id or "cohort",
        samples=samples_of(vcf),
        caller=vcf.caller,
        build=ref.build or vcf.build,
        mode="BOTH" if vcf.vqsr_mode not in ("", mode) else mode,
    )


def _model(
    vcf: Variants, ref: Reference, recal: Path, tranches: Path, mode: str, used: list[str], wanted: list[str]
) -> VQSRModel:
    sample = vcf.sample_id
    left_out = tuple(one for one in wanted if one not in used)
    index = VariantsIndex(path=recal.with_name(f"{recal.name}.tbi"), sample_id=sample)
    table = VQSRTranches(path=tranches, sample_id=sample, mode=mode, annotations=tuple(used), left_out=left_out)
    cid, build = vcf.cid or "", ref.build
    return VQSRModel(path=recal, companions=(index, table), sample_id=sample, mode=mode, build=build, variants_cid=cid)
