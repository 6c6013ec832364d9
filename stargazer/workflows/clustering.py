"""Single-cell RNA sequencing: from counts to clusters and their marker genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.assets import AnnData
from stargazer.errors import AssetError, DataError, NotFound
from stargazer.store import active_store
from stargazer.tasks.scrna import (
    cluster,
    concat,
    embed,
    find_markers,
    measure_cells,
    normalize,
    qc_filter,
    reduce_dimensions,
    select_features,
    sum_genes,
)
from stargazer.workflows.row_blocks import row_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.calls import Call

__all__ = ["cluster_cells", "scrna_clustering_pipeline"]


def cluster_cells(
    cells: AnnData | Call | Sequence[AnnData | Call],
    *,
    organism: str = "",
    symbols: str = "",
    batch_key: str = "",
    min_genes: int = 100,
    min_cells: int = 3,
    max_pct_mt: float = 20.0,
    mads: float | None = None,
    mads_mt: float | None = None,
    doublets: bool = True,
    expected_doublet_rate: float = 0.05,
    n_top_genes: int = 2000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    harmony: bool = False,
    approximate: bool = False,
    umap: bool = True,
    resolution: float = 0.5,
    seed: int = 0,
) -> Call:
    """Filter, normalise, reduce and cluster cells, and find the marker genes of the clusters.

    UMAP and the clusters both follow from the graph of neighbours, and are computed side by side. Of many cells the
    passes over all counts are cut into blocks of rows, which workers share.

    Parameters
    ----------
    cells
        Raw counts; several samples are joined, with their names in ``obs["sample"]``.
    organism, symbols, min_genes, min_cells, max_pct_mt, mads, mads_mt, doublets, expected_doublet_rate
        As for `qc_filter`.
    batch_key
        Column of ``obs``: doublets are sought and variable genes chosen in each batch; ``"sample"`` by default where
        samples are joined.
    n_top_genes
        As for `select_features`.
    n_pcs, n_neighbors, approximate
        As for `reduce_dimensions`.
    harmony
        Take differences between batches out of the components.
    umap
        Compute UMAP coordinates.
    resolution
        As for `cluster`.
    seed
        Of all that draws random numbers.

    Returns
    -------
    Call
        Of `AnnData`, stage ``"annotated"``.

    Raises
    ------
    DataError
        Harmony is asked for, and no batches are; or the seed is negative.
    """
    joined = not isinstance(cells, AnnData) and isinstance(cells, (list, tuple))
    batch = batch_key or ("sample" if joined else "")
    if seed < 0:
        raise DataError(f"seed is {seed}: seeds are whole numbers from 0 up")
    if harmony and not batch:
        raise DataError("Harmony takes out differences between batches: batch_key= says which column of obs has them")
    given: list[Any] = list(cells) if joined else [cells]  # type: ignore[arg-type]
    raw: Any = concat(given) if joined else cells
    blocks = row_blocks(sum(each.n_obs for each in given if isinstance(each, AnnData)))
    counted: dict[str, Any] = {"min_genes": min_genes, "min_cells": min_cells, "organism": organism, "symbols": symbols}
    filtered = qc_filter(
        raw,
        [measure_cells(raw, **each, **counted) for each in blocks] or None,
        **counted,
        max_pct_mt=max_pct_mt,
        batch_key=batch,
        mads=mads,
        mads_mt=mads_mt,
        doublets=doublets,
        expected_doublet_rate=expected_doublet_rate,
        seed=seed,
    )
    normal = normalize(filtered)
    sums = [sum_genes(normal, **each, batch_key=batch) for each in blocks] or None
    featured = select_features(normal, sums, n_top_genes=n_top_genes, batch_key=batch)
    reduced = reduce_dimensions(
        featured,
        n_pcs=n_pcs,
        n_neighbors=n_neighbors,
        umap=False,
        harmony_key=batch if harmony else "",
        approximate=approximate,
        seed=seed,
    )
    clustered = cluster(reduced, resolution=resolution, seed=seed)
    return find_markers(clustered, embed(reduced, seed=seed) if umap else None)


def scrna_clustering_pipeline(
    sample_id: str | Sequence[str] | AnnData | Call,
    organism: str = "",
    n_top_genes: int = 2000,
    resolution: float = 0.5,
    max_pct_mt: float = 20.0,
    *,
    symbols: str = "",
    batch_key: str = "",
    min_genes: int = 100,
    min_cells: int = 3,
    mads: float | None = None,
    mads_mt: float | None = None,
    doublets: bool = True,
    expected_doublet_rate: float = 0.05,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    harmony: bool = False,
    approximate: bool = False,
    umap: bool = True,
    seed: int = 0,
) -> Call:
    """`cluster_cells` of samples whose raw counts the active store holds.

    Parameters
    ----------
    sample_id
        The sample, several to be joined, or the cells themselves.
    organism
        The species; if empty the asset's own, or what the names of the genes tell.
    n_top_genes, resolution, max_pct_mt, symbols, batch_key, min_genes, min_cells, mads, mads_mt, doublets
        As for `cluster_cells`.
    expected_doublet_rate, n_pcs, n_neighbors, harmony, approximate, umap, seed
        As for `cluster_cells`.

    Returns
    -------
    Call
        Of `AnnData`, stage ``"annotated"``.

    Raises
    ------
    NotFound
        No raw counts of that sample.
    AssetError
        Several.

    Examples
    --------
    >>> sg.add("pbmc.h5ad", sg.AnnData(sample_id="pbmc", organism="human"))  # doctest: +SKIP
    >>> scrna_clustering_pipeline("pbmc").compute().open()  # doctest: +SKIP
    """
    cells = _find(sample_id)
    return cluster_cells(
        cells,
        organism=organism,
        symbols=symbols,
        batch_key=batch_key,
        min_genes=min_genes,
        min_cells=min_cells,
        max_pct_mt=max_pct_mt,
        mads=mads,
        mads_mt=mads_mt,
        doublets=doublets,
        expected_doublet_rate=expected_doublet_rate,
        n_top_genes=n_top_genes,
        n_pcs=n_pcs,
        n_neighbors=n_neighbors,
        harmony=harmony,
        approximate=approximate,
        umap=umap,
        resolution=resolution,
        seed=seed,
    )


def _find(sample_id: str | Sequence[str] | AnnData | Call) -> AnnData | Call | list[AnnData | Call]:
    if isinstance(sample_id, str):
        return _raw(sample_id)
    if isinstance(sample_id, (list, tuple)):
        return [_raw(each) if isinstance(each, str) else each for each in sample_id]
    return sample_id


def _raw(sample_id: str) -> AnnData:
    store = active_store()
    stored = store.assemble(asset="anndata", sample_id=sample_id, stage="raw", missing="skip")
    found = [one for one in stored if isinstance(one, AnnData)]
    if not found:
        hint = f"add them: sg.add(path, sg.AnnData(sample_id={sample_id!r}))"
        raise NotFound(f"{store.url} has no raw cells of sample {sample_id!r}; {hint}")
    if len(found) > 1:
        raise AssetError(f"{len(found)} sets of raw cells are called {sample_id!r}: {found}; delete all but one")
    return found[0]
