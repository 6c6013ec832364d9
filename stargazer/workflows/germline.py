"""Germline short variants of a cohort: SNVs and indels, with bcftools or with GATK."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import KnownSites
from stargazer.errors import DataError
from stargazer.store import active_store
from stargazer.tasks.general import call_gvcf, joint_call
from stargazer.workflows.gatk import GatkOptions, GermlineEngine, call_with_gatk
from stargazer.workflows.lanes import Lane, Versions, find_lanes
from stargazer.workflows.preprocessing import align_sample, prepare_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Reference
    from stargazer.calls import Call

__all__ = ["GermlineEngine", "call_cohort", "germline_short_variant_discovery"]


def call_cohort(
    reference: Reference | Call,
    samples: Mapping[str, Sequence[Lane]],
    cohort_id: str,
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
) -> Call:
    """Call the genotypes of a cohort from raw reads.

    Parameters
    ----------
    reference
        FASTA with its indices, as `index_reference` gives it.
    samples
        Reads of each sample, by its name.
    cohort_id
        Name of the cohort.
    engine
        Where the tools come from: ``"embedded"``, ``"native"``, or ``"gatk"``.
    options
        How GATK calls; of no other engine.

    Returns
    -------
    Call
        Of `Variants`: one VCF, the samples in the order given.

    Raises
    ------
    DataError
        No samples, a sample without reads, or options of GATK for another engine.
    """
    if not samples:
        raise DataError("a cohort has at least one sample")
    if engine == "gatk":
        return call_with_gatk(reference, samples, cohort_id, options or GatkOptions())[0]
    if options is not None:
        raise DataError(f"these are options of GATK, and the engine is {engine!r}; choose engine='gatk'")
    gvcfs = [
        call_gvcf(reference, align_sample(reference, lanes, engine=engine)[0], engine=engine)
        for lanes in samples.values()
    ]
    return joint_call(reference, gvcfs, cohort_id=cohort_id, engine=engine)


def germline_short_variant_discovery(
    build: str,
    sample_ids: Sequence[str],
    cohort_id: str = "cohort",
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    versions: Versions = "refuse",
) -> Call:
    """`call_cohort` of samples whose reads the active store holds.

    Parameters
    ----------
    build
        Name of the assembly.
    sample_ids
        The samples; all lanes of each are used.
    cohort_id
        Name of the cohort, and of the VCF.
    engine
        Where the tools come from: ``"embedded"``; ``"native"`` for bwa, samtools and bcftools on PATH; ``"gatk"`` for
        GATK, with bwa and bcftools on PATH.
    options
        How GATK calls; by default with all known sites of that build in the active store.
    versions
        ``"newest"`` takes the file that was added last where the store has several versions of one.

    Returns
    -------
    Call
        Of `Variants`.

    Raises
    ------
    NotFound
        No such reference, or no reads of a sample.
    DataError
        A sample is named twice, which R2 belongs to which R1 is not clear, or a file has several versions.

    Examples
    --------
    >>> vcf = germline_short_variant_discovery("GRCh38", ["s1", "s2"], "family")  # doctest: +SKIP
    >>> vcf.compute().fetch()  # doctest: +SKIP
    """
    if isinstance(sample_ids, str) or len(set(sample_ids)) < len(sample_ids):
        raise DataError(f"sample_ids is a list that names each sample once, not {sample_ids!r}")
    samples = {sample: find_lanes(sample, versions) for sample in sample_ids}
    if engine != "gatk":
        return call_cohort(prepare_reference(build, engine=engine), samples, cohort_id, engine=engine, options=options)
    chosen = with_known_sites(options, build)
    return call_cohort(prepare_reference(build, engine=engine), samples, cohort_id, engine=engine, options=chosen)


def with_known_sites(options: GatkOptions | None, build: str) -> GatkOptions:
    """Options with the known sites of an assembly that the active store holds, unless they name others."""
    chosen = options or GatkOptions()
    return replace(chosen, known_sites=known_sites_of(build)) if chosen.known_sites is None else chosen


def known_sites_of(build: str) -> list[KnownSites]:
    """VCFs of known variants of an assembly that the active store holds.

    Without their indices, which are made anew: one that was stored since must not change what is asked for.
    """
    found = [
        one
        for one in active_store().assemble(asset="known_sites", build=build, missing="skip")
        if isinstance(one, KnownSites)
    ]
    return list(dict.fromkeys(replace(one, companions=()) for one in found))
