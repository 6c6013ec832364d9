"""Germline short variants of a cohort: SNVs and indels, with bcftools or with GATK."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset, Variants
from stargazer.errors import DataError
from stargazer.tasks.general import call_gvcf, joint_call
from stargazer.workflows.aligning import PLAIN, ReadOptions
from stargazer.workflows.gatk import GatkOptions, GermlineEngine, call_with_gatk, in_order, with_known_sites
from stargazer.workflows.lanes import Lane, check_lanes, find_lanes
from stargazer.workflows.preprocessing import align_sample, prepare_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Alignment, Reference
    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine

__all__ = [
    "GermlineEngine",
    "call_alignments",
    "call_cohort",
    "check_cohort",
    "check_name",
    "germline_short_variant_discovery",
    "with_sexes",
]

NAME = re.compile(r"[^\x00-\x1f/\\.-][^\x00-\x1f/\\]{0,99}")
"""Names of cohorts: what a file may be called everywhere."""


def call_cohort(
    reference: Reference | Call,
    samples: Mapping[str, Sequence[Lane]],
    cohort_id: str,
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    sexes: Mapping[str, str] | None = None,
    reads: ReadOptions = PLAIN,
    gvcfs: Mapping[str, Variants | Call] | None = None,
    order: Sequence[str] = (),
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
    sexes
        ``"XX"`` or ``"XY"`` by sample, with each engine: copies of X and Y outside the pseudoautosomal regions.
    reads
        Whether reads are trimmed, and what aligns them.
    gvcfs
        Of further samples, called by the same caller before, here or elsewhere, each with its index.
    order
        Samples as they stand in the VCF; where it is empty, as they are given, those of gVCFs last.

    Returns
    -------
    Call
        Of `Variants`: one VCF, the samples in that order.

    Raises
    ------
    DataError
        No samples, a sample without reads, reads that are there twice, options of GATK for another engine, a gVCF of
        another sample than it is given for, or a name that cannot be that of files.
    """
    check_cohort({**samples, **dict.fromkeys(gvcfs or (), ())}, engine, options, cohort_id)
    _check_gvcfs(gvcfs or {})
    if engine == "gatk":
        chosen = with_sexes(options, sexes)
        return call_with_gatk(reference, samples, cohort_id, chosen, reads, gvcfs, order)[0]
    alignments = {
        name: align_sample(reference, lanes, engine=engine, reads=reads)[0] for name, lanes in samples.items()
    }
    more: dict[str, Any] = {"engine": engine, "sexes": sexes, "gvcfs": gvcfs, "order": order}
    return call_alignments(reference, alignments, cohort_id, **more)[0]


def check_cohort(
    samples: Mapping[str, Sequence[Lane]], engine: GermlineEngine, options: GatkOptions | None, cohort_id: str
) -> None:
    """Refuse a cohort that cannot be called; errors as of `call_cohort`."""
    check_name(cohort_id)
    if not samples:
        raise DataError("a cohort has at least one sample")
    if options is not None and engine != "gatk":
        raise DataError(f"these are options of GATK, and the engine is {engine!r}; choose engine='gatk'")
    check_lanes(samples)


def _check_gvcfs(gvcfs: Mapping[str, Variants | Call]) -> None:
    """Refuse a gVCF under another name than that of its sample, by which the VCF would call it."""
    for name, one in gvcfs.items():
        given: Any = one if isinstance(one, Asset) else next(iter(_variants(one)), None)
        samples = (given.source_samples or (given.sample_id,)) if given is not None else (name,)
        if samples != (name,) and any(samples):
            raise DataError(f"the gVCF that is given for {name!r} is of {', '.join(samples)}: give it under that name")


def _variants(call: Any) -> list[Variants]:
    """Stored variants that a call takes, such as those that it makes an index of."""
    return [value for value in call.inputs.values() if isinstance(value, Variants)]


def check_name(cohort_id: str) -> None:
    """Refuse the name of a cohort that cannot be that of files."""
    if not NAME.fullmatch(cohort_id):
        raise DataError(
            f"a cohort cannot be called {cohort_id[:100]!r}: it names files, so that it has up to 100 characters, none "
            "of them a slash, and neither a point nor a - stands first"
        )


def with_sexes(options: GatkOptions | None, sexes: Mapping[str, str] | None) -> GatkOptions:
    """Options of GATK with the sexes of samples; those that stand there already win."""
    chosen = options or GatkOptions()
    return replace(chosen, sexes={**(sexes or {}), **chosen.sexes})


def call_alignments(
    reference: Reference | Call,
    alignments: Mapping[str, Alignment | Call],
    cohort_id: str,
    *,
    engine: Engine = "embedded",
    sexes: Mapping[str, str] | None = None,
    gvcfs: Mapping[str, Variants | Call] | None = None,
    order: Sequence[str] = (),
) -> tuple[Call, dict[str, Variants | Call]]:
    """Call the genotypes of alignments that are ready with bcftools, joined with gVCFs that are there.

    Parameters
    ----------
    reference
        FASTA with its indices.
    alignments
        Of each sample, duplicates marked.
    cohort_id
        Name of the cohort.
    engine
        Where the tools come from.
    sexes
        As of `call_cohort`.
    gvcfs
        Of other samples, called by bcftools before, here or elsewhere, each with its index.
    order
        As of `call_cohort`.

    Returns
    -------
    tuple
        The call of `Variants`, and the gVCF of each sample.
    """
    made: dict[str, Variants | Call] = {
        name: call_gvcf(reference, alignment, engine=engine) for name, alignment in alignments.items()
    }
    made = in_order(made | dict(gvcfs or {}), order)
    known = {name: sex for name, sex in (sexes or {}).items() if sex}
    vcf = joint_call(reference, list(made.values()), cohort_id=cohort_id, sexes=known or None, engine=engine)
    return vcf, made


def germline_short_variant_discovery(
    build: str,
    sample_ids: Sequence[str],
    cohort_id: str = "cohort",
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    reads: ReadOptions = PLAIN,
    all_lanes: bool = False,
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
    reads
        Whether reads are trimmed, and what aligns them.
    all_lanes
        Whether reads of a sample whose names are not those of lanes of one library are its lanes all the same.

    Returns
    -------
    Call
        Of `Variants`.

    Raises
    ------
    NotFound
        No such reference, or no reads of a sample.
    DataError
        A sample is named twice, which R2 belongs to which R1 is not clear, or the reads may be of different people.

    Examples
    --------
    >>> vcf = germline_short_variant_discovery("GRCh38", ["s1", "s2"], "family")  # doctest: +SKIP
    >>> vcf.compute().fetch()  # doctest: +SKIP
    """
    if isinstance(sample_ids, str) or len(set(sample_ids)) < len(sample_ids):
        raise DataError(f"sample_ids is a list that names each sample once, not {sample_ids!r}")
    samples = {sample: find_lanes(sample, all_lanes=all_lanes) for sample in sample_ids}
    reference = prepare_reference(build, engine=engine, aligner=reads.aligner)
    chosen = with_known_sites(options, build) if engine == "gatk" else options
    return call_cohort(reference, samples, cohort_id, engine=engine, options=chosen, reads=reads)
