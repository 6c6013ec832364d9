"""Principal components, the graph of nearest neighbours, UMAP.

References
----------
Wolf FA, Angerer P, Theis FJ. SCANPY: large-scale single-cell gene expression data analysis. Genome Biology 19, 15
(2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.cluster import harmony
from stargazer.bio.singlecell.kernels.neighbors import approximate_neighbors, connectivities, exact_neighbors
from stargazer.bio.singlecell.kernels.pca import fit_pca, project
from stargazer.bio.singlecell.tree import Blocks, cache_bytes
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import (
    FACTORS,
    MEMORY,
    USES,
    batch_codes,
    draft_of,
    scattered,
    size_factors_of,
    write_graph,
    write_umap,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.draft import TreeDraft
    from stargazer.bio.singlecell.kernels.neighbors import Neighbors
    from stargazer.bio.singlecell.kernels.pca import PCA
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["reduce_dimensions"]

MANY = 100_000
"""Cells from which exact neighbours take longer than all other stages together."""


@task(cpus=2, memory=MEMORY, uses=(*USES, "harmonypy", "numba"))
def reduce_dimensions(
    work: Workdir,
    adata: AnnData,
    *,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    umap: bool = True,
    harmony_key: str = "",
    approximate: bool = False,
    seed: int = 0,
) -> AnnData:
    """Compute principal components of the highly variable genes, and the graph of nearest neighbours among them.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells with highly variable genes.
    n_pcs
        Components; no more than cells or genes allow.
    n_neighbors
        Neighbours of each cell, itself among them.
    umap
        Compute UMAP coordinates here too. Workflows leave it to `embed`, which runs beside `cluster`.
    harmony_key
        Column of ``obs`` with batches whose differences Harmony takes out of the components; empty for none.
    approximate
        Search neighbours by inverted lists, which misses a few; for more than some 100,000 cells.
    seed
        Of Harmony, of the approximate search and of UMAP.

    Returns
    -------
    AnnData
        With ``obsm["X_pca"]``, ``varm["PCs"]``, ``obsp["connectivities"]``, ``obsp["distances"]`` and, if asked for,
        ``obsm["X_pca_harmony"]`` and ``obsm["X_umap"]``; stage ``"reduced"``.

    Raises
    ------
    DataError
        No genes are chosen, or there are fewer than two cells or genes.
    """
    batch = [f"obs/{harmony_key}"] if harmony_key else []
    tree, draft = draft_of(work, adata, "reduce_dimensions", FACTORS, "var/highly_variable", *batch)
    cells = tree.kept("obs")
    pca, coordinates = _principal_components(work, tree, cells, n_pcs)
    found_pcs = coordinates.shape[1]
    notes = [] if found_pcs == n_pcs else [f"{found_pcs} components, not {n_pcs}: there are no more"]
    draft.write("obsm/X_pca", scattered(cells, coordinates, np.nan))
    _write_pca(draft, tree, pca)
    if harmony_key:
        coordinates = harmony(coordinates, batch_codes(tree, harmony_key, cells)[0], seed=seed)
        draft.write("obsm/X_pca_harmony", scattered(cells, coordinates, np.nan))
    found = _neighbors(coordinates, n_neighbors, approximate, seed, work.cpus, notes)
    graph = connectivities(found)
    write_graph(draft, cells, found, graph, {"n_pcs": coordinates.shape[1], "random_state": seed})
    if umap:
        write_umap(draft, cells, coordinates, graph, seed)
    params = {"n_pcs": n_pcs, "n_neighbors": n_neighbors, "umap": umap, "approximate": approximate, "seed": seed}
    draft.note("reduce_dimensions", {**params, "harmony_key": harmony_key, "notes": notes})
    return adata.derived(draft.path, "reduced")


def _principal_components(
    work: Workdir, tree: AnnDataTree, cells: NDArray[np.bool_], n_pcs: int
) -> tuple[PCA, NDArray[np.float32]]:
    if not tree.made("var/highly_variable"):
        raise DataError("these cells have no highly variable genes: run select_features first")
    blocks = Blocks(tree, cells, tree.column("var", "highly_variable"), cache_bytes(work.memory))
    factors = size_factors_of(tree, cells)
    pca = fit_pca(blocks, factors, n_pcs, threads=work.cpus)
    return pca, project(blocks, factors, pca, threads=work.cpus)


def _write_pca(draft: TreeDraft, tree: AnnDataTree, pca: PCA) -> None:
    chosen = np.asarray(tree.column("var", "highly_variable"), bool)
    draft.write("varm/PCs", scattered(chosen, pca.components.astype(np.float32), 0.0))
    params = {"zero_center": True, "use_highly_variable": True, "mask_var": "highly_variable"}
    draft.write("uns/pca", {"params": params, "variance": pca.variance, "variance_ratio": pca.variance_ratio})


def _neighbors(
    coordinates: NDArray[np.float32], n_neighbors: int, approximate: bool, seed: int, threads: int, notes: list[str]
) -> Neighbors:
    n = len(coordinates)
    if n_neighbors > n:
        notes.append(f"{1 + n // 2} neighbours, not {n_neighbors}: there are {n} cells")
    if approximate and n > n_neighbors:
        notes.append("neighbours are approximate")
        return approximate_neighbors(coordinates, n_neighbors, seed=seed, threads=threads)
    if n > MANY:
        notes.append(f"exact neighbours of {n} cells take long; approximate=True is faster")
    return exact_neighbors(coordinates, n_neighbors, threads=threads)
