"""Folders of Parse Biosciences, and cells of several modalities in memory and on disk."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, matrix_folder
from scipy import sparse
from scipy.io import mmwrite
from scipy.sparse import coo_matrix

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import DataError, DataWarning
from stargazer.store import Store

GIVEN = cells(60, 80)
PROTEINS = cells(60, 30, seed=3)


def parse_folder(
    path: Path, matrix: str = "count_matrix.mtx", *, zipped: bool = False, prefix: str = "", genomes: str = "hg38"
) -> Path:
    """What split-pipe writes: cells × genes, and two tables with names of columns."""
    path.mkdir()
    mmwrite(path / "m.mtx", coo_matrix(GIVEN.X.astype(int)))
    genes = pd.DataFrame({"gene_id": [f"ENSG{i:011d}" for i in range(80)], "gene_name": GIVEN.var_names})
    genes["genome"] = [genomes.split(",")[i % len(genomes.split(","))] for i in range(80)]
    genes.loc[3, "gene_name"] = "NA"
    wells = pd.DataFrame({"bc_wells": GIVEN.obs_names, "sample": ["donor, A"] * 30 + ["B"] * 30, "tscp_count": 7})
    texts = {matrix: (path / "m.mtx").read_text(), "all_genes.csv": genes.to_csv(index=False)}
    texts["cell_metadata.csv"] = wells.to_csv(index=False)
    (path / "m.mtx").unlink()
    for name, text in texts.items():
        end = ".gz" if zipped else ""
        (path / f"{prefix}{name}{end}").write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


@pytest.mark.parametrize(
    "options",
    [{}, {"matrix": "DGE.mtx"}, {"zipped": True}, {"prefix": "GSM1_a_"}, {"prefix": "GSM1_a_", "zipped": True}],
    ids=str,
)
def test_folders_of_parse_are_read(store: Store, tmp_path: Path, options: Any) -> None:
    added = sg.add(parse_folder(tmp_path / "p", **options), sg.AnnData(sample_id="s"))
    view = added.open()
    assert (view.X != GIVEN.X).nnz == 0
    assert view.obs_names.tolist() == GIVEN.obs_names.tolist()
    assert view.var_names[:5].tolist() == ["GENE0000", "GENE0001", "GENE0002", "NA", "GENE0004"]
    assert view.var["gene_ids"].iloc[3] == "ENSG00000000003"
    assert view.obs["sample"].tolist() == ["donor, A"] * 30 + ["B"] * 30
    assert view.obs["tscp_count"].tolist() == [7] * 60


def test_folders_of_parse_that_do_not_fit_are_refused(store: Store, tmp_path: Path) -> None:
    two = parse_folder(tmp_path / "two", genomes="hg38,mm10")
    with pytest.raises(DataError, match=r"2 genomes \(hg38, mm10\); say whose"):
        sg.add(two, sg.AnnData())
    assert sg.add(two, sg.CountsFile(genome="mm10")).n_vars == 40
    lines = (two / "cell_metadata.csv").read_text().splitlines()
    (two / "cell_metadata.csv").write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(DataError, match=r"does not fit 58 cells, 80 genes"):
        sg.add(two, sg.CountsFile(genome="mm10"))
    (two / "cell_metadata.csv").unlink()
    with pytest.raises(DataError, match=r"has no cell_metadata.csv .*the folder needs all three"):
        sg.add(two, sg.CountsFile(genome="mm10"))
    tenx = matrix_folder(tmp_path / "count", GIVEN, prefix="count_")
    assert sg.add(tenx, sg.AnnData()).n_obs == 60


def renamed(folder: Path, change: Any) -> Path:
    for file in list(folder.iterdir()):
        file.rename(file.with_name(change(file.name)))
    return folder


def test_what_a_name_says_of_compression_is_not_believed(store: Store, tmp_path: Path) -> None:
    plain = renamed(matrix_folder(tmp_path / "plain", GIVEN, zipped=False), lambda name: f"{name}.gz")
    zipped = renamed(matrix_folder(tmp_path / "zipped", GIVEN), lambda name: name.removesuffix(".gz"))
    parse = renamed(parse_folder(tmp_path / "parse", zipped=True), lambda name: name.removesuffix(".gz"))
    for folder in (plain, zipped, parse):
        assert (sg.add(folder, sg.AnnData()).open().X != GIVEN.X).nnz == 0


def test_a_sample_beside_others_says_so(store: Store, tmp_path: Path) -> None:
    folder = matrix_folder(tmp_path / "m", GIVEN)
    matrix_folder(folder, PROTEINS, prefix="GSM2 ")
    added = sg.add(folder, sg.AnnData())
    assert (added.open().X != GIVEN.X).nnz == 0
    [note] = AnnDataTree(added.fetch()).stages()["ingest"]["notes"]
    assert note.startswith("GSM2 matrix.mtx.gz are of other samples, and were left out")
    other = sg.add(folder, sg.CountsFile(prefix="GSM2 "))
    assert other.n_vars == 30
    assert AnnDataTree(other.fetch()).stages()["ingest"]["notes"] == []


def test_files_in_other_wrappings_are_refused_by_what_they_are(store: Store, tmp_path: Path) -> None:
    folder = renamed(matrix_folder(tmp_path / "m", GIVEN), lambda name: name.replace(".gz", ".bz2"))
    with pytest.raises(DataError, match=r"matrix\.mtx\.bz2 is compressed in a way that is not read"):
        sg.add(folder, sg.AnnData())
    for name, what in (("a.tar.gz", "an archive"), ("a.tgz", "an archive"), ("a.csv.bz2", "compressed in a way")):
        (tmp_path / name).write_bytes(b"\x1f\x8bxxxx")
        with pytest.raises(DataError, match=f"{name} is {what}"):
            sg.add(tmp_path / name, sg.AnnData())


def mudata_of(**modalities: anndata.AnnData) -> Any:
    mudata = pytest.importorskip("mudata")
    with mudata.set_options(pull_on_update=False):
        return mudata.MuData({name: adata.copy() for name, adata in modalities.items()})


def written(given: Any, path: Path) -> Path:
    mudata = pytest.importorskip("mudata")
    with mudata.set_options(pull_on_update=False):
        given.write(path)
    return path


@pytest.mark.filterwarnings("ignore:var_names are not unique", "ignore:Cannot join columns")
def test_modalities_in_memory_are_those_of_a_file(store: Store, tmp_path: Path) -> None:
    given = mudata_of(rna=GIVEN, prot=PROTEINS)
    given.obs["donor"] = ["d1"] * 30 + ["d2"] * 30
    given.obsm["X_wnn"] = np.arange(120.0).reshape(60, 2)
    given.uns["note"] = {"by": "me"}
    added = sg.add(given, sg.AnnData(sample_id="s"))
    view = added.open()
    assert (view.X != GIVEN.X).nnz == 0
    assert view.obs["donor"].tolist() == ["d1"] * 30 + ["d2"] * 30
    assert view.obsm["X_wnn"].tolist() == given.obsm["X_wnn"].tolist()
    assert view.uns["note"] == {"by": "me"}
    assert (added.companion(sg.FeatureMatrix).open().X != PROTEINS.X).nnz == 0
    assert sg.add(given, sg.CountsFile(features="prot")).n_vars == 30
    again = sg.add(written(given, tmp_path / "a.h5mu"), sg.AnnData(sample_id="s")).open()
    assert (again.X != view.X).nnz == 0
    assert sorted(again.obs) == sorted(view.obs)


@pytest.mark.filterwarnings("ignore:var_names are not unique", "ignore:Cannot join columns")
def test_modalities_in_memory_stay_as_they_are_and_losses_are_said(store: Store) -> None:
    given = mudata_of(rna=GIVEN, prot=PROTEINS)
    given["rna"].obs["odd"] = [1, "a"] * 30
    given["rna"].uns["f"] = len
    with pytest.warns(DataWarning, match=r"this MuData .*'odd' of rna/obs is now text.*rna/uns/f is left out"):
        added = sg.add(given, sg.AnnData(sample_id="s"))
    assert added.open().obs["odd"].tolist() == ["1", "a"] * 30
    assert given["rna"].obs["odd"].tolist() == [1, "a"] * 30
    assert given["rna"].uns["f"] is len


@pytest.mark.filterwarnings("ignore:var_names are not unique", "ignore:Cannot join columns")
def test_embeddings_of_modalities_in_another_order_stay_with_their_cells(store: Store, tmp_path: Path) -> None:
    given = mudata_of(rna=GIVEN[:40], prot=PROTEINS[20:])
    given.obsm["X_wnn"] = np.arange(120.0).reshape(60, 2)
    given.obs["number"] = np.arange(60)
    given.obs["rna:weight"] = np.arange(60.0)
    turned = given[[59, 30, 3, 0]]  # the first is none of the RNA, by which a new one is put in order
    with pytest.warns(DataWarning, match=r"column 'rna:weight' of obs is left out"):
        added = sg.add(turned, sg.AnnData(sample_id="s"))
    view = added.open()
    assert view.obs["number"].tolist() == [30, 3, 0]
    assert view.obsm["X_wnn"][:, 0].tolist() == [60.0, 6.0, 0.0]
    assert view.obs_names.tolist() == turned["rna"].obs_names.tolist()
    filed = sg.add(written(given, tmp_path / "a.h5mu"), sg.AnnData(sample_id="s"))
    notes = AnnDataTree(filed.fetch()).stages()["ingest"]["notes"]
    assert [note for note in notes if "weight" in note] == [
        "column 'rna:weight' of all modalities was left out: none has it"
    ]


@pytest.mark.filterwarnings("ignore")  # anndata and mudata warn of the names each time
def test_cells_of_modalities_that_cannot_be_told_apart_are_refused(store: Store) -> None:
    rna, prot = GIVEN[:3].copy(), PROTEINS[:3].copy()
    rna.obs_names, prot.obs_names = list("aab"), list("bba")
    with pytest.raises(DataError, match=r"have the same names: call obs_names_make_unique"):
        sg.add(mudata_of(rna=rna, prot=prot)[::-1], sg.AnnData())


@pytest.mark.filterwarnings("ignore:var_names are not unique", "ignore:Cannot join columns")
@pytest.mark.parametrize(("name", "taken"), [("atac", False), ("prot", False), ("HTO", False), ("cells", True)])
def test_a_lone_modality_without_genes_is_not_taken_for_rna(
    store: Store, tmp_path: Path, name: str, taken: bool
) -> None:
    written(mudata_of(**{name: GIVEN}), tmp_path / "a.h5mu")
    if taken:
        added = sg.add(tmp_path / "a.h5mu", sg.AnnData())
        assert any(repr(name) in each for each in AnnDataTree(added.fetch()).stages()["ingest"]["remarks"])
    else:
        with pytest.raises(DataError, match=f"no modality rna or gex; there are: {name}; say which"):
            sg.add(tmp_path / "a.h5mu", sg.AnnData())
        assert sg.add(tmp_path / "a.h5mu", sg.CountsFile(features=name)).n_vars == 80


@pytest.mark.filterwarnings("ignore")  # anndata and mudata warn of the names each time
@pytest.mark.parametrize("dense", [False, True])
def test_graphs_of_all_modalities_stay_with_their_cells(store: Store, tmp_path: Path, dense: bool) -> None:
    """A graph of weighted neighbours, of which modalities that lack some cells have a part."""
    given = mudata_of(rna=GIVEN[10:40], prot=PROTEINS)
    graph = sparse.random(60, 60, 0.2, format="csr", random_state=1)
    given.obsp["wnn"] = graph.toarray() if dense else graph
    given.varm["loadings"] = np.zeros((given.n_vars, 2))
    given.var["chosen"] = True
    names = given.obs_names
    for added in (
        sg.add(given, sg.AnnData(sample_id="s")),
        sg.add(written(given, tmp_path / "a.h5mu"), sg.AnnData(sample_id="s")),
    ):
        view = added.open()
        place = names.get_indexer(view.obs_names)
        found = view.obsp["wnn"]
        assert np.array_equal(found if dense else found.toarray(), graph.toarray()[place][:, place])
    notes = AnnDataTree(added.fetch()).stages()["ingest"]["notes"]
    assert notes == [
        "varm/loadings of all modalities was left out: it is of genes of several",
        "column 'chosen' of var of all modalities was left out: it is of genes of several",
    ]


@pytest.mark.filterwarnings("ignore")
def test_nobody_believes_the_record_of_a_mudata(store: Store, tmp_path: Path) -> None:
    """It took the place of ours: stages that never ran, or a tree that could not be opened."""
    given = mudata_of(rna=GIVEN, prot=PROTEINS)
    given.uns["stargazer"] = {"format": 99, "stages": "none"}
    view = sg.add(written(given, tmp_path / "a.h5mu"), sg.AnnData(sample_id="s")).open()
    assert view.uns["stargazer_before"] == {"format": 99, "stages": "none"}
    assert view.uns["stargazer"]["stage"] == "raw"
