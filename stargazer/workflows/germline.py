"""Germline short variants of a cohort: SNVs and indels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import DataError
from stargazer.tasks.general import call_gvcf, joint_call
from stargazer.workflows.lanes import Lane, find_lanes
from stargazer.workflows.preprocessing import align_sample, prepare_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Reference
    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine

__all__ = ["call_cohort", "germline_short_variant_discovery"]


def call_cohort(
    reference: Reference | Call, samples: Mapping[str, Sequence[Lane]], cohort_id: str, *, engine: Engine = "embedded"
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
        Where the tools come from.

    Returns
    -------
    Call
        Of `Variants`: one VCF, the samples in the order given.

    Raises
    ------
    DataError
        No samples, or a sample without reads.
    """
    if not samples:
        raise DataError("a cohort has at least one sample")
    gvcfs = [
        call_gvcf(reference, align_sample(reference, lanes, engine=engine)[0], engine=engine)
        for lanes in samples.values()
    ]
    return joint_call(reference, gvcfs, cohort_id=cohort_id, engine=engine)


def germline_short_variant_discovery(
    build: str, sample_ids: Sequence[str], cohort_id: str = "cohort", *, engine: Engine = "embedded"
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
        Where the tools come from: ``"embedded"``, or ``"native"`` for bwa, samtools and bcftools on PATH.

    Returns
    -------
    Call
        Of `Variants`.

    Raises
    ------
    NotFound
        No such reference, or no reads of a sample.
    DataError
        A sample is named twice, or which R2 belongs to which R1 is not clear.

    Examples
    --------
    >>> vcf = germline_short_variant_discovery("GRCh38", ["s1", "s2"], "family")  # doctest: +SKIP
    >>> vcf.compute().fetch()  # doctest: +SKIP
    """
    if isinstance(sample_ids, str) or len(set(sample_ids)) < len(sample_ids):
        raise DataError(f"sample_ids is a list that names each sample once, not {sample_ids!r}")
    samples = {sample: find_lanes(sample) for sample in sample_ids}
    return call_cohort(prepare_reference(build, engine=engine), samples, cohort_id, engine=engine)
