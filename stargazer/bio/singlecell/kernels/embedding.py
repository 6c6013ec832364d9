"""UMAP coordinates of cells (McInnes, Healy and Melville 2018, arXiv:1802.03426), those of `scanpy.tl.umap`.

The same optimisation as umap-learn's with a seed: one thread, stochastic gradient descent with negative samples. It
stands here because importing umap-learn and its compiling take some ten seconds; this takes one, once a machine.
"""

from __future__ import annotations

import functools
import warnings
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.kernels.threads import one_blas_thread
from stargazer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSR, Floats

__all__ = ["curve", "spectral_layout", "umap"]

NEGATIVE_SAMPLES = 5
LARGEST_STEP = 4.0


def umap(
    coordinates: Floats,
    graph: CSR,
    *,
    dimensions: int = 2,
    min_dist: float = 0.5,
    spread: float = 1.0,
    n_epochs: int | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """UMAP coordinates of cells from their neighbour graph.

    Parameters
    ----------
    coordinates
        Cells × components that the graph was made from; they only place the pieces of a graph that is not connected.
    graph
        Weights, symmetric (`connectivities`).
    dimensions
        Of the result.
    min_dist, spread
        Least distance between neighbours, and the scale of the whole.
    n_epochs
        Rounds; 500 up to 10,000 cells and 200 beyond if None.
    seed
        Of the start and of the negative samples.

    Returns
    -------
    NDArray[np.float32]
        Cells × dimensions.

    Raises
    ------
    DataError
        If there are too few cells or a weight is not finite.
    """
    n = graph.shape[0]
    if n <= dimensions + 1 or not np.isfinite(graph.data).all() or not graph.nnz:
        raise DataError(f"UMAP needs more than {dimensions + 1} cells and finite weights; there are {n} cells")
    rounds = n_epochs or (500 if n <= 10_000 else 200)
    edges = graph.tocoo(copy=True)
    edges.sum_duplicates()
    edges.data[edges.data < edges.data.max() / float(rounds if rounds > 10 else 500 if n <= 10_000 else 200)] = 0.0
    edges.eliminate_zeros()
    draws = np.random.RandomState(seed)
    with one_blas_thread():
        start = _start(spectral_layout(coordinates, edges, dimensions, draws), draws)
    state = draws.randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3).astype(np.int64)
    states = np.full((n, 3), state) + start[:, 0].astype(np.float64).view(np.int64).reshape(-1, 1)
    a, b = curve(min_dist, spread)
    intervals = _intervals(edges.data, rounds)
    rates = np.array([1.0, *(1.0 - n / float(rounds) for n in range(rounds - 1))])
    _compiled()(start, edges.row, edges.col, intervals, intervals / NEGATIVE_SAMPLES, states, a, b, rates)
    return start


def _start(layout: NDArray[np.floating], draws: np.random.RandomState) -> NDArray[np.float32]:
    """The layout within a square, shaken a little."""
    layout = (layout * (10.0 / np.abs(layout).max())).astype(np.float32)
    layout = layout + draws.normal(scale=0.0001, size=layout.shape).astype(np.float32)
    low, high = layout.min(axis=0), layout.max(axis=0)
    return np.ascontiguousarray(10.0 * (layout - low) / (high - low), np.float32)


def _intervals(weights: NDArray[np.float32], rounds: int) -> NDArray[np.float64]:
    """Rounds between two uses of each edge."""
    uses = rounds * (weights / weights.max())
    return np.asarray(float(rounds) / uses.astype(np.float64))


def curve(min_dist: float, spread: float) -> tuple[float, float]:
    """Parameters a and b of the curve ``1 / (1 + a x^2b)`` nearest to an offset exponential decay.

    Parameters
    ----------
    min_dist
        Distance up to which the decay is 1.
    spread
        Its scale.
    """
    from scipy.optimize import curve_fit

    x = np.linspace(0, spread * 3, 300)
    y = np.where(x < min_dist, 1.0, np.exp(-(x - min_dist) / spread))
    (a, b), _ = curve_fit(lambda x, a, b: 1.0 / (1.0 + a * x ** (2 * b)), x, y)
    return float(a), float(b)


