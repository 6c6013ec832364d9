"""A tree as scanpy would have it: masks applied, log-normalised values, results where scanpy puts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.cells.elements import Categories
from stargazer.cells.layout import KEPT, STATE
from stargazer.cells.markers import TABLES, scanpy_markers
from stargazer.cells.matrix import stack
from stargazer.cells.tree import METADATA, Tree

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.cells.elements import Values

__all__ = ["log_values", "open_tree", "table"]

_DERIVED = ("total_counts", "n_genes_by_counts", "n_cells_by_counts", "mean_counts")


def open_tree(path: Path, *, lazy: bool = False) -> Any:
    """Read a tree as `anndata.AnnData`.

    Parameters
    ----------
    path
        Its directory.
    lazy
        Make matrices Dask arrays of row blocks.

    Returns
    -------
    anndata.AnnData
        Kept cells and genes. ``layers["counts"]`` has counts; `X` has ``log1p(count / size factor)`` if there are size
        factors, counts otherwise, both in single precision.
    """
    import anndata

    tree = Tree(path)
    cells, genes = tree.kept("obs"), tree.kept("var")
    counts, values = _matrices(tree, cells, genes, lazy)
    adata = anndata.AnnData(values, obs=table(tree, "obs"), var=table(tree, "var"))
    adata.layers["counts"] = counts
    for kind, rows in (("obsm", cells), ("varm", genes)):
        for name in _members(tree, kind):
            getattr(adata, kind)[name] = _rows(_read(tree, f"{kind}/{name}"), rows)
    for kind, rows in (("obsp", cells), ("varp", genes)):
        for name in _members(tree, kind):
            getattr(adata, kind)[name] = tree.read(f"{kind}/{name}")[rows][:, rows]
    for name in _members(tree, "layers"):
        if name != "counts":
            adata.layers[name] = tree.read(f"layers/{name}")[cells][:, genes]
    adata.uns = _unstructured(tree)
    return adata


def table(tree: Tree, frame: str, *, derived: bool = True, every: bool = False) -> Any:
    """Read ``obs`` or ``var`` as a pandas table.

    Parameters
    ----------
    tree
        The tree.
    frame
        ``"obs"`` or ``"var"``.
    derived
        With the logarithms that scanpy adds.
    every
        All rows, not only those kept.
    """
    import pandas as pd

    kept = np.ones(len(tree.names(frame)), bool) if every else tree.kept(frame)
    columns = {name: _column(tree.column(frame, name), kept) for name in tree.columns(frame) if name != KEPT}
    index = pd.Index(tree.names(frame)[kept], dtype=object)
    found = pd.DataFrame(columns, index=index)
    for name in list(found):
        if derived and str(name).startswith(_DERIVED) and f"log1p_{name}" not in found:
            found[f"log1p_{name}"] = np.log1p(found[name])
    return found


def _column(value: Any, kept: Values) -> Any:
    import pandas as pd

    if not isinstance(value, Categories):
        return value[kept]
    whole = pd.Categorical.from_codes(value.codes[kept], value.names, ordered=value.ordered)
    return whole.remove_unused_categories() if not kept.all() else whole


def log_values(counts: Any, factors: Values) -> Any:
    """Log-normalised values of counts, in single precision; the pattern is shared."""
    values = counts.data.astype(np.float32)
    values /= np.repeat(factors.astype(np.float32), np.diff(counts.indptr))
    np.log1p(values, out=values)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape, copy=False)


def _matrices(tree: Tree, cells: Values, genes: Values, lazy: bool) -> tuple[Any, Any]:
    factors = tree.column("obs", "size_factor") if "size_factor" in tree.columns("obs") else None
    if lazy:
        from stargazer.cells.lazy import lazy_matrix

        counts = lazy_matrix(tree, cells, genes, None)
        return counts, counts if factors is None else lazy_matrix(tree, cells, genes, factors)
    parts = (block if genes.all() else block[:, np.flatnonzero(genes)] for block in tree.counts.blocks(wanted=cells))
    whole = stack(parts, int(genes.sum()), tree.counts.dtype).astype(np.float32)
    return whole, whole.copy() if factors is None else log_values(whole, factors[cells])


def _members(tree: Tree, kind: str) -> list[str]:
    found = tree.path / kind
    return sorted(child.name for child in found.iterdir() if child.name != METADATA) if found.is_dir() else []


def _read(tree: Tree, place: str) -> Any:
    """An element of any kind that anndata knows."""
    from anndata.io import read_elem

    return read_elem(tree.group[place])


def _rows(value: Any, kept: Values) -> Any:
    return value.iloc[kept] if hasattr(value, "iloc") else value[kept]


def _unstructured(tree: Tree) -> dict[str, Any]:
    stages = tree.stages()
    ours = TABLES if "find_markers" in stages else ""
    found = {name: _read(tree, f"uns/{name}") for name in _members(tree, "uns") if name not in (STATE, ours)}
    if "normalize" in stages:
        found["log1p"] = {"base": None}
    if ours and len(tree.read(f"uns/{TABLES}/groups")):
        found[TABLES] = scanpy_markers(tree)
    found[STATE] = {"stage": tree.stage, "stages": json.dumps(stages, ensure_ascii=False)}
    return found
