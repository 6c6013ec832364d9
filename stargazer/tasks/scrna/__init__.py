"""Tasks of single-cell RNA sequencing; ``pip install 'stargazer-dask[scrna]'``."""

from stargazer.tasks.scrna.cluster import cluster
from stargazer.tasks.scrna.concat import concat
from stargazer.tasks.scrna.embed import embed
from stargazer.tasks.scrna.find_markers import find_markers
from stargazer.tasks.scrna.normalize import normalize
from stargazer.tasks.scrna.qc_filter import qc_filter
from stargazer.tasks.scrna.reduce_dimensions import reduce_dimensions
from stargazer.tasks.scrna.report import report
from stargazer.tasks.scrna.select_features import select_features

__all__ = [
    "cluster",
    "concat",
    "embed",
    "find_markers",
    "normalize",
    "qc_filter",
    "reduce_dimensions",
    "report",
    "select_features",
]
