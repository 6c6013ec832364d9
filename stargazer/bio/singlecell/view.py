"""A tree as scanpy would have it: masks applied, log-normalised values, results where scanpy puts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.frames import series_of
from stargazer.bio.singlecell.layout import ASIDE, KEPT, METADATA, ROWS, STATE
from stargazer.bio.singlecell.matrix import Matrix, stack
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.bio.singlecell.elements import Values

__all__ = [
    "FRACTIONS",
    "STATISTICS",
    "TABLES",
    "lazy_matrix",
    "log_values",
    "marker_table",
    "open_tree",
    "scanpy_markers",
    "table",
]

_DERIVED = ("total_counts", "n_genes_by_counts", "n_cells_by_counts", "mean_counts")


LARGEST_SINGLE = 1 << 24
"""Beyond it single precision skips whole numbers."""
WIDE = 4
"""Bytes of a stored count from which on it may be larger; what is read block by block does not know the largest."""


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
        factors, counts otherwise, both in single precision, but for counts that it has no number for.
    """
    import anndata

    tree = AnnDataTree(path)
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
            adata.layers[name] = widened(_read(tree, f"layers/{name}")[cells][:, genes])
    adata.uns = _unstructured(tree)
    return adata


def table(tree: AnnDataTree, frame: str, *, derived: bool = True, every: bool = False) -> Any:
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
    ours = {KEPT} if tree.made(f"{frame}/{KEPT}") else set()
    columns = {name: series_of(tree.column(frame, name), kept) for name in tree.columns(frame) if name not in ours}
    title = str(tree.group[frame].attrs["_index"])
    index = pd.Index(tree.names(frame)[kept], dtype=object, name=None if title == "_index" else title)
    found = pd.DataFrame(columns, index=index)
    if ours and f"{KEPT}_{ASIDE}" in found:
        found = found.rename(columns={f"{KEPT}_{ASIDE}": KEPT})
    return _with_logarithms(tree, frame, found) if derived else found


def _with_logarithms(tree: AnnDataTree, frame: str, found: Any) -> Any:
    """Add the logarithms of measures that our stages made; those of the file's own measures go aside as these did."""
    measured = [name for name in found if str(name).startswith(_DERIVED) and tree.made(f"{frame}/{name}")]
    of_file = {f"log1p_{name}": f"log1p_{name}_{ASIDE}" for name in measured}
    found = found.rename(columns={name: new for name, new in of_file.items() if new not in found})
    for name in measured:
        found[f"log1p_{name}"] = np.log1p(found[name])
    return found


def widened(values: Any) -> Any:
    """Small whole numbers in single precision: scanpy squares values in their own type, and 20 × 20 is no ``uint8``."""
    small = values.dtype.kind in "ui" and values.dtype.itemsize < 4
    return values.astype(np.float32) if small else values


def log_values(counts: Any, factors: Values) -> Any:
    """Log-normalised values of counts, in single precision; the pattern is shared."""
    values = counts.data.astype(np.float32)
    values /= np.repeat(factors.astype(np.float32), np.diff(counts.indptr))
    np.log1p(values, out=values)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape, copy=False)


def _matrices(tree: AnnDataTree, cells: Values, genes: Values, lazy: bool) -> tuple[Any, Any]:
    factors = tree.column("obs", "size_factor") if tree.made("obs/size_factor") else None
    if lazy:
        counts = lazy_matrix(tree, cells, genes, None)
        return counts, counts if factors is None else lazy_matrix(tree, cells, genes, factors)
    parts = (block if genes.all() else block[:, np.flatnonzero(genes)] for block in tree.counts.blocks(wanted=cells))
    whole = stack(parts, int(genes.sum()), tree.counts.dtype)
    whole = whole.astype(np.float64 if whole.nnz and whole.data.max() > LARGEST_SINGLE else np.float32)
    return whole, whole.copy() if factors is None else log_values(whole, factors[cells])


def _members(tree: AnnDataTree, kind: str) -> list[str]:
    found = tree.path / kind
    return sorted(child.name for child in found.iterdir() if child.name != METADATA) if found.is_dir() else []


def _read(tree: AnnDataTree, place: str) -> Any:
    """An element of any kind that anndata knows."""
    from anndata.io import read_elem

    return read_elem(tree.group[place])


def _rows(value: Any, kept: Values) -> Any:
    return value.iloc[kept] if hasattr(value, "iloc") else value[kept]


