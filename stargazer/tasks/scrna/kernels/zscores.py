"""Z-scores of sparse values, and their principal components without ever making them dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stargazer.tasks.scrna.kernels.blocks import like

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import CSR, Floats

__all__ = ["leading_components", "mean_and_deviation", "to_a_million"]

TARGET_SUM = 1e6


def to_a_million(counts: CSR) -> CSR:
    """Counts of each cell scaled to a million; cells without counts keep none.

    Parameters
    ----------
    counts
        Cells × genes, in double precision.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    factors = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    return like(counts, counts.data * np.repeat(factors, np.diff(counts.indptr)))


def mean_and_deviation(values: CSR) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (n - 1) of each gene; 1 for the deviation of genes that do not vary.

    Parameters
    ----------
    values
        Cells × genes.
    """
    n, n_genes = values.shape
    mean = np.bincount(values.indices, values.data, n_genes) / n
    squares = np.bincount(values.indices, values.data**2, n_genes)
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 0.0) * (n / (n - 1)))
    return mean, np.where(deviation > 0, deviation, 1.0)


def leading_components(values: CSR, mean: Floats, deviation: Floats, n_pcs: int, seed: int) -> NDArray[np.float64]:
    """Leading eigenvectors of the z-scores' covariance, from products with the sparse values alone (Lanczos).

    Parameters
    ----------
    values
        Cells × genes.
    mean, deviation
        Of each gene.
    n_pcs
        Components asked for; no more than ``min(cells, genes) - 1`` are given.
    seed
        Of the vector to start from.

    Returns
    -------
    NDArray[np.float64]
        Genes × components, in order of falling variance.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    n, n_genes = values.shape
    transposed = values.T.tocsr()

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = vector.ravel() / deviation
        scores = values @ weights - mean @ weights
        return np.asarray((transposed @ scores - mean * scores.sum()) / deviation)

    operator = LinearOperator((n_genes, n_genes), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n_genes)
    _, vectors = eigsh(operator, k=min(n_pcs, n_genes - 1, n - 1), which="LA", v0=start, tol=1e-6)
    return np.asarray(vectors[:, ::-1])
