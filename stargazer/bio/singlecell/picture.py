"""A small picture of cells, for notebooks: UMAP coordinates as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["PALETTE", "colour", "umap_svg"]

# Source: Okabe and Ito 2008, "Color universal design", then Paul Tol's "muted" scheme, its two darkest made lighter.
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A800"),
    *("#6F5FC9", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#A0336B", "#AA4499"),
)
_MOST = 1_500


def colour(number: int) -> str:
    """Colour of a category by its number; they repeat."""
    return PALETTE[number % len(PALETTE)]


def umap_svg(tree: AnnDataTree, size: int = 200, groupby: str = "leiden") -> str:
    """Draw kept cells by their UMAP coordinates; at most 1,500 of them, evenly taken.

    Parameters
    ----------
    tree
        The tree.
    size
        Width and height, in pixels.
    groupby
        Column of ``obs`` that gives colours, if it is there.

    Returns
    -------
    str
        SVG; empty where there are no coordinates.
    """
    if not tree.made("obsm/X_umap"):
        return ""
    kept = np.flatnonzero(tree.kept("obs"))
    chosen = kept[:: max(-(-len(kept) // _MOST), 1)]
    points = _scaled(np.asarray(tree.read("obsm/X_umap"))[chosen], size)
    codes = np.zeros(len(chosen), np.int64)
    if groupby in tree.columns("obs"):
        codes = np.asarray(tree.labels("obs", groupby).codes, np.int64)[chosen]
    paths = "".join(_dots(points[codes == code], colour(int(code))) for code in np.unique(codes[codes >= 0]))
    style = f'width="{size}" height="{size}" viewBox="0 0 {size} {size}" role="img" aria-label="UMAP"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {style} fill="none" stroke-linecap="round">{paths}</svg>'


def _scaled(points: NDArray[Any], size: int) -> NDArray[Any]:
    low, span = points.min(axis=0), np.ptp(points, axis=0).max() or 1.0
    scaled = (points - low) / span * (size - 8) + 4
    scaled[:, 1] = size - scaled[:, 1]
    return np.asarray(np.round(scaled, 1))


def _dots(points: NDArray[Any], stroke: str) -> str:
    path = "".join(f"M{x:g} {y:g}h0" for x, y in points.tolist())
    return f'<path d="{path}" stroke="{stroke}" stroke-width="2.4"/>'
