"""Threshold between the two modes of a distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.tasks.scrna.kernels.blocks import Floats

__all__ = ["valley"]

N_BINS = 256
ROUNDS = 10_000


def valley(values: Floats) -> float | None:
    """Lowest point between the two modes of a histogram that is smoothed until no more than two are left.

    The same as `skimage.filters.threshold_minimum`, which Scrublet uses.

    Parameters
    ----------
    values
        Such as scores of simulated doublets.

    Returns
    -------
    float | None
        The threshold; None if there are no two modes.

    References
    ----------
    Prewitt and Mendelsohn 1966, Annals of the New York Academy of Sciences 128:1035.
    """
    from scipy.ndimage import uniform_filter1d

    if not len(values) or float(np.min(values)) == float(np.max(values)):
        return None
    counts, edges = np.histogram(values, N_BINS)
    smooth = counts.astype(np.float32)
    for _ in range(ROUNDS):
        smooth = uniform_filter1d(smooth, 3)
        modes = _modes(smooth)
        if len(modes) < 3:
            break
    if len(modes) != 2:
        return None
    lowest = modes[0] + int(np.argmin(smooth[modes[0] : modes[1] + 1]))
    return float((edges[lowest] + edges[lowest + 1]) / 2)


def _modes(heights: NDArray[np.float32]) -> list[int]:
    """Bins where the histogram has risen and starts to fall (the end of a plateau's rise counts, its end alone not)."""
    modes, rising = [], True
    for i, step in enumerate(np.diff(heights).tolist()):
        if rising and step < 0:
            modes.append(i)
            rising = False
        elif not rising and step > 0:
            rising = True
    return modes
