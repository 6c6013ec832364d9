"""QC metrics of cells and genes in one pass, with the count filters applied.

The filters follow scanpy's order: ``filter_cells(min_genes)``, then ``filter_genes(min_cells)`` over the cells left,
then ``calculate_qc_metrics`` over what both leave. One pass is enough: the few counts of genes that the second filter
will drop are set aside on the way and taken off the cells' metrics at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.blocks import (
    CSR,
    Bools,
    Floats,
    Ints,
    check_counts,
    cut,
    like,
)
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["QC", "mad_limits", "qc_metrics", "top_fractions"]

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class QC:
    """What one pass over the counts tells of cells and genes.

    Attributes
    ----------
    cells
        Mask of cells that `min_genes` keeps.
    genes
        Mask of genes that `min_cells` keeps, counted over the kept cells; excluded genes are out.
    n_genes_detected
        Genes with a count in each cell before the gene filter (scanpy's ``obs["n_genes"]``).
    n_genes
        The same over kept genes (``n_genes_by_counts``). Cells that the filter dropped keep their count over all genes,
        here and below.
    total_counts
        Counts of each cell over kept genes.
    set_counts
        Counts of each cell in each gene set, over kept genes; of sets that lie in the excluded genes, over all.
    n_cells
        Kept cells in which each gene has a count (``n_cells_by_counts``).
    gene_counts
        Counts of each gene in the kept cells.
    """

    cells: Bools
    genes: Bools
    n_genes_detected: Ints
    n_genes: Ints
    total_counts: Ints
    set_counts: dict[str, Ints]
    n_cells: Ints
    gene_counts: Ints

    def percent(self, name: str) -> NDArray[np.float64]:
        """Percentage of each cell's counts that a gene set has (``pct_counts_…``); NaN for cells without counts.

        Parameters
        ----------
        name
            A key of `set_counts`.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.set_counts[name] / self.total_counts * 100.0)


def qc_metrics(
    blocks: Iterable[CSR],
    n_genes: int,
    gene_sets: Mapping[str, Bools] | None = None,
    *,
    min_genes: int = 0,
    min_cells: int = 0,
    exclude: Bools | None = None,
    wanted: Bools | None = None,
) -> QC:
    """QC metrics of all cells and genes, with the two count filters applied in scanpy's order.

    Parameters
    ----------
    blocks
        Raw counts of all cells and genes; read once. Integers, or floats that are whole.
    n_genes
        Columns of the blocks.
    gene_sets
        Masks of genes by name, such as ``{"mt": …, "ribo": …}``.
    min_genes
        Genes with a count that a cell needs to be kept.
    min_cells
        Kept cells with a count that a gene needs to be kept.
    exclude
        Mask of genes left out of everything but the counts of gene sets within it (spike-ins).
    wanted
        Mask of the cells that may be kept; all if None. The others are measured, and count for no gene.

    Returns
    -------
    QC
        Metrics and masks.

    Raises
    ------
    DataError
        If a value is no count.
    """
    run = _Pass(n_genes, dict(gene_sets or {}), min_genes, min_cells, exclude, wanted)
    for block in cut(blocks, ROWS_AT_ONCE):
        run.add(block)
    return run.finish()


