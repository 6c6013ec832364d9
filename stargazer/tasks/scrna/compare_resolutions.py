"""Cluster at several resolutions, and tell how stable each is.

References
----------
Hennig C. Cluster-wise assessment of cluster stability. Computational Statistics & Data Analysis 52, 258 (2007).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.kernels.agreement import adjusted_rand
from stargazer.bio.singlecell.kernels.cluster import leiden
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import GRAPH, MEMORY, USES, draft_of, scattered
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compare_resolutions"]

SHARE = 0.8
"""Of the cells that each repetition clusters."""


@task(memory=MEMORY, uses=(*USES, "igraph"))
def compare_resolutions(
    work: Workdir,
    adata: AnnData,
    *,
    resolutions: list[float] = [0.2, 0.5, 1.0, 1.5],  # noqa: B006
    repeats: int = 5,
    n_iterations: int = 2,
    seed: int = 0,
) -> AnnData:
    """Find clusters at several resolutions, and again among four fifths of the cells, drawn anew each time.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells with a graph of neighbours.
    resolutions
        As for `cluster`.
    repeats
        Repetitions a resolution.
    n_iterations
        As for `cluster`.
    seed
        Of the order in which cells are looked at, and of the draws.

    Returns
    -------
    AnnData
        With a column ``obs["leiden_<resolution>"]`` each, and ``uns["resolutions"]``: clusters, and the adjusted Rand
        index between them and those of each repetition (mean and least). Its stage stays.

    Raises
    ------
    DataError
        There is no graph yet, no resolution, or a negative one.
    """
    if not resolutions:
        raise DataError("give a resolution at least")
    tree, draft = draft_of(work, adata, "compare_resolutions", GRAPH)
    if not tree.made(GRAPH):
        raise DataError("these cells have no graph of neighbours: run reduce_dimensions first")
    cells = tree.kept("obs")
    graph = tree.read(GRAPH)[cells][:, cells]
    ordered = sorted(set(resolutions))
    table: dict[str, list[float]] = {"n_clusters": [], "stability": [], "least": []}
    for resolution in ordered:
        found = leiden(graph, resolution, n_iterations=n_iterations, seed=seed)
        names = np.array([str(number) for number in range(int(found.max()) + 1)], dtype=object)
        column = Categories(scattered(cells, found.astype(code_type(len(names))), -1), names)
        draft.column("obs", f"leiden_{resolution:g}", column)
        agreed = _agreements(graph, found, resolution, repeats, n_iterations, seed)
        table["n_clusters"].append(len(names))
        table["stability"].append(float(np.mean(agreed)) if agreed else 1.0)
        table["least"].append(float(np.min(agreed)) if agreed else 1.0)
    columns: dict[str, Any] = {name: np.array(values) for name, values in table.items()}
    draft.write("uns/resolutions", {"resolution": np.array(ordered), **columns})
    params = {"repeats": repeats, "seed": seed, "n_iterations": n_iterations}
    draft.note("compare_resolutions", {"resolutions": ordered, **table, **params})
    return adata.derived(draft.path, AnnDataTree(draft.path).stage)


def _agreements(
    graph: Any, whole: NDArray[np.int64], resolution: float, repeats: int, n_iterations: int, seed: int
) -> list[float]:
    """Adjusted Rand index between all cells' clusters and those of some cells alone, for each draw."""
    agreed = []
    for repetition in range(repeats):
        draw = np.random.default_rng([seed, repetition])
        chosen = np.sort(draw.permutation(len(whole))[: max(int(SHARE * len(whole)), 2)])
        part = leiden(graph[chosen][:, chosen], resolution, n_iterations=n_iterations, seed=seed)
        agreed.append(adjusted_rand(part, whole[chosen]))
    return agreed
