"""Files of counts as people have them: read rightly, or refused in words that say what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, logged, matrix_folder, saved, tenx
from scipy import sparse

import stargazer as sg
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.errors import AssetError, DataError
from stargazer.store import Store

GIVEN = cells()
IDS = [f"ENSG{i:011d}" for i in range(GIVEN.n_vars)]
NAMES = list(GIVEN.var_names)


def told(added: Any, what: str = "notes") -> list[str]:
    found: list[str] = AnnDataTree(added.fetch()).stages()["ingest"][what]
    return found


def same(added: Any, expected: Any = GIVEN) -> None:
    """The counts, cell by cell and gene by gene."""
    view = added.open()
    assert view.shape == expected.shape
    assert view.obs_names.tolist() == list(expected.obs_names)
    assert view.var_names.tolist() == list(expected.var_names)
    assert (sparse.csr_matrix(expected.X) != view.X).nnz == 0


def folder(**options: Any) -> Callable[[Path], Path]:
    return lambda here: matrix_folder(here / "m", GIVEN, **options)


KB = ("cells_x_genes.mtx", "cells_x_genes.barcodes.txt", "cells_x_genes.genes.txt")
FRY = ("quants_mat.mtx", "quants_mat_rows.txt", "quants_mat_cols.txt")
TWO = [f"{key}\t{name}" for key, name in zip(IDS, NAMES, strict=True)]
WHOLE: dict[str, Callable[[Path], Path]] = {
    "starsolo": folder(zipped=False),
    "prefixed": folder(prefix="GSM1_a_"),
    "version 2": folder(names=("matrix.mtx", "barcodes.tsv", "genes.tsv"), zipped=False, features=TWO),
    "zipped version 2 names": folder(names=("matrix.mtx", "barcodes.tsv", "genes.tsv"), features=TWO),
    "one column": folder(features=NAMES),
    "header of features": folder(features=["ENSEMBL\tSYMBOL\tTYPE", *(f"{line}\tGene Expression" for line in TWO)]),
    "blanks for tabs": folder(
        names=("matrix.mtx", "barcodes.tsv", "genes.tsv"), features=[t.replace("\t", " ") for t in TWO]
    ),
    "header of barcodes": folder(barcodes=["x\tident", *(f"{name}\t0" for name in GIVEN.obs_names)]),
    "biotypes": folder(features=[f"{line}\tprotein_coding" for line in TWO]),
    "turned": folder(turned=True),
    "whole numbers as real": folder(field="real"),
    "kb": folder(names=KB, turned=True, zipped=False, features=NAMES),
    "alevin-fry": folder(names=FRY, turned=True, zipped=False, features=NAMES),
    "barcodes.txt": folder(names=("matrix.mtx", "barcodes.txt", "genes.txt"), features=NAMES),
    "10x v3": lambda here: tenx(
        here / "a.h5", GIVEN, feature_type=["Gene Expression"] * len(NAMES), genome=["GRCh38"] * len(NAMES)
    ),
    "no genome": lambda here: tenx(here / "a.h5", GIVEN, feature_type=["Gene Expression"] * len(NAMES)),
    "no types": lambda here: tenx(here / "a.h5", GIVEN, genome=["GRCh38"] * len(NAMES)),
    "10x v2": lambda here: tenx(here / "a.h5", GIVEN, group="hg19"),
    "v2 columns called matrix": lambda here: tenx(here / "a.h5", GIVEN),
}


@pytest.mark.parametrize("form", WHOLE)
def test_the_same_counts_come_in_from(store: Store, tmp_path: Path, form: str) -> None:
    same(sg.add(WHOLE[form](tmp_path), sg.AnnData(sample_id="s")))


@pytest.mark.parametrize("end", [".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz"])
@pytest.mark.parametrize("genes_first", [True, False])
def test_tables_of_text(store: Store, tmp_path: Path, end: str, genes_first: bool) -> None:
    table = pd.DataFrame(GIVEN.X.toarray().astype(int), index=GIVEN.obs_names, columns=GIVEN.var_names)
    path = tmp_path / f"counts{end}"
    (table.T if genes_first else table).to_csv(path, sep="," if ".csv" in end else "\t")
    added = sg.add(path, sg.AnnData())
    same(added)
    assert told(added, "remarks") == [f"{'genes' if genes_first else 'cells'} are rows, by their names"]


def test_a_table_as_r_writes_it_and_one_with_a_column_of_symbols(store: Store, tmp_path: Path) -> None:
    table = pd.DataFrame(GIVEN.X.T.toarray().astype(int), index=GIVEN.var_names, columns=GIVEN.obs_names)
    text = table.to_csv(sep="\t")
    (tmp_path / "r.txt").write_text(text.removeprefix("\t"))  # no name above the names of rows
    same(sg.add(tmp_path / "r.txt", sg.AnnData()))
    table.insert(0, "symbol", [f"s{i}" for i in range(len(table))])
    (tmp_path / "c.csv").write_text("# made by hand\n" + table.to_csv())
    added = sg.add(tmp_path / "c.csv", sg.AnnData())
    same(added)
    assert added.open().var["column_1"].tolist() == [f"s{i}" for i in range(len(table))]


def test_a_table_of_which_nothing_tells_is_noted(store: Store, tmp_path: Path) -> None:
    pd.DataFrame([[1, 2], [0, 5], [3, 0]], index=["a", "b", "c"], columns=["x", "y"]).to_csv(tmp_path / "t.csv")
    added = sg.add(tmp_path / "t.csv", sg.AnnData())
    assert (added.n_obs, added.n_vars) == (2, 3)
    assert "nothing tells" in told(added)[0]


def test_several_samples_of_a_folder_by_prefix(store: Store, tmp_path: Path) -> None:
    other = cells(seed=5)
    matrix_folder(tmp_path / "m", GIVEN, prefix="GSM1_a_")
    path = matrix_folder(tmp_path / "m", other, prefix="GSM2_b_")
    with pytest.raises(DataError, match=r"several matrix.mtx .*CountsFile\(prefix='GSM1_a_'\)"):
        sg.add(path, sg.AnnData())
    same(sg.add(path, sg.CountsFile(sample_id="a", prefix="GSM1_a_")))
    added = sg.add(path, sg.CountsFile(sample_id="b", prefix="GSM2_b_"))
    same(added, other)
    assert isinstance(added, sg.AnnData)
    assert not isinstance(added, sg.CountsFile)
    with pytest.raises(DataError, match="begins with 'GSM3'"):
        sg.add(path, sg.CountsFile(prefix="GSM3"))


def test_features_that_samples_share(store: Store, tmp_path: Path) -> None:
    path = matrix_folder(tmp_path / "m", GIVEN, prefix="GSM3_x_")
    (path / "GSM3_x_features.tsv.gz").rename(path / "GSE9_features.tsv.gz")
    same(sg.add(path, sg.AnnData()))


def test_a_folder_above_names_those_below(store: Store, tmp_path: Path) -> None:
    (tmp_path / "Solo.out" / "Gene").mkdir(parents=True)
    for name in ("raw", "filtered"):
        matrix_folder(tmp_path / "Solo.out" / "Gene" / name, GIVEN)
    with pytest.raises(DataError, match=r"give .*filtered.* there are 2"):
        sg.add(tmp_path / "Solo.out", sg.AnnData())


def test_a_square_matrix_says_how_it_was_taken(store: Store, tmp_path: Path) -> None:
    square = cells(n=200, m=200)
    added = sg.add(matrix_folder(tmp_path / "m", square), sg.AnnData())
    same(added, square)
    assert "as many cells as genes" in told(added)[0]


def test_one_name_too_many_is_a_header_only_if_it_reads_as_one(store: Store, tmp_path: Path) -> None:
    path = matrix_folder(tmp_path / "m", GIVEN, features=["GENEX", *NAMES])
    with pytest.raises(DataError, match="does not fit"):
        sg.add(path, sg.AnnData())


def test_fractional_counts_are_refused_or_made_whole(store: Store, tmp_path: Path) -> None:
    half = GIVEN.copy()
    half.X = half.X * 0.5
    path = matrix_folder(tmp_path / "m", half, field="real")
    with pytest.raises(DataError, match=r"CountsFile\(round=True\)"):
        sg.add(path, sg.AnnData())
    added = sg.add(path, sg.CountsFile(sample_id="s", round=True))
    whole = half.copy()
    whole.X = sparse.csr_matrix(np.rint(half.X.toarray()))
    same(added, whole)
    assert "made whole" in told(added)[0]
    negative = GIVEN.copy()
    negative.X.data[3] = -2.0
    path = saved(negative, tmp_path / "n.h5ad")
    with pytest.raises(DataError, match="no count"):
        sg.add(path, sg.CountsFile(round=True))


def test_usa_counts_of_alevin_fry_are_added_up(store: Store, tmp_path: Path) -> None:
    three = sparse.hstack([GIVEN.X, 2 * GIVEN.X, 5 * GIVEN.X]).tocsr()
    names = [*NAMES, *(f"{name}-U" for name in NAMES), *(f"{name}-A" for name in NAMES)]
    usa = anndata.AnnData(three, obs=GIVEN.obs, var=pd.DataFrame(index=names))
    path = matrix_folder(tmp_path / "m", usa, names=FRY, turned=True, zipped=False, features=names)
    six = GIVEN.copy()
    six.X = six.X * 6
    same(sg.add(path, sg.AnnData()), six)


def mixed() -> tuple[Any, list[str]]:
    types = ["Antibody Capture"] * 20 + ["Peaks"] * 40 + ["Gene Expression"] * (len(NAMES) - 60)
    return GIVEN, types


@pytest.mark.parametrize("form", ["h5", "mtx"])
@pytest.mark.parametrize("case", [str, str.lower, str.upper])
def test_antibodies_are_an_asset_of_their_own(store: Store, tmp_path: Path, form: str, case: Any) -> None:
    given, types = mixed()
    types = [case(kind) for kind in types]
    lines = [f"{line}\t{kind}" for line, kind in zip(TWO, types, strict=True)]
    path = (
        tenx(tmp_path / "a.h5", given, feature_type=types)
        if form == "h5"
        else matrix_folder(tmp_path / "m", given, features=lines)
    )
    added = sg.add(path, sg.AnnData(sample_id="s"))
    same(added, given[:, 60:])
    antibodies = added.companion(sg.FeatureMatrix)
    assert (antibodies.features, antibodies.sample_id, antibodies.n_vars) == ("Antibody Capture", "s", 20)
    same(antibodies, given[:, :20])
    assert any("'Peaks' were left out: add the file with features='Peaks'" in note for note in told(added))
    same(sg.add(path, sg.CountsFile(features="Peaks")), given[:, 20:60])
    with pytest.raises(DataError, match="no features of type 'Guides'"):
        sg.add(path, sg.CountsFile(features="Guides"))


def test_two_genomes_are_split(store: Store, tmp_path: Path) -> None:
    genomes = ["GRCh38"] * 100 + ["mm10"] * 100
    both = GIVEN.copy()
    both.var_names = [
        f"{genome}{'_' if genome == 'GRCh38' else '___'}{name}" for genome, name in zip(genomes, NAMES, strict=True)
    ]
    path = tenx(tmp_path / "a.h5", both, feature_type=["Gene Expression"] * 200, genome=genomes)
    with pytest.raises(DataError, match=r"2 genomes \(GRCh38, mm10\); say whose: sg.CountsFile\(genome='GRCh38'\)"):
        sg.add(path, sg.AnnData())
    added = sg.add(path, sg.CountsFile(genome="mm10"))
    same(added, GIVEN[:, 100:])
    assert "GRCh38 were left out" in told(added)[0]
    with h5py.File(tenx(tmp_path / "b.h5", GIVEN, group="hg19"), "r+") as file:
        file.copy("hg19", "mm10")
    same(sg.add(tmp_path / "b.h5", sg.CountsFile(genome="mm10")))


def test_cellbender_comes_with_what_it_says_of_droplets(store: Store, tmp_path: Path) -> None:
    with h5py.File(tenx(tmp_path / "a.h5", GIVEN, feature_type=["Gene Expression"] * len(NAMES)), "r+") as file:
        file["matrix/latent_scale"], file["metadata/learning"] = 3.0, b"abc"
        file["droplet_latents/cell_probability"] = np.linspace(0, 1, 40, dtype="f4")
        file["droplet_latents/barcode_indices_for_latents"] = np.arange(10, 50)
    added = sg.add(tmp_path / "a.h5", sg.AnnData())
    same(added)
    assert added.open().obs["cell_probability"].iloc[[0, 49]].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("place", ["layers", "raw"])
def test_counts_that_stand_elsewhere_are_named(store: Store, tmp_path: Path, place: str) -> None:
    given = logged(GIVEN)
    if place == "layers":
        given.layers["raw_counts"] = GIVEN.X.copy()
    else:
        given.raw = GIVEN
        given = given[:, 150:].copy()
    path = saved(given, tmp_path / "a.h5ad")
    if place == "layers":
        with pytest.raises(DataError, match=r"CountsFile\(layer='raw_counts'\)"):
            sg.add(path, sg.AnnData())
    same(sg.add(path, sg.CountsFile(layer="raw_counts" if place == "layers" else "raw")))
    with pytest.raises(DataError, match="no counts in 'other'"):
        sg.add(path, sg.CountsFile(layer="other"))


def test_an_anndata_in_memory(store: Store, tmp_path: Path) -> None:
    added = sg.add(GIVEN, sg.AnnData(sample_id="s"))
    same(added)
    assert sg.add(GIVEN, sg.AnnData(sample_id="s")).cid == added.cid
    with pytest.raises(AssetError, match="give its path"):
        sg.add({"x": 1}, sg.AnnData())  # type: ignore[arg-type]
    with pytest.raises(AssetError, match="give its path"):
        sg.add(GIVEN)  # type: ignore[arg-type]


def mudata(path: Path, **modalities: Any) -> Path:
    from anndata.io import write_elem

    with h5py.File(path, "w") as file:
        file.create_group("mod")
        for name, adata in modalities.items():
            write_elem(file["mod"], name, adata)
        for frame in ("obs", "var"):
            write_elem(file, frame, pd.DataFrame(index=["a"]))
    return path


def test_the_rna_of_a_mudata(store: Store, tmp_path: Path) -> None:
    path = mudata(tmp_path / "x.h5mu", rna=GIVEN, prot=GIVEN[:, :20].copy(), atac=GIVEN[:, 20:50].copy())
    added = sg.add(path, sg.AnnData(sample_id="s"))
    same(added)
    same(added.companion(sg.FeatureMatrix), GIVEN[:, :20])
    assert any("'atac' was left out" in note for note in told(added))
    same(sg.add(path, sg.CountsFile(features="atac")), GIVEN[:, 20:50])
    with pytest.raises(DataError, match="no modality rna or gex; there are: none"):
        sg.add(mudata(tmp_path / "y.h5mu"), sg.AnnData())


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore::zarr.errors.ZarrUserWarning", "ignore::UserWarning")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("inner", [True, False])
def test_a_zipped_zarr(store: Store, tmp_path: Path, version: int, inner: bool) -> None:
    with anndata.settings.override(zarr_write_format=version, auto_shard_zarr_v3=False):
        GIVEN.write_zarr(tmp_path / "z" / "a.zarr")
    root = tmp_path / "z" if inner else tmp_path / "z" / "a.zarr"
    shutil.make_archive(str(tmp_path / "a.zarr"), "zip", root)
    same(sg.add(tmp_path / "a.zarr.zip", sg.AnnData()))


def test_a_zip_that_reaches_outside_is_refused(store: Store, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(DataError, match="lies outside"):
        sg.add(tmp_path / "a.zip", sg.AnnData())
    assert not (tmp_path.parent / "evil.txt").exists()


def old(path: Path, *, raw: bool) -> Path:
    """As anndata 0.6 wrote: record arrays for tables and embeddings, ``raw.X`` at the top."""
    with h5py.File(path, "w") as file:
        places = {"raw.X": GIVEN.X, "X": logged(GIVEN).X[:, :50]} if raw else {"X": GIVEN.X}
        for place, matrix in places.items():
            group = file.create_group(place)
            group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", np.array(matrix.shape)
            matrix = sparse.csr_matrix(matrix)
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)
        file["obs"] = np.array([(name.encode(),) for name in GIVEN.obs_names], dtype=[("index", "S12")])
        table = np.array([(name.encode(),) for name in NAMES], dtype=[("index", "S12")])
        file["var"] = table[:50] if raw else table
        if raw:
            file["raw.var"] = table
        points = np.zeros(GIVEN.n_obs, dtype=[("X_umap", "f4", (2,))])
        points["X_umap"] = np.arange(2 * GIVEN.n_obs).reshape(-1, 2)
        file["obsm"] = points
    return path


@pytest.mark.parametrize("raw", [True, False])
def test_records_of_anndata_06(store: Store, tmp_path: Path, raw: bool) -> None:
    added = sg.add(old(tmp_path / "old.h5ad", raw=raw), sg.AnnData())
    same(added)
    assert added.open().obsm["X_umap"][3].tolist() == [6.0, 7.0]


def test_elements_that_nobody_knows_are_left_out_and_said(store: Store, tmp_path: Path) -> None:
    path = saved(GIVEN, tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        for place in ("obsm/weird", "uns/odd", "layers/strange", "obs/thing"):
            group = file.create_group(place)
            group.attrs["encoding-type"], group.attrs["encoding-version"] = "my-thing", "9"
            group["x"] = np.arange(3)
        file["obs"].attrs["column-order"] = np.array([*file["obs"].attrs["column-order"], "thing"], dtype=object)
    added = sg.add(path, sg.AnnData())
    same(added)
    for place in ("obsm/weird", "uns/odd", "layers/strange", "column 'thing' of obs"):
        assert any(note.startswith(f"{place} was left out") for note in told(added)), place
    assert added.open().obs["truth"].tolist() == GIVEN.obs["truth"].tolist()


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {}


def refused(name: str, words: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def register(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        REFUSED[name] = (make, words)
        return make

    return register


@refused("R", "write10xCounts")
def rds(here: Path) -> Path:
    (here / "s.rds").write_bytes(b"RDX3\n" + bytes(200))
    return here / "s.rds"


@refused("loom", "read_loom")
def loom(here: Path) -> Path:
    with h5py.File(here / "a.h5", "w") as file:
        file["matrix"], file["row_attrs/Gene"] = np.ones((2, 3)), np.arange(2)
    return here / "a.h5"


@refused("empty file", "is empty")
def empty(here: Path) -> Path:
    (here / "a.h5ad").write_bytes(b"")
    return here / "a.h5ad"


@refused("empty csv", "is empty")
def empty_csv(here: Path) -> Path:
    (here / "a.csv").write_bytes(b"")
    return here / "a.csv"


@refused("text that is no table", "no table of counts")
def prose(here: Path) -> Path:
    (here / "a.txt").write_text("dear all,\nplease find attached\n")
    return here / "a.txt"


@refused("half a file", "truncated or damaged")
def half(here: Path) -> Path:
    whole = saved(GIVEN, here / "w.h5ad").read_bytes()
    (here / "a.h5ad").write_bytes(whole[: len(whole) // 2])
    return here / "a.h5ad"


@refused("no cells", "0 cells")
def no_cells(here: Path) -> Path:
    return saved(GIVEN[:0].copy(), here / "a.h5ad")


@refused("normalised alone", "no count")
def normalised(here: Path) -> Path:
    return saved(logged(GIVEN), here / "a.h5ad")


@refused("a ragged table", "cannot be read as a table")
def ragged(here: Path) -> Path:
    (here / "a.csv").write_text(",c1,c2\ng1,1,2\ng2,3\ng3,x,4\n")
    return here / "a.csv"


@refused("half a matrix", "is it complete")
def half_matrix(here: Path) -> Path:
    path = matrix_folder(here / "m", GIVEN, zipped=False)
    text = (path / "matrix.mtx").read_text()
    (path / "matrix.mtx").write_text(text[: text.rindex("\n", 0, len(text) // 2) + 1])
    return path


@refused("a matrix of nothing", "is it complete")
def no_matrix(here: Path) -> Path:
    path = matrix_folder(here / "m", GIVEN, zipped=False)
    (path / "matrix.mtx").write_text("")
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_in_words(store: Store, tmp_path: Path, name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(DataError, match=words):
        sg.add(make(tmp_path), sg.AnnData())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_one_such_value_is_named(store: Store, tmp_path: Path, value: float, form: str) -> None:
    given = GIVEN.copy()
    given.X.data[5] = value
    cell, gene = 0, given.X.indices[5]
    given.X = {"csr": given.X, "csc": given.X.tocsc(), "dense": given.X.toarray()}[form]
    with pytest.raises(DataError, match=f"cell C{cell:04d}-1, gene {NAMES[gene]} is"):
        sg.add(saved(given, tmp_path / "a.h5ad"), sg.AnnData())


def test_columns_of_a_matrix_stream_as_its_rows_do(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stargazer.bio.singlecell import layout, spill

    monkeypatch.setattr(spill, "AT_ONCE", 500)
    monkeypatch.setattr(spill, "ROWS", 50)
    assert layout.ROWS != 50
    entries = spill.column_entries(
        {name: getattr(GIVEN.X.tocsc(), name) for name in ("data", "indices", "indptr")}, GIVEN.n_vars
    )
    blocks = list(spill.row_blocks_of(entries, GIVEN.shape, tmp_path))
    assert [block.shape[0] for block in blocks] == [50, 50, 20]
    assert (sparse.vstack(blocks) != GIVEN.X).nnz == 0
    assert list(tmp_path.iterdir()) == []
