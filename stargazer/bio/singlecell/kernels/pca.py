"""Principal components from the covariance matrix of highly variable genes, in one pass over row blocks.

Values are log-normalised counts, centred; scaled to unit variance and clipped only on request (scanpy's tutorials of
today, and its ``pca`` by itself, do not scale). Decomposing the covariance matrix gives what a singular value
decomposition of the centred values gives (Jolliffe 2002, Principal Component Analysis, §3.5) at a cost in memory that
depends on the number of genes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stargazer.bio.singlecell.kernels.blocks import CSR, log_normalised, reblock, with_factors
from stargazer.bio.singlecell.kernels.threads import one_blas_thread, ordered_map
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import Floats

__all__ = ["PCA", "Scaling", "components", "fit_pca", "project"]

BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Scaling:
    """How `scanpy.pp.scale` scales values before PCA.

    Attributes
    ----------
    mean, deviation
        Of each gene's log-normalised values: `Moments` with ``log=True``, the variance's root.
    max_value
        Scaled values are clipped to ± this; not at all if None.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    max_value: float | None = None


@dataclass(frozen=True)
class PCA:
    """Principal components.

    Attributes
    ----------
    components
        Loadings, genes × components (scanpy's ``varm["PCs"]``); the largest of each component is positive.
    mean
        What is taken off each gene's values before they are projected.
    variance
        Of each component, over n - 1 cells.
    variance_ratio
        The same over the sum of the variances of all genes.
    scaling
        How values are scaled before, if they are.
    """

    components: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_ratio: NDArray[np.float64]
    scaling: Scaling | None = None


def fit_pca(
    blocks: Iterable[CSR], factors: Floats, n_pcs: int, *, scaling: Scaling | None = None, threads: int = 1
) -> PCA:
    """Principal components of log-normalised values; one pass over the blocks.

    Parameters
    ----------
    blocks
        Counts of kept cells and highly variable genes alone (`select`).
    factors
        Size factors of these cells, from the counts of all kept genes.
    n_pcs
        Components asked for; no more than ``min(cells, genes) - 1`` are given.
    scaling
        Scale and clip values first.
    threads
        Blocks worked on at once; they change no bit of the result.

    Returns
    -------
    PCA
        Components in order of falling variance.

    Raises
    ------
    DataError
        If there are fewer than two cells or genes, or a value is not finite.
    """
    transform = partial(_gram, scaling=scaling)
    pairs = with_factors(reblock(blocks, BLOCK_ROWS), factors)
    total, products = np.zeros(0), np.zeros((0, 0))
    for sums, gram in ordered_map(transform, pairs, threads):
        if not len(total):
            total, products = sums, gram
            continue
        total += sums
        products += gram
    n = len(factors)
    if n < 2 or len(total) < 2:
        raise DataError(f"principal components need two cells and two genes; there are {n} and {len(total)}")
    mean = total / n
    products -= np.outer(n * mean, mean)
    products /= n - 1
    return components(products, mean, min(n_pcs, n - 1), scaling)


def _gram(pair: tuple[CSR, Floats], scaling: Scaling | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = _dense(log_normalised(*pair), scaling)
    return values.sum(axis=0), values.T @ values


def _dense(values: CSR, scaling: Scaling | None) -> NDArray[np.float64]:
    dense: NDArray[np.float64] = values.astype(np.float64).toarray()
    if scaling is None:
        return dense
    dense -= scaling.mean
    dense /= _deviation(scaling)
    if scaling.max_value is not None:
        np.clip(dense, -scaling.max_value, scaling.max_value, out=dense)
    return dense


def _deviation(scaling: Scaling) -> NDArray[np.float64]:
    return np.where(scaling.deviation == 0, 1.0, scaling.deviation)


def components(
    covariance: NDArray[np.float64], mean: NDArray[np.float64], n_pcs: int, scaling: Scaling | None = None
) -> PCA:
    """Leading eigenvectors of a covariance matrix, with signs that depend on nothing else.

    Parameters
    ----------
    covariance
        Genes × genes.
    mean
        Of each gene.
    n_pcs
        Components asked for; no more than ``genes - 1`` are given.
    scaling
        Kept in the result for `project`.

    Raises
    ------
    DataError
        If the matrix is not finite, or ``n_pcs`` is less than 1.
    """
    from scipy.linalg import eigh

    if not np.isfinite(covariance).all():
        raise DataError("the values have NaN or infinite entries")
    n_genes = len(covariance)
    n_pcs = min(n_pcs, n_genes - 1)
    if n_pcs < 1:
        raise DataError(f"n_pcs is {n_pcs}: ask for at least one component")
    with one_blas_thread():
        variance, vectors = eigh(covariance, subset_by_index=[n_genes - n_pcs, n_genes - 1])
    variance, vectors = np.maximum(variance[::-1], 0.0), vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n_pcs)]
    total = float(np.trace(covariance))
    ratio = variance / total if total > 0 else np.zeros(n_pcs)
    return PCA(vectors * np.where(largest < 0, -1.0, 1.0), mean, variance, ratio, scaling)


def project(blocks: Iterable[CSR], factors: Floats, pca: PCA, *, threads: int = 1) -> NDArray[np.float32]:
    """Coordinates of cells along the components (scanpy's ``obsm["X_pca"]``); one pass over the blocks.

    Parameters
    ----------
    blocks
        Counts of the same cells and genes as those of `fit_pca`.
    factors
        Size factors of these cells.
    pca
        The components.
    threads
        Blocks worked on at once.

    Returns
    -------
    NDArray[np.float32]
        Cells × components, in single precision.
    """
    transform = partial(_coordinates, pca=pca)
    parts = list(ordered_map(transform, with_factors(reblock(blocks, BLOCK_ROWS), factors), threads))
    return np.concatenate(parts) if parts else np.zeros((0, pca.components.shape[1]), np.float32)


def _coordinates(pair: tuple[CSR, Floats], pca: PCA) -> NDArray[np.float32]:
    values = log_normalised(*pair)
    if pca.scaling is None:
        coordinates = values.astype(np.float64) @ pca.components - pca.mean @ pca.components
    else:
        coordinates = (_dense(values, pca.scaling) - pca.mean) @ pca.components
    return np.asarray(coordinates, np.float32)
