"""Simulated cells with known types, markers, doublets, damaged cells and batches, written block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.bio.singlecell.draft import TreeDraft
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.layout import ROWS
from stargazer.bio.singlecell.matrix import MatrixWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Population", "simulate_cells"]

_ROWS_AT_ONCE = 500
_MT = ("ND1", "ND2", "CO1", "CO2", "ATP8", "ATP6", "CO3", "ND3", "ND4L", "ND4", "ND5", "ND6", "CYB")


class _Cells(NamedTuple):
    """Truth of some cells: type (of a doublet two), batch, damage, expected counts."""

    kind: Array
    partner: Array
    batch: Array
    damaged: Array
    depth: Array


@dataclass(frozen=True)
class Population:
    """What cells are drawn from.

    Parameters
    ----------
    n_genes
        Genes, 13 of them mitochondrial, some ribosomal.
    n_types
        Cell types, each as frequent as the others.
    n_markers
        Genes of each type that it expresses `fold` times as much as the others.
    fold
        By how much.
    n_batches
        Batches; a gene's expression differs between them by some `batch_effect` (standard deviation of its logarithm).
    depth
        Counts of an average cell; the logarithm varies by 0.3.
    doublets
        Fraction of droplets with two cells of different types.
    damaged
        Fraction of cells with few counts, most of them mitochondrial.
    seed
        Same arguments and seed, same cells.
    """

    n_genes: int = 20_000
    n_types: int = 8
    n_markers: int = 50
    fold: float = 10.0
    n_batches: int = 1
    batch_effect: float = 0.1
    depth: float = 8_000.0
    doublets: float = 0.06
    damaged: float = 0.02
    seed: int = 0

    @cached_property
    def gene_names(self) -> Array:
        """Symbols: mitochondrial and ribosomal ones first."""
        known = [f"MT-{name}" for name in _MT] + [f"RP{side}{n}" for side in "SL" for n in range(1, 26)]
        known += ["HBA1", "HBB"]
        others = [f"GENE{number:05d}" for number in range(max(self.n_genes - len(known), 0))]
        return np.array([*known, *others][: self.n_genes], dtype=object)

    @cached_property
    def marker_of(self) -> Array:
        """Type that each gene marks, -1 for none; markers are neither rare nor frequent."""
        rng = np.random.default_rng([self.seed, 1])
        ranked = np.argsort(-self._base)
        ranked = ranked[ranked >= min(65, self.n_genes // 3)]
        wanted = min(self.n_types * self.n_markers, len(ranked) // 2)
        chosen = rng.permutation(ranked[len(ranked) // 50 : len(ranked) // 50 + 3 * wanted])[:wanted]
        marks = np.full(self.n_genes, -1)
        marks[chosen] = np.arange(len(chosen)) % self.n_types
        return marks

    @cached_property
    def _base(self) -> Array:
        """Expression of genes, the same in all types: log-normal, mitochondrial genes 5 % of all."""
        rng = np.random.default_rng([self.seed, 0])
        base = rng.lognormal(0.0, 1.6, self.n_genes)
        mt = np.arange(self.n_genes) < len(_MT)
        base[mt] *= 0.05 / 0.95 * base[~mt].sum() / base[mt].sum()
        return np.asarray(base / base.sum())

    @cached_property
    def profiles(self) -> Array:
        """Fractions of counts: batches × types × genes."""
        rng = np.random.default_rng([self.seed, 2])
        types = np.where(self.marker_of == np.arange(self.n_types)[:, None], self.fold, 1.0) * self._base
        effects = np.exp(rng.normal(0.0, self.batch_effect, (self.n_batches, 1, self.n_genes)))
        profiles = types * (effects if self.n_batches > 1 else np.ones_like(effects))
        return np.asarray(profiles / profiles.sum(axis=2, keepdims=True), np.float32)

    def cells(self, start: int, stop: int, n_cells: int) -> _Cells:
        """Truth of some of `n_cells` cells; those of a batch stand together."""
        rng, n = np.random.default_rng([self.seed, 3, start]), stop - start
        kind = rng.integers(self.n_types, size=n)
        doublet = (rng.random(n) < self.doublets) & (self.n_types > 1)
        other = (kind + 1 + rng.integers(max(self.n_types - 1, 1), size=n)) % self.n_types
        batch = np.arange(start, stop) * self.n_batches // n_cells
        damaged = (rng.random(n) < self.damaged) & ~doublet
        depth = self.depth * np.exp(rng.normal(0.0, 0.3, n)) * np.where(damaged, 0.2, 1.0)
        return _Cells(kind, np.where(doublet, other, -1), batch, damaged, depth.astype(np.float32))

    def counts(self, cells: _Cells, start: int) -> Any:
        """Counts of the cells of a row block, CSR."""
        from scipy import sparse

        rng = np.random.default_rng([self.seed, 4, start])
        parts = []
        for first in range(0, len(cells.kind), _ROWS_AT_ONCE):
            parts.append(self._drawn(rng, _Cells(*(member[first : first + _ROWS_AT_ONCE] for member in cells))))
        return sparse.vstack(parts, format="csr")

    def _drawn(self, rng: np.random.Generator, cells: _Cells) -> Any:
        """Poisson counts: those of a gene in all cells of a kind are drawn at once, then each goes to one of them."""
        from scipy import sparse

        places = []
        for rows, shares in self._kinds(cells):
            ends = np.cumsum(cells.depth[rows], dtype=np.float64)
            genes = np.repeat(np.arange(self.n_genes), rng.poisson(shares * ends[-1]))
            owners = np.searchsorted(ends[:-1], rng.random(len(genes)) * ends[-1], side="right")
            places.append(rows[owners] * self.n_genes + genes)
        n = len(cells.kind)
        table = np.bincount(np.concatenate(places), minlength=n * self.n_genes)
        found = np.flatnonzero(table)
        ends_of_cells = np.searchsorted(found, np.arange(n + 1) * self.n_genes)
        return sparse.csr_matrix((table[found], found % self.n_genes, ends_of_cells), shape=(n, self.n_genes))

    def _kinds(self, cells: _Cells) -> Iterator[tuple[Array, Array]]:
        """Cells that express alike, and what; a doublet stands among those of either type."""
        two = np.flatnonzero(cells.partner >= 0)
        rows = np.concatenate([np.arange(len(cells.kind)), two])
        labels = np.stack([cells.batch[rows], np.concatenate([cells.kind, cells.partner[two]]), cells.damaged[rows]])
        kinds, number = np.unique(labels, axis=1, return_inverse=True)
        for place, (batch, kind, damaged) in enumerate(kinds.T):
            shares = self.profiles[batch, kind].astype(np.float64)
            shares[: len(_MT)] *= 12.0 if damaged else 1.0
            yield rows[number == place], shares


def simulate_cells(path: Path, n_cells: int = 3_000, population: Population | None = None) -> Path:
    """Write simulated cells as a tree that a store takes as it is.

    Parameters
    ----------
    path
        Directory to make, ``….zarr``.
    n_cells
        Cells, doublets and damaged ones among them. Memory does not grow with it.
    population
        What they are drawn from.

    Returns
    -------
    Path
        `path`. The truth is in ``obs`` (``cell_type``, ``doublet``, ``damaged``, ``batch``) and in
        ``var["marker_of"]``, where genes that mark nothing have no category.
    """
    source = population or Population()
    draft = TreeDraft(path)
    writer = MatrixWriter(draft.free("X"), source.n_genes)
    truth = []
    for start in range(0, n_cells, ROWS):
        cells = source.cells(start, min(start + ROWS, n_cells), n_cells)
        writer.append(source.counts(cells, start))
        truth.append(cells)
    writer.finish()
    _write_truth(draft, source, _Cells(*(np.concatenate(parts) for parts in zip(*truth, strict=True))))
    draft.note("ingest", {"counts_from": "simulation", "n_obs": n_cells, "n_vars": source.n_genes, "notes": []})
    return path


def _write_truth(draft: TreeDraft, source: Population, cells: _Cells) -> None:
    types = np.array([f"type{number}" for number in range(source.n_types)], dtype=object)
    batches = np.array([f"batch{number}" for number in range(source.n_batches)], dtype=object)
    draft.frame("obs", np.array([f"cell{number:07d}" for number in range(len(cells.kind))], dtype=object))
    draft.column("obs", "cell_type", Categories(cells.kind.astype(np.int16), types))
    draft.column("obs", "batch", Categories(cells.batch.astype(np.int16), batches))
    draft.column("obs", "doublet", cells.partner >= 0)
    draft.column("obs", "damaged", cells.damaged)
    draft.frame("var", source.gene_names)
    draft.column("var", "marker_of", Categories(source.marker_of.astype(np.int16), types))
