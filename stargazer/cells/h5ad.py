"""Counts of anndata's own files: ``.h5ad``, and zarr folders of any version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.cells.counts import array_blocks, first_wrong, group_blocks, matrix_blocks
from stargazer.cells.source import Source
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["read_group"]

PLACES = ("X", "layers/counts", "raw/X")
CARRIED = ("layers", "obsm", "obsp", "uns", "varm", "varp")


def read_group(group: Any, path: Path) -> Source:
    """Counts of an AnnData on disk: ``X`` if it holds counts, else ``layers["counts"]``, else ``raw.X``.

    Parameters
    ----------
    group
        The open HDF5 file or zarr group.
    path
        For messages.

    Raises
    ------
    DataError
        None of them holds counts, or the file is no AnnData.
    """
    if not {"obs", "var"} <= set(group):
        raise DataError(f"{path} is no AnnData: it has no obs and var")
    obs, var = (_table(group, name) for name in ("obs", "var"))
    if not all(hasattr(table, "columns") for table in (obs, var)):
        raise DataError(f"{path} is no AnnData: obs and var are not tables")
    where = _counts_place(group, path)
    source = Source(obs, var, partial(_blocks, group[where]), where=where)
    if where != "X" and "X" in group:
        source.notes.append(f"X has no counts; they come from {where}, and X is left out")
    if where == "raw/X":
        source.var = _table(group, "raw/var")
    elif "raw" in group:
        source.notes.append("raw was left out: X has counts")
    genes_kept = where != "raw/X" or source.var.index.equals(var.index)
    for kind in CARRIED:
        for name in sorted(group[kind]) if kind in group else ():
            _carry(source, group, f"{kind}/{name}", genes_kept)
    return source


def _table(group: Any, place: str) -> Any:
    """A table of cells or genes; up to anndata 0.6 a record array whose categories stand in ``uns``."""
    import pandas as pd
    from anndata.io import read_elem

    element = group[place]
    if not getattr(getattr(element, "dtype", None), "names", None):
        return read_elem(element)
    first, *others = element.dtype.names
    columns = {name: _texts(element[name]) for name in others}
    for name in others:
        if f"uns/{name}_categories" in group:
            names = _texts(group[f"uns/{name}_categories"])
            columns[name] = pd.Categorical.from_codes(np.asarray(columns[name]), names)
    return pd.DataFrame(columns, index=pd.Index(_texts(element[first]), dtype=object))


def _categories_of(source: Source, place: str) -> bool:
    """Whether an element of ``uns`` has the categories of a column, which has them already."""
    name = place.removeprefix("uns/").removesuffix("_categories")
    return place == f"uns/{name}_categories" and any(name in table for table in (source.obs, source.var))


def _texts(values: Any) -> Any:
    array = np.asarray(values[...])
    if array.dtype.kind not in "SO":
        return array
    return np.array([each.decode() if isinstance(each, bytes) else str(each) for each in array], dtype=object)


def _carry(source: Source, group: Any, place: str, genes_kept: bool) -> None:
    if place in (source.where, "uns/stargazer") or _categories_of(source, place):
        return
    if not genes_kept and place.startswith(("layers/", "varm/", "varp/")):
        source.notes.append(f"{place} was left out: raw has other genes")
        return
    source.others[place] = partial(_read, group, place)


def _read(group: Any, place: str) -> Any:
    from anndata.io import read_elem

    return read_elem(group[place])


def _counts_place(group: Any, path: Path) -> str:
    """The first place whose first rows are counts; if there is none, `DataError` about the first place."""
    there = [place for place in PLACES if place in group and _kind(group[place]) != "null"]
    if not there:
        raise DataError(f"{path} has no matrix: neither {', '.join(PLACES)}")
    for place in there:
        block = next(_blocks(group[place]), None)
        if block is None or first_wrong(block.data) is None:
            return place
    return there[0]


def _kind(element: Any) -> str:
    return str(element.attrs.get("encoding-type") or element.attrs.get("h5sparse_format") or "array")


def _blocks(element: Any) -> Iterator[Any]:
    kind = _kind(element)
    _check_chunks(element)
    if kind in ("csr_matrix", "csr"):
        return group_blocks(element, _shape(element))
    if kind in ("csc_matrix", "csc"):
        return matrix_blocks(_read_csc(element))
    if hasattr(element, "shape"):
        return array_blocks(element)
    raise DataError(f"{element.name} is a matrix of a kind that is not known here: {kind}")


def _check_chunks(element: Any) -> None:
    """Zarr takes a chunk that is not there for zeros, which values and columns of a sparse matrix never are."""
    for name in ("data", "indices"):
        array = element[name] if hasattr(element, "keys") and name in element else None
        there, wanted = (getattr(array, f"nchunks{kind}", 0) for kind in ("_initialized", ""))
        if there < wanted:
            raise DataError(f"{element.name}/{name} has {there} of {wanted} chunks: the folder is not complete")


def _shape(element: Any) -> tuple[int, int]:
    rows, columns = element.attrs["shape"] if "shape" in element.attrs else element.attrs["h5sparse_shape"]
    return int(rows), int(columns)


def _read_csc(element: Any) -> Any:
    from scipy import sparse

    parts: Callable[[str], Any] = lambda name: np.asarray(element[name][...])  # noqa: E731
    return sparse.csc_matrix((parts("data"), parts("indices"), parts("indptr")), shape=_shape(element))
