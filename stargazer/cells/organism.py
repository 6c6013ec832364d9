"""Which organism genes are of, by their names: Ensembl ids, names of mitochondrial genes, capital and small letters."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from stargazer.cells.genes import ENSEMBL, SPIKE_IN, organism_of, symbols_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.cells.tree import Tree

__all__ = ["Likely", "decide_organism", "likely_organism"]

ID = re.compile(r"(ENS[A-Z]*G|FBgn)\d{7,11}(\.\d+)?")
PREFIXES = {"ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSDARG": "zebrafish", "FBgn": "fly"}
ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl")
GENOME = re.compile(r"(GRCh\d\d|hg\d\d|GRCm\d\d|mm\d\d)_+\w")
MT = {"human": r"MT-[A-Z]", "mouse": r"mt-[A-Z]", "rat": r"Mt-[A-Za-z]", "zebrafish": r"mt-[a-z]", "fly": r"mt:"}
"""Symbols of mitochondrial genes as each organism's nomenclature writes them."""
LETTERS = {"upper": ("human",), "title": ("mouse", "rat"), "lower": ("zebrafish",)}
MOST = 0.6
SOME = 0.1
OF_TWO = "give the cells of one organism, or say which names count: organism="


class Likely(NamedTuple):
    """What the names of genes tell.

    Parameters
    ----------
    organism
        A key of `ORGANISMS`; empty if they tell none.
    reason
        By what, or why not, in words.
    certain
        Whether ids or mitochondrial genes say so, not only letters.
    contradictory
        Whether they tell two.
    """

    organism: str
    reason: str
    certain: bool = False
    contradictory: bool = False


def decide_organism(tree: Tree, named: str, symbols: str = "") -> tuple[str, list[str]]:
    """The organism that was named if genes do not contradict it, else the one that they tell.

    Parameters
    ----------
    tree
        The cells.
    named
        What the user said; empty if nothing.
    symbols
        Column of ``var`` with gene symbols; found if empty.

    Returns
    -------
    tuple[str, list[str]]
        A key of `ORGANISMS`, empty if neither tells; and what is worth saying.

    Raises
    ------
    DataError
        The name is not known, genes have ids of another organism, or nothing is named and they tell two.
    """
    likely = likely_organism(tree, symbols)
    if not named:
        if likely.contradictory:
            raise DataError(f"whose genes these are cannot be told: {likely.reason}; {OF_TWO}")
        if not likely.organism:
            return "", [f"the organism is not known: {likely.reason}"]
        return likely.organism, [f"organism is {likely.organism}, by the names of the genes ({likely.reason})"]
    organism = organism_of(named)
    if likely.organism in ("", organism) or not likely.certain:
        return organism, [f"names of genes contradict each other: {likely.reason}"] if likely.contradictory else []
    if {likely.organism, organism} == {"mouse", "rat"} and not _ids(tree):  # rat symbols are written in either way
        return organism, []
    raise DataError(
        f"organism is {organism}, but genes are named like those of {likely.organism} ({likely.reason}): give "
        f"organism={likely.organism!r}, or leave it out"
    )


def likely_organism(tree: Tree, symbols: str = "") -> Likely:
    """What the names of genes tell.

    Parameters
    ----------
    tree
        The cells.
    symbols
        Column of ``var`` with gene symbols; found if empty.
    """
    names = [str(name) for name in tree.names("var") if not SPIKE_IN.fullmatch(str(name))]
    genomes = {found[1] for name in names if (found := GENOME.match(name))}
    if len(genomes) > 1:
        return Likely("", f"names begin with those of genomes {', '.join(sorted(genomes))}", contradictory=True)
    if len([name for name in names if GENOME.match(name)]) > len(names) / 2:
        [genome] = genomes
        organism = "human" if genome.startswith(("GRCh", "hg")) else "mouse"
        return Likely(organism, f"names begin with that of genome {genome}", certain=True)
    if ids := _ids(tree):
        return _by_ids(ids)
    return _by_symbols([str(name) for name in symbols_of(tree, symbols)[0] if name])


def _ids(tree: Tree) -> list[str]:
    """Ensembl or FlyBase ids, if most genes have one: their names, or a column with a usual name."""
    columns = (tree.labels("var", name) for name in ID_COLUMNS if name in tree.columns("var"))
    for texts in (tree.names("var"), *(labels.names for labels in columns)):
        names = [str(text) for text in texts if not SPIKE_IN.fullmatch(str(text))]
        ids = [name for name in names if ID.fullmatch(name)]
        if len(ids) > len(names) / 2:
            return ids
    return []


def _by_ids(ids: Iterable[str]) -> Likely:
    counts = Counter(found[1] for name in ids if (found := ID.fullmatch(name)))
    (first, many), *others = counts.most_common()
    if others and others[0][1] > SOME * many:
        shown = " and ".join(f"{count} begin with {prefix}" for prefix, count in counts.most_common(2))
        return Likely("", f"of the gene ids {shown}", contradictory=True)
    organism = PREFIXES.get(first, "")
    reason = f"ids {first}…" if organism else f"ids begin with {first}, and known are {', '.join(PREFIXES)}"
    return Likely(organism, reason, certain=bool(organism))


def _by_symbols(names: list[str]) -> Likely:
    """Mitochondrial genes and letters agree, or only one of them tells; else they contradict each other."""
    symbols = [name for name in names if not ENSEMBL.fullmatch(name)]
    found = {key: [name for name in symbols if re.match(pattern, name)] for key, pattern in MT.items()}
    most = max(map(len, found.values()))
    mt = {key: genes for key, genes in found.items() if len(genes) > SOME * most}
    written = _letters(symbols)
    if len(mt) > 1:
        shown = " and ".join(f"{genes[0]} of {key}" for key, genes in mt.items())
        return Likely("", f"mitochondrial genes are named like {shown}", contradictory=True)
    if not mt:
        organism = LETTERS[written][0] if written else ""
        reason = f"symbols in {written} case" if written else f"genes are named like {', '.join(names[:3])}"
        return Likely(organism, reason)
    ((organism, genes),) = mt.items()
    if organism == "fly" or not written or organism in LETTERS[written]:
        return Likely(organism, f"mitochondrial genes like {genes[0]}", certain=True)
    reason = f"{genes[0]} is named like a gene of {organism}, but most symbols are in {written} case"
    return Likely("", reason, contradictory=True)


def _letters(symbols: list[str]) -> str:
    """How most symbols are written: ``"upper"``, ``"title"``, ``"lower"``, or empty."""
    kinds = Counter(
        "upper" if name.isupper() else "lower" if name.islower() else "title"
        for name in symbols
        if any(letter.isalpha() for letter in name)
    )
    if not kinds:
        return ""
    kind, count = kinds.most_common(1)[0]
    return kind if count > MOST * kinds.total() else ""