@functools.cache
def _compiled() -> Any:
    """`_optimise` in machine code. What it calls is compiled beside it, so that only a run waits for numba."""
    from numba import float32, njit

    scope: dict[str, Any] = {"__name__": __name__, "LARGEST_STEP": LARGEST_STEP}
    exact = {"total": float32, "gap": float32}
    for function, signature, options in (
        (_random, "i4(i8[:])", {}),
        (_clipped, "f8(f8)", {}),
        (_squared, "f4(f4[::1],f4[::1])", {"fastmath": True, "locals": exact}),
        (_optimise, None, {"fastmath": True, "nogil": True}),
    ):
        plain = FunctionType(function.__code__, scope, function.__name__)
        plain.__module__, plain.__qualname__ = __name__, function.__qualname__
        scope[function.__name__] = njit(signature, cache=True, **options)(plain)
    return scope["_optimise"]


def _random(state: Any) -> Any:
    """Pseudo-random 32-bit integer (L'Ecuyer 1996, Mathematics of Computation 65:203)."""
    state[0] = (((state[0] & 4294967294) << 12) & 0xFFFFFFFF) ^ ((((state[0] << 13) & 0xFFFFFFFF) ^ state[0]) >> 19)
    state[1] = (((state[1] & 4294967288) << 4) & 0xFFFFFFFF) ^ ((((state[1] << 2) & 0xFFFFFFFF) ^ state[1]) >> 25)
    state[2] = (((state[2] & 4294967280) << 17) & 0xFFFFFFFF) ^ ((((state[2] << 3) & 0xFFFFFFFF) ^ state[2]) >> 11)
    return state[0] ^ state[1] ^ state[2]


def _clipped(step: Any) -> Any:
    return min(max(step, -LARGEST_STEP), LARGEST_STEP)


def _squared(x: Any, y: Any) -> Any:
    total = 0.0
    for d in range(x.shape[0]):
        gap = x[d] - y[d]
        total += gap * gap
    return total


def _optimise(
    points: Any,
    heads: Any,
    tails: Any,
    intervals: Any,
    pauses: Any,
    states: Any,
    a: float,
    b: float,
    rates: Any,
) -> None:
    """Pull the ends of each edge together when it is its turn, and push random cells away."""
    next_pull, next_push = intervals.copy(), pauses.copy()
    for n, rate in enumerate(rates):
        for i in range(intervals.shape[0]):
            if next_pull[i] > n:
                continue
            j, k = heads[i], tails[i]
            here, there = points[j], points[k]
            squared = _squared(here, there)
            pull = 0.0
            if squared > 0.0:
                pull = -2.0 * a * b * pow(squared, b - 1.0)
                pull /= a * pow(squared, b) + 1.0
            for d in range(points.shape[1]):
                step = _clipped(pull * (here[d] - there[d]))
                here[d] += step * rate
                there[d] += -step * rate
            next_pull[i] += intervals[i]
            n_pushes = int((n - next_push[i]) / pauses[i])
            for _ in range(n_pushes):
                k = _random(states[j]) % points.shape[0]
                there = points[k]
                squared = _squared(here, there)
                if squared > 0.0:
                    push = 2.0 * b
                    push /= (0.001 + squared) * (a * pow(squared, b) + 1)
                    for d in range(points.shape[1]):
                        here[d] += _clipped(push * (here[d] - there[d])) * rate
            next_push[i] += n_pushes * pauses[i]


# First coordinates of UMAP: eigenvectors of the graph's Laplacian, as umap-learn computes them.
#
# Belkin and Niyogi 2003, Neural Computation 15:1373. Pieces of the graph that nothing connects are laid out one by one
# around the places of their centroids.


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
