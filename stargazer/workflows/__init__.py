"""Workflows: plain functions that wire tasks and return calls.

Those of single cells need the extra ``scrna``, and are imported when one is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.workflows.aligning import ReadOptions
from stargazer.workflows.calling import call_cohort, germline_short_variant_discovery
from stargazer.workflows.cohorts import CohortOptions, germline
from stargazer.workflows.gatk import GatkOptions
from stargazer.workflows.lanes import Lane
from stargazer.workflows.preprocessing import align_sample, index_reference, prepare_reference, preprocess_sample
from stargazer.workflows.quality import measure_cohort, report_cohort, report_sheet
from stargazer.workflows.samples import call_sheet, sheet_lanes
from stargazer.workflows.sheet import SampleSheet, read_sheet

if TYPE_CHECKING:
    from stargazer.workflows.cells_sheet import CellsSheet as CellsSheet
    from stargazer.workflows.cells_sheet import read_cells_sheet as read_cells_sheet
    from stargazer.workflows.clustering import cluster_cells as cluster_cells
    from stargazer.workflows.clustering import scrna_clustering_pipeline as scrna_clustering_pipeline
    from stargazer.workflows.project import CellsProject as CellsProject
    from stargazer.workflows.project import scrna as scrna

__all__ = [
    "CellsProject",
    "CellsSheet",
    "CohortOptions",
    "GatkOptions",
    "Lane",
    "ReadOptions",
    "SampleSheet",
    "align_sample",
    "call_cohort",
    "call_sheet",
    "cluster_cells",
    "germline",
    "germline_short_variant_discovery",
    "index_reference",
    "measure_cohort",
    "prepare_reference",
    "preprocess_sample",
    "read_cells_sheet",
    "read_sheet",
    "report_cohort",
    "report_sheet",
    "scrna",
    "scrna_clustering_pipeline",
    "sheet_lanes",
]


_CELLS = {
    "CellsProject": "project",
    "CellsSheet": "cells_sheet",
    "cluster_cells": "clustering",
    "read_cells_sheet": "cells_sheet",
    "scrna": "project",
    "scrna_clustering_pipeline": "clustering",
}


def __getattr__(name: str) -> Any:
    if name not in _CELLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"stargazer.workflows.{_CELLS[name]}"), name)
