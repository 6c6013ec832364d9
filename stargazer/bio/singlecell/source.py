"""What a file of counts holds, before it becomes a tree, and what a user says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.genes import GENOME
from stargazer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GENES", "UNREADABLE", "MatrixBlocks", "Said", "Source", "of_features", "selected"]

GENES = "Gene Expression"
TYPES = frozenset(
    (
        *(GENES, "Antibody Capture", "CRISPR Guide Capture", "Multiplexing Capture", "Peaks", "Custom"),
        *("Antigen Capture", "VDJ", "VDJ-T", "VDJ-B", "Protein Expression"),
    )
)
"""Types of features that Cell Ranger writes; other texts in their column are biotypes of genes."""
_WRITTEN = {name.lower(): name for name in sorted(TYPES)}  # in one order in all processes: it is part of keys
PEAKS = "Peaks"
SUMMARIES = frozenset(
    (
        *("__no_feature", "__ambiguous", "__too_low_aQual", "__not_aligned", "__alignment_not_unique", "no_feature"),
        *("ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique"),
        *("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous"),
    )
)
"""What HTSeq and STAR write below the genes: reads that are of none."""
ABOUT_CELLS = re.compile(
    r"nCount_\w+|nFeature_\w+|percent[._](mt|mito|ribo|rb|hb)|n_(counts|genes|umis?)|n_genes_by_counts|pct_counts_\w+|"
    r"total_(counts|umis?)|seurat_clusters|\w+_snn_res[.\d]*|orig\.ident|leiden|louvain|doublet_score|grand.?total|total",
    re.IGNORECASE,
)
"""What Seurat, scanpy and spreadsheets call measures of cells, which stand beside the genes in tables of others."""
DATE = re.compile(r"\d{1,2}-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$", re.IGNORECASE)
"""What a spreadsheet makes of the names of genes such as MARCH1 and SEPT2."""

UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError),
)
"""What libraries raise over files that are damaged, or of a kind that they do not know."""

Blocks = Callable[[], Iterator[Any]]


class Said(NamedTuple):
    """What a user says of a file of counts.

    Parameters
    ----------
    layer
        Where counts are: the name of a layer, ``"X"`` or ``"raw"``; found if empty.
    genome
        Which genome's genes to take of a file with several.
    features
        Which type of features to take.
    prefix
        Which sample of a folder that has several: what the names of its files begin with.
    round
        Make fractional counts, which estimates are, whole.
    """

    layer: str = ""
    genome: str = ""
    features: str = GENES
    prefix: str = ""
    round: bool = False


class MatrixBlocks(NamedTuple):
    """A matrix that is not in memory: its row blocks, its columns, the type of its values; the array if it is dense."""

    blocks: Blocks
    columns: int
    dtype: Any = None
    dense: Any = None


@dataclass
class Source:
    """Counts of a file, their cells and genes, and what else there is.

    Parameters
    ----------
    obs, var
        Tables of cells and genes (pandas).
    blocks
        Gives the counts by row blocks, CSR.
    others
        Other elements by place (``"obsm/X_pca"``): each a function that reads it.
    notes, remarks
        What was chosen or left out, in words: what matters for the results, and what does not.
    where
        Which matrix of the file the counts come from.
    beside
        Counts of other features of the same cells, by their type.
    """

    obs: Any
    var: Any
    blocks: Blocks
    others: dict[str, Callable[[], Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    where: str = "X"
    beside: dict[str, Source] = field(default_factory=dict)


def of_features(obs: Any, var: Any, blocks: Blocks, path: Path, said: Said) -> Source:
    """The features of a type and genome; others become sources of their own, of the same cells.

    Parameters
    ----------
    obs, var
        Tables; ``var`` may have ``feature_types`` and ``genome``.
    blocks
        Counts of all features.
    path
        For messages.
    said
        What the user wants.

    Raises
    ------
    DataError
        There are none of that type, or of several genomes and nobody said which.
    """
    remarks: list[str] = []
    if "feature_types" in var:
        var = var.assign(feature_types=[_WRITTEN.get(str(name).strip().lower(), name) for name in var["feature_types"]])
    if "feature_types" in var and not TYPES & set(var["feature_types"]):
        var = var.rename(columns={"feature_types": "gene_biotype"})
        remarks.append("the third column of features has biotypes: all features are taken for genes")
    types = np.asarray(var["feature_types"] if "feature_types" in var else np.full(len(var), GENES, dtype=object))
    types = np.where(types == "", GENES, types)
    mine = types == said.features
    if not mine.any():
        there = ", ".join(repr(str(name)) for name in dict.fromkeys(types))
        raise DataError(f"{path} has no features of type {said.features!r}; there are {there}: say which, features=")
    var, unnamed = _named(var)
    names = [str(name) for name in var.index]
    summed = mine & np.array([name in SUMMARIES or bool(ABOUT_CELLS.fullmatch(name)) for name in names])
    mine = mine & ~summed
    source = _of_genome(obs, var, blocks, mine, path, said)
    source.remarks += remarks
    source.notes += _odd_names(names, summed)
    source.remarks += unnamed
    for name in dict.fromkeys(str(kind) for kind in types[types != said.features]):
        count = int((types == name).sum())
        if said.features != GENES or name == PEAKS:
            source.notes.append(f"{count} features of type {name!r} were left out: add the file with features={name!r}")
        else:
            source.beside[name] = _chosen(obs, var, blocks, types == name)
            source.notes.append(f"{count} features of type {name!r} are an asset of their own beside this one")
    return source


UNNAMED = ("NA", "nan", "None", "NULL")
"""What programs write for a symbol that is missing; one gene alone may be called so, as nan of the fly is."""


def _named(var: Any) -> tuple[Any, list[str]]:
    """Features of which those without a symbol go by their id."""
    names = np.array([str(name).strip() for name in var.index], dtype=object)
    missing = (names == "") | np.isin(names, [each for each in UNNAMED if (names == each).sum() > 1])
    if not missing.any() or "gene_ids" not in var:
        return var, []
    names[missing] = var["gene_ids"].astype(str).to_numpy()[missing]
    told = f"{int(missing.sum())} features have no symbol: they go by their id"
    return var.set_axis(names, axis=0), [told]


def _odd_names(names: list[str], summed: Any) -> Iterator[str]:
    """Rows that are no genes, and genes whose names a spreadsheet has spoilt."""
    if summed.any():
        told = ", ".join(names[place] for place in np.flatnonzero(summed)[:5])
        yield f"{told} are no genes, and were left out"
    if dates := [name for name in names if DATE.match(name)]:
        yield (
            f"genes {', '.join(dates[:3])} are dates, which a spreadsheet made of names such as MARCH1 and SEPT2: take "
            "the names from where the table comes from"
        )


def _of_genome(obs: Any, var: Any, blocks: Blocks, mine: Any, path: Path, said: Said) -> Source:
    names = np.asarray(var["genome"].astype(str)) if "genome" in var else _prefixes(var)
    genomes = sorted(set(names[mine]) - {""})
    if said.genome and said.genome not in genomes:
        raise DataError(
            f"{path} has no genes of genome {said.genome!r}; there are {', '.join(genomes) or 'none named'}"
        )
    if len(genomes) > 1 and not said.genome:
        first = f"sg.CountsFile(genome={genomes[0]!r})"
        raise DataError(f"{path} has genes of {len(genomes)} genomes ({', '.join(genomes)}); say whose: {first}")
    if len(genomes) < 2:
        return _chosen(obs, var, blocks, mine)
    kept = mine & (names == said.genome)
    source = _chosen(obs, var, blocks, kept)
    source.var.index = [str(name).removeprefix(said.genome).lstrip("_") for name in source.var.index]
    what = f"genes of {', '.join(name for name in genomes if name != said.genome)} were left out"
    source.notes.append(f"{what}; cells of these genomes are still there, with few counts")
    return source


def _prefixes(var: Any) -> Any:
    """Genome that the name of each gene begins with; empty of those that begin with none."""
    found = (GENOME.match(str(name)) for name in var.index)
    return np.array([match[1] if match else "" for match in found], dtype=object)


def _chosen(obs: Any, var: Any, blocks: Blocks, mask: Any) -> Source:
    if mask.all():
        return Source(obs, var, blocks)
    keep = np.flatnonzero(mask)
    return Source(obs, var.iloc[keep].copy(), partial(selected, blocks, keep))


def selected(blocks: Blocks, keep: Any) -> Iterator[Any]:
    """Blocks of some columns."""
    for block in blocks():
        yield sparse.csr_matrix(block)[:, keep]
