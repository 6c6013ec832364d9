"""First coordinates of UMAP: eigenvectors of the graph's Laplacian, as umap-learn computes them.

Belkin and Niyogi 2003, Neural Computation 15:1373. Pieces of the graph that nothing connects are laid out one by one
around the places of their centroids.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import CSR, Floats

__all__ = ["spectral_layout"]


def spectral_layout(
    coordinates: Floats, graph: CSR, dimensions: int, draws: np.random.RandomState
) -> NDArray[np.floating[Any]]:
    """Coordinates from the graph alone; those of its cells only place the pieces of a graph that is not connected.

    Parameters
    ----------
    coordinates
        Cells × components, what the graph was made from.
    graph
        Weights, symmetric.
    dimensions
        How many.
    draws
        Random numbers.
    """
    from scipy.sparse.csgraph import connected_components

    n_pieces, labels = connected_components(graph)
    if n_pieces == 1:
        return _eigenvectors(graph, dimensions, draws)
    places = _places(coordinates, labels, n_pieces, dimensions, draws)
    result = np.empty((graph.shape[0], dimensions), np.float32)
    for label in range(n_pieces):
        within = labels == label
        gaps = np.linalg.norm(places - places[label], axis=1)
        reach = gaps[gaps > 0].min() / 2.0
        result[within] = _piece(graph.tocsr()[within][:, within], dimensions, reach, draws) + places[label]
    return result


def _piece(graph: CSR, dimensions: int, reach: float, draws: np.random.RandomState) -> NDArray[np.floating[Any]]:
    n = graph.shape[0]
    if n < 2 * dimensions or n <= dimensions + 1:
        return draws.uniform(low=-reach, high=reach, size=(n, dimensions))
    found = _eigenvectors(graph, dimensions, draws)
    return np.asarray(found * (reach / np.abs(found).max()))


def _places(
    coordinates: Floats, labels: NDArray[np.int32], n_pieces: int, dimensions: int, draws: np.random.RandomState
) -> NDArray[np.float64]:
    """Places of the pieces: on the axes if there are few, else a spectral embedding of their centroids."""
    if n_pieces <= 2 * dimensions:
        k = int(np.ceil(n_pieces / 2.0))
        base = np.hstack([np.eye(k), np.zeros((k, dimensions - k))])
        return np.vstack([base, -base])[:n_pieces]
    from sklearn.manifold import SpectralEmbedding
    from sklearn.metrics import pairwise_distances

    centroids = np.stack([coordinates[labels == label].mean(axis=0) for label in range(n_pieces)]).astype(np.float64)
    affinities = np.exp(-(pairwise_distances(centroids) ** 2))
    model = SpectralEmbedding(n_components=dimensions, affinity="precomputed", random_state=draws)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # far pieces: they are laid out all the same
        places = model.fit_transform(affinities)
    return np.asarray(places / places.max())


def _eigenvectors(graph: CSR, dimensions: int, draws: np.random.RandomState) -> NDArray[np.floating[Any]]:
    """Eigenvectors of the normalised Laplacian after the first; random coordinates if they cannot be found."""
    from scipy.sparse.linalg import ArpackError, eigsh

    n, k = graph.shape[0], dimensions + 1
    roots = np.sqrt(np.asarray(graph.sum(axis=0)).squeeze())
    inverse = sparse.spdiags(1.0 / roots, 0, n, n)
    laplacian = sparse.identity(n, dtype=np.float64) - inverse @ graph @ inverse
    draws.normal(size=(n, k))  # umap-learn draws a start that this solver has no use for: keep the sequence
    lanczos = max(2 * k + 1, int(np.sqrt(n)))
    try:
        values, vectors = eigsh(laplacian, k, which="SM", ncv=lanczos, tol=1e-4, v0=np.ones(n), maxiter=n * 5)
    except ArpackError:
        return draws.uniform(low=-10.0, high=10.0, size=(n, dimensions))
    return np.asarray(vectors[:, np.argsort(values)[1:k]])
