"""Small cells of three types, and odd files of them."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.io import mmwrite

MT = [
    f"MT-{name}"
    for name in ["ND1", "ND2", "CO1", "CO2", "ATP8", "ATP6", "CO3", "ND3", "ND4L", "ND4", "ND5", "ND6", "CYB"]
]


def cells(n: int = 120, m: int = 200, *, seed: int = 0, depth: float = 600.0) -> anndata.AnnData:
    """Counts of three types, which ``obs["truth"]`` tells."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.5, 1.0, m) + 0.02
    shares = np.tile(base, (3, 1))
    for kind in range(3):
        shares[kind, kind * 25 : kind * 25 + 25] += 4.0
    shares[:, -13:] = base.mean() * 1.2
    shares /= shares.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 3, n)
    size = depth * rng.lognormal(0, 0.25, n)
    counts = rng.poisson(shares[labels] * size[:, None] * rng.gamma(8, 1 / 8, (n, m)))
    obs = pd.DataFrame(
        {"truth": pd.Categorical([f"t{kind}" for kind in labels])}, index=[f"C{i:04d}-1" for i in range(n)]
    )
    var = pd.DataFrame(index=[f"GENE{i:04d}" for i in range(m - 13)] + MT)
    return anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


def saved(adata: anndata.AnnData, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


def logged(adata: anndata.AnnData) -> anndata.AnnData:
    """The same, normalised and as logarithms."""
    copy = adata.copy()
    factors = np.asarray(copy.X.sum(axis=1)) / np.median(np.asarray(copy.X.sum(axis=1)))
    copy.X = sparse.csr_matrix(copy.X.multiply(1 / np.maximum(factors, 1e-9)).log1p().astype(np.float32))
    return copy


def matrix_folder(
    path: Path,
    adata: anndata.AnnData,
    *,
    names: tuple[str, str, str] = ("matrix.mtx", "barcodes.tsv", "features.tsv"),
    prefix: str = "",
    zipped: bool = True,
    turned: bool = False,
    features: list[str] | None = None,
    barcodes: list[str] | None = None,
    field: str = "integer",
) -> Path:
    """A folder with a matrix; lines of features and barcodes may be given."""
    path.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    matrix = adata.X if turned else adata.X.T
    mmwrite(buffer, sparse.coo_matrix(matrix if field == "real" else matrix.astype(int)), field=field)
    usual = [f"ENSG{i:011d}\t{name}\tGene Expression" for i, name in enumerate(adata.var_names)]
    texts = (
        buffer.getvalue().decode(),
        "".join(f"{line}\n" for line in barcodes or adata.obs_names),
        "".join(f"{line}\n" for line in features or usual),
    )
    for name, text in zip(names, texts, strict=True):
        if zipped:
            (path / f"{prefix}{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (path / f"{prefix}{name}").write_text(text)
    return path


def tenx(path: Path, adata: anndata.AnnData, group: str = "matrix", **columns: Any) -> Path:
    """A 10x ``.h5``; without columns of features one of version 2."""
    with h5py.File(path, "w") as file:
        target = file.create_group(group)
        matrix = sparse.csr_matrix(adata.X)
        target["barcodes"] = np.array([name.encode() for name in adata.obs_names])
        target["data"], target["indices"] = matrix.data.astype("i4"), matrix.indices.astype("i8")
        target["indptr"], target["shape"] = matrix.indptr.astype("i8"), np.array(matrix.shape[::-1], "i4")
        ids = np.array([f"ENSG{i:011d}".encode() for i in range(adata.n_vars)])
        names = np.array([name.encode() for name in adata.var_names])
        if not columns:
            target["genes"], target["gene_names"] = ids, names
            return path
        features = target.create_group("features")
        features["id"], features["name"] = ids, names
        for name, values in columns.items():
            if values is not None:
                features[name] = np.array([value.encode() for value in values])
    return path
