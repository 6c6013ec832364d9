"""Tasks of tools that many workflows use: bwa, samtools, bcftools."""

from stargazer.tasks.general.bcftools import call_gvcf, index_variants, joint_call, normalize_variants
from stargazer.tasks.general.bwa import bwa_index, bwa_mem, bwa_mem2_index, bwa_mem2_mem
from stargazer.tasks.general.concordance import compare_variants
from stargazer.tasks.general.consequences import annotate_variants, list_consequences, predict_consequences
from stargazer.tasks.general.contamination import estimate_contamination
from stargazer.tasks.general.conversion import convert_alignment, join_lanes
from stargazer.tasks.general.identity import identify_samples
from stargazer.tasks.general.intervals import Ploidy, list_intervals, ploidy_of_sex, scatter_intervals
from stargazer.tasks.general.known_sites import join_known_sites
from stargazer.tasks.general.markdup import Marked, mark_duplicates
from stargazer.tasks.general.qc_report import qc_report
from stargazer.tasks.general.quality import Trimmed, coverage, fastp, samtools_stats
from stargazer.tasks.general.reference import attach_indices
from stargazer.tasks.general.samtools import (
    create_sequence_dictionary,
    samtools_faidx,
    samtools_sort,
)
from stargazer.tasks.general.statistics import bcftools_stats, samtools_flagstat, samtools_idxstats
from stargazer.tasks.general.target import target_coverage
from stargazer.tasks.general.unpack import unpack_reference

__all__ = [
    "Marked",
    "Ploidy",
    "Trimmed",
    "annotate_variants",
    "attach_indices",
    "bcftools_stats",
    "bwa_index",
    "bwa_mem",
    "bwa_mem2_index",
    "bwa_mem2_mem",
    "call_gvcf",
    "compare_variants",
    "convert_alignment",
    "coverage",
    "create_sequence_dictionary",
    "estimate_contamination",
    "fastp",
    "identify_samples",
    "index_variants",
    "join_known_sites",
    "join_lanes",
    "joint_call",
    "list_consequences",
    "list_intervals",
    "mark_duplicates",
    "normalize_variants",
    "ploidy_of_sex",
    "predict_consequences",
    "qc_report",
    "samtools_faidx",
    "samtools_flagstat",
    "samtools_idxstats",
    "samtools_sort",
    "samtools_stats",
    "scatter_intervals",
    "target_coverage",
    "unpack_reference",
]
