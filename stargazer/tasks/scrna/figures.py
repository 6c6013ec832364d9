"""Figures of single-cell stages, drawn by matplotlib without a display."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.picture import colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["dot_plot", "doublet_figure", "elbow_figure", "hvg_figure", "qc_figure", "umap_figure"]

DPI = 150
DOT = 110.0
"""Area of the dot of a gene that all cells of a group express, in square points."""
MOST_POINTS = 50_000
_STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10.0,
}
METRICS = {
    "n_genes_by_counts": "genes a cell",
    "total_counts": "counts a cell",
    "pct_counts_mt": "mitochondrial counts (%)",
}


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, columns)))


def _png(figure: Any) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
    return target.getvalue()


def _styled() -> Any:
    """Matplotlib's defaults and ours, whatever the user's own settings are."""
    from matplotlib import style

    return style.context(["default", _STYLE])


def qc_figure(tree: AnnDataTree) -> bytes:
    """Violins of genes, counts and mitochondrial percentages: all cells, and those kept."""
    kept = tree.kept("obs")
    with _styled():
        figure, axes = _figure(9, 3, len(METRICS))
        for axis, (name, label) in zip(axes, METRICS.items(), strict=True):
            values = np.asarray(tree.column("obs", name), float)
            _violins(axis, [_known(values), _known(values[kept])])
            axis.set_ylabel(label)
            axis.set_xticks([1, 2], [f"all {len(values):,}", f"kept {int(kept.sum()):,}"])
        return _png(figure)


def _known(values: NDArray[Any]) -> NDArray[Any]:
    known = values[~np.isnan(values)]
    return np.asarray(known[:: max(len(known) // 20_000, 1)])


def _violins(axis: Any, samples: list[NDArray[Any]]) -> None:
    for place, values in enumerate(samples, 1):
        if len(np.unique(values)) < 2:
            axis.plot([place] * len(values[:1]), values[:1], "_", color=colour(place - 1))
            continue
        drawn = axis.violinplot([values], [place], widths=0.8, showmedians=True, showextrema=False)
        for body in drawn["bodies"]:
            body.set_facecolor(colour(place - 1))
            body.set_alpha(0.7)
        drawn["cmedians"].set_color("black")


def doublet_figure(tree: AnnDataTree) -> bytes:
    """Histograms of doublet scores: cells that are called doublets, and the others."""
    scores = np.asarray(tree.column("obs", "doublet_score"), float)
    called = np.asarray(tree.column("obs", "predicted_doublet"), bool)
    known = ~np.isnan(scores)
    with _styled():
        figure, (axis,) = _figure(4.5, 3)
        edges = np.linspace(0, max(float(scores[known].max(initial=0.0)), 1e-3), 60)
        for number, (mask, label) in enumerate(((known & ~called, "single cells"), (known & called, "doublets"))):
            axis.hist(scores[mask], edges, label=f"{label} {int(mask.sum()):,}", color=colour(number), alpha=0.8)
        if called.any():
            axis.axvline(scores[called].min(), color="black", lw=0.8, ls=":")
        axis.set(xlabel="doublet score", ylabel="cells", yscale="log")
        axis.legend(frameon=False)
        return _png(figure)


def hvg_figure(tree: AnnDataTree) -> bytes:
    """Normalised dispersion of genes against their mean; those chosen stand out."""
    kept, chosen = tree.kept("var"), np.asarray(tree.column("var", "highly_variable"), bool)
    means, spread = (np.asarray(tree.column("var", name), float) for name in ("means", "dispersions_norm"))
    with _styled():
        figure, (axis,) = _figure(4.5, 3)
        for mask, hue, label in ((kept & ~chosen, "#bbbbbb", "others"), (chosen, colour(0), "highly variable")):
            axis.scatter(means[mask], spread[mask], s=3, c=hue, label=f"{label} {int(mask.sum()):,}")
        axis.set(xlabel="mean of log(1 + normalised count)", ylabel="normalised dispersion")
        axis.legend(frameon=False, markerscale=3)
        return _png(figure)


def elbow_figure(tree: AnnDataTree) -> bytes:
    """Share of the variance that each principal component explains."""
    from matplotlib.ticker import LogLocator, NullLocator

    ratio = np.asarray(tree.read("uns/pca")["variance_ratio"], float)
    with _styled():
        figure, (axis,) = _figure(4.5, 3)
        axis.plot(np.arange(1, len(ratio) + 1), 100 * ratio, "o-", ms=3, lw=1, color=colour(0))
        axis.set(xlabel="principal component", ylabel="variance explained (%)", yscale="log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        return _png(figure)


def umap_figure(tree: AnnDataTree, groupby: str) -> bytes:
    """UMAP coordinates, coloured and labelled by a column of ``obs``."""
    from matplotlib.patheffects import Normal, Stroke

    kept = np.flatnonzero(tree.kept("obs"))
    chosen = kept[:: max(-(-len(kept) // MOST_POINTS), 1)]
    points = np.asarray(tree.read("obsm/X_umap"), float)[chosen]
    labels = tree.labels("obs", groupby)
    codes = np.asarray(labels.codes)[chosen]
    with _styled():
        figure, (axis,) = _figure(4.5, 4.2)
        for code in np.unique(codes[codes >= 0]):
            here = points[codes == code]
            axis.scatter(*here.T, s=max(0.5, min(8.0, 20_000 / len(points))), c=colour(int(code)), lw=0)
            text = axis.text(*np.median(here, axis=0), str(labels.names[code]), weight="bold", ha="center", va="center")
            text.set_path_effects([Stroke(linewidth=2.5, foreground="white"), Normal()])
        axis.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[], title=groupby)
        return _png(figure)


def dot_plot(genes: list[str], groups: list[str], means: NDArray[Any], fractions: NDArray[Any]) -> bytes:
    """Expression of genes (columns) in groups (rows).

    Parameters
    ----------
    genes, groups
        Names.
    means
        Mean log-normalised values, groups × genes: colour, scaled for each gene.
    fractions
        Fractions of expressing cells, groups × genes: size.
    """
    low, span = means.min(axis=0), np.ptp(means, axis=0)
    scaled = (means - low) / np.where(span > 0, span, 1.0)
    x, y = np.meshgrid(np.arange(len(genes)), np.arange(len(groups)))
    with _styled():
        figure, (axis,) = _figure(max(5.0, 2.4 + 0.22 * len(genes)), max(3.2, 1.8 + 0.25 * len(groups)))
        dots = axis.scatter(
            x.ravel(), y.ravel(), s=DOT * fractions.ravel(), c=scaled.ravel(), cmap="Reds", vmin=0, vmax=1
        )
        dots.set_edgecolor("#999999")
        dots.set_linewidth(0.3)
        axis.set_xticks(range(len(genes)), genes, rotation=90)
        axis.set_yticks(range(len(groups)), groups)
        axis.set(xlim=(-0.7, len(genes) - 0.3), ylim=(len(groups) - 0.3, -0.7))
        figure.colorbar(dots, ax=axis, label="scaled mean", aspect=12)
        for percent in (25, 50, 100):
            axis.scatter([], [], s=DOT * percent / 100, c="#bbbbbb", ec="#999999", lw=0.3, label=f"{percent} %")
        axis.legend(title="cells", ncols=3, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        return _png(figure)
