"""Files become trees: ``.h5ad``, ``.h5mu``, 10x ``.h5`` and folders, zarr, tables of text."""

from __future__ import annotations

import errno
import shutil
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.bio.singlecell.anndata_files import (
    CONVERT,
    is_anndata,
    is_mudata,
    left_out,
    read_anndata,
    read_mudata,
)
from stargazer.bio.singlecell.draft import TreeDraft, is_draft
from stargazer.bio.singlecell.folders import LAYOUTS, is_matrix_folder, read_folder
from stargazer.bio.singlecell.foreign import check_archive, check_folder, check_hdf5
from stargazer.bio.singlecell.frames import write_frame
from stargazer.bio.singlecell.layout import METADATA, STATE
from stargazer.bio.singlecell.matrix import LARGEST_COUNT, MatrixWriter, canonical_counts, whole_numbers
from stargazer.bio.singlecell.source import UNREADABLE, MatrixBlocks, Said
from stargazer.bio.singlecell.tenx import is_tenx, read_tenx
from stargazer.bio.singlecell.text_tables import is_text_table, read_text_table
from stargazer.bio.singlecell.transfer import same_matrix, write_foreign, write_layer
from stargazer.bio.singlecell.tree import AnnDataTree
from stargazer.bounded import GZIP_MAGIC
from stargazer.errors import DataError, StargazerError

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.bio.singlecell.elements import Values
    from stargazer.bio.singlecell.source import Source

__all__ = ["Ingested", "ingest", "is_tree", "stem", "write_tree"]

ACCEPTED = (
    "give a .h5ad, a 10x .h5, a 10x folder (matrix.mtx, barcodes.tsv, features.tsv), a zarr of anndata, a .h5mu, or a "
    "table (.csv, .tsv, .txt)"
)
SUFFIXES = (".zip", ".gz", ".h5ad", ".h5mu", ".h5", ".zarr", ".hdf5", ".csv", ".tsv", ".txt", ".tab")
PACKED = (".bz2", ".xz", ".zst")
OTHERS = {
    ".rds": "an R object: in R, DropletUtils::write10xCounts(path, counts) writes a 10x folder",
    ".rdata": "R objects: in R, DropletUtils::write10xCounts(path, counts) writes a 10x folder",
    ".h5seurat": "a Seurat file: in R, SeuratDisk::Convert(file, dest='h5ad') writes a .h5ad",
    ".loom": "a loom file: in Python, anndata.io.read_loom(file).write_h5ad(path) writes a .h5ad",
    ".xlsx": "a workbook: save the sheet of counts as .csv",
    ".parquet": "a Parquet table: in Python, pandas.read_parquet(file).to_csv(path) writes a .csv",
    **dict.fromkeys((".tar", ".tgz", ".7z", ".rar"), "an archive: unpack it, and give the folder or the file in it"),
    **dict.fromkeys(PACKED, "compressed in a way that is not read: unpack it, or compress it with gzip"),
}
"""Suffixes of files that are not read here, what they are, and how to convert them."""


class Ingested(NamedTuple):
    """A new tree.

    Parameters
    ----------
    path
        Where it is.
    n_obs, n_vars
        Cells and genes; of an analysed one those kept.
    stage
        How far it is analysed.
    copied
        Whether it was a tree already.
    beside
        Trees of other features of the same cells, by their type.
    """

    path: Path
    n_obs: int
    n_vars: int
    stage: str = "raw"
    copied: bool = False
    beside: dict[str, Ingested] = {}  # noqa: RUF012


def is_tree(path: Path) -> bool:
    """Whether a directory is a tree of this package already."""
    return (path / "uns" / STATE / METADATA).is_file()


