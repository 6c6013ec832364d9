"""Counts where others leave them, and matrices that say something else than they should: right, noted, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, matrix_folder, saved, tenx
from scipy import sparse
from scrna_stages import raw, run

from stargazer.bio.singlecell.ingest import ingest
from stargazer.bio.singlecell.source import Said
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.bio.singlecell.view import open_tree
from stargazer.errors import DataError
from stargazer.tasks.scrna import concat

pytestmark = pytest.mark.filterwarnings("ignore")

GIVEN = cells(24, 40)
DENSE = GIVEN.X.toarray()
IDS = [f"ENSG{number:011d}" for number in range(40)]


def read(path: Path, here: Path) -> tuple[Any, str]:
    """Its cells, and all that was noted and remarked."""
    tree = AnnDataTree(ingest(path, here / "made").path)
    noted = tree.stages()["ingest"]
    return open_tree(tree.path), " ".join([*noted["notes"], *noted["remarks"]])


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("place", ["layer", "raw"])
def test_a_matrix_of_zeros_is_no_counts_where_another_has_some(tmp_path: Path, form: Any, place: str) -> None:
    given = GIVEN.copy()
    if place == "raw":
        given.raw = GIVEN.copy()
    else:
        given.layers["counts"] = form(DENSE)
    given.X = form(np.zeros_like(DENSE))
    view, said = read(saved(given, tmp_path / "a.h5ad"), tmp_path)
    np.testing.assert_array_equal(view.X.toarray(), DENSE)
    assert "X has no counts; they come from" in said


def test_cells_without_any_count_are_noted(tmp_path: Path) -> None:
    given = GIVEN.copy()
    given.X = np.zeros_like(DENSE)
    assert "no cell has any count" in read(saved(given, tmp_path / "a.h5ad"), tmp_path)[1]


def test_a_matrix_of_ones_beside_counts_is_noted(tmp_path: Path) -> None:
    given = GIVEN.copy()
    given.raw = GIVEN.copy()
    given.X = sparse.csr_matrix(DENSE > 0)
    assert "X has only 0 and 1, and raw/X has counts" in read(saved(given, tmp_path / "a.h5ad"), tmp_path)[1]


def edited(form: str, name: str, change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def make(here: Path) -> Path:
        given = GIVEN.copy()
        given.X = getattr(sparse, f"{form}_matrix")(DENSE)
        path = saved(given, here / "a.h5ad")
        with h5py.File(path, "r+") as file:
            values = change(file[f"X/{name}"][...])
            del file[f"X/{name}"]
            file[f"X/{name}"] = values
        return path

    return make


def of_type(values: Any) -> Callable[[Path], Path]:
    def make(here: Path) -> Path:
        given = GIVEN.copy()
        given.X = values
        return saved(given, here / "a.h5ad")

    return make


def at(place: int, value: int) -> Callable[[Any], Any]:
    return lambda given: np.where(np.arange(len(given)) == place, value, given.astype(np.int64))


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "more than all molecules": (of_type(np.where(DENSE == 1, 1e30, DENSE)), "which is no count"),
    "more than floats tell apart": (of_type(np.where(DENSE == 1, 2**60, DENSE).astype(np.int64)), "which is no count"),
    "64 unsigned bits": (of_type(np.where(DENSE == 1, 2**63 + 5, DENSE).astype(np.uint64)), "which is no count"),
    "a column that would come round": (edited("csr", "indices", at(3, 2**32 + 1)), "belongs to gene 4294967297 of 40"),
    "one pointer more": (edited("csc", "indptr", lambda given: np.append(given, given[-1])), "pointers do not fit"),
    "pointers back": (edited("csc", "indptr", at(3, 0)), "pointers do not fit"),
    "values cut": (edited("csc", "data", lambda given: given[:-5]), "pointers do not fit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_become_other_counts_is_refused(tmp_path: Path, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        read(make(tmp_path), tmp_path)


def test_what_a_mudata_says_of_all_modalities_comes_along(tmp_path: Path) -> None:
    proteins = cells(20, 20, seed=3)
    whole = mudata.MuData({"rna": GIVEN.copy(), "prot": proteins})
    whole.obs["donor"] = ["d1", "d2"] * 12
    whole.obs["leiden"] = pd.Categorical(["0", "1", None] * 8)
    whole.obsm["X_wnn"] = np.arange(48.0).reshape(24, 2)
    whole.uns["how"] = "by hand"
    whole.write(tmp_path / "a.h5mu")
    view, _ = read(tmp_path / "a.h5mu", tmp_path)
    expected = whole.obs.loc[view.obs_names]
    assert view.obs["donor"].tolist() == expected["donor"].tolist()
    assert view.obs["leiden"].astype(str).tolist() == expected["leiden"].astype(str).tolist()
    np.testing.assert_array_equal(view.obsm["X_wnn"], whole.obsm["X_wnn"])
    assert view.uns["how"] == "by hand"


def lines(symbol: Callable[[int, str], str]) -> list[str]:
    return [f"{IDS[place]}\t{symbol(place, name)}" for place, name in enumerate(GIVEN.var_names)]


@pytest.mark.parametrize("blank", ["", "NA"])
@pytest.mark.parametrize("form", ["folder", "file"])
def test_genes_without_a_symbol_go_by_their_id(tmp_path: Path, blank: str, form: str) -> None:
    given = GIVEN.copy()
    names = [blank if place in (3, 4) else name for place, name in enumerate(given.var_names)]
    if form == "folder":
        path = matrix_folder(tmp_path / "m", given, features=lines(lambda place, _: names[place]))
    else:
        given.var_names = names
        path = tenx(tmp_path / "a.h5", given, feature_type=["Gene Expression"] * 40)
    view, said = read(path, tmp_path)
    assert view.var_names[2:6].tolist() == ["GENE0002", IDS[3], IDS[4], "GENE0005"]
    assert "2 features have no symbol" in said


@pytest.mark.parametrize("name", ["nan", "NA"])
def test_one_gene_may_be_called_so(tmp_path: Path, name: str) -> None:
    """As nan (nanchung) of the fly is."""
    path = matrix_folder(tmp_path / "m", GIVEN, features=lines(lambda place, usual: name if place == 3 else usual))
    view, said = read(path, tmp_path)
    assert (view.var_names[3], "no symbol" in said) == (name, False)


def test_one_short_line_takes_no_symbol_from_the_others(tmp_path: Path) -> None:
    usual = [f"{line}\tGene Expression" for line in lines(lambda _, name: name)]
    path = matrix_folder(tmp_path / "m", GIVEN, features=[*usual[:5], IDS[5], *usual[6:]])
    view, _ = read(path, tmp_path)
    assert view.var_names[4:7].tolist() == ["GENE0004", IDS[5], "GENE0006"]
    np.testing.assert_array_equal(view.X.toarray(), DENSE)


KB = ("cells_x_genes.mtx", "cells_x_genes.barcodes.txt", "cells_x_genes.genes.txt")


@pytest.mark.parametrize("fits", [True, False])
def test_symbols_that_kallisto_writes_beside_the_ids(tmp_path: Path, fits: bool) -> None:
    path = matrix_folder(tmp_path / "m", GIVEN, names=KB, turned=True, zipped=False, features=IDS)
    names = "\n".join(GIVEN.var_names[: 40 if fits else 39])
    (path / "cells_x_genes.genes.names.txt").write_text(f"{names}\n")
    if not fits:
        with pytest.raises(DataError, match="they do not fit"):
            read(path, tmp_path)
        return
    view, _ = read(path, tmp_path)
    assert (view.var_names.tolist(), view.var["gene_ids"].tolist()) == (GIVEN.var_names.tolist(), IDS)


def test_matrices_of_other_names_are_named(tmp_path: Path) -> None:
    folder = matrix_folder(tmp_path / "m", GIVEN, names=("cells_x_genes.mature.mtx", *KB[1:]), turned=True)
    with pytest.raises(DataError, match=r"it has cells_x_genes\.mature\.mtx\.gz, and none called matrix\.mtx"):
        read(folder, tmp_path)


def test_joined_genes_of_one_name_and_two_ids_are_said(tmp_path: Path) -> None:
    samples = []
    for number, ids in enumerate((IDS, [*IDS[1::-1], *(f"{each}.2" for each in IDS[2:])])):
        given = cells(24, 40, seed=number)
        given.var["gene_ids"] = ids
        given.obs[f"single{number}"] = True
        given.obs[f"donor{number}"] = 3
        path = ingest(saved(given, tmp_path / f"{number}.h5ad"), tmp_path / "made").path
        samples.append(raw(path, sample_id=f"s{number}"))
    joined = run(concat, tmp_path, samples)
    [note] = [each for each in AnnDataTree(joined.path).stages()["concat"]["notes"] if "different ids" in each]
    assert note.startswith("2 genes go by one name and have different ids, and their counts are put together: GENE0000")
    view = open_tree(joined.path)
    assert view.obs["single0"].dtype == "boolean", "truth values with gaps are none of text"
    assert view.obs["single0"].isna().sum() == 24
    assert (view.obs["donor1"].dtype, view.obs["donor1"].isna().sum()) == ("Int64", 24)


def test_a_folder_of_counts_names_genes_without_symbol(tmp_path: Path) -> None:
    from stargazer.bio.singlecell.exports import write_matrix_folder

    given = anndata.AnnData(GIVEN.X, GIVEN.obs, pd.DataFrame({"symbol": [None, *GIVEN.var_names[1:]]}, index=IDS))
    given.layers["counts"] = GIVEN.X
    write_matrix_folder(tmp_path / "out", given)
    view, _ = read(tmp_path / "out", tmp_path)
    assert view.var_names[:2].tolist() == [IDS[0], "GENE0001"]


def test_counts_that_single_precision_has_no_number_for_are_opened_as_they_are(tmp_path: Path) -> None:
    given = GIVEN.copy()
    given.X = sparse.csr_matrix(DENSE.astype(np.float64))
    given.X.data[3] = 2**24 + 1
    tree = ingest(saved(given, tmp_path / "a.h5ad"), tmp_path / "made").path
    view, lazy = open_tree(tree), open_tree(tree, lazy=True)
    assert view.X.data.max() == view.layers["counts"].data.max() == 2**24 + 1
    assert lazy.layers["counts"].dtype == np.float64
    assert lazy.layers["counts"].compute().max() == 2**24 + 1
    given.X.data[3] = 2**24
    (tmp_path / "made").rename(tmp_path / "before")
    (tmp_path / "made").mkdir()
    assert read(saved(given, tmp_path / "b.h5ad"), tmp_path)[0].X.dtype == np.float32


@pytest.mark.parametrize("beside", [False, True])
def test_a_layer_may_be_called_raw(tmp_path: Path, beside: bool) -> None:
    """What the error said to say was an error itself."""
    given = GIVEN.copy()
    given.X = np.log1p(DENSE)
    given.layers["raw"] = sparse.csr_matrix(DENSE)
    if beside:
        given.raw = given.copy()
    path = saved(given, tmp_path / "a.h5ad")
    with pytest.raises(DataError, match=r"say where counts are, as in sg\.CountsFile\(layer='layers/raw'\)"):
        ingest(path, tmp_path / "made")
    for name in ("layers/raw", *(() if beside else ("raw",))):
        here = tmp_path / name.replace("/", "_")
        here.mkdir()
        found = open_tree(ingest(path, here, Said(layer=name)).path)
        np.testing.assert_array_equal(found.X.toarray(), DENSE)


@pytest.mark.parametrize("kind", ["obs", "layers"])
def test_a_name_that_no_file_can_have_is_told_as_what_it_is(tmp_path: Path, kind: str) -> None:
    """It was told that the file is truncated or damaged."""
    given = GIVEN.copy()
    getattr(given, kind)["x" * 300] = 1 if kind == "obs" else given.X.copy()
    with pytest.raises(DataError, match=r"a name that is too long for a file.*'x{60}'…, 300 bytes: rename it"):
        read(saved(given, tmp_path / "a.h5ad"), tmp_path)
