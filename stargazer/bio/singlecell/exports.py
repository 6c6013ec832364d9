"""Cells in the forms that other programs and archives take: CELLxGENE's ``.h5ad``, ``.h5mu``, a 10x folder."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stargazer.bio.singlecell.genes import ENSEMBL, ID_COLUMNS, SYMBOL_COLUMNS
from stargazer.errors import DataError, DataWarning, ToolMissing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["cellxgene", "write_h5mu", "write_matrix_folder"]

TERMS = {
    "assay_ontology_term_id": r"EFO:\d+",
    "cell_type_ontology_term_id": r"CL:\d+|unknown",
    "development_stage_ontology_term_id": r"[A-Za-z]+:\d+|unknown|na",
    "disease_ontology_term_id": r"(PATO:0000461|MONDO:\d+)( \|\| MONDO:\d+)*",
    "self_reported_ethnicity_ontology_term_id": r".*[A-Za-z]+:\d+.*|unknown|na",
    "sex_ontology_term_id": r"PATO:\d+|unknown|na",
    "tissue_ontology_term_id": r"(UBERON|CL|CVCL):?_?\w+",
    "tissue_type": r"tissue|organoid|cell culture|primary cell culture|cell line",
    "suspension_type": r"cell|nucleus|na",
    "donor_id": r".+",
    "is_primary_data": r"True|False",
}
"""Columns of ``obs`` that CELLxGENE's schema wants, and what their values look like.

