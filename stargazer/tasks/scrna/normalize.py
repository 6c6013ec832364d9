"""Normalise counts: a size factor for each cell.

References
----------
Heumos L et al. Best practices for single-cell analysis across modalities. Nature Reviews Genetics 24, 550 (2023).
"""

from __future__ import annotations

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.blocks import size_factors
from stargazer.bio.singlecell.tree import Blocks
from stargazer.calls import task
from stargazer.tasks.scrna.stages import MEMORY, USES, draft_of, scattered
from stargazer.tools import Workdir

__all__ = ["normalize"]


@task(memory=MEMORY, uses=USES)
def normalize(work: Workdir, adata: AnnData, *, target_sum: float | None = None) -> AnnData:
    """Give each cell a size factor: its counts over the target.

    Counts stay as they are; ``log1p(count / size factor)`` is computed where it is read (`AnnData.open` puts it in `X`
    and the counts in ``layers["counts"]``).

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Filtered cells.
    target_sum
        Counts of each cell after normalising; the median of the cells' counts if None.

    Returns
    -------
    AnnData
        With ``obs["size_factor"]``; stage ``"normalized"``.

    Raises
    ------
    DataError
        The median cell has no counts.
    """
    tree, draft = draft_of(work, adata, "normalize", "obs/total_counts")
    cells, genes = tree.kept("obs"), tree.kept("var")
    if tree.made("obs/total_counts"):
        totals = np.asarray(tree.column("obs", "total_counts"))[cells]
    else:
        totals = np.concatenate([block.sum(axis=1).A1 for block in Blocks(tree, cells, genes)])
    factors = size_factors(totals, target_sum)
    target = float(np.median(totals)) if target_sum is None else target_sum
    draft.column("obs", "size_factor", scattered(cells, factors, np.nan))
    draft.write("uns/log1p", {})
    draft.note("normalize", {"target_sum": target, "n_empty_cells": int((totals == 0).sum())})
    return adata.derived(draft.path, "normalized")
