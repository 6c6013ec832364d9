"""Charts of cells as SVG, whose text takes the colours of the page it stands in: light or dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.picture import colour
from stargazer.display.html import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MOST_POINTS", "RAMP", "by_category", "by_value", "counts_and_genes", "knee"]

SIZE = 300
MOST_POINTS = 4_000
"""Cells that are drawn; of more so many, evenly taken."""
RAMP = ("#30123b", "#4145ab", "#4675ed", "#39a2fc", "#1bcfd4", "#61fc6c", "#d1e834", "#fe9b2d", "#d93806", "#7a0403")
"""Colours of small to large values: Google's Turbo, which tells neighbours apart on light and dark pages."""
WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 300.0, 210.0, 50.0, 36.0, 8.0


def _svg(width: float, height: float, label: str, inside: str) -> str:
    box = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} fill="none" stroke-linecap="round">{inside}</svg>'


def _placed(points: NDArray[Any]) -> NDArray[np.float64]:
    low, span = points.min(axis=0), np.ptp(points, axis=0).max() or 1.0
    scaled = (points - low) / span * (SIZE - 12) + 6
    scaled[:, 1] = SIZE - scaled[:, 1]
    return np.asarray(scaled, np.float64)


def _dots(points: NDArray[Any], stroke: str, width: float) -> str:
    path = "".join(f"M{x:.0f} {y:.0f}h0" if width < 3 else f"M{x:.1f} {y:.1f}h0" for x, y in points.tolist())
    return f'<path d="{path}" stroke="{stroke}" stroke-width="{width:g}"/>' if path else ""


def _width(n: int) -> float:
    return 2.2 if n > 2_000 else 3.0 if n > 600 else 4.4


def by_category(points: NDArray[Any], codes: NDArray[Any], names: Sequence[str], *, named: bool = True) -> str:
    """Cells by coordinates, coloured by a category, with a legend, and names in their middle if wanted.

    Parameters
    ----------
    points
        Cells × 2.
    codes
        Category of each; -1 for none.
    names
        Of the categories.
    named
        Whether each has its name drawn at its middle.
    """
    placed = _placed(points)
    order = np.random.default_rng(0).permutation(len(placed))
    inside = "".join(
        _dots(placed[part[codes[part] == code]], colour(int(code)), _width(len(placed)))
        for part in np.array_split(order, 8)
        for code in np.unique(codes[part])
        if code >= 0
    )
    used = [int(code) for code in np.unique(codes) if code >= 0]
    for code in used if named else ():
        x, y = np.median(placed[codes == code], axis=0)
        inside += f'<text class="name" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(names[code])}</text>'
    keys = "".join(f'<span><i style="background:{colour(code)}"></i>{escape(names[code])}</span>' for code in used)
    return _svg(SIZE, SIZE, "UMAP", inside) + f'<div class="legend">{keys}</div>'


def by_value(points: NDArray[Any], values: NDArray[Any]) -> str:
    """Cells by coordinates, coloured by a number; the scale goes from its 1st to its 99th percentile.

    Parameters
    ----------
    points
        Cells × 2.
    values
        Of each; NaN for none.
    """
    known = np.isfinite(values)
    if not known.any():
        return ""
    low, high = (float(np.percentile(values[known], percent)) for percent in (1, 99))
    steps = np.clip((values - low) / ((high - low) or 1.0) * len(RAMP), 0, len(RAMP) - 1)
    codes = np.where(known, np.nan_to_num(steps), -1).astype(int)
    placed = _placed(points)
    inside = _dots(placed[~known], "#8888", _width(len(placed)))
    inside += "".join(_dots(placed[codes == code], RAMP[code], _width(len(placed))) for code in range(len(RAMP)))
    bar = f"background:linear-gradient(90deg,{','.join(RAMP)})"
    scale = f'<span>{low:.3g}</span><b style="{bar}"></b><span>{high:.3g}</span>'
    return _svg(SIZE, SIZE, "UMAP", inside) + f'<div class="legend scale">{scale}</div>'


