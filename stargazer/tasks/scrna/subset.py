"""Take some of the cells, to analyse them anew."""

from __future__ import annotations

from stargazer.assets import AnnData
from stargazer.bio.singlecell.expressions import select_cells
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, draft_of
from stargazer.tools import Workdir

__all__ = ["subset"]

STAY = ("ingest", "concat", "call_cells", "qc_filter", "normalize", "subset")
"""Stages whose results are of each cell by itself, and stay as they are for fewer cells."""


@task(memory=MEMORY, uses=USES)
def subset(work: Workdir, adata: AnnData, *, cells: str) -> AnnData:
    """Keep some of the kept cells; nothing is removed.

    Metrics and size factors stay. Labels of cells, such as clusters, stay as columns and are no stage's result any
    more; variable genes, components, graphs, embeddings and markers were those of more cells, and are dropped.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells of any stage.
    cells
        Which: ``"leiden in 0,3 and condition == 'ctrl'"``, with ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``,
        ``not in``, ``and``, ``or``, ``not`` and parentheses. Cells without a value pass no test.

    Returns
    -------
    AnnData
        Ready for `select_features`, or for `normalize` where cells were not normalised before.

    Raises
    ------
    DataError
        The expression cannot be read, names what is not there, or means no cell.
    """
    before = AnnDataTree(adata.path) if adata.path.is_dir() else None
    number = 0 if before is None else sum(name.partition(".")[0] == "subset" for name in before.record.noted)
    stage = f"subset.{number + 1}" if number else "subset"
    tree, draft = draft_of(work, adata, stage)
    kept = tree.kept("obs")
    chosen = kept & select_cells(tree, cells)
    if not chosen.any():
        raise DataError(f"no kept cell is meant by {cells!r}: of {int(kept.sum())} cells none is left")
    draft.narrow(chosen, STAY)
    numbers = {"n_cells_before": int(kept.sum()), "n_cells_kept": int(chosen.sum())}
    draft.note(stage, {"cells": cells, **numbers})
    stored = AnnDataTree(draft.path)
    return adata.derived(draft.path, stored.stage, n_obs=numbers["n_cells_kept"])
