"""Types by markers and from a reference; cells in the forms that others read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, saved
from scrna_stages import raw, run, tree_of

import stargazer as sg
from stargazer.errors import DataError
from stargazer.store import Store
from stargazer.tasks.scrna import (
    annotate,
    cluster,
    compare_resolutions,
    embed,
    label,
    measure_integration,
    normalize,
    qc_filter,
    reduce_dimensions,
    select_features,
    transfer_labels,
)

LISTS = {f"type{kind}": [f"GENE{kind * 25 + i:04d}" for i in range(25)] for kind in range(3)}


def named(given: Any) -> Any:
    given.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(given.n_vars)]
    return given


def reduced(here: Path, *, seed: int = 0, key: str = "") -> sg.AnnData:
    given = named(cells(200, seed=seed))
    given.obs["batch"] = ["b0", "b1"] * 100
    given.obs["donor"] = ["d0", "d1"] * 100
    added: Any = sg.add(saved(given, here / f"{seed}.h5ad"), sg.AnnData(sample_id="s", organism="human"))
    made = run(qc_filter, here, raw(added.fetch(), organism="human"), min_genes=0, max_pct_mt=100.0, doublets=False)
    made = run(select_features, here, run(normalize, here, made), n_top_genes=100)
    done: sg.AnnData = run(reduce_dimensions, here, made, n_pcs=10, umap=False, harmony_key=key)
    return done


@pytest.fixture
def clustered(store: Store, tmp_path: Path) -> sg.AnnData:
    done: sg.AnnData = run(cluster, tmp_path, reduced(tmp_path))
    return done


def agreement(asset: sg.AnnData, column: str) -> float:
    obs = asset.open().obs
    found = obs[column].astype(str).str.replace("type", "t")
    return float((found == obs["truth"].astype(str)).mean())


def test_clusters_are_named_by_their_markers(clustered: sg.AnnData, tmp_path: Path) -> None:
    lines = ["cell_type,gene", *(f"{kind},{gene}" for kind, genes in LISTS.items() for gene in genes), "type0,NOWHERE"]
    (tmp_path / "types.csv").write_text("\n".join(lines))
    made = run(annotate, tmp_path, clustered, sg.Asset(path=tmp_path / "types.csv", name="types.csv"))
    assert agreement(made, "cell_type") > 0.9
    assert agreement(made, "cell_type_cell") > 0.9
    told = tree_of(made).stages()["annotate.cell_type"]
    assert min(told["confidence"].values()) > 0.8
    assert told["notes"] == ["of the markers of type0 are not there: NOWHERE"]
    assert (made.stage, made.open().uns["annotation"]["scores"].shape[1]) == ("clustered", 3)
    same = run(annotate, tmp_path, clustered, marker_genes=LISTS)
    assert same.open().obs["cell_type"].tolist() == made.open().obs["cell_type"].tolist()


def written_by_others() -> dict[str, str | bytes]:
    """The same lists as spreadsheets and collections of markers have them."""
    pairs = [(kind, gene) for kind, genes in LISTS.items() for gene in genes]
    return {
        "semicolons": "\n".join(["Cell Type;Gene", *(f"{kind};{gene}" for kind, gene in pairs)]),
        "remarks": "\n".join(["# by hand", "", "cell_type,gene", *(f"{kind},{gene}" for kind, gene in pairs)]),
        "panglao": "\n".join(
            ["species\tofficial gene symbol\tcell type", *(f"Hs\t{gene}\t{kind}" for kind, gene in pairs)]
        ),
        "cellmarker": "\n".join(
            ["cell_type\tcell_name\tmarker", *(f"Normal cell\t{kind}\t{gene}" for kind, gene in pairs)]
        ),
        "lists": "\n".join(["cell_type,genes", *(f'{kind},"{", ".join(genes)}"' for kind, genes in LISTS.items())]),
        "excel": "".join(f"{kind}\t{gene}\r\n" for kind, gene in [("Cell type", "Gene"), *pairs]).encode("utf-16"),
        "marked": "".join(f"{kind};{gene};\r\n" for kind, gene in [("Cell type", "Gene"), *pairs]).encode("utf-8-sig"),
    }


def test_lists_as_others_write_them(clustered: sg.AnnData, tmp_path: Path) -> None:
    expected = run(annotate, tmp_path, clustered, marker_genes=LISTS).open().obs["cell_type"].tolist()
    for name, text in written_by_others().items():
        (tmp_path / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        made = run(annotate, tmp_path, clustered, sg.Asset(path=tmp_path / f"{name}.csv", name=f"{name}.csv"))
        assert made.open().obs["cell_type"].tolist() == expected, name


def test_names_that_would_hide_something_are_refused(clustered: sg.AnnData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no type can be called 'unassigned'"):
        run(annotate, tmp_path, clustered, marker_genes={"unassigned": LISTS["type0"]})
    with pytest.raises(DataError, match="a column of their own, not 'leiden'"):
        run(annotate, tmp_path, clustered, marker_genes=LISTS, key_added="leiden")
    with pytest.raises(DataError, match="0 would have no name"):
        run(label, tmp_path, clustered, labels={"0": " "})


def test_clusters_that_no_list_fits_are_said(clustered: sg.AnnData, tmp_path: Path) -> None:
    made = run(annotate, tmp_path, clustered, marker_genes={"type0": LISTS["type0"]}, min_score=0.5)
    assert set(made.open().obs["cell_type"]) == {"type0", "unassigned"}
    assert any("have no type" in note for note in tree_of(made).stages()["annotate.cell_type"]["notes"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "has the columns a, b"),
        ("cell_type,gene\nx\n", "line 2"),
        ("cell_type,gene\nx,NOPE\n", "none of the marker"),
        ("cell_type,gene\nx,GENE0001\ny,GENE0002,GENE0003\n", "line 3: 3 fields, but there are 2 columns"),
        ("\n# none\n", "is empty"),
    ],
)
def test_a_list_that_says_nothing_is_refused(clustered: sg.AnnData, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "types.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        run(annotate, tmp_path, clustered, sg.Asset(path=tmp_path / "types.csv", name="types.csv"))
    with pytest.raises(DataError, match="give marker genes"):
        run(annotate, tmp_path, clustered)


def test_labels_of_a_reference_are_taken_over(clustered: sg.AnnData, tmp_path: Path) -> None:
    other = reduced(tmp_path, seed=7)
    found = run(transfer_labels, tmp_path, other, clustered, label_key="truth")
    assert agreement(found, "transferred") > 0.6
    assert found.open().obs["transferred_confidence"].between(0, 1).all()
    itself = run(transfer_labels, tmp_path, clustered, clustered, label_key="truth", n_neighbors=1)
    assert agreement(itself, "transferred") == 1.0
    with pytest.raises(DataError, match="no column 'nothing'"):
        run(transfer_labels, tmp_path, other, clustered, label_key="nothing")


def test_labels_come_from_a_reference_that_was_annotated(clustered: sg.AnnData, tmp_path: Path) -> None:
    """Of which some cells are unassigned: the name stood there twice, and no table could be opened."""
    lists = {"A": [f"GENE{place:04d}" for place in range(25)], "none": ["MT-ND1"]}
    annotated = run(annotate, tmp_path, clustered, marker_genes=lists, min_score=0.4, key_added="kind")
    theirs = annotated.open().obs["kind"]
    assert set(theirs.unique()) == {"A", "unassigned"}
    found = run(transfer_labels, tmp_path, annotated, annotated, label_key="kind", n_neighbors=1).open().obs
    assert found["transferred"].cat.categories.tolist() == ["A", "none", "unassigned"]
    assert set(found["transferred"]) == {"A"}  # who is unassigned has no vote
    nobody = run(annotate, tmp_path, clustered, marker_genes=lists, min_score=9.0, key_added="kind")
    with pytest.raises(DataError, match=r"no cell of the reference that is kept has a label in obs\['kind'\]"):
        run(transfer_labels, tmp_path, clustered, nobody, label_key="kind")
    with pytest.raises(DataError, match="n_neighbors is 0"):
        run(transfer_labels, tmp_path, clustered, clustered, label_key="truth", n_neighbors=0)


def test_resolutions_come_with_their_stability(clustered: sg.AnnData, tmp_path: Path) -> None:
    made = run(compare_resolutions, tmp_path, clustered, resolutions=[2.0, 0.1, 0.5], repeats=2)
    table = made.open().uns["resolutions"]
    assert table["resolution"].tolist() == [0.1, 0.5, 2.0]
    assert (np.diff(table["n_clusters"]) >= 0).all()
    assert ((table["least"] <= table["stability"]) & (table["stability"] <= 1)).all()
    assert {"leiden_0.1", "leiden_0.5", "leiden_2"} <= set(made.open().obs)
    assert made.open().obs["leiden_0.5"].tolist() == clustered.open().obs["leiden"].tolist()
    with pytest.raises(DataError, match="a resolution at least"):
        run(compare_resolutions, tmp_path, clustered, resolutions=[])


def test_integration_is_measured_before_and_after(store: Store, tmp_path: Path) -> None:
    made = run(measure_integration, tmp_path, reduced(tmp_path, key="batch"), batch_key="batch", label_key="truth")
    found = made.open().uns["integration"]
    assert set(found) == {"batch_key", "n_batches", "before", "after"}
    for state in ("before", "after"):
        assert 1.5 < found[state]["ilisi"] <= 2.0, "batches were drawn alike"
        assert abs(found[state]["ari_batch"]) < 0.05
        assert found[state]["ari_label"] > 0.8
        assert found[state]["clisi"] < 1.3


def test_measures_of_agreement_are_sklearns() -> None:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    from stargazer.bio.singlecell.kernels.agreement import adjusted_rand, mutual_information

    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        some, others = rng.integers(0, k, 200), rng.integers(0, 3, 200)
        assert adjusted_rand(some, others) == pytest.approx(adjusted_rand_score(some, others))
        assert mutual_information(some, others) == pytest.approx(normalized_mutual_info_score(some, others), abs=1e-9)


# --- exports


def test_a_folder_that_scanpy_reads_and_that_comes_back(clustered: sg.AnnData, tmp_path: Path) -> None:
    import scanpy as sc

    clustered.write_10x(tmp_path / "m")
    view = clustered.open()
    theirs = sc.read_10x_mtx(tmp_path / "m")
    assert (view.layers["counts"] != theirs.X).nnz == 0
    assert theirs.obs_names.tolist() == view.obs_names.tolist()
    assert theirs.var["gene_ids"].tolist() == view.var["gene_ids"].tolist()
    first = {each.name: each.read_bytes() for each in (tmp_path / "m").iterdir()}
    clustered.write_10x(tmp_path / "n")
    assert first == {each.name: each.read_bytes() for each in (tmp_path / "n").iterdir()}
    again: Any = sg.add(tmp_path / "m", sg.AnnData())
    assert (view.layers["counts"] != again.open().X).nnz == 0


TERMS = {
    "assay_ontology_term_id": "EFO:0009922",
    "cell_type_ontology_term_id": "CL:0000000",
    "development_stage_ontology_term_id": "unknown",
    "disease_ontology_term_id": "PATO:0000461",
    "self_reported_ethnicity_ontology_term_id": "unknown",
    "sex_ontology_term_id": "unknown",
    "tissue_ontology_term_id": "UBERON:0002048",
    "tissue_type": "tissue",
    "suspension_type": "cell",
    "donor_id": "@donor",
    "is_primary_data": "True",
}


@pytest.mark.filterwarnings("ignore")
def test_what_cellxgene_wants(clustered: sg.AnnData, tmp_path: Path) -> None:
    done = run(embed, tmp_path, clustered)
    done.write_cellxgene(tmp_path / "c.h5ad", TERMS, "Cells")
    made, view = anndata.read_h5ad(tmp_path / "c.h5ad"), done.open()
    assert made.var_names.tolist() == view.var["gene_ids"].tolist() == made.raw.var_names.tolist()
    assert (view.layers["counts"] != made.raw.X).nnz == 0
    assert (made.X != view.X).nnz == 0
    assert made.uns["organism_ontology_term_id"] == "NCBITaxon:9606"
    assert made.obs["donor_id"].tolist() == view.obs["donor"].tolist()
    assert made.obs["is_primary_data"].dtype == bool
    assert "stages" in made.uns["stargazer"], "parameters and seeds of all stages"
    wrong = {**TERMS, "tissue_type": "rock", "colour": "red"}
    del wrong["sex_ontology_term_id"]
    with pytest.raises(DataError) as caught:
        clustered.write_cellxgene(tmp_path / "d.h5ad", wrong, "Cells")
    rock = "tissue_type is 'rock', and should be as tissue, organoid"
    for words in ("obs lacks sex_ontology_term_id", rock, "no column 'colour'"):
        assert words in str(caught.value)


def test_terms_that_are_told_as_examples_are_such_as_fit() -> None:
    from stargazer.bio.singlecell import exports

    first = {name: re.split(r",| (?=\()| or ", told)[0] for name, told in exports.EXAMPLES.items()}
    assert list(first) == list(exports.TERMS)
    assert all(re.fullmatch(exports.TERMS[name], word) for name, word in first.items())


@pytest.mark.filterwarnings("ignore")
def test_a_mudata_has_the_antibodies_beside(store: Store, tmp_path: Path) -> None:
    mudata = pytest.importorskip("mudata")
    from odd_cells import tenx

    given = cells()
    path = tenx(tmp_path / "a.h5", given, feature_type=["Antibody Capture"] * 20 + ["Gene Expression"] * 180)
    added: Any = sg.add(path, sg.AnnData(sample_id="s"))
    added.write_h5mu(tmp_path / "x.h5mu")
    read = mudata.read_h5mu(tmp_path / "x.h5mu")
    assert (read["rna"].n_vars, read["prot"].n_vars) == (180, 20)
    assert (given.X[:, :20] != read["prot"].X).nnz == 0
    again: Any = sg.add(tmp_path / "x.h5mu", sg.AnnData())
    assert again.companion(sg.FeatureMatrix).n_vars == 20


def test_a_table_of_markers_has_ids_beside_symbols(clustered: sg.AnnData) -> None:
    from stargazer.bio.singlecell.genes import labels_of

    assert labels_of(tree_of(clustered))[0] == f"GENE0000 (ENSG{0:011d})"
    assert pd.Series(labels_of(tree_of(clustered))).is_unique
