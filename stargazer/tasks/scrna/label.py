"""Give clusters names, and make one of several."""

from __future__ import annotations

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import MEMORY, USES, check_column, draft_of, scattered
from stargazer.tools import Workdir

__all__ = ["label"]


@task(memory=MEMORY, uses=USES)
def label(
    work: Workdir, adata: AnnData, *, labels: dict[str, str], groupby: str = "leiden", key_added: str = "label"
) -> AnnData:
    """Name clusters; those of one name become one.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Clustered cells.
    labels
        New name of each cluster: ``{"0": "T cell", "3": "T cell", "1": "B cell"}``. Others keep theirs.
    groupby
        Column of ``obs`` with the clusters.
    key_added
        Column of ``obs`` for the names.

    Returns
    -------
    AnnData
        With ``obs[key_added]``; its stage stays.

    Raises
    ------
    DataError
        There is no such column or cluster, or the name cannot be one of a new column.
    """
    check_column(key_added)
    if key_added == groupby:
        raise DataError(f"the names need a column of their own, not {groupby!r}: say key_added=")
    stage = f"label.{key_added}"
    tree, draft = draft_of(work, adata, stage, f"obs/{groupby}")
    found = tree.labels("obs", groupby)
    known = [str(name) for name in found.names]
    if blank := [name for name, new in labels.items() if not new.strip()]:
        raise DataError(f"{', '.join(blank)} would have no name: leave out what keeps its own")
    missing = sorted(set(labels) - set(known))
    if missing:
        raise DataError(f"obs[{groupby!r}] has no {', '.join(missing)}; it has: {', '.join(known)}")
    cells = tree.kept("obs")
    named = [labels.get(name, name) for name in known]
    names = list(dict.fromkeys(named))
    number = np.array([names.index(name) for name in named] + [-1])
    codes = number[found.codes[cells]].astype(code_type(len(names)))
    draft.column("obs", key_added, Categories(scattered(cells, codes, -1), np.array(names, dtype=object)))
    counts = {name: int((codes == place).sum()) for place, name in enumerate(names)}
    draft.note(stage, {"groupby": groupby, "key_added": key_added, "labels": labels, "sizes": counts})
    return adata.derived(draft.path, AnnDataTree(draft.path).stage)
