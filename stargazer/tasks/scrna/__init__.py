"""Tasks of single-cell RNA sequencing; ``pip install 'stargazer-dask[scrna]'``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer import plugins
from stargazer.tasks.scrna.annotate import *
from stargazer.tasks.scrna.call_cells import *
from stargazer.tasks.scrna.cluster import *
from stargazer.tasks.scrna.compare_resolutions import *
from stargazer.tasks.scrna.concat import *
from stargazer.tasks.scrna.describe import *
from stargazer.tasks.scrna.differential_expression import *
from stargazer.tasks.scrna.embed import *
from stargazer.tasks.scrna.find_markers import *
from stargazer.tasks.scrna.label import *
from stargazer.tasks.scrna.measure_integration import *
from stargazer.tasks.scrna.normalize import *
from stargazer.tasks.scrna.pseudobulk import *
from stargazer.tasks.scrna.qc_filter import *
from stargazer.tasks.scrna.reduce_dimensions import *
from stargazer.tasks.scrna.report import *
from stargazer.tasks.scrna.report_project import *
from stargazer.tasks.scrna.select_features import *
from stargazer.tasks.scrna.subset import *
from stargazer.tasks.scrna.transfer_labels import *

if not TYPE_CHECKING:  # checkers take what the modules export
    __all__ = plugins.exported(__name__)
