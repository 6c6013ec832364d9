"""What all single-cell stages do: open a tree, draft the next one, fill in what is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.ingest import ingest
from stargazer.bio.singlecell.layout import KEPT
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.assets import AnnData
    from stargazer.bio.singlecell.kernels.neighbors import Neighbors
    from stargazer.tools import Workdir

__all__ = [
    "FACTORS",
    "GRAPH",
    "MASKS",
    "MEMORY",
    "USES",
    "batch_codes",
    "check_column",
    "draft_of",
    "embedding_kept",
    "expanded",
    "integrated",
    "scattered",
    "size_factors_of",
    "tree_of",
    "write_graph",
    "write_umap",
]

USES = ("numcodecs", "numpy", "scipy", "zarr")
"""Distributions that decide the bytes of every stage."""
MASKS = (f"obs/{KEPT}", f"var/{KEPT}")
FACTORS = "obs/size_factor"
GRAPH = "obsp/connectivities"
RESERVED = (KEPT, "_index", "size_factor", "total_counts")
MEMORY = "2 GiB"
"""What a stage may use; a sixteenth of it may hold blocks between passes (`stargazer.bio.singlecell.tree.SHARE`)."""


def draft_of(
    work: Workdir, adata: AnnData, stage: str, *used: str, masks: bool = True
) -> tuple[AnnDataTree, TreeDraft]:
    """The tree of an asset, and the draft of the one that follows.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        With a path.
    stage
        Id of the stage whose draft it is.
    *used
        Elements that it relies on: made anew later, they drop what it makes.
    masks
        Whether it relies on which cells and genes are kept.
    """
    tree = tree_of(work, adata)
    name = tree.path.name if tree.path != adata.path else adata.name
    return tree, TreeDraft(
        work.directory("made") / (name or "cells.zarr"), tree, stage, (*(MASKS if masks else ()), *used)
    )


def tree_of(work: Workdir, adata: AnnData) -> AnnDataTree:
    """The tree of an asset; a file of counts that is stored as it came, from a remote, is converted here.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        With a path.
    """
    if adata.path.is_dir():
        return AnnDataTree(adata.path)
    number = len(list(work.path.glob("converted-*")))
    return AnnDataTree(ingest(adata.path, work.directory(f"converted-{number}")).path)


def scattered(kept: NDArray[np.bool_], values: Any, fill: Any) -> NDArray[Any]:
    """Values of kept rows in an array of all rows.

    Parameters
    ----------
    kept
        Mask of all rows.
    values
        Of the kept ones, in order.
    fill
        For the others.
    """
    rows = np.asarray(values)
    full = np.full((len(kept), *rows.shape[1:]), fill, rows.dtype)
    full[kept] = rows
    return full


def expanded(matrix: Any, kept: NDArray[np.bool_]) -> Any:
    """A cells × cells matrix of kept cells among all cells: the others have empty rows and columns.

    Parameters
    ----------
    matrix
        CSR, kept cells × kept cells.
    kept
        Mask of all cells.
    """
    entries = np.zeros(len(kept) + 1, np.int64)
    entries[1:][kept] = np.diff(matrix.indptr)
    columns = np.flatnonzero(kept).astype(np.int32)[matrix.indices]
    return sparse.csr_matrix((matrix.data, columns, np.cumsum(entries)), shape=(len(kept), len(kept)))


def embedding_kept(tree: AnnDataTree, name: str) -> NDArray[np.float32]:
    """Coordinates of kept cells in ``obsm``.

    Raises
    ------
    DataError
        There are none of that name yet.
    """
    if not tree.made(f"obsm/{name}"):
        raise DataError(f"these cells have no obsm[{name!r}]: run reduce_dimensions first")
    return np.asarray(tree.read(f"obsm/{name}"), np.float32)[tree.kept("obs")]


def integrated(tree: AnnDataTree) -> str:
    """Name in ``obsm`` of the coordinates whose neighbours the graph has; empty where it is of no coordinates."""
    maker = tree.record.owner(GRAPH)
    if maker.partition(".")[0] == "integrate":
        return str(tree.record.noted[maker].get("embedding", ""))
    return "X_pca_harmony" if tree.made("obsm/X_pca_harmony") else "X_pca"


def check_column(name: str) -> None:
    """Refuse names that a new column of ``obs`` cannot have: empty, with a slash, of one that stages rely on."""
    if not name or "/" in name or name in RESERVED:
        raise DataError(f"{name!r} cannot be the name of a new column of obs: take another, without a slash")


def batch_codes(tree: AnnDataTree, batch_key: str, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[str]]:
    """Batch of each kept cell, from 0, and the names of the batches that have any.

    Raises
    ------
    DataError
        There is no such column, or a cell has no batch.
    """
    if not batch_key:
        return np.zeros(int(kept.sum()), np.int64), [""]
    labels = tree.labels("obs", batch_key)
    codes = np.asarray(labels.codes, np.int64)[kept]
    if (codes < 0).any():
        raise DataError(
            f"{int((codes < 0).sum())} cells have no value in obs[{batch_key!r}]: give them one, or drop them"
        )
    used, numbered = np.unique(codes, return_inverse=True)
    return numbered.astype(np.int64), [str(name) for name in labels.names[used]]


def size_factors_of(tree: AnnDataTree, kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Size factors of kept cells.

    Raises
    ------
    DataError
        The cells are not normalised yet.
    """
    if not tree.made(FACTORS):
        raise DataError("these cells have no size factors: run normalize first")
    return np.asarray(tree.column("obs", "size_factor"), np.float32)[kept]


# Graphs and embeddings of cells, written where scanpy puts them.


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
    from stargazer.bio.singlecell.kernels.neighbors import distance_matrix

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
    from stargazer.bio.singlecell.kernels.embedding import curve, umap

    found = umap(coordinates, graph, min_dist=min_dist, spread=spread, seed=seed)
    draft.write("obsm/X_umap", scattered(cells, found, np.nan))
    a, b = curve(min_dist, spread)
    draft.write("uns/umap", {"params": {"a": a, "b": b, "random_state": seed}})