@dataclass
class _Pass:
    """Running sums of `qc_metrics`."""

    n_genes: int
    sets: dict[str, Bools]
    min_genes: int
    min_cells: int
    exclude: Bools | None
    wanted: Bools | None = None
    cells_seen: int = 0
    cell_rows: list[tuple[Bools, Ints, Ints]] = field(default_factory=list)
    rare: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)

    def __post_init__(self) -> None:
        counted = np.ones(self.n_genes, bool) if self.exclude is None else ~self.exclude
        within = [mask & counted if (mask & counted).any() else mask for mask in self.sets.values()]
        self.counted = counted
        self.weights = np.column_stack([counted, *within]).astype(np.int64)
        self.n_cells, self.gene_counts = (np.zeros(self.n_genes, np.int64) for _ in range(2))

    def add(self, block: CSR) -> None:
        block = check_counts(_checked_shape(block, self.n_genes), self.cells_seen)
        counts, pattern = block.astype(np.int64), like(block, np.ones(block.nnz, np.int64))
        detected = pattern @ self.weights[:, 0]
        keep = detected >= self.min_genes
        if self.wanted is not None:
            keep &= self.wanted[self.cells_seen : self.cells_seen + block.shape[0]]
        self.cell_rows.append((keep, detected, counts @ self.weights))
        self.n_cells += pattern.T @ keep.astype(np.int64)
        self.gene_counts += counts.T @ keep.astype(np.int64)
        self._set_rare_aside(counts, keep)
        self.cells_seen += block.shape[0]

    def _set_rare_aside(self, counts: CSR, keep: Bools) -> None:
        still = (self.n_cells < self.min_cells) & self.counted
        self.rare = [_where(still[entry[1]], entry) for entry in self.rare]
        places = np.flatnonzero(still[counts.indices])
        cells = np.searchsorted(counts.indptr, places, side="right") - 1
        entries = (cells + self.cells_seen, counts.indices[places], counts.data[places])
        self.rare.append(_where(keep[cells], entries))

    def finish(self) -> QC:
        keep, detected, sums = (np.concatenate([row[i] for row in self.cell_rows] or [_EMPTY[i]]) for i in range(3))
        sums = sums.reshape(-1, self.weights.shape[1])
        cells, genes, counts = (np.concatenate([entry[i] for entry in self.rare] or [_EMPTY[1]]) for i in range(3))
        rare = sparse.csr_matrix((counts, (cells, genes)), shape=(self.cells_seen, self.n_genes), dtype=np.int64)
        sums = sums - rare @ self.weights
        return QC(
            cells=keep.astype(bool),
            genes=(self.n_cells >= self.min_cells) & self.counted,
            n_genes_detected=detected,
            n_genes=detected - np.diff(rare.indptr),
            total_counts=sums[:, 0],
            set_counts={name: sums[:, i] for i, name in enumerate(self.sets, 1)},
            n_cells=self.n_cells,
            gene_counts=self.gene_counts,
        )


_EMPTY: tuple[NDArray[Any], ...] = (np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, np.int64))


def _where(mask: Bools, entry: tuple[Ints, Ints, Ints]) -> tuple[Ints, Ints, Ints]:
    return entry[0][mask], entry[1][mask], entry[2][mask]


def _checked_shape(block: CSR, n_genes: int) -> CSR:
    if block.shape[1] != n_genes:
        raise DataError(f"a block has {block.shape[1]} genes, not {n_genes}")
    return block


def top_fractions(blocks: Iterable[CSR], tops: tuple[int, ...] = (50, 100, 200, 500)) -> NDArray[np.float64]:
    """Fractions of each cell's counts in its most expressed genes (``pct_counts_in_top_…`` over 100).

    Parameters
    ----------
    blocks
        Counts over kept genes.
    tops
        Numbers of genes; more than there are count as all.

    Returns
    -------
    NDArray[np.float64]
        Cells × tops; NaN for cells without counts.
    """
    cells = (counts for block in blocks for counts in np.split(block.data, block.indptr[1:-1]))
    rows = [_cell_fractions(counts, tops) for counts in cells]
    return np.array(rows, np.float64).reshape(len(rows), len(tops))


def _cell_fractions(counts: Ints, tops: tuple[int, ...]) -> NDArray[np.float64]:
    if not len(counts):
        return np.full(len(tops), np.nan)
    sums = np.cumsum(np.sort(counts)[::-1], dtype=np.float64)
    return np.asarray(sums[np.minimum(tops, len(counts)) - 1] / sums[-1])


def mad_limits(values: Ints | Floats, n_mads: float) -> tuple[float, float]:
    """Limits beyond which a value is an outlier: so many median absolute deviations from the median.

    Parameters
    ----------
    values
        A metric of cells, such as ``log1p(total_counts)``; NaN is left out.
    n_mads
        Deviations (not scaled to a standard deviation) on either side; 5 is usual, 3 for mitochondrial counts.

    Returns
    -------
    tuple[float, float]
        Lowest and highest value that is no outlier.

    References
    ----------
    Germain, Sonrel and Robinson 2020, Genome Biology 21:227; Heumos et al. 2023, Nature Reviews Genetics 24:550.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        raise DataError("no cell has a value to take the median of")
    median = float(np.median(known))
    reach = n_mads * float(np.median(np.abs(known - median)))
    return median - reach, median + reach