def ingest(path: Path, directory: Path, said: Said | None = None) -> Ingested:
    """Convert a file of counts.

    Parameters
    ----------
    path
        ``.h5ad``, ``.h5mu``, 10x ``.h5``, a folder with a matrix, a zarr folder of anndata (zipped or not), a table.
    directory
        Where the tree goes, under the file's name with the suffix ``.zarr``.
    said
        Where the counts are, and which to take.

    Returns
    -------
    Ingested
        The tree. A tree of this package is copied as it is, whatever its stage.

    Raises
    ------
    DataError
        It is none of these, is damaged, or holds no counts.
    """
    target, wanted = directory / f"{stem(path.name)}.zarr", said or Said()
    try:
        return _ingest(path, target, wanted)
    except StargazerError:
        raise
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            name = str(error.filename or "").rpartition("/")[2]
            told = f"a column or an element is called {name[:60]!r}…, {len(name.encode()):,} bytes: rename it"
            raise DataError(
                f"{path} has a name that is too long for a file, which each column becomes: {told}"
            ) from error
        what = " ".join((str(error) or type(error).__name__).split())[:300]
        hint = "it is truncated or damaged, get it again; or of a version that is not known here: " + CONVERT
        raise DataError(f"{path} cannot be read ({what}): {hint}") from error


def _ingest(path: Path, target: Path, said: Said) -> Ingested:
    if path.is_dir() and not is_draft(path):
        check_folder(path)
    if is_tree(path):
        return _copied(path, target)
    if path.is_dir():
        return _ingest_folder(path, target, said)
    if not path.stat().st_size:
        raise DataError(f"{path} is empty: {ACCEPTED}")
    suffix = ".tar" if ".tar" in path.suffixes else path.suffix.lower()
    if suffix in OTHERS:
        raise DataError(f"{path} is {OTHERS[suffix]}")
    if zipfile.is_zipfile(path):
        return _ingest_archive(path, target, said)
    if is_text_table(path):
        return write_tree(read_text_table(path, said), target, path.name, said)
    return _ingest_hdf5(path, target, said)


def _copied(path: Path, target: Path) -> Ingested:
    shutil.copytree(path, target)
    tree = AnnDataTree(target)
    n_obs, n_vars = (int(tree.kept(frame).sum()) for frame in ("obs", "var"))
    return Ingested(target, n_obs, n_vars, tree.stage, copied=True)


