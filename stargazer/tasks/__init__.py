"""All tasks, by name: ``from stargazer.tasks import bwa_mem``.

Those of single cells need the extra ``scrna``, and are imported when one is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.tasks.general import (
    Marked,
    adopt_alignment,
    attach_indices,
    bwa_index,
    bwa_mem,
    call_gvcf,
    compare_variants,
    create_sequence_dictionary,
    joint_call,
    mark_duplicates,
    samtools_faidx,
    samtools_sort,
)

if TYPE_CHECKING:
    from stargazer.tasks.scrna import cluster as cluster
    from stargazer.tasks.scrna import concat as concat
    from stargazer.tasks.scrna import embed as embed
    from stargazer.tasks.scrna import find_markers as find_markers
    from stargazer.tasks.scrna import normalize as normalize
    from stargazer.tasks.scrna import qc_filter as qc_filter
    from stargazer.tasks.scrna import reduce_dimensions as reduce_dimensions
    from stargazer.tasks.scrna import report as report
    from stargazer.tasks.scrna import select_features as select_features

__all__ = [
    "Marked",
    "adopt_alignment",
    "attach_indices",
    "bwa_index",
    "bwa_mem",
    "call_gvcf",
    "cluster",
    "compare_variants",
    "concat",
    "create_sequence_dictionary",
    "embed",
    "find_markers",
    "joint_call",
    "mark_duplicates",
    "normalize",
    "qc_filter",
    "reduce_dimensions",
    "report",
    "samtools_faidx",
    "samtools_sort",
    "select_features",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("stargazer.tasks.scrna"), name)
