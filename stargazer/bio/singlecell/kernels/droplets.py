"""Which droplets hold cells: the knee of the curve of counts against rank.

References
----------
Lun ATL et al. EmptyDrops: distinguishing cells from empty droplets in droplet-based single-cell RNA sequencing data.
Genome Biology 20, 63 (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Knee", "expected_limit", "find_knee"]

POINTS = 400
"""Places of the curve that are kept for drawing, evenly by the logarithm of rank."""
STEP, SMOOTH = 0.05, 5
"""Width of a bin of the logarithm of counts, and over how many bins droplets are averaged."""
FEWEST = 20
"""Droplets that must have more counts for there to be cells."""
DEEP = 0.5
"""Where there are droplets of the usual kinds, at most this share of the smaller kind's peak lies between them."""


class Knee(NamedTuple):
    """Where counts fall from those of cells to those of empty droplets.

    Parameters
    ----------
    limit
        Counts that a cell needs: where the curve of counts by rank is steepest, because fewest droplets have so many.
    ambient
        Counts of a usual empty droplet.
    clear
        Whether there are two kinds of droplets at all.
    ranks, totals
        The curve, for drawing.
    """

    limit: float
    ambient: float
    clear: bool
    ranks: NDArray[np.int64]
    totals: NDArray[np.float64]


def find_knee(totals: NDArray[Any], lower: int = 0) -> Knee:
    """Find the steepest place of the curve of counts against rank, both as logarithms.

    The curve is steepest where fewest droplets are for a change of counts, between the many empty ones and the cells.

    Parameters
    ----------
    totals
        Counts of each droplet.
    lower
        Droplets with as many counts or fewer are empty; if 0, as many as the median one has.

    Raises
    ------
    DataError
        Too few droplets have more counts.
    """
    ordered = np.sort(np.asarray(totals, np.float64))[::-1]
    ordered = ordered[ordered > 0]
    ambient = float(np.median(ordered)) if len(ordered) else 0.0
    above = ordered[ordered > 1.5 * max(ambient, float(lower)) + 10.0]
    if len(above) < FEWEST:
        many = f"{len(above) or 'none'} of {len(ordered)} droplets with counts"
        raise DataError(f"{many} stand out against empty ones: there are no cells to call")
    start = np.log10(max(ambient, float(lower), 1.0))
    logs = np.log10(ordered)
    edges = np.arange(start, logs[0] + 2 * STEP, STEP)
    counts = np.histogram(logs[logs >= start], edges)[0].astype(np.float64)
    density = np.convolve(counts, np.ones(SMOOTH) / SMOOTH, mode="same")
    left = np.maximum.accumulate(density)
    right = np.maximum.accumulate(density[::-1])[::-1]
    smaller = np.minimum(left, right)
    depth = smaller - density
    # Of a gap without any droplets its middle.
    deepest = np.flatnonzero(np.isclose(depth, depth.max()))
    valley = int(deepest[len(deepest) // 2])
    clear = bool(depth[valley] > 0 and density[valley] <= DEEP * smaller[valley])
    limit = float(10.0 ** ((edges[valley] + edges[valley + 1]) / 2))
    shown = np.unique(np.geomspace(1, len(ordered), POINTS).astype(np.int64))
    return Knee(limit, ambient, clear and int((ordered >= limit).sum()) >= FEWEST, shown, ordered[shown - 1])


def expected_limit(totals: NDArray[Any], expected_cells: int) -> float:
    """Counts that a cell needs where so many are expected: a tenth of what the largest of them have.

    Parameters
    ----------
    totals
        Counts of each droplet.
    expected_cells
        How many cells were loaded and caught.
    """
    largest = np.sort(np.asarray(totals, np.float64))[::-1][: max(expected_cells, 1)]
    return float(np.quantile(largest, 0.99)) / 10.0