def stem(name: str) -> str:
    """A file's name without the suffixes that say its format."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name or "cells"


def _ingest_folder(path: Path, target: Path, said: Said) -> Ingested:
    import zarr

    if is_matrix_folder(path):
        return write_tree(read_folder(path, said), target, path.name, said)
    try:
        group = zarr.open_group(str(path), mode="r")
    except (FileNotFoundError, ValueError, KeyError) as error:
        found = (found.parent for each in LAYOUTS for found in path.glob(f"**/*{each.matrix}*"))
        inner = sorted({str(folder) for folder in found if is_matrix_folder(folder)})
        several = f"; there are {len(inner)}: {', '.join(inner[:5])}" if len(inner) > 1 else ""
        hint = f"give {inner[0]}{several}" if inner else _other_matrices(path) or _files_within(path)
        what = "has no counts itself" if hint else f"is no zarr group ({error})"
        raise DataError(f"{path} {what}: {hint or ACCEPTED}") from error
    try:
        return _ingest_group(group, path, target, said)
    except StargazerError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({error}): it is incomplete or damaged; {CONVERT}") from error


def _other_matrices(path: Path) -> str:
    """What to do with matrices whose names no program that is known gives to its counts of genes."""
    found = sorted(each.name for each in path.iterdir() if ".mtx" in each.suffixes)
    known = ", ".join(each.matrix for each in LAYOUTS)
    if not found:
        return ""
    if packed := [name for name in found if name.endswith(PACKED)]:
        return f"{packed[0]} is compressed in a way that is not read: unpack it, or compress it with gzip"
    return (
        f"it has {', '.join(found[:5])}, and none called {known}: put the one that has all counts of genes into a "
        "folder of its own as matrix.mtx, with barcodes.tsv and features.tsv beside it (kb nac writes one sum of its "
        "three with --sum total, STARsolo's counts are in Gene/)"
    )


def _files_within(path: Path) -> str:
    """Which files of a folder are read by themselves."""
    wanted = (".h5ad", ".h5mu", ".h5", ".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
    found = sorted(each.name for each in path.iterdir() if each.name.endswith(wanted) and each.is_file())
    return f"give a file in it: {', '.join(found[:5])}{', …' if len(found) > 5 else ''}" if found else ""


def _ingest_archive(path: Path, target: Path, said: Said) -> Ingested:
    """A zipped zarr, or a zipped folder: unpacked beside the tree, for as long as it is read."""
    folder = target.with_name(f"unpacked-{target.name}")
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
        archive.extractall(folder)
    inner = [each for each in sorted(folder.iterdir()) if each.name != "__MACOSX"]
    root = inner[0] if len(inner) == 1 and inner[0].is_dir() else folder
    try:
        if root is folder and len(inner) == 1:
            raise DataError(f"{path} is a zip archive of {inner[0].name}: unpack it, and give that")
        return _ingest(root, target, said)
    except DataError as error:
        raise DataError(str(error).replace(str(root), str(path))) from error
    finally:
        shutil.rmtree(folder)


def _ingest_group(group: Any, path: Path, target: Path, said: Said) -> Ingested:
    source = read_mudata(group, path, said) if is_mudata(group) else None
    if source is None and not is_anndata(group):
        raise DataError(f"{path} is no AnnData: it has no obs and var; {ACCEPTED}")
    return write_tree(source or read_anndata(group, path, said), target, path.name, said)


def _ingest_hdf5(path: Path, target: Path, said: Said) -> Ingested:
    import h5py

    if path.name.endswith((".mtx", ".mtx.gz")):
        raise DataError(f"{path} is a matrix without names: give the folder, with barcodes.tsv and features.tsv in it")
    if not h5py.is_hdf5(path):
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        if packed:
            raise DataError(f"{path} is gzipped, and is read as it was before: gunzip --keep {path.name}")
        raise DataError(f"{path} is no HDF5 file, or its beginning is damaged: {ACCEPTED}")
    with h5py.File(path, "r") as file:
        check_hdf5(file, path)
        if {"matrix", "row_attrs"} <= set(file):
            raise DataError(f"{path} is {OTHERS['.loom']}")
        if is_anndata(file) or is_mudata(file):
            return _ingest_group(file, path, target, said)
        if is_tenx(file):
            return write_tree(read_tenx(file, path, said), target, path.name, said)
    raise DataError(f"{path} is neither a .h5ad (it has no obs and var) nor a 10x .h5 (it has no matrix): {ACCEPTED}")


def write_tree(source: Source, target: Path, name: str, said: Said | None = None) -> Ingested:
    """Write what a file holds as a new tree.

    Parameters
    ----------
    source
        What it holds.
    target
        Directory to make.
    name
        The file's name, for messages.
    said
        Whether fractional counts are made whole.
    """
    n_obs, n_vars = len(source.obs), len(source.var)
    if not n_obs or not n_vars:
        raise DataError(f"{name} has {n_obs} cells and {n_vars} genes: there is nothing to analyse")
    draft, wanted = TreeDraft(target), said or Said()
    notes, remarks = list(source.notes), list(source.remarks)
    for frame in ("obs", "var"):
        notes += write_frame(draft, frame, getattr(source, frame))
    totals = _write_counts(draft, source, name, wanted, notes)
    lengths = {"obsm": n_obs, "obsp": n_obs, "layers": n_obs, "varm": n_vars, "varp": n_vars}
    for place, read in source.others.items():
        _write_other(draft, place, read, lengths.get(place.partition("/")[0]), notes, remarks)
    members = {"counts_from": source.where, "n_obs": n_obs, "n_vars": n_vars, "notes": notes, "remarks": remarks}
    notes += _alike(totals)
    draft.note("ingest", {**members, **_droplets(totals, notes)})
    beside = {}
    for number, (kind, other) in enumerate(source.beside.items()):
        beside[kind] = write_tree(other, target.with_name(f"beside-{number}-{target.name}"), name, said)
    return Ingested(target, n_obs, n_vars, beside=beside)


def _write_counts(draft: TreeDraft, source: Source, name: str, said: Said, notes: list[str]) -> Values:
    """Write the counts, and return how many each cell has."""
    writer, totals = MatrixWriter(draft.free("X"), len(source.var)), []
    blocks = whole_numbers(source.blocks()) if said.round else source.blocks()
    for block in canonical_counts(blocks, lambda *where: _complaint(source, name, *where)):
        writer.append(block)
        totals.append(np.asarray(block.sum(axis=1)).ravel())
    writer.finish()
    if writer.rows != len(source.obs):
        raise DataError(f"{name} names {len(source.obs)} cells and has counts of {writer.rows}: the file is damaged")
    if said.round:
        notes.append("fractional counts were made whole, as was asked for")
    return np.concatenate(totals)


def _complaint(source: Source, name: str, cell: int, gene: int, value: Any) -> str:
    where = f"{source.where} of {name}: the value of cell {source.obs.index[cell]}, gene {source.var.index[gene]}"
    text = (
        f"{where} is {value}, which is no count: counts are whole numbers from 0 up. Give the raw counts, in X, in "
        "layers['counts'] or in raw.X, or say where they are: sg.CountsFile(layer=…)"
    )
    if np.isfinite(value) and 0 < value < LARGEST_COUNT:
        text += (
            ". Estimated counts (alevin, RSEM, kallisto, CellBender, SoupX) are made whole: sg.CountsFile(round=True)"
        )
    return text


FEW_CELLS, FEW_COUNTS, ALIKE = 50, 1000, 0.01
"""From so many cells with so many counts each, totals within this share of each other are no chance."""


def _alike(totals: Values) -> list[str]:
    """Notice cells that all have none, or all as many counts: values that were normalised, and made whole."""
    if not totals.any():
        return ["no cell has any count"]
    middle = float(np.median(totals))
    if len(totals) < FEW_CELLS or middle < FEW_COUNTS or np.ptp(totals) > ALIKE * middle:
        return []
    told = f"all cells have about {middle:,.0f} counts: these look like normalised values that were rounded"
    return [f"{told}, or counts that were made equally many, and not like raw counts"]


EMPTY_SHARE, EMPTY_COUNTS = 0.02, 10
"""Droplets are called empty here that have fewer counts than this share of a large cell's, or fewer than so many."""


