"""Odd inputs by somebody who did not write the readers: each gives the counts that it holds, or is refused in words."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from odd_cells import cells, matrix_folder, saved, tenx
from scipy import sparse

import stargazer as sg
from stargazer.errors import StargazerError
from stargazer.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")

GIVEN = cells(24, 40)
DENSE = GIVEN.X.toarray()


def fresh() -> Any:
    return GIVEN.copy()


def text_of(
    separator: str = ",", end: str = "\n", *, corner: bool = True, quote: str = "", number: str = "{:.0f}"
) -> str:
    """Genes × cells."""
    names = [f"{quote}{each}{quote}" for each in GIVEN.obs_names]
    head = separator.join([*([""] if corner else []), *names])
    lines = [
        separator.join([f"{quote}{gene}{quote}", *(number.format(value) for value in row)])
        for gene, row in zip(GIVEN.var_names, DENSE.T, strict=True)
    ]
    return end.join([head, *lines]) + end


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def folder_with(here: Path, change: Callable[[bytes], bytes], name: str = "matrix.mtx", **options: Any) -> Path:
    path = matrix_folder(here / "m", fresh(), zipped=False, **options)
    (path / name).write_bytes(change((path / name).read_bytes()))
    return path


def with_x(here: Path, matrix: Any) -> Path:
    given = fresh()
    given.X = matrix
    return saved(given, here / "a.h5ad")


def edited(here: Path, change: Callable[[h5py.File], None]) -> Path:
    path = saved(fresh(), here / "a.h5ad")
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def unsorted_twice(here: Path) -> Path:
    """CSR with indices in any order, an entry in two parts, and zeros that are stored."""
    matrix = GIVEN.X.tocoo()
    rows, columns = np.concatenate([matrix.row, matrix.row, [0]]), np.concatenate([matrix.col, matrix.col, [0]])
    values = np.concatenate([matrix.data - 1, np.ones(matrix.nnz), [0]])
    order = np.lexsort([-columns, rows])
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=GIVEN.n_obs))])

    def change(file: h5py.File) -> None:
        for name, found in (("data", values[order]), ("indices", columns[order].astype("i4")), ("indptr", pointers)):
            del file[f"X/{name}"]
            file[f"X/{name}"] = found

    return edited(here, change)


def set_attribute(place: str, name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file[place].attrs.__setitem__(name, value)


def odd_columns() -> Any:
    given = fresh()
    n = given.n_obs
    given.obs["numbered"] = pd.Categorical([3, 1] * (n // 2))
    given.obs["halves"] = pd.Categorical([0.5, np.nan] * (n // 2))
    given.obs["true"] = pd.Categorical([True, False] * (n // 2))
    given.obs["a b"], given.obs["µ"], given.obs["None"] = 1, 2.5, "None"
    given.uns = {"a": {"b": {}}, "n": np.int64(2**62), "t": "x" * 10_000, "empty": np.zeros((0, 3)), "b": True}
    given.obsm["table"] = pd.DataFrame({"x": range(n)}, index=given.obs_names)
    given.obsm["thin"] = sparse.csr_matrix(DENSE[:, :3])
    return given


def renamed(frame: str, names: list[Any]) -> Any:
    given = fresh()
    setattr(given, f"{frame}_names", names)
    return given


def tar(here: Path) -> Path:
    folder = matrix_folder(here / "m", fresh())
    with tarfile.open(here / "GSE1_RAW.tar", "w") as file:
        file.add(folder, "m")
    return here / "GSE1_RAW.tar"


def linked(here: Path) -> Path:
    os.symlink(saved(fresh(), here / "real.h5ad"), here / "link.h5ad")
    return here / "link.h5ad"


def linked_folder(here: Path) -> Path:
    os.symlink(matrix_folder(here / "m", fresh()), here / "link")
    return here / "link"


def dangling(here: Path) -> Path:
    os.symlink(here / "gone.h5ad", here / "link.h5ad")
    return here / "link.h5ad"


def members(data: bytes) -> bytes:
    """Several members of gzip, as bgzip writes them."""
    return b"".join(gzip.compress(data[start : start + 700]) for start in range(0, len(data), 700))


def zipped(here: Path) -> Path:
    path = matrix_folder(here / "m", fresh(), zipped=False)
    for each in list(path.iterdir()):
        written(path / f"{each.name}.gz", members(each.read_bytes()))
        each.unlink()
    return path


def compact(here: Path) -> Path:
    """A matrix of one kind of entry: the ones of a panel, without values."""
    given = fresh()
    given.X = sparse.csr_matrix((DENSE > 0).astype(np.float32))
    path = matrix_folder(here / "m", given, zipped=False)
    lines = (path / "matrix.mtx").read_text().splitlines()
    lines = [lines[0].replace("integer", "pattern"), *(" ".join(line.split()[:2]) for line in lines[1:])]
    size = next(at for at, line in enumerate(lines) if not line.startswith("%"))
    lines[size] = f"{GIVEN.n_vars} {GIVEN.n_obs} {given.X.nnz}"
    return written(path / "matrix.mtx", "\n".join(lines) + "\n").parent


SAME: dict[str, Callable[[Path], Any]] = {
    "semicolons": lambda here: written(here / "a.csv", text_of(";")),
    "quotes": lambda here: written(here / "a.csv", text_of(quote='"')),
    "windows": lambda here: written(here / "a.tsv", b"\xef\xbb\xbf" + text_of("\t", "\r\n").encode()),
    "zipped with a mark": lambda here: written(
        here / "a.csv.gz", gzip.compress(b"\xef\xbb\xbf" + text_of(corner=False).encode())
    ),
    "blanks": lambda here: written(here / "a.txt", text_of(" ", corner=False)),
    "decimals": lambda here: written(here / "a.csv", text_of(number="{:.1f}")),
    "exponents": lambda here: written(here / "a.csv", text_of(number="{:.6e}")),
    "remarks above": lambda here: written(here / "a.tsv", "# made by x\n# y\n\n" + text_of("\t")),
    "no last line end": lambda here: written(here / "a.csv", text_of().rstrip("\n")),
    "bgzip": zipped,
    "remarks in a matrix": lambda here: folder_with(
        here, lambda data: data.replace(b"\n", b"\n%remark\n%\n", 1) + b"\n\n"
    ),
    "windows in a matrix": lambda here: folder_with(here, lambda data: data.replace(b"\n", b"\r\n")),
    "windows in names": lambda here: folder_with(here, lambda data: data.replace(b"\n", b"\r\n"), "features.tsv"),
    "no last line end of names": lambda here: folder_with(here, lambda data: data.rstrip(b"\n"), "barcodes.tsv"),
    "whole numbers as decimals": lambda here: folder_with(here, lambda data: data, field="real"),
    "a link": linked,
    "a link to a folder": linked_folder,
    "twice and unsorted": unsorted_twice,
    "64 bits": lambda here: with_x(here, sparse.csr_matrix(DENSE.astype(np.uint64))),
    "8 bits": lambda here: with_x(here, np.minimum(DENSE, 255).astype(np.uint8)),
    "double precision": lambda here: with_x(here, np.asfortranarray(DENSE.astype(np.float64))),
    "big end first": lambda here: with_x(here, DENSE.astype(">i4")),
    "odd columns": lambda here: saved(odd_columns(), here / "a.h5ad"),
    "a view in memory": lambda here: anndata.concat([fresh(), fresh()[:3]])[:24],
    "numbers as names": lambda here: saved(renamed("obs", [str(i) for i in range(24)]), here / "a.h5ad"),
    "letters of the world": lambda here: saved(renamed("var", [f"γ{i} ß\u2028" for i in range(40)]), here / "a.h5ad"),
    "slashes in names of genes": lambda here: saved(renamed("var", [f"A/{i}" for i in range(40)]), here / "a.h5ad"),
    "backed": lambda here: anndata.read_h5ad(saved(fresh(), here / "a.h5ad"), backed="r"),
    "capital ending": lambda here: saved(fresh(), here / "a.h5ad").rename(here / "A.H5AD"),
}


def counts_of(stored: Any) -> Any:
    view = stored.open()
    return np.asarray(view.X.todense() if sparse.issparse(view.X) else view.X)


@pytest.mark.parametrize("case", SAME)
def test_the_counts_are_those_of_the_file(store: Store, tmp_path: Path, case: str) -> None:
    stored: Any = sg.add(SAME[case](tmp_path), sg.AnnData(sample_id="s"))
    np.testing.assert_array_equal(counts_of(stored), DENSE)


def pasted() -> str:
    """A table whose third and fourth lines stand in one."""
    lines = text_of("\t").split("\n")
    return "\n".join([*lines[:2], "\t".join(lines[2:4]), *lines[4:]])


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "names cut": (
        lambda here: folder_with(here, lambda data: data[: len(data) // 2], "barcodes.tsv"),
        "does not fit 40 genes, 12 cells",
    ),
    "matrix cut": (lambda here: folder_with(here, lambda data: data[: 2 * len(data) // 3]), r"matrix\.mtx"),
    "an entry outside": (
        lambda here: folder_with(here, lambda data: data.rstrip(b"\n").rpartition(b"\n")[0] + b"\n9999 1 3\n"),
        r"matrix\.mtx",
    ),
    "a place before the first": (
        lambda here: folder_with(here, lambda data: data.rstrip(b"\n").rpartition(b"\n")[0] + b"\n0 1 3\n"),
        r"matrix\.mtx has an entry at 0, 1",
    ),
    "no matrix market": (lambda here: folder_with(here, lambda data: b"hello\n" + data), r"matrix\.mtx"),
    "complex": (lambda here: folder_with(here, lambda data: data.replace(b"integer", b"complex")), "complex"),
    "gzip cut": (lambda here: _cut(zipped(here) / "matrix.mtx.gz"), "matrix"),
    "a tar": (tar, r"\.tar"),
    "a link to nothing": (dangling, "gone|no file|not there"),
    "a zipped h5ad": (
        lambda here: written(here / "a.h5ad.gz", gzip.compress(saved(fresh(), here / "a.h5ad").read_bytes())),
        "gz",
    ),
    "a table with a gap": (
        lambda here: written(here / "a.csv", text_of().replace("\nGENE0003-0,", "").replace(",0,", ",,", 1)),
        "no count|table",
    ),
    "a table with a row too short": (lambda here: written(here / "a.csv", text_of()[:-9] + "\n"), "no count|table"),
    "a table with a row too long": (
        lambda here: written(here / "a.csv", text_of().rstrip("\n") + ",7\n"),
        "more fields than the",
    ),
    "a table with a row that was pasted to another": (lambda here: written(here / "a.tsv", pasted()), "line 3: more"),
    "a table with words": (lambda here: written(here / "a.csv", text_of().replace(",0,", ",none,", 9)), "table"),
    "a table of bytes": (lambda here: written(here / "a.csv", bytes(range(256)) * 20), "table"),
    "no counts at all": (lambda here: edited(here, lambda file: file.__delitem__("X")), "X"),
    "negative zero five": (lambda here: with_x(here, DENSE - 0.5), "no count"),
    "nearly whole": (lambda here: with_x(here, DENSE.astype(np.float64) * 1.0000001), "no count"),
    "complex numbers": (lambda here: with_x(here, DENSE.astype(np.complex64)), "complex64"),
    "indices outside": (
        lambda here: edited(here, lambda file: file["X/indices"].__setitem__(0, 10_000)),
        "",
    ),
    "pointers back": (lambda here: edited(here, lambda file: file["X/indptr"].__setitem__(2, 10_000)), ""),
    "wrong shape": (lambda here: edited(here, set_attribute("X", "shape", np.array([24, 39]))), ""),
    "fewer cells than rows": (lambda here: edited(here, lambda file: _shortened(file, "obs", 20)), ""),
    "no table of cells": (lambda here: edited(here, lambda file: file.__delitem__("obs")), "obs"),
    "an unknown matrix": (lambda here: edited(here, set_attribute("X", "encoding-type", "blocked_matrix")), ""),
    "10x without names": (lambda here: _without(tenx(here / "a.h5", fresh()), "matrix/barcodes"), ""),
    "10x of another length": (lambda here: _without(tenx(here / "a.h5", fresh()), "matrix/indptr", 4), ""),
}


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path.parent


def _shortened(file: h5py.File, frame: str, length: int) -> None:
    for name in list(file[frame]):
        item = file[f"{frame}/{name}"]
        if isinstance(item, h5py.Dataset):
            kept, attributes = item[:length], dict(item.attrs)
            del file[f"{frame}/{name}"]
            file[f"{frame}/{name}"] = kept
            file[f"{frame}/{name}"].attrs.update(attributes)


def _without(path: Path, place: str, shorter: int = 0) -> Path:
    with h5py.File(path, "r+") as file:
        kept = file[place][:-shorter] if shorter else None
        del file[place]
        if kept is not None:
            file[place] = kept
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_right_is_refused_in_words(store: Store, tmp_path: Path, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(StargazerError, match=f"(?i){words}"):
        sg.add(make(tmp_path), sg.AnnData(sample_id="s"))


def test_ones_without_values_are_ones(store: Store, tmp_path: Path) -> None:
    """A matrix of the field ``pattern`` says where entries are, and each is a one."""
    stored: Any = sg.add(compact(tmp_path), sg.AnnData(sample_id="s"))
    np.testing.assert_array_equal(counts_of(stored), (DENSE > 0).astype(np.float32))
