"""Clusters of cells: Leiden communities of the graph of neighbours.

References
----------
Traag VA, Waltman L, van Eck NJ. From Louvain to Leiden: guaranteeing well-connected communities. Scientific Reports 9,
5233 (2019).
"""

from __future__ import annotations

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.kernels.cluster import leiden
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import GRAPH, MEMORY, USES, check_column, draft_of, scattered
from stargazer.tools import Workdir

__all__ = ["cluster"]


@task(memory=MEMORY, uses=(*USES, "igraph"))
def cluster(
    work: Workdir,
    adata: AnnData,
    *,
    resolution: float = 0.5,
    key_added: str = "leiden",
    n_iterations: int = 2,
    seed: int = 0,
) -> AnnData:
    """Find communities of cells by the Leiden algorithm: scanpy's ``flavor="igraph"``.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells with a graph of neighbours.
    resolution
        Higher gives more clusters.
    key_added
        Column of ``obs`` for them.
    n_iterations
        Rounds; -1 until nothing changes.
    seed
        Of the order in which cells are looked at.

    Returns
    -------
    AnnData
        With ``obs[key_added]``; stage ``"clustered"``.

    Raises
    ------
    DataError
        There is no graph yet, the resolution is negative, or the name cannot be one of a new column.
    """
    check_column(key_added)
    stage = "cluster" if key_added == "leiden" else f"cluster.{key_added}"
    tree, draft = draft_of(work, adata, stage, GRAPH)
    if not tree.made(GRAPH):
        raise DataError("these cells have no graph of neighbours: run reduce_dimensions first")
    cells = tree.kept("obs")
    found = leiden(tree.read("obsp/connectivities")[cells][:, cells], resolution, n_iterations=n_iterations, seed=seed)
    sizes = np.bincount(found)
    names = np.array([str(number) for number in range(len(sizes))], dtype=object)
    draft.column("obs", key_added, Categories(scattered(cells, found.astype(code_type(len(names))), -1), names))
    params = {"resolution": resolution, "random_state": seed, "n_iterations": n_iterations}
    draft.write(f"uns/{key_added}", {"params": params})
    draft.note(stage, {**params, "key_added": key_added, "sizes": sizes.tolist()})
    return adata.derived(draft.path, "clustered")
