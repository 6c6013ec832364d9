"""Workflows: plain functions that wire tasks and return calls."""

from stargazer.workflows.germline import call_cohort, germline_short_variant_discovery
from stargazer.workflows.lanes import Lane
from stargazer.workflows.preprocessing import align_sample, index_reference, prepare_reference, preprocess_sample

__all__ = [
    "Lane",
    "align_sample",
    "call_cohort",
    "germline_short_variant_discovery",
    "index_reference",
    "prepare_reference",
    "preprocess_sample",
]