Source: https://github.com/chanzuckerberg/single-cell-curation/tree/main/schema
"""
EXAMPLES = {
    "assay_ontology_term_id": "EFO:0009922 (10x 3' v3)",
    "cell_type_ontology_term_id": "CL:0000084 (T cell) or unknown; `label` gives each cluster its own",
    "development_stage_ontology_term_id": "HsapDv:0000258 (adult), MmusDv:0000110 (of mice mature) or unknown",
    "disease_ontology_term_id": "PATO:0000461 (healthy) or MONDO:0005015 (diabetes)",
    "self_reported_ethnicity_ontology_term_id": "HANCESTRO:0005, unknown, or na of other than humans",
    "sex_ontology_term_id": "PATO:0000383 (female), PATO:0000384 (male) or unknown",
    "tissue_ontology_term_id": "UBERON:0000178 (blood)",
    "tissue_type": "tissue, organoid, cell culture, primary cell culture or cell line",
    "suspension_type": "cell, nucleus or na",
    "donor_id": "a name of the donor",
    "is_primary_data": "True or False",
}
"""What is written there: who is refused a word learns which kind of word is wanted."""
ORGANISMS = {
    "human": "NCBITaxon:9606",
    "mouse": "NCBITaxon:10090",
    "rat": "NCBITaxon:10116",
    "zebrafish": "NCBITaxon:7955",
    "fly": "NCBITaxon:7227",
}
RESERVED = (
    *("assay", "cell_type", "development_stage", "disease", "self_reported_ethnicity", "sex", "tissue", "organism"),
    *("organism_ontology_term_id", "ethnicity", "ethnicity_ontology_term_id"),
    *("observation_joinid", "experimental_condition", "perturbation_types"),
    *("genetic_perturbation_id", "genetic_perturbation_strategy"),
)
"""Columns that CELLxGENE fills in itself, from the terms, that it has given up, or that want more than we write."""
EMBEDDING = re.compile(r"X_(?!spatial$)[A-Za-z][A-Za-z0-9_.-]*")
"""Names of embeddings that the schema takes; spatial ones want the pictures that belong to them."""


def cellxgene(adata: Any, terms: Mapping[str, str], title: str, organism: str = "") -> Any:
    """Cells as CELLxGENE's schema wants them: counts in ``raw.X``, log-normalised values in `X`, Ensembl ids for names.

    Parameters
    ----------
    adata
        What `AnnData.open` gives of normalised cells with an embedding.
    terms
        Value of each column that the schema wants, for all cells, where ``obs`` does not have it; of ``donor_id`` and
        others also the name of the column that has it, after an ``@``: ``{"donor_id": "@donor"}``.
    title
        Of the data set.
    organism
        ``"human"`` or ``"mouse"``; others by their NCBITaxon term.

    Returns
    -------
    anndata.AnnData
        A copy.

    Raises
    ------
    DataError
        What is missing, all of it at once.
    """
    import anndata

    obs, problems = _described(adata.obs.copy(), terms)
    ids = _ensembl_ids(adata.var)
    if ids is None:
        problems.append("genes have no Ensembl ids: neither names nor a column such as gene_ids are some")
    if "size_factor" not in adata.obs:
        problems.append("cells are not normalised: run normalize first")
    embeddings = [name for name in adata.obsm if _is_embedding(name, adata.obsm[name])]
    if not embeddings:
        problems.append("there is no embedding: run embed first")
    taxon = ORGANISMS.get(organism, organism)
    if not taxon.startswith("NCBITaxon:"):
        problems.append(f"organism is {organism!r}: say human, mouse, or its NCBITaxon term")
    if problems or ids is None:
        raise DataError(f"these cells do not fit CELLxGENE's schema: {'; '.join(problems)}")
    ids = [each.partition(".")[0] for each in ids]
    keep = np.array([bool(each) for each in ids]) & ~np.asarray(_doubled(ids))
    index = np.array(ids, dtype=object)[keep]
    counts = sparse.csr_matrix(adata.layers["counts"])[:, keep].astype(np.float32)
    counts.eliminate_zeros()
    if not np.diff(counts.indptr).all():
        empty = adata.obs_names[np.diff(counts.indptr) == 0]
        raise DataError(
            f"{len(empty)} cells have no count in a gene with an Ensembl id ({', '.join(empty[:3])}): CELLxGENE's "
            "schema takes none such; drop them by qc_filter(min_genes=)"
        )
    made = anndata.AnnData(sparse.csr_matrix(adata.X)[:, keep].astype(np.float32), obs=obs)
    made.var_names = index
    made.raw = anndata.AnnData(counts, obs=obs[[]], var=made.var[[]].copy())
    made.var["feature_is_filtered"] = False
    made.uns = {"title": title, "organism_ontology_term_id": taxon, "stargazer": adata.uns["stargazer"]}
    for name in embeddings:
        made.obsm[name] = np.asarray(adata.obsm[name])
    if "X_umap" in embeddings:
        made.uns["default_embedding"] = "X_umap"
    return made


def _described(obs: Any, terms: Mapping[str, str]) -> tuple[Any, list[str]]:
    """The table with all columns that are wanted, and what is missing or malformed."""
    problems = [f"there is no column {name!r} in the schema" for name in terms if name not in TERMS]
    for name, value in terms.items():
        if value.startswith("@"):
            if value[1:] not in obs:
                problems.append(f"{name} is to come from obs[{value[1:]!r}], which is not there")
                continue
            obs[name] = obs[value[1:]].astype(str)
        else:
            obs[name] = value
    missing = [name for name in TERMS if name not in obs]
    if missing:
        problems.append(f"obs lacks {', '.join(missing)}: say them, terms=")
    for name, pattern in TERMS.items():
        wrong = (
            [str(each) for each in obs[name].unique() if not re.fullmatch(pattern, str(each))] if name in obs else []
        )
        if wrong:
            problems.append(f"{name} is {', '.join(map(repr, wrong[:3]))}, and should be as {EXAMPLES[name]}")
    for name in TERMS:
        if name in obs:
            obs[name] = obs[name].astype(str) == "True" if name == "is_primary_data" else obs[name].astype("category")
    barred = [name for name in obs if name in RESERVED or str(name).startswith("__")]
    if barred:
        told = f"columns {', '.join(map(repr, barred))} of obs are left out: CELLxGENE's schema makes or bars them"
        warnings.warn(told, DataWarning, stacklevel=4)
    return _plain_columns(obs.drop(columns=barred)), problems


def _plain_columns(obs: Any) -> Any:
    """The table with columns of one type each: gaps and truth values in categories are none."""
    import pandas as pd

    for name in obs:
        values = obs[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.cat.remove_unused_categories()
            if values.cat.categories.dtype.kind not in "iuf":
                values = values.cat.rename_categories(values.cat.categories.astype(str).astype(object))
        elif pd.api.types.is_extension_array_dtype(values.dtype) and pd.api.types.is_numeric_dtype(values.dtype):
            truth, gaps = pd.api.types.is_bool_dtype(values.dtype), bool(values.isna().any())
            values = values.astype("float64" if gaps else "bool" if truth else values.dtype.numpy_dtype)
        elif values.dtype.kind not in "biuf":
            values = values.map(str, na_action="ignore").astype("category")
        obs[name] = values
    return obs


def _is_embedding(name: str, values: Any) -> bool:
    """Whether the schema takes it: a name that it allows, two numbers a cell or more."""
    numbers = np.asarray(values) if np.ndim(values) == 2 and not sparse.issparse(values) else np.empty((0, 0))
    found = EMBEDDING.fullmatch(name) and numbers.shape[1] > 1 and numbers.dtype.kind in "iuf"
    return bool(found) and not np.isinf(numbers).any()


def _ensembl_ids(var: Any) -> list[str] | None:
    """Ensembl id of each gene, empty of those without; None where most have none."""
    for values in (var.index, *(var[name] for name in ID_COLUMNS if name in var)):
        ids = [str(value) if ENSEMBL.fullmatch(str(value)) else "" for value in values]
        if sum(map(bool, ids)) > len(ids) / 2:
            return ids
    return None


def _doubled(ids: list[str]) -> list[bool]:
    seen: set[str] = set()
    doubled = []
    for each in ids:
        doubled.append(each in seen)
        seen.add(each)
    return doubled


def write_h5mu(path: str | os.PathLike[str], modalities: Mapping[str, Any]) -> None:
    """Write modalities of the same cells as a MuData file.

    Parameters
    ----------
    path
        File to write.
    modalities
        What `AnnData.open` gives of each, by its name (``"rna"``, ``"prot"``).

    Raises
    ------
    ToolMissing
        The package ``mudata`` is not installed.
    """
    try:
        import mudata
    except ModuleNotFoundError as error:
        hint = "pip install 'stargazer-dask[mudata]'"
        raise ToolMissing(f".h5mu files need {error.name}, which is not installed: {hint}") from error
    with mudata.set_options(pull_on_update=False):
        mudata.MuData(dict(modalities)).write(path)


def write_matrix_folder(path: str | os.PathLike[str], adata: Any) -> None:
    """Write counts as Cell Ranger does: ``matrix.mtx.gz``, ``barcodes.tsv.gz``, ``features.tsv.gz``.

    Parameters
    ----------
    path
        Folder to make.
    adata
        What `AnnData.open` gives.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    counts = sparse.csr_matrix(adata.layers["counts"])
    ids = _ensembl_ids(adata.var) or list(adata.var_names.astype(str))
    column = next((name for name in SYMBOL_COLUMNS if name in adata.var), "")
    names = list(adata.var_names.astype(str))
    symbols = _filled(adata.var[column], names) if column else names
    usual = ["Gene Expression"] * len(ids)
    kinds = _filled(adata.var["feature_types"], usual) if "feature_types" in adata.var else usual
    rows = (
        "\t".join((key or name, symbol, kind))
        for key, name, symbol, kind in zip(ids, names, symbols, kinds, strict=True)
    )
    _write_lines(folder / "barcodes.tsv.gz", adata.obs_names.astype(str))
    _write_lines(folder / "features.tsv.gz", rows)
    _write_lines(folder / "matrix.mtx.gz", _entries(counts))


def _filled(column: Any, others: list[str]) -> list[str]:
    """Texts of a column, others where it has none."""
    texts = [str(value) if here else "" for value, here in zip(column, column.notna(), strict=True)]
    return [text or other for text, other in zip(texts, others, strict=True)]


def _entries(counts: Any) -> Any:
    yield "%%MatrixMarket matrix coordinate integer general"
    yield f"{counts.shape[1]} {counts.shape[0]} {counts.nnz}"
    for cell in range(counts.shape[0]):
        here = slice(counts.indptr[cell], counts.indptr[cell + 1])
        for gene, value in zip(counts.indices[here].tolist(), counts.data[here].tolist(), strict=True):
            yield f"{gene + 1} {cell + 1} {int(value)}"


def _write_lines(path: Path, lines: Any) -> None:
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for line in lines:
            file.write(f"{line}\n".encode())
