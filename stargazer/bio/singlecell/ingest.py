"""Files become trees: ``.h5ad``, 10x ``.h5`` and folders, zarr."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.bio.singlecell.elements import write_element
from stargazer.bio.singlecell.foreign import check_folder, check_hdf5
from stargazer.bio.singlecell.layout import STATE
from stargazer.bio.singlecell.matrix import MatrixWriter, canonical_counts, write_matrix
from stargazer.bio.singlecell.readers import is_matrix_folder, read_folder, read_group, read_h5
from stargazer.bio.singlecell.tree import (
    METADATA,
    AnnDataTree,
    TreeDraft,
    column_values,
    is_draft,
    write_frame,
    write_table,
)
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stargazer.bio.singlecell.readers import Source

__all__ = ["Ingested", "ingest", "is_tree", "write_tree"]

ACCEPTED = "give a .h5ad, a 10x .h5, a 10x folder (matrix.mtx, barcodes.tsv, features.tsv) or a zarr of anndata"


class Ingested(NamedTuple):
    """A new tree: where it is, its cells and genes (of an analysed one those kept), its stage, whether it is a copy."""

    path: Path
    n_obs: int
    n_vars: int
    stage: str = "raw"
    copied: bool = False


def is_tree(path: Path) -> bool:
    """Whether a directory is a tree of this package already."""
    return (path / "uns" / STATE / METADATA).is_file()


def ingest(path: Path, directory: Path) -> Ingested:
    """Convert a file of counts.

    Parameters
    ----------
    path
        ``.h5ad``, 10x ``.h5``, a 10x folder, or a zarr folder of anndata.
    directory
        Where the tree goes, under the file's name with the suffix ``.zarr``.

    Returns
    -------
    Ingested
        The tree. A tree of this package is copied as it is, whatever its stage.

    Raises
    ------
    DataError
        It is none of these, is damaged, or holds no counts.
    """
    target = directory / f"{stem(path.name)}.zarr"
    if path.is_dir() and not is_draft(path):
        check_folder(path)
    if is_tree(path):
        shutil.copytree(path, target)
        tree = AnnDataTree(target)
        n_obs, n_vars = (int(tree.kept(frame).sum()) for frame in ("obs", "var"))
        return Ingested(target, n_obs, n_vars, tree.stage, copied=True)
    if path.is_dir():
        if is_matrix_folder(path):
            return write_tree(read_folder(path), target, path.name)
        return _ingest_zarr(path, target)
    return _ingest_hdf5(path, target)


def stem(name: str) -> str:
    """A file's name without the suffixes that say its format."""
    for suffix in (".h5ad", ".h5", ".zarr", ".hdf5"):
        name = name.removesuffix(suffix)
    return name or "cells"


def _ingest_zarr(path: Path, target: Path) -> Ingested:
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r")
    except (FileNotFoundError, ValueError, KeyError) as error:
        inner = next((found.parent for found in sorted(path.glob("*/*matrix.mtx*"))), None)
        hint = f"give {inner}" if inner else ACCEPTED
        raise DataError(f"{path} is no zarr group ({error}): {hint}") from error
    try:
        return write_tree(read_group(group, path), target, path.name)
    except (OSError, RuntimeError, KeyError, MemoryError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}): it is incomplete or damaged; get it again") from error


def _ingest_hdf5(path: Path, target: Path) -> Ingested:
    import h5py

    if path.name.endswith((".mtx", ".mtx.gz")):
        raise DataError(f"{path} is a matrix without names: give the folder, with barcodes.tsv and features.tsv in it")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is no HDF5 file, or its beginning is damaged: {ACCEPTED}")
    try:
        with h5py.File(path, "r") as file:
            check_hdf5(file, path)
            tenx = "matrix" in file or not {"obs", "var"} & set(file)
            return write_tree(read_h5(file, path) if tenx else read_group(file, path), target, path.name)
    except (OSError, RuntimeError, KeyError, MemoryError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}): it is truncated or damaged; get it again") from error


def write_tree(source: Source, target: Path, name: str) -> Ingested:
    """Write what a file holds as a new tree.

    Parameters
    ----------
    source
        What it holds.
    target
        Directory to make.
    name
        The file's name, for messages.
    """
    n_obs, n_vars = len(source.obs), len(source.var)
    if not n_obs or not n_vars:
        raise DataError(f"{name} has {n_obs} cells and {n_vars} genes: there is nothing to analyse")
    draft = TreeDraft(target)
    notes = [*source.notes, *write_frame(draft, "obs", source.obs), *write_frame(draft, "var", source.var)]
    writer = MatrixWriter(draft.free("X"), n_vars)
    for block in canonical_counts(source.blocks(), lambda *where: _complaint(source, name, *where)):
        writer.append(block)
    writer.finish()
    if writer.rows != n_obs:
        raise DataError(f"{name} names {n_obs} cells and has counts of {writer.rows}: the file is damaged")
    for place, read in source.others.items():
        _write_other(draft, place, read, notes)
    draft.note("ingest", {"counts_from": source.where, "n_obs": n_obs, "n_vars": n_vars, "notes": notes})
    return Ingested(target, n_obs, n_vars)


def _complaint(source: Source, name: str, cell: int, gene: int, value: Any) -> str:
    where = f"{source.where} of {name}: the value of cell {source.obs.index[cell]}, gene {source.var.index[gene]}"
    return (
        f"{where} is {value}, which is no count: counts are whole numbers from 0 up. Give the raw counts, in X, in "
        "layers['counts'] or in raw.X"
    )


def _write_other(draft: TreeDraft, place: str, read: Callable[[], Any], notes: list[str]) -> None:
    """Write an element that is not ours; what anndata cannot read or zarr cannot hold is left out and noted."""
    try:
        write_foreign(draft.free(place), read())
    except (DataError, TypeError, ValueError, NotImplementedError) as error:
        draft.drop(place)
        notes.append(f"{place} was left out: {error}")


def write_foreign(path: Path, value: Any) -> None:
    """Write an array, a sparse matrix, a table, a mapping or a scalar as anndata reads it back.

    Record arrays become mappings of their fields.
    """
    import pandas as pd
    from scipy import sparse

    if sparse.issparse(value):
        write_matrix(path, value.tocsr(), value.dtype)
    elif isinstance(value, pd.DataFrame):
        write_table(path, value)
    elif isinstance(value, (pd.Series, pd.Categorical, pd.api.extensions.ExtensionArray)):
        write_element(path, column_values(pd.Series(value)))
    elif isinstance(value, dict):
        write_element(path, {})
        for name in sorted(name for name in value if value[name] is not None):
            write_foreign(path / str(name).replace("/", "_"), value[name])
    elif getattr(getattr(value, "dtype", None), "names", None):
        write_foreign(path, {name: value[name] for name in value.dtype.names})
    else:
        write_element(path, value)
