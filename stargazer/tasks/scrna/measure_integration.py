"""How well batches are mixed, and types kept apart, before and after integration.

References
----------
Luecken MD et al. Benchmarking atlas-level data integration in single-cell genomics. Nature Methods 19, 41 (2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.agreement import adjusted_rand, lisi, mutual_information
from stargazer.bio.singlecell.kernels.cluster import leiden
from stargazer.bio.singlecell.kernels.neighbors import connectivities, exact_neighbors
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import (
    GRAPH,
    MEMORY,
    USES,
    batch_codes,
    draft_of,
    embedding_kept,
    integrated,
    tree_of,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measure_integration"]

MOST = 10_000
"""Cells that are measured; of more so many are drawn."""
NEIGHBORS = 91
"""Three times the perplexity, and the cell itself."""
BEFORE, HARMONY = "X_pca", "X_pca_harmony"


@task(cpus=2, memory=MEMORY, uses=(*USES, "igraph"))
def measure_integration(
    work: Workdir,
    adata: AnnData,
    *,
    batch_key: str = "sample",
    label_key: str = "",
    resolution: float = 0.5,
    seed: int = 0,
) -> AnnData:
    """Measure batches and labels around cells and in clusters, among components before and after integration.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells with components.
    batch_key
        Column of ``obs`` with batches.
    label_key
        Column with known types of cells; empty if there is none.
    resolution
        Of the clusters that are compared with batches and labels.
    seed
        Of the draw, and of the clusters.

    Returns
    -------
    AnnData
        With ``uns["integration"]``, for ``before`` and, where batches were mixed, ``after``: ``ilisi`` (batches around
        a cell, 1 to their number, higher is better mixed), ``ari_batch`` and ``nmi_batch`` (batches and clusters, lower
        is better); with labels also ``clisi`` (1 is best), ``ari_label``, ``nmi_label`` (higher is better). Of an
        integration that gives a graph and no coordinates, its clusters alone are measured. Its stage stays.

    Raises
    ------
    DataError
        There are no components, or there is no such column.
    """
    after = integrated(tree_of(work, adata))
    used = dict.fromkeys([f"obsm/{BEFORE}", f"obsm/{HARMONY}", f"obsm/{after}" if after else GRAPH])
    tree, draft = draft_of(work, adata, "measure_integration", *used, f"obs/{batch_key}")
    cells = tree.kept("obs")
    batches, names = batch_codes(tree, batch_key, cells)
    labels = np.asarray(tree.labels("obs", label_key).codes, np.int64)[cells] if label_key else None
    drawn = np.sort(np.random.default_rng(seed).permutation(len(batches))[:MOST])
    found: dict[str, Any] = {}
    for state, name in (("before", BEFORE), ("after", after)):
        if name and tree.made(f"obsm/{name}") and (state == "before" or name != BEFORE):
            points = embedding_kept(tree, name)[drawn]
            of = None if labels is None else labels[drawn]
            found[state] = _measures(points, batches[drawn], of, resolution, seed, work.cpus)
    if not found:
        raise DataError("these cells have no components: run reduce_dimensions first")
    if not after:
        graph = tree.read(GRAPH)[cells][:, cells]
        found["after"] = _compared(leiden(graph, resolution, seed=seed), batches, labels)
    draft.write("uns/integration", {"batch_key": batch_key, "n_batches": len(names), **found})
    draft.note(
        "measure_integration", {"batch_key": batch_key, "label_key": label_key, "n_batches": len(names), **found}
    )
    return adata.derived(draft.path, AnnDataTree(draft.path).stage)


def _measures(
    points: NDArray[np.float32],
    batches: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    resolution: float,
    seed: int,
    threads: int,
) -> dict[str, float]:
    wide = exact_neighbors(points, min(NEIGHBORS, len(points)), threads=threads)
    graph = connectivities(exact_neighbors(points, min(15, len(points)), threads=threads))
    clusters = leiden(graph, resolution, seed=seed)
    found = {"ilisi": round(float(np.median(lisi(wide, batches))), 6), **_compared(clusters, batches, labels)}
    if labels is not None:
        known = np.where(labels < 0, labels.max() + 1, labels)
        found["clisi"] = round(float(np.median(lisi(wide, known))), 6)
    return found


def _compared(
    clusters: NDArray[np.int64], batches: NDArray[np.int64], labels: NDArray[np.int64] | None
) -> dict[str, float]:
    """How far clusters are batches, and how far they are types."""
    found = {"ari_batch": adjusted_rand(clusters, batches), "nmi_batch": mutual_information(clusters, batches)}
    if labels is not None:
        found |= {"ari_label": adjusted_rand(clusters, labels), "nmi_label": mutual_information(clusters, labels)}
    return {name: round(value, 6) for name, value in found.items()}
