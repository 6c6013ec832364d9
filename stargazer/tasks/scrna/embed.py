"""UMAP coordinates of cells, for the eye.

References
----------
McInnes L, Healy J, Melville J. UMAP: uniform manifold approximation and projection. arXiv:1802.03426 (2018).
"""

from __future__ import annotations

from stargazer.assets import AnnData
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import (
    GRAPH,
    MEMORY,
    USES,
    draft_of,
    embedding_kept,
    integrated,
    tree_of,
    write_umap,
)
from stargazer.tools import Workdir

__all__ = ["embed"]


@task(memory=MEMORY, uses=(*USES, "numba"))
def embed(work: Workdir, adata: AnnData, *, min_dist: float = 0.5, spread: float = 1.0, seed: int = 0) -> AnnData:
    """Compute UMAP coordinates from the graph of neighbours; `cluster` needs none, and may run meanwhile.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells with a graph of neighbours.
    min_dist, spread
        Least distance between neighbours in the picture, and its scale.
    seed
        Of the optimisation.

    Returns
    -------
    AnnData
        With ``obsm["X_umap"]``; stage ``"reduced"``.

    Raises
    ------
    DataError
        There is no graph yet, or too few cells.
    """
    name = integrated(tree_of(work, adata)) or "X_pca"
    used = dict.fromkeys(("obsm/X_pca", "obsm/X_pca_harmony", f"obsm/{name}"))
    tree, draft = draft_of(work, adata, "embed", GRAPH, *used)
    if not tree.made(GRAPH):
        raise DataError("these cells have no graph of neighbours: run reduce_dimensions first")
    cells = tree.kept("obs")
    graph = tree.read("obsp/connectivities")[cells][:, cells]
    write_umap(draft, cells, embedding_kept(tree, name), graph, seed, min_dist, spread)
    draft.note("embed", {"min_dist": min_dist, "spread": spread, "seed": seed})
    return adata.derived(draft.path, "reduced")
