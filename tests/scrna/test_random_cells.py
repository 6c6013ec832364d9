"""Random AnnData survive adding, stages and export, or are refused in our words."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scrna_stages import raw, run

import stargazer as sg
from stargazer.errors import StargazerError
from stargazer.tasks.scrna import normalize, qc_filter

NAMES = st.sampled_from(
    [
        "a",
        "A",
        "b c",
        "é",
        "kept",
        "size_factor",
        "total_counts",
        "_x",
        "sample",
        "n_genes",
        "0",
        "percent.mt",
        "X_umap",
        "Ω",
    ]
)
KINDS = (
    "float32",
    "float64",
    "int8",
    "uint16",
    "int64",
    "bool",
    "Int64",
    "boolean",
    "string",
    "category",
    "gaps",
    "texts",
)


def column(kind: str, n: int, rng: np.random.Generator) -> Any:
    gaps = rng.random(n) < 0.3
    if kind in ("Int64", "boolean"):
        values = rng.integers(0, 2, n).astype(object)
        values[gaps] = None
        return pd.array([None if v is None else (bool(v) if kind == "boolean" else int(v)) for v in values], dtype=kind)
    if kind in ("string", "category", "texts"):
        texts = np.array([f"v{v}" for v in rng.integers(0, 4, n)], dtype=object)
        texts[gaps] = None
        return (
            pd.Categorical(texts)
            if kind == "category"
            else pd.array(texts, dtype="string")
            if kind == "string"
            else texts
        )
    if kind == "gaps":
        return np.where(gaps, np.nan, rng.random(n))
    return rng.integers(0, 2 if kind == "bool" else 100, n).astype(kind)


@st.composite
def any_cells(draw: st.DrawFn) -> anndata.AnnData:
    n, m = draw(st.integers(1, 30)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    largest = draw(st.sampled_from([1, 20, 300, 70_000]))
    counts = (rng.random((n, m)) < draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))) * rng.integers(1, largest + 1, (n, m))
    form = draw(st.sampled_from(["csr", "csc", "dense"]))
    kind = draw(st.sampled_from(["float32", "float64", "int32", "int64"]))
    matrix: Any = counts.astype(kind)
    matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[form](matrix)
    genes = [f"MT-{i}" if i < 2 else f"G{i}" for i in range(m)]
    if draw(st.booleans()):
        genes[-1] = genes[0]
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    for name in draw(st.lists(NAMES, max_size=5, unique=True)):
        obs[name] = column(draw(st.sampled_from(KINDS)), n, rng)
    obs.index.name = draw(st.sampled_from([None, "barcode", "a name"]))
    var = pd.DataFrame(index=genes)
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        var[name] = column(draw(st.sampled_from(KINDS)), m, rng)
    made = anndata.AnnData(matrix, obs=obs, var=var)
    if draw(st.booleans()):
        made.layers["some"] = sparse.csr_matrix(counts * 0.5)
    if draw(st.booleans()):
        made.layers["counts"] = sparse.csr_matrix(counts * draw(st.sampled_from([1, 2])))
    if draw(st.booleans()):
        made.obsm["X_umap"] = rng.random((n, 2)).astype("f4")
        made.obsp["near"] = sparse.eye(n, format="csr")
    made.uns = draw(
        st.dictionaries(
            NAMES,
            st.one_of(
                st.integers(-5, 5), st.text("abé", max_size=4), st.booleans(), st.just({"in": {"k": np.arange(2)}})
            ),
            max_size=3,
        )
    )
    return made


def written(adata: anndata.AnnData, path: Path) -> Path | None:
    """A file of it, if anndata itself can write one."""
    try:
        adata.write_h5ad(path)
    except (TypeError, ValueError, NotImplementedError, KeyError):
        return None
    return path


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(any_cells())
@pytest.mark.slow
def test_random_cells_survive_or_are_refused(made: anndata.AnnData) -> None:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        here = Path(scratch)
        path = written(made, here / "a.h5ad")
        if path is None:
            return
        read = anndata.read_h5ad(path)
        with sg.Store(here / "store"):
            try:
                added: Any = sg.add(path, sg.AnnData(sample_id="s"))
            except StargazerError:
                assert not made.n_obs or not made.n_vars
                return
            view = added.open()
        assert (sparse.csr_matrix(read.X) != view.X).nnz == 0
        assert view.obs_names.tolist() == read.obs_names.tolist()
        assert (list(view.obs), list(view.var)) == (list(read.obs), list(read.var))
        assert view.obs.index.name == read.obs.index.name
        for name in read.obs:
            same_column(view.obs[name], read.obs[name])
        assert set(read.uns) == set(view.uns) - {"stargazer"}
        if "some" in read.layers:
            assert (view.layers["some"] != read.layers["some"]).nnz == 0
        try:
            kept = run(qc_filter, here, raw(added.fetch()), min_genes=1, min_cells=1, max_pct_mt=100.0, doublets=False)
            staged = run(normalize, here, kept)
        except StargazerError:
            return
        staged.write_h5ad(here / "e.h5ad")
        back = anndata.read_h5ad(here / "e.h5ad")
        assert back.obs_names.isin(read.obs_names).all()
        if read.var_names.is_unique:
            expected = sparse.csr_matrix(read[back.obs_names, back.var_names].X)
            assert (back.layers["counts"] != expected).nnz == 0
        for name in read.obs:
            assert any(each == name or each.startswith(f"{name}_before") for each in back.obs), name


def same_column(mine: Any, theirs: Any) -> None:
    gaps = theirs.isna().to_numpy()
    assert (mine.isna().to_numpy() == gaps).all()
    known, others = mine[~gaps], theirs[~gaps]
    if theirs.dtype.kind in "fiu" if isinstance(theirs.dtype, np.dtype) else False:
        np.testing.assert_array_equal(known.to_numpy(float), others.to_numpy(float))
    else:
        assert known.astype(str).tolist() == others.astype(str).tolist()
