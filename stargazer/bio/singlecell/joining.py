"""Layers, embeddings and free members of samples that are joined: what all have is joined, what cannot be is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.layout import METADATA, STATE
from stargazer.bio.singlecell.matrix import Matrix
from stargazer.bio.singlecell.transfer import write_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stargazer.bio.singlecell.draft import TreeDraft
    from stargazer.bio.singlecell.tree import AnnDataTree

__all__ = ["join_members"]

PAIRS = ("obsp", "varm", "varp")
"""Members that are about pairs of cells, or about genes of one sample: they have no meaning in a joined one."""


def join_members(
    draft: TreeDraft, trees: Sequence[AnnDataTree], genes: Any, join_matrix: Callable[..., int]
) -> list[str]:
    """Join what samples have besides counts and tables; what stages of ours made is made anew and left out.

    Parameters
    ----------
    draft
        The joined tree.
    trees
        The samples.
    genes
        Names of the joined genes.
    join_matrix
        Writes matrices of cells × genes below each other.

    Returns
    -------
    list[str]
        What was left out, in words.
    """
    notes = []
    for name in _names(trees, "layers"):
        place = f"layers/{name}"
        if _everywhere(trees, place) and all(_kind(tree, place) == "csr_matrix" for tree in trees):
            matrices = [Matrix(tree.path / place) for tree in trees]
            join_matrix(draft, place, matrices, trees, genes, np.result_type(*(each.dtype for each in matrices)))
        elif _everywhere(trees, place) and all(_kind(tree, place) == "array" for tree in trees):
            _join_dense(draft, place, trees, genes)
        else:
            notes.append(_left_out(trees, place))
    for name in _names(trees, "obsm"):
        notes += _join_rows(draft, trees, f"obsm/{name}")
    for kind in PAIRS:
        notes += [f"{kind}/{name} was left out: it is of single samples" for name in _names(trees, kind)]
    for name in _names(trees, "uns"):
        notes += _join_free(draft, trees, f"uns/{name}")
    return notes


def _names(trees: Sequence[AnnDataTree], kind: str) -> list[str]:
    """Members of a kind that any sample has and no stage of ours made."""
    found = {
        child.name
        for tree in trees
        for child in ((tree.path / kind).iterdir() if (tree.path / kind).is_dir() else ())
        if child.name not in (METADATA, STATE) and not tree.made(f"{kind}/{child.name}")
    }
    return sorted(found)


def _everywhere(trees: Sequence[AnnDataTree], place: str) -> bool:
    return all(tree.has(place) and not tree.made(place) for tree in trees)


def _kind(tree: AnnDataTree, place: str) -> str:
    return str(tree.group[place].attrs.get("encoding-type", "array"))


def _left_out(trees: Sequence[AnnDataTree], place: str) -> str:
    there = sum(tree.has(place) for tree in trees)
    return f"{place} was left out: {there} of {len(trees)} samples have it, or they have it in different forms"


def _read(tree: AnnDataTree, place: str) -> Any:
    from anndata.io import read_elem

    return read_elem(tree.group[place])


def _join_dense(draft: TreeDraft, place: str, trees: Sequence[AnnDataTree], genes: Any) -> None:
    number = {name: column for column, name in enumerate(genes)}
    parts = []
    for tree in trees:
        values = np.asarray(_read(tree, place))[tree.kept("obs")]
        columns = np.array([number.get(name, -1) for name in tree.names("var")])
        part = np.zeros((len(values), len(genes)), values.dtype)
        part[:, columns[columns >= 0]] = values[:, columns >= 0]
        parts.append(part)
    draft.write(place, np.concatenate(parts))


def _join_rows(draft: TreeDraft, trees: Sequence[AnnDataTree], place: str) -> list[str]:
    """Join what is about cells; NumPy arrays and tables of the same columns can be."""
    import pandas as pd

    values = [_read(tree, place) for tree in trees] if _everywhere(trees, place) else []
    widths = {tuple(each.columns) if hasattr(each, "columns") else each.shape[1:] for each in values}
    kinds = {type(each) for each in values}
    if len(kinds) != 1 or len(widths) != 1 or not kinds <= {np.ndarray, pd.DataFrame}:
        return [_left_out(trees, place)]
    kept = [tree.kept("obs") for tree in trees]
    parts = [each[mask] for each, mask in zip(values, kept, strict=True)]
    write_foreign(draft.free(place), pd.concat(parts) if kinds == {pd.DataFrame} else np.concatenate(parts))
    return []


def _join_free(draft: TreeDraft, trees: Sequence[AnnDataTree], place: str) -> list[str]:
    """Keep a free member that all samples have alike: the same files."""
    if _everywhere(trees, place):
        texts = [_bytes(tree, place) for tree in trees]
        if all(text == texts[0] for text in texts):
            write_foreign(draft.free(place), _read(trees[0], place))
            return []
    return [f"{place} was left out: samples differ in it, or lack it"]


def _bytes(tree: AnnDataTree, place: str) -> dict[str, bytes]:
    root = tree.path / place
    walked = ((Path(folder), name) for folder, _, names in os.walk(root, followlinks=True) for name in names)
    return {str((folder / name).relative_to(root)): (folder / name).read_bytes() for folder, name in walked}
