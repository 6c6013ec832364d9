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
    from anndata.io import read_elem

    if not {"obs", "var"} <= set(group):
        raise DataError(f"{path} is no AnnData: it has no obs and var")
    obs, var = read_elem(group["obs"]), read_elem(group["var"])
    if not all(hasattr(table, "columns") for table in (obs, var)):
        raise DataError(f"{path} is no AnnData: obs and var are not tables")
    where = _counts_place(group, path)
    source = Source(obs, var, partial(_blocks, group[where]), where=where)
    if where != "X" and "X" in group:
        source.notes.append(f"X has no counts; they come from {where}, and X is left out")
    if where == "raw/X":
        source.var = read_elem(group["raw/var"])
    elif "raw" in group:
        source.notes.append("raw was left out: X has counts")
    genes_kept = where != "raw/X" or source.var.index.equals(var.index)
    for kind in CARRIED:
        for name in sorted(group[kind]) if kind in group else ():
            _carry(source, group, f"{kind}/{name}", genes_kept)
    return source


def _carry(source: Source, group: Any, place: str, genes_kept: bool) -> None:
    if place == source.where or place == "uns/stargazer":
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
    if kind in ("csr_matrix", "csr"):
        return group_blocks(element, _shape(element))
    if kind in ("csc_matrix", "csc"):
        return matrix_blocks(_read_csc(element))
    if hasattr(element, "shape"):
        return array_blocks(element)
    raise DataError(f"{element.name} is a matrix of a kind that is not known here: {kind}")


def _shape(element: Any) -> tuple[int, int]:
    rows, columns = element.attrs["shape"] if "shape" in element.attrs else element.attrs["h5sparse_shape"]
    return int(rows), int(columns)


def _read_csc(element: Any) -> Any:
    from scipy import sparse

    parts: Callable[[str], Any] = lambda name: np.asarray(element[name][...])  # noqa: E731
    return sparse.csc_matrix((parts("data"), parts("indices"), parts("indptr")), shape=_shape(element))
