"""Called variants, known sites, and models that filter the ones by the others."""

from __future__ import annotations

from typing import ClassVar

from stargazer.assets.asset import Asset

__all__ = [
    "FilterChoice",
    "GenomicsDB",
    "KnownSites",
    "KnownSitesIndex",
    "VQSRModel",
    "VQSRTranches",
    "Variants",
    "VariantsIndex",
]


class Variants(Asset):
    """Called variants in VCF.

    Parameters
    ----------
    sample_id
        The sample, or the cohort if there are several.
    caller
        What called them, such as ``"bcftools"``.
    variant_type
        ``"vcf"`` or ``"gvcf"``.
    build
        Name of the assembly.
    vqsr_mode
        ``"SNP"``, ``"INDEL"`` or ``"BOTH"`` once filtered by a VQSR model; empty before.
    sample_count
        Samples in it.
    source_samples
        Their names.
    notes
        What else is worth to know of how they were called.
    """

    later: ClassVar[tuple[str, ...]] = ("notes",)

    sample_id: str = ""
    caller: str = ""
    variant_type: str = ""
    build: str = ""
    vqsr_mode: str = ""
    sample_count: int = 0
    source_samples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class VariantsIndex(Asset):
    """The index of a VCF (``.tbi``, ``.csi``, ``.idx``).

    Parameters
    ----------
    sample_id
        The sample or cohort.
    variants_cid
        The VCF that it indexes.
    """

    companion_of: ClassVar[str] = "variants_cid"

    sample_id: str = ""
    variants_cid: str = ""


class KnownSites(Asset):
    """Sites of known variation in VCF, for the recalibration of base qualities and of variants.

    Parameters
    ----------
    build
        Name of the assembly.
    resource_name
        Name of the collection, such as ``"mills"`` or ``"dbsnp"``.
    known
        VQSR: mark its sites as known in reports.
    training
        VQSR: train the model on its sites.
    truth
        VQSR: measure sensitivity by its sites.
    prior
        VQSR: prior likelihood that its sites are real, on the Phred scale.
    vqsr_mode
        The variants that it is for: ``"SNP"``, ``"INDEL"``; empty for both.
    """

    build: str = ""
    resource_name: str = ""
    known: bool = False
    training: bool = False
    truth: bool = False
    prior: float = 10.0
    vqsr_mode: str = ""


class KnownSitesIndex(Asset):
    """The index of known sites (``.tbi``, ``.idx``).

    Parameters
    ----------
    known_sites_cid
        The VCF that it indexes.
    """

    companion_of: ClassVar[str] = "known_sites_cid"

    known_sites_cid: str = ""


class VQSRModel(Asset):
    """A model for the recalibration of variant qualities (VQSR).

    Parameters
    ----------
    sample_id
        The sample or cohort.
    mode
        The variants that it is for: ``"SNP"`` or ``"INDEL"``.
    build
        Name of the assembly.
    variants_cid
        The variants that it was learned from.
    """

    sample_id: str = ""
    mode: str = "SNP"
    build: str = ""
    variants_cid: str = ""


class VQSRTranches(Asset):
    """Tranches of a VQSR model: the score at which each share of the truth is kept.

    Parameters
    ----------
    sample_id
        The sample or cohort.
    mode
        The variants that it is for: ``"SNP"`` or ``"INDEL"``.
    model_cid
        The model.
    annotations
        What it is a model of.
    left_out
        Annotations that were asked for, but are the same for all variants.
    """

    companion_of: ClassVar[str] = "model_cid"

    sample_id: str = ""
    mode: str = "SNP"
    model_cid: str = ""
    annotations: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class GenomicsDB(Asset):
    """gVCFs of a cohort in a GenomicsDB workspace, a directory. Its files have other names each time it is made.

    Parameters
    ----------
    sample_id
        The cohort.
    caller
        What called the gVCFs.
    build
        Name of the assembly.
    sample_count
        Samples in it.
    source_samples
        Their names.
    """

    sample_id: str = ""
    caller: str = ""
    build: str = ""
    sample_count: int = 0
    source_samples: tuple[str, ...] = ()


class FilterChoice(Asset):
    """How a callset was filtered, and why: JSON.

    Parameters
    ----------
    sample_id
        The cohort.
    method
        ``"hard"``, ``"vqsr"`` or ``"none"``.
    reason
        What was counted, and what a model would want.
    samples
        Samples in the callset.
    snv_sites, indel_sites
        Training sites that are in the callset.
    notes
        What else is worth to know.
    """

    sample_id: str = ""
    method: str = ""
    reason: str = ""
    samples: int = 0
    snv_sites: int = 0
    indel_sites: int = 0
    notes: tuple[str, ...] = ()
