"""Tasks of GATK, with Picard's tools inside it; `stargazer tools install gatk` gets it."""

from stargazer.tasks.gatk.alignments import (
    DuplicatesMarked,
    create_sequence_dictionary,
    mark_duplicates,
    merge_bam_alignment,
    sort_sam,
)
from stargazer.tasks.gatk.coverage import collect_wgs_metrics
from stargazer.tasks.gatk.filters import Filtered, filter_variants
from stargazer.tasks.gatk.gvcfs import gather_gvcfs
from stargazer.tasks.gatk.haplotypes import haplotype_caller
from stargazer.tasks.gatk.joint import combine_gvcfs, genomics_db_import, genotype_gvcfs, joint_call_gvcfs
from stargazer.tasks.gatk.recalibration import apply_bqsr, base_recalibrator, gather_bqsr_reports
from stargazer.tasks.gatk.variants import (
    attach_known_sites_index,
    gather_vcfs,
    index_feature_file,
    select_variants,
    variant_filtration,
)
from stargazer.tasks.gatk.vqsr import apply_vqsr, variant_recalibrator

__all__ = [
    "DuplicatesMarked",
    "Filtered",
    "apply_bqsr",
    "apply_vqsr",
    "attach_known_sites_index",
    "base_recalibrator",
    "collect_wgs_metrics",
    "combine_gvcfs",
    "create_sequence_dictionary",
    "filter_variants",
    "gather_bqsr_reports",
    "gather_gvcfs",
    "gather_vcfs",
    "genomics_db_import",
    "genotype_gvcfs",
    "haplotype_caller",
    "index_feature_file",
    "joint_call_gvcfs",
    "mark_duplicates",
    "merge_bam_alignment",
    "select_variants",
    "sort_sam",
    "variant_filtration",
    "variant_recalibrator",
]
