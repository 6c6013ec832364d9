"""Which genes are mitochondrial, ribosomal, of haemoglobin, or spike-ins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stargazer.errors import DataError

if TYPE_CHECKING:
    from stargazer.cells.elements import Values
    from stargazer.cells.tree import Tree

__all__ = ["ORGANISMS", "GeneSets", "Organism", "find_gene_sets", "organism_of"]

SPIKE_IN = re.compile(r"ERCC[-_]\d{5}")
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")
SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "gene_names",
    "gene_name",
    "symbols",
    "symbol",
    "feature_name",
    "gene_short_name",
    "hgnc_symbol",
)


class Organism(NamedTuple):
    """How genes of an organism are named.

    Parameters
    ----------
    mt, ribo, hb
        Patterns of symbols: mitochondrial, of ribosomal proteins, of haemoglobin.
    mt_ids
        Ensembl ids of the 13 protein-coding mitochondrial genes.
    """

    mt: str
    ribo: str
    hb: str
    mt_ids: tuple[str, ...] = ()


# Source: Ensembl 115; ND1, ND2, COX1, COX2, ATP8, ATP6, COX3, ND3, ND4L, ND4, ND5, ND6, CYTB
_HUMAN_MT = (
    *("ENSG00000198888", "ENSG00000198763", "ENSG00000198804", "ENSG00000198712", "ENSG00000228253"),
    *("ENSG00000198899", "ENSG00000198938", "ENSG00000198840", "ENSG00000212907", "ENSG00000198886"),
    *("ENSG00000198786", "ENSG00000198695", "ENSG00000198727"),
)
_MOUSE_MT = (
    *("ENSMUSG00000064341", "ENSMUSG00000064345", "ENSMUSG00000064351", "ENSMUSG00000064354", "ENSMUSG00000064356"),
    *("ENSMUSG00000064357", "ENSMUSG00000064358", "ENSMUSG00000064360", "ENSMUSG00000065947", "ENSMUSG00000064363"),
    *("ENSMUSG00000064367", "ENSMUSG00000064368", "ENSMUSG00000064370"),
)

ORGANISMS = {
    "human": Organism(r"MT-", r"RP[SL]", r"HB[^(P)]", _HUMAN_MT),
    "mouse": Organism(r"mt-", r"Rp[sl]", r"Hb[^(p)]", _MOUSE_MT),
    "rat": Organism(r"[Mm]t-", r"Rp[sl]", r"Hb[^(p)]"),
    "zebrafish": Organism(r"mt-", r"rp[sl]", r"hb[^(p)]"),
    "fly": Organism(r"mt:", r"Rp[SL]", r"(?!)"),
}
"""Patterns of human and mouse as in scanpy's tutorials."""
_ALIASES = {
    "homo sapiens": "human",
    "mus musculus": "mouse",
    "rattus norvegicus": "rat",
    "danio rerio": "zebrafish",
    "drosophila melanogaster": "fly",
    "drosophila": "fly",
}


class GeneSets(NamedTuple):
    """Masks of genes, and what is worth saying about them.

    Parameters
    ----------
    mt, ribo, hb, spike_in
        Masks.
    notes
        In words.
    """

    mt: Values
    ribo: Values
    hb: Values
    spike_in: Values
    notes: list[str]


def organism_of(name: str) -> str:
    """The name by which an organism is known here.

    Raises
    ------
    DataError
        It is not known: says which are.
    """
    key = name.strip().lower().replace("_", " ")
    found = _ALIASES.get(key, key)
    if found not in ORGANISMS:
        raise DataError(f"organism {name!r} is not known; known are {', '.join(ORGANISMS)}")
    return found


def find_gene_sets(tree: Tree, organism: str, symbols: str = "") -> GeneSets:
    """Find mitochondrial, ribosomal and haemoglobin genes and spike-ins by symbol, or by Ensembl id.

    Parameters
    ----------
    tree
        The cells.
    organism
        A key of `ORGANISMS`, or a Latin name.
    symbols
        Column of ``var`` with gene symbols. By default the names of the genes or, if these are Ensembl ids, a column
        with a usual name.

    Raises
    ------
    DataError
        No such organism or column.
    """
    known = ORGANISMS[organism_of(organism)]
    names = tree.names("var")
    ids = np.array([_without_version(name) for name in names], dtype=object)
    is_id = np.array([bool(ENSEMBL.fullmatch(name)) for name in names])
    column = symbols or (_symbol_column(tree) if is_id.mean() > 0.5 else "")
    labels = _texts(tree, column) if column else np.where(is_id, "", names)
    mt = _matches(known.mt, labels) | np.isin(ids, known.mt_ids)
    spikes = np.array([bool(SPIKE_IN.fullmatch(name)) for name in names])
    notes = [f"gene symbols come from column {column!r} of var"] if column and not symbols else []
    if not column and is_id.mean() > 0.5:
        notes.append("genes have Ensembl ids and no symbols: ribosomal and haemoglobin genes cannot be told")
    return GeneSets(mt, _matches(known.ribo, labels), _matches(known.hb, labels), spikes, notes)


def likely_organism(tree: Tree) -> str:
    """The organism in which most mitochondrial genes would be found, for a hint; empty if there are none in any."""
    counts = {name: int(find_gene_sets(tree, name).mt.sum()) for name in ORGANISMS}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def _without_version(name: str) -> str:
    return name.partition(".")[0] if ENSEMBL.fullmatch(name) else name


def _symbol_column(tree: Tree) -> str:
    there = tree.columns("var")
    return next((name for name in SYMBOL_COLUMNS if name in there), "")


def _texts(tree: Tree, column: str) -> Values:
    labels = tree.labels("var", column)
    return np.where(labels.codes < 0, "", labels.names.astype(object)[labels.codes]).astype(object)


def _matches(pattern: str, labels: Values) -> Values:
    start = re.compile(pattern)
    return np.array([bool(start.match(str(label))) for label in labels], bool)