class _Axes:
    """Axes by logarithms of base ten."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.low = np.floor(np.log10([x[0], y[0]]))
        high = np.ceil(np.log10([x[1], y[1]]))
        self.span = np.maximum(high - self.low, 1.0)

    def place(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        across, up = (
            (np.log10(each) - low) / span for each, low, span in zip((x, y), self.low, self.span, strict=True)
        )
        return np.stack(
            [LEFT + across * (WIDTH - LEFT - EDGE), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - EDGE)], axis=1
        )

    def drawn(self, x_label: str, y_label: str) -> str:
        parts = []
        for power in range(int(self.span[1]) + 1):
            value = 10.0 ** (self.low[1] + power)
            _, at = self.place(np.array([10.0 ** self.low[0]]), np.array([value]))[0]
            parts.append(f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - EDGE:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{LEFT - 5:g}" y="{at + 4:.1f}" text-anchor="end">{_short(value)}</text>')
        for power in range(int(self.span[0]) + 1):
            value = 10.0 ** (self.low[0] + power)
            at = self.place(np.array([value]), np.array([10.0 ** self.low[1]]))[0][0]
            parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 14:g}" text-anchor="middle">{_short(value)}</text>')
        middle = f'x="{(LEFT + WIDTH) / 2:g}" y="{HEIGHT - 4:g}" text-anchor="middle"'
        turned = f'transform="rotate(-90)" x="{-(HEIGHT - BOTTOM) / 2:g}" y="11" text-anchor="middle"'
        return "".join([*parts, f"<text {middle}>{x_label}</text><text {turned}>{y_label}</text>"])

    def line(self, *, x: float = 0.0, y: float = 0.0) -> str:
        """A threshold across."""
        at = self.place(np.array([x or 10.0 ** self.low[0]]), np.array([y or 10.0 ** self.low[1]]))[0]
        ends = f'x1="{at[0]:.1f}" x2="{at[0]:.1f}" y1="{EDGE:g}" y2="{HEIGHT - BOTTOM:g}"'
        if y:
            ends = f'x1="{LEFT:g}" x2="{WIDTH - EDGE:g}" y1="{at[1]:.1f}" y2="{at[1]:.1f}"'
        return f'<line class="limit" {ends}/>'


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def knee(ranks: Sequence[float], totals: Sequence[float], limit: float) -> str:
    """Counts of droplets against their rank, and how many a cell needs.

    Parameters
    ----------
    ranks, totals
        The curve.
    limit
        Counts of the smallest cell.
    """
    x, y = np.asarray(ranks, float), np.maximum(np.asarray(totals, float), 1.0)
    axes = _Axes((1.0, max(float(x.max()), 10.0)), (1.0, max(float(y.max()), 10.0)))
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in axes.place(x, y).tolist())
    curve = f'<polyline points="{path}" stroke="{colour(0)}" stroke-width="1.8"/>'
    return _svg(WIDTH, HEIGHT, "counts by rank", axes.drawn("droplets by rank", "counts") + curve + axes.line(y=limit))


def counts_and_genes(
    totals: NDArray[Any], genes: NDArray[Any], kept: NDArray[np.bool_], least: float, limits: dict[str, list[float]]
) -> str:
    """Genes of cells against their counts, kept or dropped, with the limits that were set.

    Parameters
    ----------
    totals, genes
        Of each cell.
    kept
        Which are kept.
    least
        Genes that a cell needs.
    limits
        Lowest and highest ``counts`` and ``genes`` where these were found from the cells.
    """
    chosen = np.flatnonzero((totals > 0) & (genes > 0))
    if not len(chosen):
        return ""
    chosen = chosen[:: max(len(chosen) // MOST_POINTS, 1)]
    x, y = totals[chosen].astype(float), genes[chosen].astype(float)
    axes = _Axes((float(x.min()), float(x.max()) + 1), (float(y.min()), float(y.max()) + 1))
    placed = axes.place(x, y)
    inside = axes.drawn("counts", "genes")
    inside += _dots(placed[~kept[chosen]], "#c9372c", 2.0) + _dots(placed[kept[chosen]], colour(0), 2.0)
    inside += axes.line(y=least) if least > 10.0 ** axes.low[1] else ""
    for name, ends in limits.items():
        for end in ends:
            low = 10.0 ** axes.low[0 if name == "counts" else 1]
            high = 10.0 ** (axes.low + axes.span)[0 if name == "counts" else 1]
            inside += axes.line(**{"x" if name == "counts" else "y": end}) if low < end < high else ""
    return _svg(WIDTH, HEIGHT, "genes against counts", inside)
