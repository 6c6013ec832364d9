"""Clusters, markers and doublets beside the truth of simulated cells.

References
----------
Hubert L, Arabie P. Comparing partitions. Journal of Classification 2, 193 (1985).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Agreement", "adjusted_rand_index", "agreement", "area_under_curve"]


class Agreement(NamedTuple):
    """How well an analysis found what was planted.

    Parameters
    ----------
    ari
        Adjusted Rand index of clusters and types, of kept cells that are neither doublets nor damaged.
    markers_found, markers
        Planted markers that are among the best genes of their type's cluster, of all that the filters left.
    doublet_auc
        Area under the ROC curve of the doublet scores; NaN where none were computed.
    """

    ari: float
    markers_found: int
    markers: int
    doublet_auc: float

    @property
    def marker_recovery(self) -> float:
        """Share of the planted markers that were found; 1 where there are none."""
        return self.markers_found / self.markers if self.markers else 1.0


def adjusted_rand_index(some: Array, others: Array) -> float:
    """Adjusted Rand index of two partitions of the same things: 1 if they are the same, 0 as by chance.

    Parameters
    ----------
    some, others
        Number of each thing's part.
    """
    rows, columns = np.unique(some, return_inverse=True)[1], np.unique(others, return_inverse=True)[1]
    table = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1))
    np.add.at(table, (rows, columns), 1)
    together = _pairs(table).sum()
    first, second = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    chance = first * second / max(_pairs(table.sum()), 1.0)
    most = (first + second) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def _pairs(counts: Any) -> Any:
    return counts * (counts - 1) / 2


def area_under_curve(scores: Array, positive: Array) -> float:
    """Area under the ROC curve: chance that a positive's score is higher than another's; equal scores count half.

    Parameters
    ----------
    scores
        Higher for what is likely positive.
    positive
        The truth.

    Returns
    -------
    float
        NaN where all are positive, or none.
    """
    from scipy.stats import rankdata

    n = int(positive.sum())
    if not 0 < n < len(positive):
        return float("nan")
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(positive) - n)))


def agreement(path: Path, groupby: str = "leiden") -> Agreement:
    """Compare an analysis of `simulate_cells` with what was planted.

    Parameters
    ----------
    path
        AnnDataTree of stage ``"annotated"``.
    groupby
        Column of ``obs`` with the clusters.
    """
    from stargazer.bio.singlecell.tree import AnnDataTree

    tree = AnnDataTree(path)
    truth, found = tree.labels("obs", "cell_type"), tree.labels("obs", groupby)
    doublet = np.asarray(tree.column("obs", "doublet"), bool)
    sound = tree.kept("obs") & ~doublet & ~np.asarray(tree.column("obs", "damaged"), bool)
    types, clusters = truth.codes[sound], found.codes[sound]
    auc = float("nan")
    if "doublet_score" in tree.columns("obs"):
        scores = np.asarray(tree.column("obs", "doublet_score"), float)
        auc = area_under_curve(scores[~np.isnan(scores)], doublet[~np.isnan(scores)])
    marks = tree.labels("var", "marker_of").codes[tree.kept("var")]
    cluster_of = {int(kind): str(found.names[np.bincount(clusters[types == kind]).argmax()]) for kind in set(types)}
    recovered = _markers_found(tree.read("uns/rank_genes_groups"), marks, cluster_of)
    return Agreement(adjusted_rand_index(types, clusters), recovered, int((marks >= 0).sum()), auc)


def _markers_found(tables: dict[str, Any], marks: Array, cluster_of: Mapping[int, str]) -> int:
    """Markers of each type among as many best genes of the cluster that most of its cells are in."""
    groups = [str(name) for name in tables["groups"]]
    found = 0
    for kind, cluster in cluster_of.items():
        if cluster in groups:
            wanted = marks == kind
            best = np.argsort(-tables["scores"][groups.index(cluster)], kind="stable")[: wanted.sum()]
            found += int(wanted[best].sum())
    return found
