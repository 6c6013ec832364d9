"""Measures of the quality of a cohort: of its alignments and of its variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.tasks.general import (
    bcftools_stats,
    coverage,
    qc_report,
    samtools_flagstat,
    samtools_idxstats,
    samtools_stats,
)
from stargazer.workflows.germline import call_cohort
from stargazer.workflows.preprocessing import align_sample, prepare_reference
from stargazer.workflows.samples import sheet_lanes
from stargazer.workflows.sheet import read_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Alignment, DuplicateMetrics, Reference, VariantComparison, Variants
    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine
    from stargazer.workflows.lanes import Lane

__all__ = ["measure_cohort", "report_cohort", "report_sheet"]


def measure_cohort(
    reference: Reference | Call,
    alignments: Sequence[Alignment | Call],
    duplicates: Sequence[DuplicateMetrics | Call],
    variants: Variants | Call,
    cohort_id: str,
    *,
    comparisons: Sequence[VariantComparison | Call] = (),
    engine: Engine = "embedded",
) -> Call:
    """Measure the alignments and the variants of a cohort, whatever made them, and report it all.

    Parameters
    ----------
    reference
        FASTA.
    alignments
        The final BAM of each sample, with its index.
    duplicates
        Counts of duplicates of each sample.
    variants
        VCF of all samples.
    cohort_id
        Title of the report.
    comparisons
        The variants beside a truth, as `compare_variants` gives it.
    engine
        Where samtools and bcftools come from.

    Returns
    -------
    Call
        Of `QCReport`, all measures beside it.
    """
    stats = [samtools_stats(bam, reference, engine=engine) for bam in alignments]
    depths = [coverage(bam, engine=engine) for bam in alignments]
    counts = [task(bam, engine=engine) for bam in alignments for task in (samtools_flagstat, samtools_idxstats)]
    variant_counts = [bcftools_stats(variants, engine=engine)]
    return qc_report(stats, depths, list(duplicates), variant_counts, list(comparisons), counts, title=cohort_id)


def report_cohort(
    reference: Reference | Call, samples: Mapping[str, Sequence[Lane]], cohort_id: str, *, engine: Engine = "embedded"
) -> Call:
    """`measure_cohort` of what `call_cohort` makes; parameters as there.

    Returns
    -------
    Call
        Of `QCReport`. What `call_cohort` makes with the same arguments is not made again.
    """
    marked = [align_sample(reference, lanes, engine=engine) for lanes in samples.values()]
    vcf = call_cohort(reference, samples, cohort_id, engine=engine)
    alignments, duplicates = ([each[part] for each in marked] for part in (0, 1))
    return measure_cohort(reference, alignments, duplicates, vcf, cohort_id, engine=engine)


def report_sheet(sheet: str, build: str, cohort_id: str = "cohort", *, engine: Engine = "embedded") -> Call:
    """`report_cohort` of the samples of a sheet; parameters and errors as of `call_sheet`."""
    read = read_sheet(sheet)
    reference = prepare_reference(build, engine=engine)
    return report_cohort(reference, sheet_lanes(read), cohort_id, engine=engine)
