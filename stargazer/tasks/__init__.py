"""All tasks, by name: ``from stargazer.tasks import bwa_mem``.

Those of GATK and of single cells are imported when one is first asked for; the latter need the extra ``scrna``.
`create_sequence_dictionary` and `mark_duplicates` are those of samtools here, and of GATK in `stargazer.tasks.gatk`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.tasks.general import (
    Marked,
    Ploidy,
    Trimmed,
    annotate_variants,
    attach_indices,
    bcftools_stats,
    bwa_index,
    bwa_mem,
    bwa_mem2_index,
    bwa_mem2_mem,
    call_gvcf,
    compare_variants,
    convert_alignment,
    coverage,
    create_sequence_dictionary,
    estimate_contamination,
    fastp,
    identify_samples,
    index_variants,
    join_known_sites,
    join_lanes,
    joint_call,
    list_consequences,
    list_intervals,
    mark_duplicates,
    normalize_variants,
    ploidy_of_sex,
    predict_consequences,
    qc_report,
    samtools_faidx,
    samtools_flagstat,
    samtools_idxstats,
    samtools_sort,
    samtools_stats,
    scatter_intervals,
    target_coverage,
    unpack_reference,
)

if TYPE_CHECKING:
    from stargazer.tasks.gatk import apply_bqsr as apply_bqsr
    from stargazer.tasks.gatk import apply_vqsr as apply_vqsr
    from stargazer.tasks.gatk import attach_known_sites_index as attach_known_sites_index
    from stargazer.tasks.gatk import base_recalibrator as base_recalibrator
    from stargazer.tasks.gatk import collect_wgs_metrics as collect_wgs_metrics
    from stargazer.tasks.gatk import combine_gvcfs as combine_gvcfs
    from stargazer.tasks.gatk import filter_variants as filter_variants
    from stargazer.tasks.gatk import gather_bqsr_reports as gather_bqsr_reports
    from stargazer.tasks.gatk import gather_gvcfs as gather_gvcfs
    from stargazer.tasks.gatk import gather_vcfs as gather_vcfs
    from stargazer.tasks.gatk import genomics_db_import as genomics_db_import
    from stargazer.tasks.gatk import genotype_gvcfs as genotype_gvcfs
    from stargazer.tasks.gatk import haplotype_caller as haplotype_caller
    from stargazer.tasks.gatk import index_feature_file as index_feature_file
    from stargazer.tasks.gatk import joint_call_gvcfs as joint_call_gvcfs
    from stargazer.tasks.gatk import merge_bam_alignment as merge_bam_alignment
    from stargazer.tasks.gatk import select_variants as select_variants
    from stargazer.tasks.gatk import sort_sam as sort_sam
    from stargazer.tasks.gatk import variant_filtration as variant_filtration
    from stargazer.tasks.gatk import variant_recalibrator as variant_recalibrator
    from stargazer.tasks.scrna import annotate as annotate
    from stargazer.tasks.scrna import call_cells as call_cells
    from stargazer.tasks.scrna import cluster as cluster
    from stargazer.tasks.scrna import compare_resolutions as compare_resolutions
    from stargazer.tasks.scrna import concat as concat
    from stargazer.tasks.scrna import describe as describe
    from stargazer.tasks.scrna import differential_expression as differential_expression
    from stargazer.tasks.scrna import embed as embed
    from stargazer.tasks.scrna import find_markers as find_markers
    from stargazer.tasks.scrna import join_differences as join_differences
    from stargazer.tasks.scrna import label as label
    from stargazer.tasks.scrna import measure_integration as measure_integration
    from stargazer.tasks.scrna import normalize as normalize
    from stargazer.tasks.scrna import pseudobulk as pseudobulk
    from stargazer.tasks.scrna import qc_filter as qc_filter
    from stargazer.tasks.scrna import reduce_dimensions as reduce_dimensions
    from stargazer.tasks.scrna import report as report
    from stargazer.tasks.scrna import report_project as report_project
    from stargazer.tasks.scrna import select_features as select_features
    from stargazer.tasks.scrna import split_pseudobulk as split_pseudobulk
    from stargazer.tasks.scrna import subset as subset
    from stargazer.tasks.scrna import transfer_labels as transfer_labels

__all__ = [
    "Marked",
    "Ploidy",
    "Trimmed",
    "annotate",
    "annotate_variants",
    "apply_bqsr",
    "apply_vqsr",
    "attach_indices",
    "attach_known_sites_index",
    "base_recalibrator",
    "bcftools_stats",
    "bwa_index",
    "bwa_mem",
    "bwa_mem2_index",
    "bwa_mem2_mem",
    "call_cells",
    "call_gvcf",
    "cluster",
    "collect_wgs_metrics",
    "combine_gvcfs",
    "compare_resolutions",
    "compare_variants",
    "concat",
    "convert_alignment",
    "coverage",
    "create_sequence_dictionary",
    "describe",
    "differential_expression",
    "embed",
    "estimate_contamination",
    "fastp",
    "filter_variants",
    "find_markers",
    "gather_bqsr_reports",
    "gather_gvcfs",
    "gather_vcfs",
    "genomics_db_import",
    "genotype_gvcfs",
    "haplotype_caller",
    "identify_samples",
    "index_feature_file",
    "index_variants",
    "join_differences",
    "join_known_sites",
    "join_lanes",
    "joint_call",
    "joint_call_gvcfs",
    "label",
    "list_consequences",
    "list_intervals",
    "mark_duplicates",
    "measure_integration",
    "merge_bam_alignment",
    "normalize",
    "normalize_variants",
    "ploidy_of_sex",
    "predict_consequences",
    "pseudobulk",
    "qc_filter",
    "qc_report",
    "reduce_dimensions",
    "report",
    "report_project",
    "samtools_faidx",
    "samtools_flagstat",
    "samtools_idxstats",
    "samtools_sort",
    "samtools_stats",
    "scatter_intervals",
    "select_features",
    "select_variants",
    "sort_sam",
    "split_pseudobulk",
    "subset",
    "target_coverage",
    "transfer_labels",
    "unpack_reference",
    "variant_filtration",
    "variant_recalibrator",
]

_GATK = frozenset(
    (
        "apply_bqsr",
        "apply_vqsr",
        "attach_known_sites_index",
        "base_recalibrator",
        "collect_wgs_metrics",
        "combine_gvcfs",
        "filter_variants",
        "gather_bqsr_reports",
        "gather_gvcfs",
        "gather_vcfs",
        "genomics_db_import",
        "genotype_gvcfs",
        "haplotype_caller",
        "index_feature_file",
        "joint_call_gvcfs",
        "merge_bam_alignment",
        "select_variants",
        "sort_sam",
        "variant_filtration",
        "variant_recalibrator",
    )
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"stargazer.tasks.{'gatk' if name in _GATK else 'scrna'}"), name)
