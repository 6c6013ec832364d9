"""Mitochondrial genes and other sets of any species: by names, a pattern, or a column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_cells import cells, saved
from scrna_stages import raw, run, tree_of

import stargazer as sg
from stargazer.errors import DataError
from stargazer.store import Store
from stargazer.tasks.scrna import qc_filter

PLAIN = [f"GENE{i:04d}" for i in range(187)] + [
    "ND1",
    "ND2",
    "COX1",
    "COX2",
    "ATP8",
    "ATP6",
    "COX3",
    "ND3",
    "ND4L",
    "ND4",
    "ND5",
    "ND6",
    "CYTB",
]


@pytest.fixture
def macaque(store: Store, tmp_path: Path) -> sg.AnnData:
    given = cells()
    given.var_names = PLAIN
    given.var["mt"] = [place >= 187 for place in range(200)]
    given.var["text"] = np.where(given.var["mt"], "yes", "no")
    added: Any = sg.add(saved(given, tmp_path / "m.h5ad"), sg.AnnData())
    return raw(added.fetch())


@pytest.mark.parametrize("given", [PLAIN[187:], r"(ND\d|COX\d|ATP\d|CYTB)", "mt", "text"])
def test_mitochondrial_genes_are_those_that_are_named(macaque: sg.AnnData, tmp_path: Path, given: Any) -> None:
    made = run(qc_filter, tmp_path, macaque, min_genes=0, min_cells=0, mt_genes=given, max_pct_mt=99.0, doublets=False)
    reference = cells()
    expected = np.asarray(reference.X[:, 187:].sum(axis=1) / reference.X.sum(axis=1)).ravel() * 100
    np.testing.assert_allclose(tree_of(made).column("obs", "pct_counts_mt"), expected, rtol=1e-5)
    assert tree_of(made).column("var", "mt").tolist() == [place >= 187 for place in range(200)]


def test_without_a_name_the_error_tells_of_the_column(macaque: sg.AnnData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mt_genes= \(names, a pattern, or a column of var, such as 'mt'\)"):
        run(qc_filter, tmp_path, macaque, organism="human", doublets=False)


def test_other_sets_are_measured(macaque: sg.AnnData, tmp_path: Path) -> None:
    sets = {"first": r"GENE000\d", "two": ["GENE0100", "GENE0101", "NOT_THERE"]}
    made = run(qc_filter, tmp_path, macaque, min_genes=0, mt_genes="mt", gene_sets=sets, doublets=False)
    counts = cells().X
    tree = tree_of(made)
    first = np.asarray(counts[:, :10].sum(axis=1)).ravel()
    assert tree.column("obs", "total_counts_first").tolist() == first.astype(int).tolist()
    assert int(tree.column("var", "two").sum()) == 2
    assert any("1 of 3 two genes are not there: NOT_THERE" in note for note in tree.stages()["qc_filter"]["notes"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mt_genes": ["X", "Y"]}, "no mitochondrial gene is named by X, Y"),
        ({"mt_genes": "^zz"}, "no mitochondrial gene is named by '\\^zz'"),
        ({"mt_genes": "(("}, "neither a column of var nor a pattern"),
        ({"mt_genes": "mt", "gene_sets": {"mt": "ND"}}, "is there already"),
        ({"mt_genes": "mt", "gene_sets": {"a/b": "ND"}}, "cannot be the name"),
    ],
)
def test_sets_that_name_nothing_are_refused(macaque: sg.AnnData, tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        run(qc_filter, tmp_path, macaque, doublets=False, **options)
