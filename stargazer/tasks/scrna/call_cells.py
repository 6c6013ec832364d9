"""Tell droplets with cells from empty ones.

References
----------
Lun ATL et al. EmptyDrops: distinguishing cells from empty droplets in droplet-based single-cell RNA sequencing data.
Genome Biology 20, 63 (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.droplets import expected_limit, find_knee
from stargazer.bio.singlecell.tree import Blocks
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, draft_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["call_cells"]

PROBABILITY = "cell_probability"
MOST_CELLS = 2.5
"""Times as many cells as expected that are no surprise."""


@task(memory=MEMORY, uses=USES)
def call_cells(
    work: Workdir,
    adata: AnnData,
    *,
    method: Literal["auto", "knee", "expected", "all"] = "auto",
    column: str = "",
    expected_cells: int = 0,
    lower: int = 0,
    on_failure: Literal["error", "mark"] = "error",
) -> AnnData:
    """Mark the droplets that hold cells; nothing is removed.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Counts of all droplets.
    method
        ``"knee"``: counts above the steepest place of their curve by rank; ``"expected"``: a tenth of what the largest
        of `expected_cells` have; ``"all"``: every barcode. ``"auto"``: CellBender's call where the file has one; every
        barcode of a matrix that was filtered already; else the knee or, where the curve has none, what is expected.
    column
        Column of ``obs`` with the calls of another program, which are taken as they are: true, or above 0.5.
    expected_cells
        How many cells there should be; 0 if nobody knows.
    lower
        Droplets with as many counts or fewer are empty; found if 0.
    on_failure
        ``"mark"``: where no cell can be called, none is, and the note says why; so that of many samples the others go
        on.

    Returns
    -------
    AnnData
        With ``obs["called"]``; stage ``"raw"``. `open` gives the cells that were called.

    Raises
    ------
    DataError
        No droplet is called, there is no such column, the curve of counts has no knee, or fewer than none are expected.
    """
    if expected_cells < 0:
        raise DataError(f"expected_cells is {expected_cells}: how many cells there should be, 0 if nobody knows")
    tree, draft = draft_of(work, adata, "call_cells", masks=False)
    totals = np.zeros(tree.n_obs, np.int64)
    ends = 0
    for block in Blocks(tree, np.ones(tree.n_obs, bool), np.ones(tree.n_vars, bool)):
        totals[ends : ends + block.shape[0]] = np.asarray(block.sum(axis=1)).ravel()
        ends += block.shape[0]
    column = column or (PROBABILITY if method == "auto" and PROBABILITY in tree.columns("obs") else "")
    try:
        called, found, notes = _called(tree, totals, method, column, expected_cells, lower)
        if not called.any():
            raise DataError(f"no droplet of {tree.n_obs} is called a cell: {found}")
    except DataError as error:
        if on_failure == "error":
            raise
        why = str(error)
        called, found, notes = np.zeros(tree.n_obs, bool), {"failed": why}, [f"the sample failed: {why}"]
    draft.column("obs", "called", called)
    draft.column("obs", "kept", called)
    numbers = {"n_droplets": tree.n_obs, "n_cells_called": int(called.sum())}
    draft.note("call_cells", {"column": column, "expected_cells": expected_cells, **found, **numbers, "notes": notes})
    return adata.derived(draft.path, "raw", n_obs=numbers["n_cells_called"])


def _called(
    tree: AnnDataTree, totals: NDArray[np.int64], method: str, column: str, expected_cells: int, lower: int
) -> tuple[NDArray[np.bool_], dict[str, Any], list[str]]:
    """Which droplets are cells, the numbers behind it, and what is worth saying."""
    if column:
        return _of_column(tree, column), {"method": f"obs[{column!r}]"}, []
    if method == "all" or (method == "auto" and not tree.record.last("ingest").get("droplets")):
        return np.ones(tree.n_obs, bool), {"method": "all"}, _unlike_cells(tree.n_obs, method, expected_cells)
    if method == "expected":
        limit = expected_limit(totals, _expected(expected_cells))
        return totals >= limit, {"method": "expected", "limit": limit}, []
    knee = find_knee(totals, lower)
    found: dict[str, Any] = {"method": "knee", "limit": knee.limit, "ambient": knee.ambient}
    found |= {"ranks": knee.ranks.tolist(), "totals": knee.totals.tolist()}
    if knee.clear:
        return totals >= knee.limit, found, _surprise(int((totals >= knee.limit).sum()), expected_cells)
    if not expected_cells:
        raise DataError(
            "the curve of counts by rank has no knee: cells cannot be told from empty droplets by it. Say how many are "
            "expected (expected_cells=), take the calls of another program (column=), or method='all'"
        )
    limit = expected_limit(totals, expected_cells)
    said = f"the curve of counts has no knee: cells have {limit:.0f} counts at least, as {expected_cells} are expected"
    return totals >= limit, {**found, "method": "expected", "limit": limit}, [said]


def _expected(cells: int) -> int:
    if cells < 1:
        raise DataError("method='expected' needs expected_cells=, how many cells there should be")
    return cells


def _surprise(called: int, expected: int) -> list[str]:
    if not expected or 0.4 * expected <= called <= MOST_CELLS * expected:
        return []
    return [f"{called:,} cells are called, but {expected:,} were expected: the sample may have failed"]


def _unlike_cells(barcodes: int, method: str, expected: int) -> list[str]:
    """Say that a matrix which looks like one of cells has far more barcodes than there should be cells."""
    if method == "all" or not expected or barcodes <= MOST_CELLS * expected:
        return []
    told = f"every barcode is taken for a cell, {barcodes:,} where {expected:,} were expected"
    return [f"{told}: if these are all droplets, with much soup in the empty ones, say method='knee' or 'expected'"]


def _of_column(tree: AnnDataTree, column: str) -> NDArray[np.bool_]:
    values = tree.column("obs", column)
    if isinstance(values, np.ndarray) and values.dtype.kind in "bf":
        return np.asarray(values > 0.5)
    labels = tree.labels("obs", column)
    true = np.array([str(name).lower() in ("true", "1", "yes", "cell") for name in labels.names] + [False])
    return np.asarray(true[labels.codes])
