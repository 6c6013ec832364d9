"""Say of a sample what its files do not: condition, donor, batch."""

from __future__ import annotations

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.calls import task
from stargazer.tasks.scrna.stages import USES, check_column, draft_of
from stargazer.tools import Workdir

__all__ = ["describe"]


@task(uses=USES)
def describe(work: Workdir, adata: AnnData, *, columns: dict[str, str]) -> AnnData:
    """Give all cells of a sample the same value in a column of ``obs`` each.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells of one sample.
    columns
        Values by the names of columns: ``{"condition": "ctrl", "donor": "d1"}``. A column of that name that came with
        the file is kept under another.

    Returns
    -------
    AnnData
        Its stage stays.

    Raises
    ------
    DataError
        A name cannot be one of a new column.
    """
    for name in columns:
        check_column(name)
    tree, draft = draft_of(work, adata, "describe", masks=False)
    for name, value in columns.items():
        draft.column("obs", name, Categories(np.zeros(tree.n_obs, np.int8), np.array([value], dtype=object)))
    draft.note("describe", {"columns": columns})
    return adata.derived(draft.path, adata.stage or tree.stage)
