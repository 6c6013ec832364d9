"""Matrices of a tree as Dask arrays of row blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.cells.layout import ROWS
from stargazer.cells.matrix import Matrix

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.cells.elements import Values
    from stargazer.cells.tree import Tree

__all__ = ["lazy_matrix"]


def lazy_matrix(tree: Tree, cells: Values, genes: Values, factors: Values | None) -> Any:
    """Counts, or log-normalised values, as a Dask array whose blocks are CSR matrices.

    Parameters
    ----------
    tree
        The tree.
    cells, genes
        Masks.
    factors
        Size factors of all cells; None for counts.
    """
    import dask.array as da
    from dask.delayed import delayed

    read = delayed(_read_block, pure=False)
    columns = None if genes.all() else np.flatnonzero(genes)
    meta = sparse.csr_matrix((0, 0), dtype=np.float32)
    parts: list[Any] = []
    for start in range(0, len(cells), ROWS):
        rows = np.flatnonzero(cells[start : start + ROWS])
        scale = None if factors is None else factors[start + rows]
        block = read(tree.counts.path, start, rows, columns, scale)
        shape = (len(rows), int(genes.sum()))
        if len(rows) or (start + ROWS >= len(cells) and not parts):
            parts.append(da.from_delayed(block, shape, dtype=np.float32, meta=meta))
    return da.concatenate(parts, axis=0)


def _read_block(path: Path, start: int, rows: Values, columns: Values | None, factors: Values | None) -> Any:
    from stargazer.cells.view import log_values

    matrix = Matrix(path)
    block = matrix.block(start, start + ROWS)[rows]
    chosen = block if columns is None else block[:, columns]
    return chosen.astype(np.float32) if factors is None else log_values(chosen, factors)
