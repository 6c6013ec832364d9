"""Tasks of single-cell RNA sequencing; ``pip install 'stargazer-dask[scrna]'``."""

from stargazer.tasks.scrna.annotate import annotate
from stargazer.tasks.scrna.call_cells import call_cells
from stargazer.tasks.scrna.cluster import cluster
from stargazer.tasks.scrna.compare_resolutions import compare_resolutions
from stargazer.tasks.scrna.concat import concat
from stargazer.tasks.scrna.describe import describe
from stargazer.tasks.scrna.differential_expression import (
    differential_expression,
    join_differences,
    split_pseudobulk,
)
from stargazer.tasks.scrna.embed import embed
from stargazer.tasks.scrna.find_markers import find_markers
from stargazer.tasks.scrna.label import label
from stargazer.tasks.scrna.measure_integration import measure_integration
from stargazer.tasks.scrna.normalize import normalize
from stargazer.tasks.scrna.pseudobulk import pseudobulk
from stargazer.tasks.scrna.qc_filter import qc_filter
from stargazer.tasks.scrna.reduce_dimensions import reduce_dimensions
from stargazer.tasks.scrna.report import report
from stargazer.tasks.scrna.report_project import report_project
from stargazer.tasks.scrna.select_features import select_features
from stargazer.tasks.scrna.subset import subset
from stargazer.tasks.scrna.transfer_labels import transfer_labels

__all__ = [
    "annotate",
    "call_cells",
    "cluster",
    "compare_resolutions",
    "concat",
    "describe",
    "differential_expression",
    "embed",
    "find_markers",
    "join_differences",
    "label",
    "measure_integration",
    "normalize",
    "pseudobulk",
    "qc_filter",
    "reduce_dimensions",
    "report",
    "report_project",
    "select_features",
    "split_pseudobulk",
    "subset",
    "transfer_labels",
]
