"""Counts of anndata's own files: ``.h5ad``, and zarr folders of any version."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.matrix import array_blocks, first_wrong, group_blocks, matrix_blocks
from stargazer.bounded import lines_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Source", "is_matrix_folder", "read_folder", "read_group", "read_h5"]

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

    element = group[place]
    if not getattr(getattr(element, "dtype", None), "names", None):
        return _read(group, place)
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
    """An element of any kind that anndata knows.

    Raises
    ------
    DataError
        It is of none.
    """
    from anndata.io import read_elem

    try:
        return read_elem(group[place])
    except (OSError, RuntimeError, KeyError, MemoryError):
        raise
    except Exception as error:  # of a file that lies anndata raises anything; its own error has no base
        raise DataError(f"{place} is nothing that anndata reads ({type(error).__name__}: {error})") from error


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


# Counts of 10x Genomics' Cell Ranger: feature-barcode matrices as HDF5 and as Matrix Market folders.
#
# Source: https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-h5-matrices


GENES = "Gene Expression"
LONGEST_ROW = 1 << 20
"""Characters of a line of names."""


def read_h5(file: Any, path: Path) -> Source:
    """Counts of a ``…feature_bc_matrix.h5``; version 2 files (one group a genome) too.

    Parameters
    ----------
    file
        The open HDF5 file.
    path
        For messages.
    """
    group = _matrix_group(file, path)
    n_genes, n_cells = (int(length) for length in group["shape"][...])
    if "features" in group:
        features = group["features"]
        columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
        found = {name: _dataset_texts(features[source]) for name, source in columns.items() if source in features}
        names = _dataset_texts(features["name"])
    else:
        found, names = {"gene_ids": _dataset_texts(group["genes"])}, _dataset_texts(group["gene_names"])
    blocks = partial(group_blocks, group, (n_cells, n_genes))
    return _source(_dataset_texts(group["barcodes"]), names, found, blocks, path)


def _matrix_group(file: Any, path: Path) -> Any:
    if "matrix" in file:
        return file["matrix"]
    genomes = [name for name in file if hasattr(file[name], "keys") and "barcodes" in file[name]]
    if not genomes:
        raise DataError(f"{path} is neither a .h5ad (it has no obs and var) nor a 10x .h5 (it has no matrix)")
    if len(genomes) > 1:
        raise DataError(f"{path} has counts of {len(genomes)} genomes ({', '.join(genomes)}); split it, one file each")
    return file[genomes[0]]


def is_matrix_folder(path: Path) -> bool:
    """Whether a directory holds a ``matrix.mtx`` or ``matrix.mtx.gz``."""
    return _find(path, "matrix.mtx") is not None


def read_folder(path: Path) -> Source:
    """Counts of a folder with ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv``, gzipped or not.

    Raises
    ------
    DataError
        A file is missing or damaged, or they do not fit each other.
    """
    from scipy.io import mmread

    files = {name: _find(path, name) for name in ("matrix.mtx", "barcodes.tsv")}
    files["features.tsv"] = _find(path, "features.tsv") or _find(path, "genes.tsv")
    missing = [name for name, found in files.items() if found is None]
    if missing:
        raise DataError(f"{path} has no {' and no '.join(missing)} (nor .gz); a 10x folder needs all three files")
    try:
        matrix = mmread(str(files["matrix.mtx"]))
    except (ValueError, OSError, EOFError, OverflowError, MemoryError) as error:
        raise DataError(f"{files['matrix.mtx']} cannot be read ({error}); is it complete?") from error
    # One row more than the matrix has tells as well that they do not fit.
    barcodes = [fields[0] for fields in islice(_rows(files["barcodes.tsv"]), matrix.shape[1] + 1)]
    features = list(islice(_rows(files["features.tsv"]), matrix.shape[0] + 1))
    if matrix.shape != (len(features), len(barcodes)):
        raise DataError(f"{path}: a matrix of {matrix.shape} does not fit {len(features)} genes, {len(barcodes)} cells")
    width = min(map(len, features), default=1)
    found = {name: [row[at] for row in features] for at, name in ((0, "gene_ids"), (2, "feature_types")) if at < width}
    names = [row[min(1, width - 1)] for row in features]
    return _source(barcodes, names, found, partial(matrix_blocks, matrix.T.tocsr()), path)


def _source(
    barcodes: Any, names: Any, columns: dict[str, Any], blocks: Callable[[], Iterator[Any]], path: Path
) -> Source:
    """A source of the gene-expression features; antibodies and guides are left out."""
    import pandas as pd

    var = pd.DataFrame(columns, index=pd.Index(names, dtype=object))
    notes = []
    if "genome" in var and len(genomes := sorted(set(columns["genome"]) - {""})) > 1:
        raise DataError(f"{path} has genes of {len(genomes)} genomes ({', '.join(genomes)}); split it, one file each")
    if "feature_types" in var and (other := var["feature_types"] != GENES).any():
        keep = np.flatnonzero(~other.to_numpy())
        if not len(keep):
            raise DataError(f"{path} has no features of type {GENES!r}")
        notes.append(f"{int(other.sum())} features that are no {GENES!r} were left out")
        return Source(pd.DataFrame(index=barcodes), var.iloc[keep], partial(_columns, blocks, keep), notes=notes)
    return Source(pd.DataFrame(index=pd.Index(barcodes, dtype=object)), var, blocks)


def _columns(blocks: Callable[[], Iterator[Any]], keep: Any) -> Iterator[Any]:
    for block in blocks():
        yield block[:, keep]


def _dataset_texts(dataset: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in dataset[...]]


def _find(path: Path, name: str) -> Path | None:
    """A file of that name, gzipped or not, or the only one whose name ends so (as archives like GEO have it)."""
    exact = [path / f"{name}{end}" for end in ("", ".gz")]
    ending = sorted(found for end in ("", ".gz") for found in path.glob(f"*[-_.]{name}{end}"))
    found = [each for each in (*exact, *ending) if each.is_file()]
    if found and found[0] in exact:
        return found[0]
    if len(found) > 1:
        raise DataError(f"{path} has several {name} ({', '.join(each.name for each in found)}): one folder a sample")
    return found[0] if found else None


def _rows(path: Path | None) -> Iterator[list[str]]:
    assert path is not None
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            for line in lines_of(file, path.name, LONGEST_ROW):
                yield line.rstrip("\r\n").split("\t")
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); is it complete?") from error


# What a file of counts holds, before it becomes a tree.


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
    notes
        What was chosen or left out, in words.
    where
        Which matrix of the file the counts come from.
    """

    obs: Any
    var: Any
    blocks: Callable[[], Iterator[Any]]
    others: dict[str, Callable[[], Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    where: str = "X"
