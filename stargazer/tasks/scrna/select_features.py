"""Choose highly variable genes.

References
----------
Satija R et al. Spatial reconstruction of single-cell gene expression data. Nature Biotechnology 33, 495 (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData, RowBlock
from stargazer.bio.singlecell.kernels.hvg import highly_variable
from stargazer.bio.singlecell.kernels.moments import GeneSums, gene_sums, joined_sums
from stargazer.bio.singlecell.tree import Blocks
from stargazer.calls import task
from stargazer.tasks.scrna.row_blocks import asked, check_blocks, read_block, rows_of, sizes_of_parts, write_block
from stargazer.tasks.scrna.stages import (
    FACTORS,
    MEMORY,
    USES,
    batch_codes,
    draft_of,
    scattered,
    size_factors_of,
    tree_of,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.draft import TreeDraft
    from stargazer.bio.singlecell.kernels.hvg import HighlyVariable
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["select_features", "sum_genes"]


@task(memory=MEMORY, uses=USES)
def select_features(
    work: Workdir,
    adata: AnnData,
    sums: list[RowBlock] | None = None,
    *,
    n_top_genes: int = 2000,
    batch_key: str = "",
) -> AnnData:
    """Mark the genes that vary most between cells, given their mean: scanpy's ``flavor="seurat"``.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Normalised cells.
    sums
        Blocks of the rows, from `sum_genes` with the same parameters: workers share that pass, and no byte of the
        result depends on it. The counts are gone over here where none are given.
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
    factors, n_genes = size_factors_of(tree, cells), int(genes.sum())
    if sums:
        check_blocks(adata, sums, _question(tree, factors, codes))
    found_sums = _joined(sums) if sums else _sums(tree, np.ones(tree.n_obs, bool), factors, codes)
    moments = joined_sums(found_sums, np.bincount(codes, minlength=1), n_genes)
    chosen = highly_variable(moments, n_top_genes)
    _write(draft, genes, chosen, bool(batch_key))
    draft.write("uns/hvg", {"flavor": "seurat"})
    notes = [f"batch {batches[number]} had no say: nothing varies in it" for number in chosen.skipped]
    if n_top_genes > n_genes:
        notes.append(f"n_top_genes is {n_top_genes}, but there are {n_genes} genes: all that vary are taken")
    found: dict[str, Any] = {"n_top_genes": n_top_genes, "batch_key": batch_key, "n_chosen": int(chosen.mask.sum())}
    draft.note("select_features", {**found, "notes": notes})
    return adata.derived(draft.path, "featured")


# The pass over the counts: here, or a block of rows at a time in tasks of their own. Sums in double precision depend on
# their order, so each part of ten thousand rows is added up by itself and the sums of parts one after the other, in
# either way.


@task(memory=MEMORY, uses=USES, temp=True)
def sum_genes(work: Workdir, adata: AnnData, *, block: int, blocks: int, batch_key: str = "") -> RowBlock:
    """Add up normalised counts of genes over a block of the cells, for `select_features`; workers share the pass so.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Normalised cells.
    block, blocks
        Which block of rows, from 0, of how many.
    batch_key
        As for `select_features`.

    Returns
    -------
    RowBlock
        Sums and sums of squares of each gene, over each part of these rows and each batch that has cells there.

    Raises
    ------
    DataError
        The cells are not normalised, or there is no such column or block.
    """
    tree = tree_of(work, adata)
    cells, rows = tree.kept("obs"), rows_of(tree.n_obs, block, blocks)
    codes, factors = batch_codes(tree, batch_key, cells)[0], size_factors_of(tree, cells)
    found = [array for part in _sums(tree, rows, factors, codes) for array in part]
    return write_block(work, adata, (block, blocks), _question(tree, factors, codes), found)


def _sums(
    tree: AnnDataTree, rows: NDArray[np.bool_], factors: NDArray[np.float32], codes: NDArray[np.int64]
) -> Iterator[GeneSums]:
    """Sums over each part of some rows, of their kept cells."""
    cells, genes = tree.kept("obs"), tree.kept("var")
    here, sizes = rows[cells], sizes_of_parts(rows, cells)
    return gene_sums(Blocks(tree, cells & rows, genes), factors[here], int(genes.sum()), codes[here], parts=sizes)


def _question(tree: AnnDataTree, factors: NDArray[np.float32], codes: NDArray[np.int64]) -> str:
    return asked("sum_genes", tree.kept("obs"), tree.kept("var"), factors, codes)


def _joined(sums: list[RowBlock]) -> Iterator[GeneSums]:
    for each in sums:
        arrays = read_block(each)
        yield from (GeneSums(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True))


def _write(draft: TreeDraft, genes: Any, chosen: HighlyVariable, batched: bool) -> None:
    draft.column("var", "highly_variable", scattered(genes, chosen.mask, False))
    for name in ("means", "dispersions", "dispersions_norm"):
        draft.column("var", name, scattered(genes, getattr(chosen, name), np.nan))
    if batched:
        draft.column("var", "highly_variable_nbatches", scattered(genes, chosen.n_batches.astype(np.int32), 0))
        draft.column("var", "highly_variable_intersection", scattered(genes, chosen.intersection, False))
