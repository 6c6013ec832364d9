"""Score above which a cell is called a doublet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OBSERVED_WEIGHT", "doublet_threshold"]

OBSERVED_WEIGHT = 2.25
"""What a cell that is called beyond those expected counts against a simulated doublet that is found."""
LEAST = 0.1


def doublet_threshold(scores: NDArray[np.float64], simulated: NDArray[np.float64], rate: float) -> float | None:
    """The score above which there are most simulated doublets for the fewest cells.

    It maximises the share of simulated doublets above it, less 2.25 times the share of cells above it that are not
    expected to be doublets: Youden's index with a weight. Doublets of two like cells score as cells do, and cancel out.

    Parameters
    ----------
    scores
        Of the cells.
    simulated
        Of the simulated doublets.
    rate
        Fraction of doublets expected among the cells.

    Returns
    -------
    float | None
        Half-way between two scores that occur; None where no threshold tells them apart by a tenth.

    References
    ----------
    Youden 1950, Cancer 3:32.
    """
    candidates = np.unique(np.concatenate([scores, simulated]))
    if len(candidates) < 2 or not len(scores) or not len(simulated):
        return None
    middles = (candidates[1:] + candidates[:-1]) / 2
    found = _above(simulated, middles)
    gain = found - OBSERVED_WEIGHT * (_above(scores, middles) - rate * found)
    best = int(np.argmax(gain))
    return float(middles[best]) if gain[best] >= LEAST else None


def _above(values: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values above each limit."""
    return 1.0 - np.searchsorted(np.sort(values), limits, side="right") / len(values)