def _unstructured(tree: AnnDataTree) -> dict[str, Any]:
    stages = tree.stages()
    ours = TABLES if tree.made(f"uns/{TABLES}") else ""
    found = {name: _read(tree, f"uns/{name}") for name in _members(tree, "uns") if name not in (STATE, ours)}
    if tree.made("uns/log1p"):
        found["log1p"] = {"base": None}
    if ours and len(tree.read(f"uns/{TABLES}/groups")):
        found[TABLES] = scanpy_markers(tree)
    found[STATE] = {"stage": tree.stage, "stages": json.dumps(stages, ensure_ascii=False)}
    return found


# Matrices of a tree as Dask arrays of row blocks.


def lazy_matrix(tree: AnnDataTree, cells: Values, genes: Values, factors: Values | None) -> Any:
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
    kind = np.float32 if factors is not None or tree.counts.dtype.itemsize < WIDE else np.float64
    meta = sparse.csr_matrix((0, 0), dtype=kind)
    parts: list[Any] = []
    for start in range(0, len(cells), ROWS):
        rows = np.flatnonzero(cells[start : start + ROWS])
        scale = None if factors is None else factors[start + rows]
        block = read(tree.counts.path, start, rows, columns, scale)
        shape = (len(rows), int(genes.sum()))
        if len(rows) or (start + ROWS >= len(cells) and not parts):
            parts.append(da.from_delayed(block, shape, dtype=kind, meta=meta))
    return da.concatenate(parts, axis=0)


def _read_block(path: Path, start: int, rows: Values, columns: Values | None, factors: Values | None) -> Any:

    matrix = Matrix(path)
    block = matrix.block(start, start + ROWS)[rows]
    chosen = block if columns is None else block[:, columns]
    kind = np.float32 if matrix.dtype.itemsize < WIDE else np.float64
    return chosen.astype(kind) if factors is None else log_values(chosen, factors)


# Tables of marker genes: plain arrays in the tree, record arrays and tables for scanpy and for people.


TABLES = "rank_genes_groups"
"""Place in ``uns``: ``params``, ``groups``, ``genes`` and groups × genes arrays, genes in the order of ``var``."""
STATISTICS = {
    "scores": np.float32,
    "logfoldchanges": np.float32,
    "pvals": np.float64,
    "pvals_adj": np.float64,
}
FRACTIONS = ("pts", "pts_rest")


def _order(scores: Values) -> Values:
    """Genes of each group by falling score; ties in their order."""
    return np.argsort(-scores, axis=1, kind="stable")


def scanpy_markers(tree: AnnDataTree) -> dict[str, Any]:
    """Marker genes as `scanpy.tl.rank_genes_groups` leaves them: record arrays with a field a group, best genes first.

    Parameters
    ----------
    tree
        A tree that `find_markers` made.
    """
    import pandas as pd

    stored = tree.read(f"uns/{TABLES}")
    groups, genes = [str(name) for name in stored["groups"]], stored["genes"]
    order = _order(stored["scores"])
    found: dict[str, Any] = {"params": _with_none(stored["params"])}
    found["names"] = _records(groups, genes[order], object)
    for name, kind in STATISTICS.items():
        found[name] = _records(groups, np.take_along_axis(stored[name], order, axis=1), kind)
    for name in FRACTIONS:
        found[name] = pd.DataFrame(stored[name].T, index=pd.Index(genes, dtype=object), columns=groups)
    return found


def _with_none(params: dict[str, Any]) -> dict[str, Any]:
    return {"layer": None, **params}


def _records(groups: list[str], rows: Values, kind: Any) -> Any:
    table = np.empty(rows.shape[1], dtype=[(group, kind) for group in groups])
    for group, row in zip(groups, rows, strict=True):
        table[group] = row
    return table.view(np.recarray)


def marker_table(tree: AnnDataTree, top: int | None = None) -> Any:
    """Marker genes as one pandas table, a row a group and gene, best genes first.

    Parameters
    ----------
    tree
        A tree that `find_markers` made.
    top
        Genes of each group; all if None.
    """
    import pandas as pd

    stored = tree.read(f"uns/{TABLES}") if tree.made(f"uns/{TABLES}") else None
    if stored is None:
        raise DataError(f"no stage made uns[{TABLES!r}] of {tree.path.name}: run find_markers first")
    order = _order(stored["scores"])[:, :top]
    columns: dict[str, Any] = {
        "group": np.repeat(stored["groups"], order.shape[1]),
        "gene": stored["genes"][order].ravel(),
    }
    for name in (*STATISTICS, *FRACTIONS):
        columns[name] = np.take_along_axis(stored[name], order, axis=1).ravel()
    return pd.DataFrame(columns)
