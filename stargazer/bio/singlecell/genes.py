"""Which genes are mitochondrial, ribosomal, of haemoglobin, or spike-ins."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.bio.singlecell.elements import Values
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = [
    "ENSEMBL",
    "ID_COLUMNS",
    "ORGANISMS",
    "SPIKE_IN",
    "GeneSets",
    "Likely",
    "Organism",
    "decide_organism",
    "find_gene_sets",
    "labels_of",
    "likely_organism",
    "named_genes",
    "organism_of",
    "symbols_of",
]

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


def find_gene_sets(tree: AnnDataTree, organism: str, symbols: str = "") -> GeneSets:
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


def named_genes(tree: AnnDataTree, labels: Values, given: str | Sequence[str], what: str) -> tuple[Values, list[str]]:
    """Mask of the genes that a user names, and what is worth saying about it.

    Parameters
    ----------
    tree
        The cells.
    labels
        Symbol of each gene.
    given
        Names or symbols; or a column of ``var`` that is true of them; or a pattern that their symbols begin with.
    what
        What they are, for messages.

    Raises
    ------
    DataError
        There is none, or it is no pattern.
    """
    names = tree.names("var").astype(str)
    if not isinstance(given, str):
        wanted = {str(name) for name in given}
        mask = np.isin(names, list(wanted)) | np.isin(labels.astype(str), list(wanted))
        missing = sorted(wanted - {*names[mask], *labels.astype(str)[mask]})
        notes = [f"{len(missing)} of {len(wanted)} {what} genes are not there: {', '.join(missing[:8])}"]
        return _some(mask, what, ", ".join(sorted(wanted)[:8])), notes if missing else []
    if given in tree.columns("var"):
        column = tree.labels("var", given)
        true = np.array([str(name).lower() in ("true", "1", "1.0", "yes") for name in column.names] + [False])
        return _some(true[column.codes], what, f"column {given!r} of var"), []
    try:
        mask = _matches(given, labels) | _matches(given, names)
    except re.error as error:
        raise DataError(f"{given!r} is neither a column of var nor a pattern of symbols ({error})") from error
    return _some(mask, what, repr(given)), []


def _some(mask: Values, what: str, given: str) -> Values:
    if not mask.any():
        raise DataError(f"no {what} gene is named by {given}")
    return mask


def symbols_of(tree: AnnDataTree, column: str = "") -> tuple[Values, list[str]]:
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


def labels_of(tree: AnnDataTree) -> list[str]:
    """Each gene for people: its symbol and its id side by side, where there are both."""
    names = tree.names("var").astype(str)
    symbols = symbols_of(tree)[0].astype(str)
    ids = names
    if (symbols == names).mean() > 0.5:
        column = next((name for name in ID_COLUMNS if name in tree.columns("var")), "")
        ids = _texts(tree, column).astype(str) if column else names
    pairs = zip(names, symbols, ids, strict=True)
    return [f"{symbol} ({key})" if symbol and key and symbol != key else name for name, symbol, key in pairs]


def _without_version(name: str) -> str:
    return name.partition(".")[0] if ENSEMBL.fullmatch(name) else name


def _symbol_column(tree: AnnDataTree) -> str:
    there = tree.columns("var")
    return next((name for name in SYMBOL_COLUMNS if name in there), "")


def _texts(tree: AnnDataTree, column: str) -> Values:
    labels = tree.labels("var", column)
    return np.where(labels.codes < 0, "", labels.names.astype(object)[labels.codes]).astype(object)


def _matches(pattern: str, labels: Values) -> Values:
    start = re.compile(pattern)
    return np.array([bool(start.match(str(label))) for label in labels], bool)


# Which organism genes are of, by their names: Ensembl ids, names of mitochondrial genes, capital and small letters.


ID = re.compile(r"(ENS[A-Z]*G|FBgn)\d{7,11}(\.\d+)?")
PREFIXES = {"ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSDARG": "zebrafish", "FBgn": "fly"}
ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl")
GENOME = re.compile(r"(GRCh\d\d|hg\d\d|GRCm\d\d|mm\d\d)_+\w")
MT = {"human": r"MT-[A-Z]", "mouse": r"mt-[A-Z]", "rat": r"Mt-[A-Za-z]", "zebrafish": r"mt-[a-z]", "fly": r"mt:"}
"""Symbols of mitochondrial genes as each organism's nomenclature writes them."""
MT_BEGIN = ("MT", "mt", "Mt")
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


def decide_organism(tree: AnnDataTree, named: str, symbols: str = "") -> tuple[str, list[str]]:
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


def likely_organism(tree: AnnDataTree, symbols: str = "") -> Likely:
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


def _ids(tree: AnnDataTree) -> list[str]:
    """Return Ensembl or FlyBase ids, if most genes have one: from the genes' names, or a column with a usual name."""
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
    mitochondrial = [name for name in symbols if name[:2] in MT_BEGIN]
    found = {key: [name for name in mitochondrial if re.match(pattern, name)] for key, pattern in MT.items()}
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
        if name.isupper() or name.islower() or any(map(str.isalpha, name))
    )
    if not kinds:
        return ""
    kind, count = kinds.most_common(1)[0]
    return kind if count > MOST * kinds.total() else ""
