"""Name cells and clusters by genes that are known to mark types.

References
----------
Tirosh I et al. Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq. Science 352, 189
(2016), for scores of gene sets. Clarke ZA et al. Tutorial: guidelines for annotating single-cell transcriptomic maps.
Nature Protocols 16, 2749 (2021).
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.assets import AnnData, Asset
from stargazer.bio.singlecell.elements import Categories
from stargazer.bio.singlecell.frames import code_type
from stargazer.bio.singlecell.genes import symbols_of
from stargazer.bio.singlecell.tree import AnnDataTree, Blocks
from stargazer.bio.singlecell.view import log_values
from stargazer.bounded import read_text
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.scrna.stages import FACTORS, MEMORY, USES, check_column, draft_of, scattered, size_factors_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["annotate"]

UNKNOWN = "unassigned"
MOST_DEVIATIONS = 5.0
"""Values of a gene are cut there, so that no single gene decides."""
TYPE_COLUMNS = ("cell_name", "cell_type", "celltype", "type", "label", "cluster", "name")
"""The first that is there: where CellMarker has both, ``cell_type`` says whether a cell is of a tumour."""
GENE_COLUMNS = ("gene", "marker", "symbol", "gene_symbol", "official_gene_symbol", "markers", "genes")


@task(memory=MEMORY, uses=USES)
def annotate(
    work: Workdir,
    adata: AnnData,
    markers: Asset | None = None,
    *,
    marker_genes: dict[str, list[str]] | None = None,
    groupby: str = "leiden",
    key_added: str = "cell_type",
    symbols: str = "",
    min_score: float = 0.1,
    min_confidence: float = 0.5,
) -> AnnData:
    """Score cells by lists of marker genes, and name cells and clusters after the best.

    A cell's score for a type is the mean of its markers' standardised log-normalised values. A cluster takes the type
    whose mean score is greatest; how far its cells agree is its confidence.

    Parameters
    ----------
    work
        The scratch directory.
    adata
        Clustered cells.
    markers
        A CSV or TSV file with a row a gene: ``cell_type,gene``.
    marker_genes
        The same as a mapping, in place of a file.
    groupby
        Column of ``obs`` with the clusters.
    key_added
        Column of ``obs`` for the types of clusters; ``<key>_cell`` is that of each cell by itself, ``<key>_score`` its
        score and ``<key>_confidence`` that of its cluster.
    symbols
        Column of ``var`` with gene symbols, where genes are named by ids.
    min_score
        Mean score below which a cluster is ``"unassigned"``.
    min_confidence
        Share of its cells that must agree with it.

    Returns
    -------
    AnnData
        Its stage stays; ``uns["annotation"]`` has the mean scores, clusters × types.

    Raises
    ------
    DataError
        There are no markers, or none of their genes is there.
    """
    check_column(key_added)
    if key_added == groupby:
        raise DataError(f"the types need a column of their own, not {groupby!r}: say key_added=")
    stage = f"annotate.{key_added}"
    tree, draft = draft_of(work, adata, stage, FACTORS, f"obs/{groupby}")
    lists = dict(marker_genes or {}) if markers is None else _read_lists(markers)
    if UNKNOWN in lists:
        raise DataError(f"no type can be called {UNKNOWN!r}: so are called cells and clusters that no list fits")
    cells = tree.kept("obs")
    places, notes = _places(tree, lists, symbols)
    scores = _scores(tree, cells, places)
    types = list(places)
    labels = tree.labels("obs", groupby)
    codes = np.asarray(labels.codes, np.int64)[cells]
    clusters = [number for number in range(len(labels.names)) if (codes == number).any()]
    means = np.array([scores[codes == number].mean(axis=0) for number in clusters])
    own = scores.argmax(axis=1)
    chosen, confidence = np.full(len(labels.names), -1), np.zeros(len(labels.names))
    for row, number in enumerate(clusters):
        best = int(means[row].argmax())
        confidence[number] = float((own[codes == number] == best).mean())
        if means[row, best] >= min_score and confidence[number] >= min_confidence:
            chosen[number] = best
    names = np.array([*types, UNKNOWN], dtype=object)
    kind = code_type(len(names))
    of_cell = np.where(scores.max(axis=1) >= min_score, own, len(types))
    of_cluster = np.where(codes < 0, len(types), np.where(chosen[codes] < 0, len(types), chosen[codes]))
    draft.column("obs", key_added, Categories(scattered(cells, of_cluster.astype(kind), -1), names))
    draft.column("obs", f"{key_added}_cell", Categories(scattered(cells, of_cell.astype(kind), -1), names))
    draft.column("obs", f"{key_added}_score", scattered(cells, scores.max(axis=1).astype(np.float32), np.nan))
    sure = np.where(codes < 0, np.nan, confidence[codes]).astype(np.float32)
    draft.column("obs", f"{key_added}_confidence", scattered(cells, sure, np.nan))
    found = [str(labels.names[number]) for number in clusters]
    table = {"clusters": np.array(found, dtype=object), "types": np.array(types, dtype=object), "scores": means}
    draft.write("uns/annotation", {**table, "confidence": confidence[clusters]})
    named = {name: str(names[chosen[number]]) for name, number in zip(found, clusters, strict=True)}
    sure_of = {name: round(float(confidence[number]), 4) for name, number in zip(found, clusters, strict=True)}
    unnamed = [name for name, kind_of in named.items() if kind_of == UNKNOWN]
    if unnamed:
        notes.append(f"clusters {', '.join(unnamed)} have no type: no list of markers fits most of their cells")
    params = {"groupby": groupby, "key_added": key_added, "min_score": min_score, "min_confidence": min_confidence}
    draft.note(stage, {**params, "types": named, "confidence": sure_of, "notes": notes})
    return adata.derived(draft.path, AnnDataTree(draft.path).stage)


def check_lists(markers: Asset) -> None:
    """Refuse a list of markers before anything runs: the body reads it after hours.

    Raises
    ------
    DataError
        It names no types and genes.
    """
    if not _read_lists(markers):
        raise DataError(f"{markers.name} has no genes below its first line, which names the columns")


def _read_lists(markers: Asset) -> dict[str, list[str]]:
    lines = [(number, line) for number, line in enumerate(read_text(markers.path).splitlines(), 1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.startswith("#")]
    if not lines:
        raise DataError(f"{markers.name} is empty; a list of markers has the columns cell_type and gene")
    separator = max("\t;,", key=lines[0][1].count)
    rows = [(number, next(csv.reader([line], delimiter=separator))) for number, line in lines]
    header = ["_".join(name.strip().lower().split()) for name in rows[0][1]]
    places = [
        next((header.index(name) for name in names if name in header), None) for names in (TYPE_COLUMNS, GENE_COLUMNS)
    ]
    kind, gene = places
    if kind is None or gene is None:
        raise DataError(f"{markers.name} has the columns {', '.join(header)}; a list of markers has cell_type and gene")
    lists: dict[str, list[str]] = {}
    for number, row in rows[1:]:
        if not any(field.strip() for field in row):
            continue
        if any(field.strip() for field in row[len(header) :]):
            told = (
                f"{len(row)} fields, but there are {len(header)} columns: one gene a line, or a list of them in quotes"
            )
            raise DataError(f"{markers.name}, line {number}: {told}")
        if len(row) <= max(kind, gene) or not row[kind].strip() or not row[gene].strip():
            raise DataError(f"{markers.name}, line {number}: there is no type or no gene")
        lists.setdefault(row[kind].strip(), []).extend(filter(None, re.split(r"[,;|\s]+", row[gene].strip())))
    return lists


def _places(
    tree: AnnDataTree, lists: Mapping[str, list[str]], symbols: str
) -> tuple[dict[str, NDArray[np.intp]], list[str]]:
    """Which kept genes mark each type; types without any are left out and said."""
    if not lists:
        raise DataError("give marker genes: a file (markers) with the columns cell_type and gene, or marker_genes=")
    kept = tree.kept("var")
    names = tree.names("var").astype(str)
    places: dict[str, int] = {}
    for texts in (symbols_of(tree, symbols)[0].astype(str), names):
        for place in np.flatnonzero(kept):
            places.setdefault(texts[place], int(place))
            places.setdefault(texts[place].upper(), int(place))
    found: dict[str, NDArray[np.intp]] = {}
    notes = []
    for kind, genes in lists.items():
        here = sorted({places[name] for gene in genes for name in (gene, gene.upper()) if name in places})
        missing = [gene for gene in genes if gene not in places and gene.upper() not in places]
        if missing:
            notes.append(f"of the markers of {kind} are not there: {', '.join(missing[:8])}")
        if here:
            found[kind] = np.array(here, np.intp)
    if not found:
        raise DataError(f"none of the marker genes is there; genes are named like {', '.join(names[:3])}")
    return found, notes


def _scores(tree: AnnDataTree, cells: Any, places: Mapping[str, NDArray[np.intp]]) -> NDArray[np.float64]:
    """Mean standardised value of each type's markers, cells × types."""
    genes = np.zeros(tree.n_vars, bool)
    for each in places.values():
        genes[each] = True
    factors, start, parts = size_factors_of(tree, cells), 0, []
    for block in Blocks(tree, cells, genes):
        parts.append(log_values(block, factors[start : start + block.shape[0]]).toarray())
        start += block.shape[0]
    values = np.concatenate(parts).astype(np.float64)
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=values)
    column = np.cumsum(genes) - 1
    return np.stack([values[:, column[each]].mean(axis=1) for each in places.values()], axis=1)
