"""One report of a project: what became of each sample, how they mix, which clusters and differences there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData, Asset, DifferentialExpression
from stargazer.bio.singlecell.genes import labels_of
from stargazer.bio.singlecell.stages import MADE, USED
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.bio.singlecell.view import TABLES, marker_table
from stargazer.calls import task
from stargazer.display.html import escape
from stargazer.tasks.html import STYLE, heading, note, table
from stargazer.tasks.scrna import charts
from stargazer.tasks.scrna.stages import MEMORY, USES
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


__all__ = ["report_project"]

TOP = 6
TOP_GENES = 12
HIDDEN = ("notes", "remarks", "ranks", "totals", "dropped", MADE, USED)
DROPPED = ("empty_droplets", "few_genes", "much_mt", "outliers", "outliers_of_mt", "doublets")
MORE_STYLE = """
.charts{grid-template-columns:repeat(auto-fill,minmax(17em,1fr))}
svg .name{font-size:13px;font-weight:700;fill:var(--ink);stroke:var(--paper);stroke-width:3px;paint-order:stroke}
svg .limit{stroke:#c9372c;stroke-width:1.4;stroke-dasharray:4 3}
.scale{display:flex;align-items:center;gap:.5em}.scale b{flex:1;height:.6em;border-radius:.3em}
.failed{border-left:4px solid #c9372c;padding-left:.7em;color:var(--ink);font-weight:600}
.tiles{display:flex;flex-wrap:wrap;gap:.6em 2.2em;margin:.8em 0}.tiles b{display:block;font-size:1.5em;line-height:1.2}
td.cell{text-align:right}details{margin:.4em 0}summary{cursor:pointer}code{overflow-wrap:anywhere;font-size:12px}
"""


@task(memory=MEMORY, uses=(*USES, "pandas"))
def report_project(
    work: Workdir,
    adata: AnnData,
    samples: list[AnnData],
    differential: list[DifferentialExpression] | None = None,
    *,
    groupby: str = "leiden",
    sample_key: str = "sample",
    condition_key: str = "condition",
    title: str = "Single cells",
    notes: list[str] | None = None,
) -> Asset:
    """Draw what a project has found, beginning with what went wrong.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        The joined cells, with clusters.
    samples
        Each sample by itself, filtered; also those that failed.
    differential
        How conditions differ, if that was asked.
    groupby, sample_key, condition_key
        Columns of ``obs`` with clusters, samples and conditions; the last may be empty.
    title
        Of the page.
    notes
        What else a person should know of the project.

    Returns
    -------
    Asset
        ``report.html``, self-contained, for light and dark screens; a section for MultiQC lies beside it.
    """
    tree = AnnDataTree(adata.path)
    trees = [(sample.sample_id or sample.name, AnnDataTree(sample.path)) for sample in samples]
    tables = [(each, each.table()) for each in differential or []]
    parts = [
        _head(tree, trees, groupby, tables),
        *_warnings(tree, trees),
        *map(note, notes or ()),
        heading("Samples", "Barcodes, and how many each filter dropped; one cell may be dropped by several."),
        table(_sample_rows(trees)),
        *_embeddings(tree, groupby, sample_key, condition_key),
        *_composition(tree, groupby, sample_key),
        *_markers(tree),
        *_differences(tree, groupby, tables),
        *_integration(tree),
        *_resolutions(tree),
        *_quality(trees),
        *_stages(tree),
    ]
    page = work.file("report/report.html")
    page.write_text(_page(title, parts), "utf-8")
    section = work.file("report/scrna_samples_mqc.tsv")
    section.write_text(_multiqc(_sample_rows(trees)), "utf-8")
    beside = Asset(path=section, report="multiqc", sample_id=adata.sample_id)
    return Asset(path=page, companions=(beside,), report="scrna-project", sample_id=adata.sample_id)


MULTIQC = """# id: stargazer_scrna
# section_name: Single cells
# description: Barcodes of each sample, how many each filter dropped, and what is left.
# plot_type: table
# pconfig:
#     id: stargazer_scrna_table
#     title: Single cells
"""


def _multiqc(rows: Sequence[Mapping[str, str]]) -> str:
    """The table of samples as a section of MultiQC, which wants numbers without commas."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["\t".join(heads), *("\t".join(row.get(head, "").replace(",", "") for head in heads) for row in rows)]
    return MULTIQC + "\n".join(lines) + "\n"


def _page(title: str, parts: Sequence[str]) -> str:
    name = escape(title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    body = "\n".join([f"<h1>{name}</h1>", *parts])
    style = f"<style>{STYLE}{MORE_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}{style}</head><body>\n{body}\n</body></html>\n'


def _head(tree: AnnDataTree, trees: Sequence[tuple[str, Any]], groupby: str, tables: Sequence[tuple[Any, Any]]) -> str:
    used = tree.record.last("concat").get("samples", [name for name, _ in trees])
    tiles = {
        "samples": f"{len(used)} of {len(trees)}",
        "cells": f"{int(tree.kept('obs').sum()):,}",
        "genes": f"{int(tree.kept('var').sum()):,}",
    }
    if groupby in tree.columns("obs"):
        tiles["clusters"] = str(len(tree.labels("obs", groupby).names))
    for asset, _ in tables:
        tiles[f"genes differ, {asset.tested} and {asset.reference}"] = f"{asset.n_significant:,}"
    shown = "".join(f"<span><b>{escape(value)}</b>{escape(name)}</span>" for name, value in tiles.items())
    return f'<div class="tiles">{shown}</div>'


def _warnings(tree: AnnDataTree, trees: Sequence[tuple[str, AnnDataTree]]) -> Iterator[str]:
    """Samples that are not in the result first, then what stages had to say, by sample."""
    left_out: Mapping[str, str] = tree.record.last("concat").get("left_out", {})
    order = [name for name, _ in trees]
    for name in sorted(left_out, key=lambda each: order.index(each) if each in order else len(order)):
        yield f'<p class="failed">{escape(name)} is not among the cells: {escape(left_out[name])}</p>'
    for stage, told in tree.stages().items():
        for text in told.get("notes", []):
            if not any(text.startswith(f"sample {name} was left out") for name in left_out):
                yield note(f"{stage}: {text}")
    for name, each in trees:
        for stage, told in each.stages().items():
            for text in told.get("notes", []) if name not in left_out else ():
                yield note(f"{name}: {stage}: {text}")


def _sample_rows(trees: Sequence[tuple[str, AnnDataTree]]) -> list[dict[str, str]]:
    told = [tree.record.last("qc_filter") for _, tree in trees]
    reasons = [reason for reason in DROPPED if any(each.get(f"n_cells_{reason}") for each in told)]
    return [_sample_row(name, tree, reasons) for name, tree in trees]


def _sample_row(name: str, tree: AnnDataTree, reasons: Sequence[str]) -> dict[str, str]:
    told = tree.record.last("qc_filter")
    kept = tree.kept("obs")
    row = {"sample": name, **tree.record.last("describe").get("columns", {}), "organism": told.get("organism", "")}
    row |= {"barcodes": f"{tree.n_obs:,}"}
    row |= {reason.replace("_", " "): f"{told.get(f'n_cells_{reason}', 0):,}" for reason in reasons}
    row["kept"] = "failed" if told.get("failed") else f"{int(kept.sum()):,}"
    if kept.any() and tree.made("obs/total_counts"):
        for shown, column in (("genes", "n_genes_by_counts"), ("counts", "total_counts"), ("mt %", "pct_counts_mt")):
            if tree.made(f"obs/{column}"):
                row[f"median {shown}"] = f"{float(np.median(np.asarray(tree.column('obs', column))[kept])):,.4g}"
    return row


def _charts(drawn: Mapping[str, str]) -> str:
    shown = (
        f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>" for title, chart in drawn.items() if chart
    )
    return f'<div class="charts">{"".join(shown)}</div>'


def _embeddings(tree: AnnDataTree, groupby: str, sample_key: str, condition_key: str) -> Iterator[str]:
    if not tree.made("obsm/X_umap"):
        return
    kept = np.flatnonzero(tree.kept("obs"))
    chosen = kept[:: max(-(-len(kept) // charts.MOST_POINTS), 1)]
    points = np.asarray(tree.read("obsm/X_umap"), float)[chosen]
    columns = tree.columns("obs")
    drawn: dict[str, str] = {}
    named = [name for name in ("cell_type",) if tree.made(f"obs/{name}")]
    for name in dict.fromkeys((groupby, *named, sample_key, condition_key, "batch")):
        if name in columns:
            labels = tree.labels("obs", name)
            texts = [str(each) for each in labels.names]
            middle = name in (groupby, *named)
            drawn[name] = charts.by_category(points, np.asarray(labels.codes)[chosen], texts, named=middle)
    for title, name in (
        ("counts (log10)", "total_counts"),
        ("mt %", "pct_counts_mt"),
        ("doublet score", "doublet_score"),
    ):
        if name in columns:
            values = np.asarray(tree.column("obs", name), float)[chosen]
            drawn[title] = charts.by_value(points, np.log10(np.maximum(values, 1)) if "log10" in title else values)
    yield heading("Cells", "UMAP coordinates; distances between clusters say little.")
    yield _charts(drawn)


def _composition(tree: AnnDataTree, groupby: str, sample_key: str) -> Iterator[str]:
    if not {groupby, sample_key} <= set(tree.columns("obs")):
        return
    kept = tree.kept("obs")
    clusters, samples = (tree.labels("obs", name) for name in (groupby, sample_key))
    shape = (len(clusters.names), len(samples.names))
    codes = np.asarray(clusters.codes, int)[kept] * shape[1] + np.asarray(samples.codes, int)[kept]
    known = (np.asarray(clusters.codes)[kept] >= 0) & (np.asarray(samples.codes)[kept] >= 0)
    counts = np.bincount(codes[known], minlength=shape[0] * shape[1]).reshape(shape)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    types = _types(tree)
    head = "".join(f"<th>{escape(str(name))}</th>" for name in (groupby, *samples.names, "all"))
    rows = []
    for place, name in enumerate(clusters.names):
        cells = "".join(
            f'<td class="cell" style="background:rgba(40,120,189,{min(share * 1.6, 0.75):.2f})" '
            f'title="{100 * share:.1f} % of the sample">{count:,}</td>'
            for count, share in zip(counts[place], shares[place], strict=True)
        )
        label = f"{name} {types.get(str(name), '')}".strip()
        rows.append(f"<tr><td>{escape(label)}</td>{cells}<td>{int(counts[place].sum()):,}</td></tr>")
    yield heading(
        "Clusters and samples", "Cells of each cluster in each sample; a stronger blue is a larger share of the sample."
    )
    yield f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
    alone = [
        str(name)
        for place, name in enumerate(clusters.names)
        if shape[1] > 2 and counts[place].max() > 0.9 * counts[place].sum()
    ]
    if alone:
        yield note(f"clusters {', '.join(alone)} have more than nine tenths of their cells from one sample")


def _types(tree: AnnDataTree) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in tree.record.last("annotate").get("types", {}).items()}


def _markers(tree: AnnDataTree) -> Iterator[str]:
    if not tree.made(f"uns/{TABLES}") or not len(tree.read(f"uns/{TABLES}/groups")):
        return
    shown = dict(zip(tree.names("var").astype(str), labels_of(tree), strict=True))
    types = _types(tree)
    rows = []
    for line in marker_table(tree, TOP).itertuples():
        rows.append(
            {
                "cluster": f"{line.group} {types.get(str(line.group), '')}".strip(),
                "gene": shown[str(line.gene)],
                "log2 fold": f"{line.logfoldchanges:.2f}",
                "cells in %": f"{100 * line.pts:.0f}",
                "cells out %": f"{100 * line.pts_rest:.0f}",
                "score": f"{line.scores:.1f}",
                "adjusted p": f"{line.pvals_adj:.1e}",
            }
        )
    yield heading(
        "Marker genes", f"The {TOP} best of each cluster. Cells are no independent samples: p-values only rank."
    )
    yield table(rows)


def _differences(tree: AnnDataTree, groupby: str, tables: Sequence[tuple[Any, Any]]) -> Iterator[str]:
    for asset, found in tables:
        yield heading(
            f"{asset.tested} against {asset.reference}",
            "Genes that differ between conditions, donors being compared (PyDESeq2); p is adjusted in a cluster.",
        )
        counts = found.assign(significant=found["padj"] < asset.alpha).groupby("group")["significant"].sum()
        if len(found):
            yield table([{"cluster": str(name), "genes that differ": f"{int(n):,}"} for name, n in counts.items()])
        best = found[found["padj"] < asset.alpha].sort_values(["padj", "pvalue"]).groupby("group").head(TOP_GENES)
        rows = [
            {
                "cluster": str(line.group),
                "gene": str(line.gene),
                "log2 fold": f"{line.log2FoldChange:.2f}",
                "mean count": f"{line.baseMean:.1f}",
                "adjusted p": f"{line.padj:.1e}",
            }
            for line in best.sort_values(["group", "padj"]).itertuples()
        ]
        for name in (str(each) for each in tree.labels("obs", groupby).names):
            if name not in set(found["group"]):
                why = asset.left_out.get(name, "no donor has as many cells of it as a bulk needs")
                yield note(f"cluster {name} is not compared: {why}")
        if len(found):
            yield table(rows) if rows else note("no gene differs")


def _integration(tree: AnnDataTree) -> Iterator[str]:
    told = tree.record.last("measure_integration")
    rows = [
        {"": state, **{name: f"{value:.3f}" for name, value in told[state].items()}}
        for state in ("before", "after")
        if state in told
    ]
    if rows:
        key, number = told["batch_key"], told["n_batches"]
        what = f"iLISI: values of {key!r} around a cell, of {number}; higher is better mixed. "
        yield heading("Integration", what + "ARI and NMI of clusters and batches: lower is better.")
        yield table(rows)


def _resolutions(tree: AnnDataTree) -> Iterator[str]:
    told = tree.record.last("compare_resolutions")
    if told:
        columns = (told["resolutions"], told["n_clusters"], told["stability"], told["least"])
        rows = [
            {"resolution": f"{at:g}", "clusters": str(n), "stability": f"{mean:.3f}", "least": f"{least:.3f}"}
            for at, n, mean, least in zip(*columns, strict=True)
        ]
        yield heading(
            "Resolutions",
            "Adjusted Rand index of clusters with those of four fifths of the cells, drawn anew: 1 is stable.",
        )
        yield table(rows)


def _quality(trees: Sequence[tuple[str, AnnDataTree]]) -> Iterator[str]:
    drawn: dict[str, str] = {}
    for name, tree in trees:
        called = tree.record.last("call_cells")
        if called.get("ranks"):
            drawn[f"{name}: knee"] = charts.knee(called["ranks"], called["totals"], called["limit"])
        if tree.made("obs/total_counts"):
            totals, genes = (np.asarray(tree.column("obs", each)) for each in ("total_counts", "n_genes_by_counts"))
            told = tree.record.last("qc_filter")
            drawn[f"{name}: counts and genes"] = charts.counts_and_genes(
                totals, genes, tree.kept("obs"), float(told.get("min_genes", 0)), told.get("found_limits", {})
            )
    if drawn:
        yield heading("Quality of each sample", "Blue cells are kept, red ones dropped; broken lines are limits.")
        yield _charts(drawn)


def _stages(tree: AnnDataTree) -> Iterator[str]:
    rows = []
    for stage, told in tree.stages().items():
        shown = ", ".join(
            f"{name} = {value}" for name, value in told.items() if name not in HIDDEN and value not in ("", None)
        )
        remarks = "".join(f"<br>{escape(each)}" for each in told.get("remarks", []))
        rows.append(f"<p><b>{escape(stage)}</b> <code>{escape(shown)}</code>{remarks}</p>")
    yield f"<details><summary>Parameters and numbers of all stages</summary>{''.join(rows)}</details>"
