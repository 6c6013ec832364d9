"""Counts of 10x Genomics' Cell Ranger: feature-barcode matrices as HDF5 and as Matrix Market folders.

Source: https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-h5-matrices
"""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.cells.counts import group_blocks, matrix_blocks
from stargazer.cells.source import Source
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["is_matrix_folder", "read_folder", "read_h5"]

GENES = "Gene Expression"


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
        found = {name: _texts(features[source]) for name, source in columns.items() if source in features}
        names = _texts(features["name"])
    else:
        found, names = {"gene_ids": _texts(group["genes"])}, _texts(group["gene_names"])
    blocks = partial(group_blocks, group, (n_cells, n_genes))
    return _source(_texts(group["barcodes"]), names, found, blocks, path)


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
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise DataError(f"{files['matrix.mtx']} cannot be read ({error}); is it complete?") from error
    barcodes = [fields[0] for fields in _rows(files["barcodes.tsv"])]
    features = list(_rows(files["features.tsv"]))
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


def _texts(dataset: Any) -> list[str]:
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
            for line in file:
                yield line.rstrip("\r\n").split("\t")
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); is it complete?") from error
