"""All tasks, by name: ``from stargazer.tasks import bwa_mem``."""

from stargazer.tasks.general import (
    Marked,
    attach_indices,
    bwa_index,
    bwa_mem,
    call_gvcf,
    create_sequence_dictionary,
    joint_call,
    mark_duplicates,
    samtools_faidx,
    samtools_sort,
)

__all__ = [
    "Marked",
    "attach_indices",
    "bwa_index",
    "bwa_mem",
    "call_gvcf",
    "create_sequence_dictionary",
    "joint_call",
    "mark_duplicates",
    "samtools_faidx",
    "samtools_sort",
]
