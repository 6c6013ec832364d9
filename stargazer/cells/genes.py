"""Which genes are mitochondrial, ribosomal, of haemoglobin, or spike-ins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stargazer.errors import DataError

if TYPE_CHECKING:
    from stargazer.cells.elements import Values
    from stargazer.cells.tree import Tree

__all__ = ["ENSEMBL", "ORGANISMS", "SPIKE_IN", "GeneSets", "Organism", "find_gene_sets", "organism_of", "symbols_of"]

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
    "human": Organism(r"MT[-.]", r"RP[SL]", r"HB[^(P)]", _HUMAN_MT),
    "mouse": Organism(r"mt[-.]", r"Rp[sl]", r"Hb[^(p)]", _MOUSE_MT),
    "rat": Organism(r"[Mm]t[-.]", r"Rp[sl]", r"Hb[^(p)]"),
    "zebrafish": Organism(r"mt-", r"rp[sl]", r"hb[^(p)]"),
    "fly": Organism(r"mt:", r"Rp[SL]", r"(?!)"),
}
"""Patterns of human and mouse as in scanpy's tutorials; R writes a dot for the hyphen."""
_UNKNOWN = Organism(r"(?!)", r"(?!)", r"(?!)")
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
        A key of `ORGANISMS`, or a Latin name; empty if it is not known, and then there are spike-ins alone.
    symbols
        As for `symbols_of`.

    Raises
    ------
    DataError
        No such organism or column.
    """
    known = ORGANISMS[organism_of(organism)] if organism else _UNKNOWN
    labels, notes = symbols_of(tree, symbols)
    names = [str(name) for name in tree.names("var")]
    ids = [_without_version(name) for name in names]
    mt = _matches(known.mt, labels) | np.isin(np.array(ids, dtype=object), known.mt_ids)
    spikes = np.array([bool(SPIKE_IN.fullmatch(name)) for name in names])
    return GeneSets(mt, _matches(known.ribo, labels), _matches(known.hb, labels), spikes, notes)


def symbols_of(tree: Tree, column: str = "") -> tuple[Values, list[str]]:
    """Symbol of each gene, empty where there is none, and what is worth saying about it.

    Parameters
    ----------
    tree
        The cells.
    column
        Column of ``var`` with gene symbols. By default the names of the genes or, if these are Ensembl ids, a column
        with a usual name.
    """
    names = tree.names("var")
    is_id = np.array([bool(ENSEMBL.fullmatch(str(name))) for name in names])
    if column:
        return _texts(tree, column), []
    if is_id.mean() <= 0.5:
        return np.where(is_id, "", names), []
    if found := _symbol_column(tree):
        return _texts(tree, found), [f"gene symbols come from column {found!r} of var"]
    return np.where(is_id, "", names), [
        "genes have Ensembl ids and no symbols: ribosomal and haemoglobin genes cannot be told"
    ]


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
