"""Choose highly variable genes.

References
----------
Satija R et al. Spatial reconstruction of single-cell gene expression data. Nature Biotechnology 33, 495 (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.kernels.hvg import highly_variable
from stargazer.bio.singlecell.kernels.moments import gene_moments
from stargazer.bio.singlecell.tree import Blocks
from stargazer.calls import task
from stargazer.tasks.scrna.stages import FACTORS, MEMORY, USES, batch_codes, draft_of, scattered, size_factors_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from stargazer.bio.singlecell.draft import TreeDraft
    from stargazer.bio.singlecell.kernels.hvg import HighlyVariable

__all__ = ["select_features"]


@task(memory=MEMORY, uses=USES)
def select_features(work: Workdir, adata: AnnData, *, n_top_genes: int = 2000, batch_key: str = "") -> AnnData:
    """Mark the genes that vary most between cells, given their mean: scanpy's ``flavor="seurat"``.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Normalised cells.
    n_top_genes
        How many; all there are, if there are fewer.
    batch_key
        Column of ``obs``: genes are chosen in each batch, and those chosen in most batches win.

    Returns
    -------
    AnnData
        With ``var["highly_variable"]`` and the numbers behind it; stage ``"featured"``.

    Raises
    ------
    DataError
        The cells are not normalised, there is no such column, or no gene varies.
    """
    tree, draft = draft_of(work, adata, "select_features", FACTORS, *([f"obs/{batch_key}"] if batch_key else []))
    cells, genes = tree.kept("obs"), tree.kept("var")
    codes, batches = batch_codes(tree, batch_key, cells)
    blocks = Blocks(tree, cells, genes)
    moments = gene_moments(blocks, size_factors_of(tree, cells), blocks.shape[1], codes)
    chosen = highly_variable(moments, n_top_genes)
    _write(draft, genes, chosen, bool(batch_key))
    draft.write("uns/hvg", {"flavor": "seurat"})
    notes = [f"batch {batches[number]} had no say: nothing varies in it" for number in chosen.skipped]
    if n_top_genes > blocks.shape[1]:
        notes.append(f"n_top_genes is {n_top_genes}, but there are {blocks.shape[1]} genes: all that vary are taken")
    found: dict[str, Any] = {"n_top_genes": n_top_genes, "batch_key": batch_key, "n_chosen": int(chosen.mask.sum())}
    draft.note("select_features", {**found, "notes": notes})
    return adata.derived(draft.path, "featured")


def _write(draft: TreeDraft, genes: Any, chosen: HighlyVariable, batched: bool) -> None:
    draft.column("var", "highly_variable", scattered(genes, chosen.mask, False))
    for name in ("means", "dispersions", "dispersions_norm"):
        draft.column("var", name, scattered(genes, getattr(chosen, name), np.nan))
    if batched:
        draft.column("var", "highly_variable_nbatches", scattered(genes, chosen.n_batches.astype(np.int32), 0))
        draft.column("var", "highly_variable_intersection", scattered(genes, chosen.intersection, False))