def _droplets(totals: Values, notes: list[str]) -> dict[str, Any]:
    """Notice a matrix of all droplets, which no caller of cells has seen yet."""
    if len(totals) < 100:
        return {}
    limit = max(EMPTY_SHARE * float(np.quantile(totals, 0.995)), EMPTY_COUNTS)
    empty = int((totals < limit).sum())
    if empty < len(totals) / 2:
        return {}
    notes.append(
        f"{empty:,} of {len(totals):,} barcodes have fewer than {limit:.0f} counts: this is the raw matrix of all "
        "droplets, not of cells; call_cells tells which are cells"
    )
    return {"droplets": True}


def _write_other(
    draft: TreeDraft, place: str, read: Any, length: int | None, notes: list[str], remarks: list[str]
) -> None:
    """Write an element that is not ours; what zarr cannot hold, or nobody here can read, is left out and said."""
    try:
        value = read()
        if length is not None and isinstance(value, dict):
            raise DataError(f"it is a group, not an array of {length} rows")
        if length is not None and getattr(value, "shape", (length,))[0] != length:
            raise DataError(f"it has {value.shape[0]} rows, and {length} are wanted")
        if isinstance(value, MatrixBlocks):
            _write_layer(draft, place, value, notes, remarks)
        else:
            write_foreign(draft.free(place), value)
    except left_out() as error:  # our own errors are ValueErrors
        draft.drop(place)
        what = " ".join((str(error) or type(error).__name__).split())[:200]
        notes.append(f"{place} was left out: {what}")


def _write_layer(draft: TreeDraft, place: str, value: MatrixBlocks, notes: list[str], remarks: list[str]) -> None:
    """Write a layer; the counts themselves once more are not kept, or only as what they are: the same bytes."""
    same = same_matrix(draft.path / "X", value)
    if place != "layers/counts":
        write_layer(draft.free(place), value, draft.path / "X" if same else None)
    elif same:
        remarks.append("layers/counts was left out: X has the same counts")
    else:
        write_layer(draft.free("layers/counts_before"), value, None)
        notes.append("layers/counts has other counts than X: it is kept as layers/counts_before, and X is analysed")
