"""Doublets of a tree, batch by batch, written where scanpy puts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.cells.blocks import Blocks, cache_bytes
from stargazer.tasks.stages import batch_codes, scattered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.cells.tree import Tree, TreeDraft
    from stargazer.tasks.scrna.kernels.doublets import Doublets
    from stargazer.workdir import Workdir

    Mask = NDArray[np.bool_]

__all__ = ["FoundDoublets", "find_doublets"]


@dataclass
class FoundDoublets:
    """Doublet scores of all batches.

    Parameters
    ----------
    cells
        Mask of the cells that were looked at.
    batch_key
        Column of ``obs`` with their batches, or empty.
    rate
        Fraction of doublets expected.
    scores, predicted
        Of these cells, in order; scores of batches that could not be scored are NaN.
    batches
        What was found in each batch, by its name.
    """

    cells: Mask
    batch_key: str
    rate: float
    scores: NDArray[np.float64]
    predicted: Mask
    batches: dict[str, Doublets] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Batches without scores or threshold, and why."""
        named = ((f"batch {name}: " if name else "", batch.note) for name, batch in self.batches.items())
        return [f"{prefix}{note}" for prefix, note in named if note]

    def write(self, draft: TreeDraft) -> None:
        """Write scores and calls (`scanpy.pp.scrublet`)."""
        draft.column("obs", "doublet_score", scattered(self.cells, self.scores, np.nan))
        draft.column("obs", "predicted_doublet", scattered(self.cells, self.predicted, False))
        found = {name: self._of_batch(batch) for name, batch in self.batches.items() if len(batch.simulated_scores)}
        if self.batch_key:
            safe = {name.replace("/", "_"): batch for name, batch in found.items()}
            draft.write("uns/scrublet", {"batched_by": self.batch_key, "batches": safe})
        elif found:
            draft.write("uns/scrublet", found[""])

    def _of_batch(self, batch: Doublets) -> dict[str, Any]:
        parameters = {"expected_doublet_rate": self.rate, "sim_doublet_ratio": 2.0, "n_neighbors": batch.n_neighbors}
        members = {"doublet_scores_sim": batch.simulated_scores.astype(np.float32), "parameters": parameters}
        return members if batch.threshold is None else members | {"threshold": batch.threshold}


def find_doublets(
    work: Workdir, tree: Tree, cells: Mask, genes: Mask, *, batch_key: str, rate: float, seed: int
) -> FoundDoublets:
    """Score cells as doublets, each batch by itself.

    Parameters
    ----------
    work
        The scratch directory.
    tree
        Raw counts.
    cells, genes
        Masks of what to look at.
    batch_key
        Column of ``obs`` with batches; empty if all cells are one.
    rate
        Fraction of doublets expected.
    seed
        Of the doublets that are simulated.
    """
    from stargazer.tasks.scrna.kernels.doublets import scrublet

    codes, names = batch_codes(tree, batch_key, cells)
    found = FoundDoublets(cells, batch_key, rate, np.full(len(codes), np.nan), np.zeros(len(codes), bool))
    for number, name in enumerate(names):
        here = codes == number
        blocks = Blocks(tree, scattered(cells, here, False), genes, cache_bytes(work.memory))
        batch = scrublet(blocks, blocks.shape[1], expected_doublet_rate=rate, seed=seed, threads=work.cpus)
        found.scores[here], found.predicted[here] = batch.scores, batch.predicted
        found.batches[name] = batch
    return found
