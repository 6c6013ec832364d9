"""Tables of marker genes: plain arrays in the tree, record arrays and tables for scanpy and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stargazer.cells.elements import Values
    from stargazer.cells.tree import Tree

__all__ = ["FRACTIONS", "STATISTICS", "TABLES", "marker_table", "scanpy_markers"]

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


def scanpy_markers(tree: Tree) -> dict[str, Any]:
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


def marker_table(tree: Tree, top: int | None = None) -> Any:
    """Marker genes as one pandas table, a row a group and gene, best genes first.

    Parameters
    ----------
    tree
        A tree that `find_markers` made.
    top
        Genes of each group; all if None.
    """
    import pandas as pd

    stored = tree.read(f"uns/{TABLES}")
    order = _order(stored["scores"])[:, :top]
    columns: dict[str, Any] = {
        "group": np.repeat(stored["groups"], order.shape[1]),
        "gene": stored["genes"][order].ravel(),
    }
    for name in (*STATISTICS, *FRACTIONS):
        columns[name] = np.take_along_axis(stored[name], order, axis=1).ravel()
    return pd.DataFrame(columns)
