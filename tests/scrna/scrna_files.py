"""Files of counts in the forms that other programs write."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import io, sparse

CELLS = [f"AAAC{i:03d}-1" for i in range(30)]
GENES = [f"G{i}" for i in range(20)]


def h5ad(path: Path, matrix: Any, **members: Any) -> Path:
    frames = {
        "obs": pd.DataFrame(index=pd.Index(CELLS, dtype=object)),
        "var": pd.DataFrame(index=pd.Index(GENES, dtype=object)),
    }
    anndata.AnnData(matrix, **{**frames, **members}).write_h5ad(path)
    return path


def tenx_h5(path: Path, matrix: Any, types: list[str]) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = matrix.data.astype("i4"), matrix.indices, matrix.indptr
        group["shape"] = np.array(matrix.shape[::-1], "i4")
        group["barcodes"] = np.array(CELLS, "S")
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{i:011d}" for i in range(20)], "S")
        features["name"] = np.array(GENES, "S")
        features["feature_type"] = np.array(types, "S")
        features["genome"] = np.array(["GRCh38"] * 20, "S")
    return path


def tenx_folder(path: Path, matrix: Any, *, zipped: bool) -> Path:
    path.mkdir()
    end = ".gz" if zipped else ""
    opened = gzip.open if zipped else open
    io.mmwrite(str(path / "matrix.mtx"), sparse.coo_matrix(matrix.T.astype(int)))
    if zipped:
        (path / "matrix.mtx.gz").write_bytes(gzip.compress((path / "matrix.mtx").read_bytes()))
        (path / "matrix.mtx").unlink()
    names = "features.tsv" if zipped else "genes.tsv"
    rows = [f"ENSG{i:011d}\t{name}" + ("\tGene Expression" if zipped else "") for i, name in enumerate(GENES)]
    for name, lines in ((names, rows), ("barcodes.tsv", CELLS)):
        with opened(path / f"{name}{end}", "wt") as file:
            file.write("".join(f"{line}\n" for line in lines))
    return path


def old_h5ad(path: Path, matrix: Any) -> Path:
    """As anndata 0.6 wrote it: record arrays, categories in ``uns``."""
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", np.array(matrix.shape)
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        rows = [(name.encode(), i % 2, 0.5 * i) for i, name in enumerate(CELLS)]
        file["obs"] = np.array(rows, dtype=[("index", "S9"), ("line", "i1"), ("score", "f8")])
        file["var"] = np.array([(name.encode(),) for name in GENES], dtype=[("index", "S5")])
        file["uns/line_categories"] = np.array([b"H1975", b"HCC827"])
    return path
