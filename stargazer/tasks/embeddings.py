"""Graphs and embeddings of cells, written where scanpy puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.tasks.stages import expanded, scattered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.cells.tree import TreeDraft
    from stargazer.tasks.scrna.kernels.neighbors import Neighbors

__all__ = ["write_graph", "write_umap"]


def write_graph(
    draft: TreeDraft, cells: NDArray[np.bool_], neighbors: Neighbors, graph: Any, params: dict[str, Any]
) -> None:
    """Write distances and weights of the neighbour graph (`scanpy.pp.neighbors`).

    Parameters
    ----------
    draft
        The tree.
    cells
        Mask of kept cells.
    neighbors, graph
        Of these.
    params
        What else ``uns["neighbors"]["params"]`` says.
    """
    from stargazer.tasks.scrna.kernels.connectivities import distance_matrix

    draft.matrix("obsp/distances", expanded(distance_matrix(neighbors), cells), np.float32)
    draft.matrix("obsp/connectivities", expanded(graph, cells), np.float32)
    params = {"n_neighbors": neighbors.indices.shape[1], "method": "umap", "metric": "euclidean", **params}
    keys = {"connectivities_key": "connectivities", "distances_key": "distances"}
    draft.write("uns/neighbors", {**keys, "params": params})


def write_umap(
    draft: TreeDraft,
    cells: NDArray[np.bool_],
    coordinates: NDArray[np.float32],
    graph: Any,
    seed: int,
    min_dist: float = 0.5,
    spread: float = 1.0,
) -> None:
    """Compute and write UMAP coordinates (`scanpy.tl.umap`); parameters as for the kernel."""
    from stargazer.tasks.scrna.kernels.embedding import curve, umap

    found = umap(coordinates, graph, min_dist=min_dist, spread=spread, seed=seed)
    draft.write("obsm/X_umap", scattered(cells, found, np.nan))
    a, b = curve(min_dist, spread)
    draft.write("uns/umap", {"params": {"a": a, "b": b, "random_state": seed}})
