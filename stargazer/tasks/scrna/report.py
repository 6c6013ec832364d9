"""A report of all stages for people: one HTML file that needs no other, and its figures."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData, Asset
from stargazer.bio.singlecell.genes import labels_of
from stargazer.bio.singlecell.stages import MADE, USED
from stargazer.bio.singlecell.tree import AnnDataTree, Blocks
from stargazer.bio.singlecell.view import TABLES, log_values, marker_table
from stargazer.calls import task
from stargazer.display.html import escape
from stargazer.tasks.scrna import figures
from stargazer.tasks.scrna.stages import MEMORY, USES, size_factors_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["report"]

HIDDEN = ("notes", "remarks", "ranks", "totals", "dropped", MADE, USED)
TOP_DOTS = 4
TOP_TABLE = 8
STYLE = """:root{--ink:#222;--line:#ddd;--paper:#fff;--note:#fff4d6;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--line:#444;--paper:#181818;--note:#463c1a}}
body{font:15px/1.5 system-ui,sans-serif;max-width:66em;margin:2em auto;padding:0 1em;color:var(--ink);
background:var(--paper)}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}img{max-width:100%;background:#fff;border-radius:4px}table{border-collapse:collapse;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:.15em 1em .15em 0;border-bottom:1px solid var(--line)}
.figures{display:flex;flex-wrap:wrap;gap:0 2em}.figures>section{max-width:100%}
.note{background:var(--note);padding:.3em .7em;margin:.3em 0}code{font-size:12px;overflow-wrap:anywhere}"""
CAPTIONS = {
    "qc": ("Quality control", "Genes, counts and mitochondrial percentage of all cells, and of those kept."),
    "doublets": ("Doublets", "Scrublet's scores of droplets."),
    "hvg": ("Highly variable genes", "Dispersion among genes of like mean."),
    "elbow": ("Principal components", "Variance that each component explains."),
    "umap": ("Clusters", "UMAP coordinates; distances between clusters say little."),
    "markers": (
        "Marker genes",
        "The best genes of each cluster: colour is mean expression, size is fraction of cells.",
    ),
}


@task(memory=MEMORY, uses=(*USES, "matplotlib"))
def report(work: Workdir, adata: AnnData, *, groupby: str = "") -> Asset:
    """Draw what the stages so far have found.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Cells of any stage from ``"qc_filtered"`` on; what a stage has not made is left out.
    groupby
        Column of ``obs`` with clusters; that of the marker genes, or ``"leiden"``, if empty.

    Returns
    -------
    Asset
        ``report.html``, self-contained; the figures (PNG) are its companions.
    """
    tree = AnnDataTree(adata.path)
    group = groupby or (
        str(tree.read(f"uns/{TABLES}")["params"]["groupby"]) if tree.made(f"uns/{TABLES}") else "leiden"
    )
    drawn = dict(_figures(tree, group))
    companions = []
    for name, png in drawn.items():
        path = work.file(f"report/{name}.png")
        path.write_bytes(png)
        companions.append(Asset(path=path, figure=name, sample_id=adata.sample_id))
    page = work.file("report/report.html")
    page.write_text(_page(tree, adata, drawn), "utf-8")
    return Asset(path=page, companions=companions, report="scrna", sample_id=adata.sample_id)


def _figures(tree: AnnDataTree, group: str) -> Iterator[tuple[str, bytes]]:
    if tree.made("obs/pct_counts_mt"):
        yield "qc", figures.qc_figure(tree)
    if tree.made("obs/doublet_score"):
        yield "doublets", figures.doublet_figure(tree)
    if tree.made("var/dispersions_norm"):
        yield "hvg", figures.hvg_figure(tree)
    if tree.made("uns/pca"):
        yield "elbow", figures.elbow_figure(tree)
    if tree.made("obsm/X_umap") and group in tree.columns("obs"):
        yield "umap", figures.umap_figure(tree, group)
    if _has_markers(tree):
        yield "markers", _markers(tree)


def _has_markers(tree: AnnDataTree) -> bool:
    return tree.made(f"uns/{TABLES}") and len(tree.read(f"uns/{TABLES}/groups")) > 0


def _markers(tree: AnnDataTree) -> bytes:
    tables = tree.read(f"uns/{TABLES}")
    genes = _best(tables, TOP_DOTS)
    shown = dict(zip(tree.names("var").astype(str), labels_of(tree), strict=True))
    names = [shown[str(name)] for name in tables["genes"][genes]]
    groups = [str(name) for name in tables["groups"]]
    means = _group_means(tree, str(tables["params"]["groupby"]), groups, genes)
    return figures.dot_plot(names, groups, means, tables["pts"][:, genes])


def _best(tables: dict[str, Any], top: int) -> NDArray[np.intp]:
    """The best genes of each group, group after group, each once."""
    order = np.argsort(-tables["scores"], axis=1, kind="stable")[:, :top]
    return np.array(list(dict.fromkeys(order.ravel().tolist())), np.intp)


def _group_means(tree: AnnDataTree, groupby: str, groups: list[str], genes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean log-normalised values of some kept genes, groups × genes."""
    kept, chosen = np.flatnonzero(tree.kept("var")), np.zeros(tree.n_vars, bool)
    chosen[kept[genes]] = True
    cells = tree.kept("obs")
    labels = tree.labels("obs", groupby)
    number = {name: place for place, name in enumerate(groups)}
    codes = np.array([number.get(str(name), -1) for name in labels.names] + [-1])[labels.codes[cells]]
    factors, sums, start = size_factors_of(tree, cells), np.zeros((len(groups), len(genes))), 0
    for block in Blocks(tree, cells, chosen):
        stop = start + block.shape[0]
        member = (codes[start:stop] == np.arange(len(groups))[:, None]).astype(np.float64)
        sums += member @ log_values(block, factors[start:stop]).toarray().astype(np.float64)
        start = stop
    place = np.searchsorted(np.sort(kept[genes]), kept[genes])
    sizes = np.bincount(codes[codes >= 0], minlength=len(groups))
    return np.asarray((sums / np.maximum(sizes, 1)[:, None])[:, place])


def _page(tree: AnnDataTree, adata: AnnData, drawn: dict[str, bytes]) -> str:
    title = escape(adata.sample_id or adata.name or "cells")
    kept = (int(tree.kept("obs").sum()), int(tree.kept("var").sum()))
    head = f"{kept[0]:,} of {tree.n_obs:,} cells and {kept[1]:,} of {tree.n_vars:,} genes are kept; stage {tree.stage}."
    parts = [f"<h1>{title}</h1><p>{head}</p>", *_notes(tree)]
    parts.append(f'<div class="figures">{"".join(_section(name, png) for name, png in drawn.items())}</div>')
    if _has_markers(tree):
        parts.append(_marker_table(tree))
    parts.append(_stage_table(tree))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _section(name: str, png: bytes) -> str:
    heading, caption = CAPTIONS[name]
    data = base64.b64encode(png).decode()
    width = int.from_bytes(png[16:20]) * 2 // 3
    image = f'<img alt="{heading}" width="{width}" src="data:image/png;base64,{data}">'
    return f"<section><h2>{heading}</h2><p>{caption}</p>{image}</section>\n"


def _notes(tree: AnnDataTree) -> Iterator[str]:
    for stage, members in tree.stages().items():
        for note in members.get("notes", []):
            yield f'<p class="note">{escape(stage)}: {escape(note)}</p>'


def _marker_table(tree: AnnDataTree) -> str:
    """The best genes of each group with their numbers, symbols and ids side by side."""
    shown = dict(zip(tree.names("var").astype(str), labels_of(tree), strict=True))
    heads = ("cluster", "gene", "log2 fold", "cells in %", "cells out %", "score", "adjusted p")
    rows = [f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"]
    for line in marker_table(tree, TOP_TABLE).itertuples():
        numbers = (f"{line.logfoldchanges:.2f}", f"{100 * line.pts:.0f}", f"{100 * line.pts_rest:.0f}")
        fields = (str(line.group), shown[str(line.gene)], *numbers, f"{line.scores:.1f}", f"{line.pvals_adj:.1e}")
        rows.append(f"<tr>{''.join(f'<td>{escape(field)}</td>' for field in fields)}</tr>")
    return f"<h2>Best genes</h2><table>{''.join(rows)}</table>"


def _stage_table(tree: AnnDataTree) -> str:
    rows = []
    for stage, members in tree.stages().items():
        shown = ", ".join(f"{name} = {value}" for name, value in members.items() if name not in HIDDEN and value != "")
        said = "".join(f"<br>{escape(remark)}" for remark in members.get("remarks", []))
        rows.append(f"<tr><th>{escape(stage)}</th><td><code>{escape(shown)}</code>{said}</td></tr>")
    return f"<h2>Stages</h2><table>{''.join(rows)}</table>"
