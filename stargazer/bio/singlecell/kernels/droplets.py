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
"""Places at which the curve is looked at, evenly by the logarithm of rank."""
SMOOTH = 9
"""Places over which its slope is taken."""
FEWEST = 20
STEEP = -1.2
"""Slope from which a fall is one from cells to empty droplets: in logarithms, counts against rank."""


class Knee(NamedTuple):
    """Where counts fall from those of cells to those of empty droplets.

    Parameters
    ----------
    limit
        Counts that a cell needs: those at the steepest place of the curve.
    knee
        Counts where the fall begins.
    ambient
        Counts of a usual empty droplet.
    clear
        Whether there is such a fall at all.
    ranks, totals
        The curve, for drawing.
    """

    limit: float
    knee: float
    ambient: float
    clear: bool
    ranks: NDArray[np.int64]
    totals: NDArray[np.float64]


def find_knee(totals: NDArray[Any], lower: int = 0) -> Knee:
    """Find the steepest place of the curve of counts against rank, both as logarithms.

    Parameters
    ----------
    totals
        Counts of each droplet.
    lower
        Droplets with as many counts or fewer are empty; if 0, half as many again as the median droplet, and ten.

    Raises
    ------
    DataError
        Too few droplets have more counts.
    """
    ordered = np.sort(np.asarray(totals, np.float64))[::-1]
    ordered = ordered[ordered > 0]
    ambient = float(np.median(ordered)) if len(ordered) else 0.0
    least = float(lower) if lower else 1.5 * ambient + 10.0
    above = ordered[ordered > least]
    if len(above) < FEWEST:
        raise DataError(f"only {len(above)} droplets have more than {least:.0f} counts: there are no cells to call")
    places = np.unique(np.geomspace(1, len(above), POINTS).astype(np.int64))
    x, y = np.log10(places), np.log10(above[places - 1])
    span = min(SMOOTH, max(len(x) // 4, 1))
    slope = (y[span:] - y[:-span]) / (x[span:] - x[:-span])
    # The first ranks are few cells each, whose counts jump.
    first = min(int(np.searchsorted(places, FEWEST)), len(slope) - 1)
    steepest = first + int(np.argmin(slope[first:]))
    middle = steepest + span // 2
    begins = next((at for at in range(steepest, first, -1) if slope[at] > STEEP / 2), first)
    clear = bool(slope[steepest] < STEEP)
    shown = np.unique(np.geomspace(1, len(ordered), POINTS).astype(np.int64))
    limit = 10.0 ** float((y[steepest] + y[min(steepest + span, len(y) - 1)]) / 2) if clear else least
    return Knee(limit, float(10.0 ** y[min(begins, middle)]), ambient, clear, shown, ordered[shown - 1])


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
