"""QC metrics of cells and genes in one pass, with the count filters applied.

The filters follow scanpy's order: ``filter_cells(min_genes)``, then ``filter_genes(min_cells)`` over the cells left,
then ``calculate_qc_metrics`` over what both leave. One pass is enough: the few counts of genes that the second filter
will drop are set aside on the way and taken off the cells' metrics at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "QC",
    "GeneMasks",
    "RowSums",
    "joined_rows",
    "mad_limits",
    "qc_metrics",
    "row_sums",
    "top_fractions",
]

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
    genes = GeneMasks(n_genes, gene_sets or {}, exclude)
    part = row_sums(blocks, genes, min_genes=min_genes, min_cells=min_cells, wanted=wanted)
    return joined_rows([part], genes, min_cells=min_cells)


# Rows that are measured apart: all sums are of whole numbers, so that any cut and any order gives the same.


class RowSums(NamedTuple):
    """What some consecutive cells add to `QC`; cells are counted from the first of them.

    Attributes
    ----------
    keep, detected, sums
        Of each cell: whether `min_genes` keeps it, genes with a count, and counts of all genes and of each gene set.
    n_cells, gene_counts
        Of each gene, over the kept ones of these cells.
    rare_cells, rare_genes, rare_counts
        Counts of genes that too few of these cells have: the others may have it, or not.
    """

    keep: Bools
    detected: Ints
    sums: Ints
    n_cells: Ints
    gene_counts: Ints
    rare_cells: Ints
    rare_genes: Ints
    rare_counts: Ints


class GeneMasks:
    """Genes that count, and sets of genes.

    Parameters
    ----------
    n_genes
        Columns of the blocks.
    sets
        Masks by name.
    exclude
        Mask of genes left out of everything but the counts of gene sets within it; none if None.
    """

    def __init__(self, n_genes: int, sets: Mapping[str, Bools], exclude: Bools | None = None) -> None:
        self.counted = np.ones(n_genes, bool) if exclude is None else ~exclude
        self.names = list(sets)
        within = [mask & self.counted if (mask & self.counted).any() else mask for mask in sets.values()]
        self.weights = np.column_stack([self.counted, *within]).astype(np.int64)


def row_sums(
    blocks: Iterable[CSR], genes: GeneMasks, *, min_genes: int = 0, min_cells: int = 0, wanted: Bools | None = None
) -> RowSums:
    """Sums over some consecutive cells and over their genes; parameters as for `qc_metrics`.

    Raises
    ------
    DataError
        If a value is no count.
    """
    run = _Pass(genes, min_genes, min_cells, wanted)
    for block in cut(blocks, ROWS_AT_ONCE):
        run.add(block)
    return run.finish()


def joined_rows(parts: Sequence[RowSums], genes: GeneMasks, *, min_cells: int = 0) -> QC:
    """QC metrics of all cells, of sums over consecutive ones.

    Parameters
    ----------
    parts
        In the order of the cells; one at least.
    genes, min_cells
        As for `row_sums`.
    """
    keep, detected, sums = (np.concatenate([part[i] for part in parts]) for i in range(3))
    n_cells, gene_counts = (np.asarray(np.sum([part[i] for part in parts], axis=0, dtype=np.int64)) for i in (3, 4))
    starts = np.cumsum([0, *(len(part.keep) for part in parts)])
    still = (n_cells < min_cells) & genes.counted
    entries = [
        _where(still[part.rare_genes], (part.rare_cells + start, part.rare_genes, part.rare_counts))
        for part, start in zip(parts, starts[:-1], strict=True)
    ]
    cells, columns, counts = (np.concatenate([entry[i] for entry in entries]) for i in range(3))
    rare = sparse.csr_matrix((counts, (cells, columns)), shape=(len(keep), len(still)), dtype=np.int64)
    sums = sums - rare @ genes.weights
    return QC(
        cells=keep,
        genes=(n_cells >= min_cells) & genes.counted,
        n_genes_detected=detected,
        n_genes=detected - np.diff(rare.indptr),
        total_counts=sums[:, 0],
        set_counts={name: sums[:, i] for i, name in enumerate(genes.names, 1)},
        n_cells=n_cells,
        gene_counts=gene_counts,
    )


@dataclass
class _Pass:
    """Running sums of `row_sums`."""

    genes: GeneMasks
    min_genes: int
    min_cells: int
    wanted: Bools | None = None
    cells_seen: int = 0
    cell_rows: list[tuple[Bools, Ints, Ints]] = field(default_factory=list)
    rare: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.n_cells, self.gene_counts = (np.zeros(len(self.genes.counted), np.int64) for _ in range(2))

    def add(self, block: CSR) -> None:
        block = check_counts(_checked_shape(block, len(self.n_cells)), self.cells_seen)
        counts, pattern = block.astype(np.int64), like(block, np.ones(block.nnz, np.int64))
        detected = pattern @ self.genes.weights[:, 0]
        keep = detected >= self.min_genes
        if self.wanted is not None:
            keep &= self.wanted[self.cells_seen : self.cells_seen + block.shape[0]]
        self.cell_rows.append((keep, detected, counts @ self.genes.weights))
        self.n_cells += pattern.T @ keep.astype(np.int64)
        self.gene_counts += counts.T @ keep.astype(np.int64)
        self._set_rare_aside(counts, keep)
        self.cells_seen += block.shape[0]

    def _set_rare_aside(self, counts: CSR, keep: Bools) -> None:
        still = (self.n_cells < self.min_cells) & self.genes.counted
        self.rare = [_where(still[entry[1]], entry) for entry in self.rare]
        places = np.flatnonzero(still[counts.indices])
        cells = np.searchsorted(counts.indptr, places, side="right") - 1
        entries = (cells + self.cells_seen, counts.indices[places], counts.data[places])
        self.rare.append(_where(keep[cells], entries))

    def finish(self) -> RowSums:
        width = self.genes.weights.shape[1]
        none = (np.zeros(0, bool), np.zeros(0, np.int64), np.zeros((0, width), np.int64))
        keep, detected, sums = (np.concatenate([row[i] for row in self.cell_rows] or [none[i]]) for i in range(3))
        cells, genes, counts = (np.concatenate([entry[i] for entry in self.rare] or [none[1]]) for i in range(3))
        return RowSums(keep, detected, sums, self.n_cells, self.gene_counts, cells, genes, counts)


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
