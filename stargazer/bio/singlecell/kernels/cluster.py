"""Communities of a neighbour graph (Leiden), and principal components with batches taken out (Harmony)."""

from __future__ import annotations

import random
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.kernels.threads import one_blas_thread
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stargazer.bio.singlecell.kernels.blocks import CSR, Floats, Ints

__all__ = ["harmony", "leiden"]

_igraph_draws = Lock()


def leiden(graph: CSR, resolution: float = 0.5, *, n_iterations: int = 2, seed: int = 0) -> NDArray[np.int64]:
    """Communities that maximise modularity.

    The partition is that of ``scanpy.tl.leiden(flavor="igraph", directed=False)`` on the same graph: the same edges in
    the same order and the same random numbers.

    Parameters
    ----------
    graph
        Weights, cells × cells, symmetric (`connectivities`).
    resolution
        Higher gives more communities.
    n_iterations
        Rounds; -1 until nothing changes.
    seed
        Of the order in which cells are looked at.

    Returns
    -------
    NDArray[np.int64]
        Community of each cell, from 0.

    Raises
    ------
    DataError
        If a weight is not finite, or the resolution is negative.

    References
    ----------
    Traag, Waltman and van Eck 2019, Scientific Reports 9:5233.
    """
    import igraph

    if not np.isfinite(graph.data).all() or resolution < 0:
        raise DataError(f"Leiden needs finite weights and a resolution from 0 up, not {resolution}")
    known = graph.data != 0
    sources = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))[known]
    edges = np.column_stack([sources, graph.indices[known]])
    network = igraph.Graph(n=graph.shape[0], edges=edges)
    weights = graph.data[known].astype(np.float64).tolist()
    with _igraph_draws, _drawing(igraph, seed):
        found = network.community_leiden(
            objective_function="modularity", weights=weights, resolution=resolution, n_iterations=n_iterations
        )
    return np.asarray(found.membership, np.int64)


class _Numbers:
    """Random numbers for igraph from NumPy's Mersenne Twister, as scanpy draws them."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)
        self.random, self.gauss = self._state.random, self._state.normal

    def getrandbits(self, bits: int) -> int:
        return int(self._state.tomaxint()) & ((1 << bits) - 1)

    def randint(self, low: int, high: int) -> int:
        return int(self._state.randint(low, high + 1))


@contextmanager
def _drawing(igraph: Any, seed: int) -> Iterator[None]:
    """Let igraph, which knows one source of random numbers a process, draw from ours."""
    igraph.set_random_number_generator(_Numbers(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def harmony(coordinates: Floats, batches: Ints, *, seed: int = 0) -> NDArray[np.float32]:
    """Principal components with the differences between batches taken out.

    Parameters
    ----------
    coordinates
        Cells × components.
    batches
        Batch of each cell, from 0.
    seed
        Of the first clusters.

    Returns
    -------
    NDArray[np.float32]
        Cells × components; unchanged where there is one batch only.

    Raises
    ------
    DataError
        If a coordinate is not finite, or labels do not fit the cells.

    References
    ----------
    Korsunsky et al. 2019, Nature Methods 16:1289.
    """
    points = np.asarray(coordinates, np.float64)
    if not np.isfinite(points).all() or len(batches) != len(points):
        raise DataError(f"Harmony needs finite coordinates and a batch for each of {len(points)} cells")
    if len(np.unique(batches)) < 2:
        return points.astype(np.float32)
    import harmonypy

    labels = {"batch": np.asarray(batches).astype(str)}
    with one_blas_thread():
        result = harmonypy.run_harmony(points, _Table(labels), ["batch"], random_state=seed, ncores=1, verbose=False)
    corrected = np.asarray(result.Z_corr, np.float32)
    return corrected if corrected.shape == points.shape else corrected.T


class _Table(dict[str, "NDArray[np.str_]"]):
    """Columns by name with a shape, which is all of a data frame that harmonypy looks at."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(next(iter(self.values()))), len(self)
