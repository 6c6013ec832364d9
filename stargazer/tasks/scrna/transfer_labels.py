"""Take labels over from a reference that is analysed already.

References
----------
Lotfollahi M et al. Mapping single-cell data to reference atlases by transfer learning. Nature Biotechnology 40, 121
(2022), for the problem; here cells go to the components of the reference, and its nearest cells vote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stargazer.assets import AnnData
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.tree import AnnDataTree, Blocks
from stargazer.bio.singlecell.view import log_values
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import FACTORS, MEMORY, USES, check_column, draft_of, scattered, size_factors_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["transfer_labels"]

FEWEST_SHARED = 0.5
"""Share of the reference's variable genes that the cells must have."""
ROWS = 500
UNKNOWN = "unassigned"


@task(memory=MEMORY, uses=USES)
def transfer_labels(
    work: Workdir,
    adata: AnnData,
    reference: AnnData,
    *,
    label_key: str = "cell_type",
    key_added: str = "transferred",
    n_neighbors: int = 15,
    min_confidence: float = 0.6,
) -> AnnData:
    """Give each cell the label that most of its nearest cells in a reference have.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Normalised cells.
    reference
        Cells with components and labels; genes are named alike.
    label_key
        Column of the reference's ``obs`` with the labels.
    key_added
        Column of ``obs`` for them; ``<key>_confidence`` is the share of neighbours that agree.
    n_neighbors
        Cells of the reference that vote.
    min_confidence
        Share below which a cell is ``"unassigned"``.

    Returns
    -------
    AnnData
        Its stage stays.

    Raises
    ------
    DataError
        The reference has no components, no such column or no label in it, fewer than half of its variable genes are
        there, or no cell is to vote.
    """
    check_column(key_added)
    stage = f"transfer_labels.{key_added}"
    tree, draft = draft_of(work, adata, stage, FACTORS)
    other = AnnDataTree(reference.path)
    if not other.made("varm/PCs"):
        raise DataError("the reference has no components: run reduce_dimensions on it first")
    genes, shared = _shared(tree, other)
    cells, theirs = tree.kept("obs"), other.kept("obs")
    labels = other.labels("obs", label_key)
    codes = np.asarray(labels.codes, np.int64)[theirs]
    # What was annotated before has a label for those that got none: they have nothing to tell.
    known = (codes >= 0) & ~np.array([*(str(name) == UNKNOWN for name in labels.names), False])[codes]
    if not known.any():
        raise DataError(f"no cell of the reference that is kept has a label in obs[{label_key!r}]")
    if n_neighbors < 1:
        raise DataError(f"n_neighbors is {n_neighbors}: at least one cell of the reference votes")
    values = _values(other, theirs, shared[1])
    mean = values.mean(axis=0)
    loadings = np.asarray(other.read("varm/PCs"), np.float64)[shared[1]]
    target = float(other.record.last("normalize")["target_sum"])
    scale = float(tree.record.last("normalize")["target_sum"]) / target
    points = ((values - mean) @ loadings)[known]
    asked = (_values(tree, cells, shared[0], scale) - mean) @ loadings
    votes = _votes(asked, points, codes[known], len(labels.names), min(n_neighbors, len(points)))
    best = votes.argmax(axis=1)
    confidence = votes.max(axis=1)
    told = [str(name) for name in labels.names if str(name) != UNKNOWN]
    names = np.array([*told, UNKNOWN], dtype=object)
    place = np.array([names.tolist().index(str(name)) for name in labels.names])
    chosen = np.where(confidence >= min_confidence, place[best], len(told)).astype(code_type(len(names)))
    draft.column("obs", key_added, Categories(scattered(cells, chosen, -1), names))
    draft.column("obs", f"{key_added}_confidence", scattered(cells, confidence.astype(np.float32), np.nan))
    unsure = float((chosen == len(names) - 1).mean())
    notes = [f"{100 * unsure:.0f} % of the cells are like no cells of the reference"] if unsure > 0.2 else []
    numbers = {"n_shared_genes": len(shared[0]), "n_genes": genes, "unassigned": round(unsure, 4)}
    params = {"label_key": label_key, "key_added": key_added, "n_neighbors": n_neighbors}
    draft.note(stage, {**params, "min_confidence": min_confidence, **numbers, "notes": notes})
    return adata.derived(draft.path, AnnDataTree(draft.path).stage)


def _shared(tree: AnnDataTree, other: AnnDataTree) -> tuple[int, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Places of the reference's variable genes that both have, in each; and how many there are in the reference."""
    chosen = np.flatnonzero(np.asarray(other.column("var", "highly_variable"), bool))
    place = {str(name): number for number, name in enumerate(tree.names("var"))}
    names = other.names("var").astype(str)
    pairs = [(place[names[each]], each) for each in chosen if names[each] in place]
    if len(pairs) < FEWEST_SHARED * len(chosen):
        raise DataError(
            f"of the {len(chosen)} variable genes of the reference {len(pairs)} are there: are genes named alike "
            f"({tree.names('var')[0]}, {names[0]})?"
        )
    mine, theirs = (np.array(each, np.intp) for each in zip(*pairs, strict=True))
    return len(chosen), (mine, theirs)


def _values(
    tree: AnnDataTree, cells: NDArray[np.bool_], genes: NDArray[np.intp], scale: float = 1.0
) -> NDArray[np.float64]:
    """Log-normalised values of some genes, in their order, by size factors of another target."""
    mask = np.zeros(tree.n_vars, bool)
    mask[genes] = True
    factors, start, parts = size_factors_of(tree, cells) * np.float32(scale), 0, []
    for block in Blocks(tree, cells, mask):
        parts.append(log_values(block, factors[start : start + block.shape[0]]).toarray())
        start += block.shape[0]
    column = np.cumsum(mask) - 1
    return np.concatenate(parts).astype(np.float64)[:, column[genes]]


def _votes(
    asked: NDArray[np.float64], points: NDArray[np.float64], codes: NDArray[np.int64], n_labels: int, k: int
) -> NDArray[np.float64]:
    """Share of each label among the nearest points, some cells at a time."""
    squares = (points**2).sum(axis=1)
    votes = np.zeros((len(asked), n_labels))
    for start in range(0, len(asked), ROWS):
        part = asked[start : start + ROWS]
        nearest = np.argpartition(squares - 2 * part @ points.T, k - 1, axis=1)[:, :k]
        for label in range(n_labels):
            votes[start : start + len(part), label] = (codes[nearest] == label).mean(axis=1)
    return votes
