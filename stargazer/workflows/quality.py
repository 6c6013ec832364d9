"""Measures of the quality of a cohort: of its alignments and of its variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.errors import DataError
from stargazer.tasks.general import (
    bcftools_stats,
    coverage,
    qc_report,
    samtools_flagstat,
    samtools_idxstats,
    samtools_stats,
)
from stargazer.workflows.aligning import PLAIN, ReadOptions, trimming_reports
from stargazer.workflows.calling import GermlineEngine, call_cohort, check_cohort, with_sexes
from stargazer.workflows.gatk import GatkOptions, call_with_gatk
from stargazer.workflows.preprocessing import align_sample
from stargazer.workflows.samples import sheet_cohort

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.assets import Alignment, Asset, DuplicateMetrics, Reference, VariantComparison, Variants
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
    others: Sequence[Asset | Call] = (),
    notes: Sequence[str] = (),
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
    others
        Files that shall lie beside the report, such as a `FilterChoice`.
    notes
        What the report says above all the rest.
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
    lists = stats, depths, list(duplicates), variant_counts, list(comparisons), [*counts, *others]
    return qc_report(*lists, title=cohort_id, notes=tuple(notes))


def report_cohort(
    reference: Reference | Call,
    samples: Mapping[str, Sequence[Lane]],
    cohort_id: str,
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    sexes: Mapping[str, str] | None = None,
    reads: ReadOptions = PLAIN,
    notes: Sequence[str] = (),
) -> Call:
    """`measure_cohort` of what `call_cohort` makes.

    Parameters
    ----------
    reference, samples, cohort_id, engine, options, sexes, reads
        As for `call_cohort`.
    notes
        What the report says at its top.

    Returns
    -------
    Call
        Of `QCReport`. What `call_cohort` makes with the same arguments is not made again.
    """
    check_cohort(samples, engine, options, cohort_id)
    trimmed = trimming_reports(samples, reads)
    if engine == "gatk":
        vcf, choice, aligned = call_with_gatk(reference, samples, cohort_id, with_sexes(options, sexes), reads)
        alignments, duplicates = ([each[part] for each in aligned.values()] for part in (0, 1))
        told: dict[str, Any] = {"others": [choice, *trimmed], "notes": notes, "engine": "native"}
        return measure_cohort(reference, alignments, duplicates, vcf, cohort_id, **told)
    marked = [align_sample(reference, lanes, engine=engine, reads=reads) for lanes in samples.values()]
    vcf = call_cohort(reference, samples, cohort_id, engine=engine, sexes=sexes, reads=reads)
    alignments, duplicates = ([each[part] for each in marked] for part in (0, 1))
    told = {"others": trimmed, "notes": notes, "engine": engine}
    return measure_cohort(reference, alignments, duplicates, vcf, cohort_id, **told)


def report_sheet(
    sheet: str,
    build: str,
    cohort_id: str = "cohort",
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    reads: ReadOptions = PLAIN,
    strict: bool = False,
) -> Call:
    """`report_cohort` of the samples of a sheet; errors as of `call_sheet`.

    Parameters
    ----------
    sheet, build, cohort_id, engine, options, reads, strict
        As for `call_sheet`.
    """
    found = sheet_cohort(sheet, build, engine, options, reads=reads, strict=strict)
    if found.gvcfs:
        raise DataError(
            f"{', '.join(found.gvcfs)} have gVCFs alone, and no reads to be measured; call_sheet joins them"
        )
    given: dict[str, Any] = {"engine": engine, "options": found.options, "sexes": found.sexes, "reads": reads}
    return report_cohort(found.reference, found.samples, cohort_id, notes=found.notes, **given)
