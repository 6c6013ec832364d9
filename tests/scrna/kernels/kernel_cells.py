"""Simulated counts with planted groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Cells:
    """Counts, and what was planted in them."""

    counts: Any
    groups: np.ndarray
    batches: np.ndarray


def simulate(n_cells: int = 700, n_genes: int = 900, n_groups: int = 4, seed: int = 1, depth: float = 1500.0) -> Cells:
    """Poisson counts of groups that differ in some genes, in two batches, with genes that next to no cell expresses."""
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0.0, 1.8, n_genes)
    fold = np.where(rng.random((n_groups, n_genes)) < 0.06, rng.lognormal(1.5, 0.5, (n_groups, n_genes)), 1.0)
    groups, batches = rng.integers(n_groups, size=n_cells), rng.integers(2, size=n_cells)
    rates = base * fold[groups] * np.where((rng.random(n_genes) < 0.05) & (batches[:, None] == 1), 2.5, 1.0)
    rates *= (depth * rng.lognormal(0.0, 0.4, n_cells) / rates.sum(axis=1))[:, None]
    return Cells(sparse.csr_matrix(rng.poisson(rates).astype(np.float32)), groups, batches)
