"""Elements of other people's files, written to a tree: layers by row blocks, everything else as anndata reads it."""

from __future__ import annotations

import shutil
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.elements import write_element
from stargazer.bio.singlecell.frames import column_values, write_table
from stargazer.bio.singlecell.matrix import Matrix, MatrixWriter, write_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stargazer.bio.singlecell.source import MatrixBlocks

__all__ = ["same_matrix", "write_foreign", "write_layer"]


def same_matrix(path: Path, value: MatrixBlocks) -> bool:
    """Whether a matrix of a tree has the values of another; it is read only as far as they agree."""
    stored = Matrix(path)
    if stored.columns != value.columns:
        return False
    pairs = zip_longest(stored.blocks(), _canonical(value))
    return all(mine is not None and theirs is not None and _equal(mine, theirs) for mine, theirs in pairs)


def _equal(mine: Any, theirs: Any) -> bool:
    return bool(
        mine.shape == theirs.shape
        and np.array_equal(mine.indptr, theirs.indptr)
        and np.array_equal(mine.indices, theirs.indices)
        and np.array_equal(mine.data, theirs.data)
    )


def _canonical(value: MatrixBlocks) -> Iterator[Any]:
    """Its blocks sorted, without duplicates and stored zeros."""
    for given in value.blocks():
        block = sparse.csr_matrix(given)
        block.sum_duplicates()
        block.eliminate_zeros()
        yield block


def write_layer(path: Path, value: MatrixBlocks, same: Path | None) -> None:
    """Write a layer by row blocks.

    Parameters
    ----------
    path
        Where.
    value
        The layer.
    same
        A matrix of the tree that has the same values: its files are taken, so that a store keeps them once.
    """
    if same is not None:
        shutil.copytree(same, path)
        return
    writer = MatrixWriter(path, value.columns, value.dtype)
    for block in _canonical(value):
        writer.append(block)
    writer.finish()


def write_foreign(path: Path, value: Any) -> None:
    """Write an array, a sparse matrix, a table, a mapping or a scalar as anndata reads it back.

    Record arrays become mappings of their fields.
    """
    import pandas as pd

    if sparse.issparse(value):
        write_matrix(path, sparse.csr_matrix(value), value.dtype)
    elif isinstance(value, pd.DataFrame):
        write_table(path, value)
    elif isinstance(value, (pd.Series, pd.Categorical, pd.api.extensions.ExtensionArray)):
        write_element(path, column_values(pd.Series(value)))
    elif isinstance(value, dict):
        write_element(path, {})
        for name, title in _titles(value).items():
            write_foreign(path / title, value[name])
    elif getattr(getattr(value, "dtype", None), "names", None):
        write_foreign(path, {name: value[name] for name in value.dtype.names})
    else:
        write_element(path, np.float32(value) if getattr(value, "dtype", None) == np.float16 else value)


def _titles(value: dict[Any, Any]) -> dict[Any, str]:
    """Names of members as a tree can have them, each once; those without a value are left out."""
    from stargazer.bio.singlecell.frames import unique_titles

    names = sorted((name for name in value if value[name] is not None), key=str)
    return dict(zip(names, unique_titles(names), strict=True))
