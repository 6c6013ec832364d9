"""Counts of anndata's own files: ``.h5ad`` and zarr folders of any version, and the RNA of ``.h5mu``."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.genes import SYMBOL_COLUMNS
from stargazer.bio.singlecell.layout import ASIDE
from stargazer.bio.singlecell.matrix import array_blocks, first_wrong, group_blocks
from stargazer.bio.singlecell.source import GENES, MatrixBlocks, Said, Source, of_features
from stargazer.bio.singlecell.spill import column_entries, row_blocks_of
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["is_anndata", "is_mudata", "left_out", "read_anndata", "read_mudata"]

PLACES = ("X", "layers/counts", "raw/X", "raw.X")
MEANT = {"X": ["X"], "raw": ["raw/X", "raw.X"], "raw.X": ["raw/X", "raw.X"]}
"""What names mean that layers may have as well; a layer is meant where there is nothing else, or by ``layers/raw``."""
RECORD = "uns/stargazer"
"""Where a tree of ours tells its stages, and an export of one what it comes from."""
CARRIED = ("layers", "obsm", "obsp", "uns", "varm", "varp")
RNA = ("rna", "gex", "RNA", "GEX", "gene_expression", "expression")
PROTEINS = ("prot", "protein", "adt", "cite", "ab", "antibody")
NO_RNA = frozenset(
    (*PROTEINS, "atac", "peaks", "chromatin", "hto", "hashing", "crispr", "guides", "gdo", "tcr", "bcr", "airr", "vdj")
)
"""Names of modalities that have no genes, in small letters."""
CONVERT = "open it where it was written, in Python with anndata.read_h5ad, and write it anew with a later anndata"
LEFT_OUT = (AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)


def left_out() -> tuple[type[Exception], ...]:
    """What anndata raises over elements of an encoding that it does not know here; its own error has no public name."""
    from anndata._io.specs.registry import IORegistryError

    return (*LEFT_OUT, IORegistryError)


def is_anndata(group: Any) -> bool:
    """Whether there are tables of cells and genes."""
    return {"obs", "var"} <= set(group) and "mod" not in group


def is_mudata(group: Any) -> bool:
    """Whether there are modalities."""
    return "mod" in group and hasattr(group["mod"], "keys")


def read_mudata(group: Any, path: Path, said: Said) -> Source:
    """The RNA of a MuData; proteins become a source of their own.

    Parameters
    ----------
    group
        The open file.
    path
        For messages.
    said
        `features` may name another modality.

    Raises
    ------
    DataError
        There is no RNA.
    """
    names = [str(name) for name in group["mod"] if is_anndata(group["mod"][name])]
    wanted = [said.features] if said.features != GENES else RNA
    alone = names[0] if len(names) == 1 and names[0].lower() not in NO_RNA and said.features == GENES else ""
    found = next((name for name in wanted if name in names), alone)
    if not found:
        there = ", ".join(names) or "none"
        raise DataError(f"{path} has no modality {' or '.join(wanted[:2])}; there are: {there}; say which, features=")
    source = read_anndata(group["mod"][found], path, said._replace(features=GENES))
    _take_common(source, group, found)
    source.remarks.append(f"counts are those of modality {found!r}")
    for name in names:
        if name == found:
            continue
        if name in PROTEINS and said.features == GENES:
            source.beside[name] = read_anndata(group["mod"][name], path, Said())
            source.remarks.append(f"modality {name!r} is an asset of its own beside this one")
        else:
            source.notes.append(f"modality {name!r} was left out: add the file with features={name!r}")
    return source


def _take_common(source: Source, group: Any, modality: str) -> None:
    """Take over what a MuData says of cells for all modalities: columns, embeddings, free members.

    Tables of a MuData repeat those of its modalities under ``rna:name``: these are there already.
    """
    notes: list[str] = []
    common: Any = _table(group, "obs", notes) if "obs" in group else None
    if not hasattr(common, "columns"):
        return
    mods = set(group["mod"])
    beside = [str(name) for name in common if str(name).startswith(tuple(f"{name}:" for name in mods))]
    repeated = _repeated(group)
    left = [f"column {name!r} of all modalities was left out: none has it" for name in beside if name not in repeated]
    source.notes += [*notes, *left]
    new = [name for name in common if name not in source.obs and name not in beside]
    unlike = [name for name in common if name in source.obs and name not in beside]
    if not common.index.is_unique or not source.obs.index.isin(common.index).all():
        source.notes += [f"column {name!r} of all modalities was left out: its cells are others" for name in new]
        found = [f"{kind}/{name}" for kind in ("obsm", "obsp") for name in _members(group, kind) if name not in mods]
        source.notes += [f"{place} of all modalities was left out: its cells are others" for place in found]
        return
    place = common.index.get_indexer(source.obs.index)
    for name in new:
        source.obs[name] = common[name].iloc[place].array
    for name in unlike:
        if common[name].iloc[place].astype(str).tolist() != source.obs[name].astype(str).tolist():
            source.notes.append(f"column {name!r} is that of modality {modality!r}: all modalities have other values")
    for kind in ("obsm", "obsp", "uns"):
        for name in _members(group, kind):
            if name in mods and kind != "uns":
                continue  # which of all cells a modality has
            if f"{kind}/{name}" == RECORD:
                _put_aside(source, _members(group, kind), partial(_of_rows, group, kind, name, place))
            elif f"{kind}/{name}" not in source.others:
                source.others[f"{kind}/{name}"] = partial(_of_rows, group, kind, name, place)
            else:
                source.notes.append(f"{kind}/{name} is that of modality {modality!r}: all modalities have another one")
    source.notes += [f"{place} of all modalities was left out: it is of genes of several" for place in _of_genes(group)]


def _of_genes(group: Any) -> Iterator[str]:
    """What a MuData says of genes for all modalities, and none of them says."""
    mods = group["mod"]
    for kind in ("varm", "varp"):
        yield from (f"{kind}/{name}" for name in _members(group, kind) if name not in mods)
    known = {name for mod in mods if "var" in mods[mod] for name in _titles(mods[mod]["var"])}
    starts = tuple(f"{name}:" for name in mods)
    for name in _titles(group["var"]) if "var" in group else ():
        if name not in known and not str(name).startswith(starts):
            yield f"column {name!r} of var"


def _repeated(group: Any) -> set[str]:
    """Columns of its modalities, as the tables of a MuData repeat them."""
    tables = {name: group["mod"][name]["obs"] for name in group["mod"] if "obs" in group["mod"][name]}
    return {f"{mod}:{name}" for mod, table in tables.items() for name in _titles(table)}


def _titles(table: Any) -> list[str]:
    """Names of the columns of a table on disk."""
    return [str(name) for name in table.attrs.get("column-order", ())]


def _of_rows(group: Any, kind: str, name: str, place: Any) -> Any:
    """A member of a MuData; of embeddings and graphs what is of the cells of a modality."""
    value = _read(group, kind, name)
    if kind == "uns":
        return value
    rows = value.iloc[place] if hasattr(value, "iloc") else value[place]
    return rows[:, place] if kind == "obsp" else rows


def read_anndata(group: Any, path: Path, said: Said) -> Source:
    """Counts of an AnnData on disk: ``X`` if it holds counts, else ``layers["counts"]``, else ``raw.X``.

    Parameters
    ----------
    group
        The open HDF5 file or zarr group.
    path
        For messages.
    said
        `layer` may say where counts are.

    Raises
    ------
    DataError
        None of them holds counts, or the file is no AnnData.
    """
    notes: list[str] = []
    obs, var = (_table(group, name, notes) for name in ("obs", "var"))
    if not all(hasattr(table, "columns") for table in (obs, var)):
        raise DataError(f"{path} is no AnnData: obs and var are not tables")
    where, largest = _counts_place(group, path, said)
    raw = where in ("raw/X", "raw.X")
    own = var if not raw else _table(group, where.replace("X", "var"), notes)
    if "feature_types" in own and len(set(own["feature_types"].astype(str))) > 1:
        source = of_features(obs, own, partial(_blocks, group[where]), path, said)
    else:
        source = Source(obs, own, partial(_blocks, group[where]))
    source.where, source.notes = where, [*notes, *source.notes]
    if largest is not None and largest <= 1:
        source.notes += _only_ones(group, where)
    if where != "X" and "X" in group:
        source.notes.append(f"X has no counts; they come from {where}, and X is left out")
    if raw:
        _take_columns(source, var)
    elif any(place in group and _kind(group[place]) != "null" for place in ("raw", "raw.X")):
        source.remarks.append("raw was left out: X has counts" if where == "X" else "raw was left out")
        source.notes += _more_genes(group, len(own))
    _carry_all(source, group, path, source.var.index.equals(var.index))
    return source


def _more_genes(group: Any, here: int) -> Iterator[str]:
    """Say that raw has counts of more genes than are taken."""
    place = "raw/X" if "raw/X" in group else "raw.X"
    there = _shape(group[place])[1] if place in group and _kind(group[place]) in KINDS else 0
    if there > here and _largest_count(group[place]) is not None:
        yield f"raw has counts of {there} genes, and {here} are taken: sg.CountsFile(layer='raw') takes all"


def _take_columns(source: Source, var: Any) -> None:
    """Columns that only the genes in ``var`` have: those of all of ``raw`` lack them."""
    missing = [name for name in var if name not in source.var]
    if missing and var.index.isin(source.var.index).all() and source.var.index.is_unique and var.index.is_unique:
        symbols = [name for name in missing if name in SYMBOL_COLUMNS]
        source.var = source.var.join(var[symbols])
        missing = [name for name in missing if name not in symbols]
    if missing:
        source.remarks.append(f"columns {', '.join(map(str, missing))} of var were left out: raw has other genes")


def _members(group: Any, kind: str) -> list[str]:
    """Names in a group, or fields of a record array, which is what anndata 0.6 wrote."""
    if kind not in group:
        return []
    fields = getattr(getattr(group[kind], "dtype", None), "names", None)
    return sorted(fields or (group[kind] if hasattr(group[kind], "keys") else ()))


def _carry_all(source: Source, group: Any, path: Path, genes_kept: bool) -> None:
    for kind in CARRIED:
        for name in _members(group, kind):
            place = f"{kind}/{name}"
            if place == source.where or _categories_of(source, place):
                continue
            if place == RECORD:
                _put_aside(source, _members(group, kind), partial(_read, group, kind, name))
            elif place == "uns/log1p" and source.where != "X":
                source.remarks.append("uns/log1p was left out, as the X that it describes")
            elif not genes_kept and kind in ("layers", "varm", "varp"):
                source.notes.append(f"{place} was left out: the counts have other genes")
            else:
                source.others[place] = partial(_read, group, kind, name)


def _put_aside(source: Source, members: Iterable[str], read: Callable[[], Any]) -> None:
    """Keep the record of an earlier analysis, of which the file is an export, as the user's: nobody believes it."""
    there = {*source.others, *(f"uns/{name}" for name in members)}
    names = (f"{RECORD}_{ASIDE}{number}" for number in ("", *(f"_{count}" for count in range(2, len(there) + 3))))
    aside = next(name for name in names if name not in there)
    source.others[aside] = read
    source.remarks.append(f"{RECORD} of the file is now {aside}")


def _read_element(element: Any) -> Any:
    """Read an element as anndata does, which warns of what old versions wrote: that is read as well as any."""
    from anndata import OldFormatWarning
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        return read_elem(element)


def _read(group: Any, kind: str, name: str) -> Any:
    """An element; layers by row blocks."""
    if getattr(getattr(group[kind], "dtype", None), "names", None):
        return np.asarray(group[kind][name])
    element = group[kind][name]
    if kind == "layers" and _kind(element) in KINDS:
        dense = element if hasattr(element, "shape") else None
        return MatrixBlocks(partial(_blocks, element), _shape(element)[1], _dtype(element), dense)
    return _read_element(element)


def _dtype(element: Any) -> Any:
    found = element.dtype if hasattr(element, "dtype") else element["data"].dtype
    return np.dtype(np.float32) if found == np.float16 else found.newbyteorder("=")


# Tables of cells and genes.


def _table(group: Any, place: str, notes: list[str]) -> Any:
    """A table; up to anndata 0.6 a record array whose categories stand in ``uns``."""
    import pandas as pd

    element = group[place]
    if not getattr(getattr(element, "dtype", None), "names", None):
        try:
            return _read_element(element)
        except left_out():
            return _by_columns(element, place, notes)
    first, *others = element.dtype.names
    columns = {name: _texts(element[name]) for name in others}
    for name in others:
        if f"uns/{name}_categories" in group:
            names = _texts(group[f"uns/{name}_categories"])
            columns[name] = pd.Categorical.from_codes(np.asarray(columns[name]), names)
    return pd.DataFrame(columns, index=pd.Index(_texts(element[first]), dtype=object))


def _by_columns(element: Any, place: str, notes: list[str]) -> Any:
    """A table column by column; those of an encoding that is not known are left out and said."""
    import pandas as pd

    title = str(element.attrs["_index"])
    index = pd.Index(_read_element(element[title]), name=None if title == "_index" else title)
    columns: dict[str, Any] = {}
    for name in element.attrs["column-order"]:
        try:
            columns[str(name)] = _read_element(element[str(name)])
        except left_out() as error:
            notes.append(f"column {str(name)!r} of {place} was left out: {_first_line(error)}")
    return pd.DataFrame(columns, index=index)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _categories_of(source: Source, place: str) -> bool:
    """Whether an element of ``uns`` has the categories of a column, which has them already."""
    name = place.removeprefix("uns/").removesuffix("_categories")
    return place == f"uns/{name}_categories" and any(name in table for table in (source.obs, source.var))


def _texts(values: Any) -> Any:
    array = np.asarray(values[...])
    if array.dtype.kind not in "SO":
        return array
    return np.array([each.decode() if isinstance(each, bytes) else str(each) for each in array], dtype=object)


# Where counts are.


def _counts_place(group: Any, path: Path, said: Said) -> tuple[str, float | None]:
    """The place that the user names, or the first whose first rows are counts, and the largest of these."""
    layers = [f"layers/{name}" for name in _members(group, "layers")]
    there = [place for place in (*PLACES, *layers) if place in group and _kind(group[place]) != "null"]
    if said.layer:
        itself = [said.layer] if said.layer in layers else []
        wanted = [*MEANT.get(said.layer, ()), f"layers/{said.layer}", *itself]
        found = [place for place in wanted if place in there]
        if not found:
            raise DataError(f"{path} has no counts in {said.layer!r}; there are: {', '.join(there) or 'none'}")
        return found[0], None
    usual = [place for place in there if place in PLACES]
    if not usual:
        hint = f"; say where counts are, as in layer={_called(layers[0])!r}" if layers else ""
        raise DataError(f"{path} has no matrix: neither {', '.join(PLACES)}{hint}")
    empty = ""
    for place in usual:
        largest = _largest_count(group[place])
        if largest:
            return place, largest
        empty = empty or (place if largest is not None else "")
    other = [_called(place) for place in there if place not in PLACES and _largest_count(group[place])]
    if other:
        raise DataError(
            f"{path}: {', '.join(usual)} of it hold no counts, but layers {', '.join(map(repr, other))} do: say "
            f"where counts are, as in sg.CountsFile(layer={other[0]!r})"
        )
    return empty or usual[0], None


def _called(place: str) -> str:
    """What says that counts are in a layer: its name, unless another place is meant by that."""
    name = place.removeprefix("layers/")
    return place if name in MEANT else name


def _largest_count(element: Any) -> float | None:
    """Largest value of the first rows that have any, 0 where none has; None where they hold no counts.

    Some programs leave a matrix of zeros where counts lie elsewhere.
    """
    for block in _blocks(element):
        if first_wrong(block.data) is not None:
            return None
        if block.data.any():
            return float(block.data.max())
    return 0.0


def _only_ones(group: Any, where: str) -> Iterator[str]:
    """Say that what is taken only tells whether there is a count, where another matrix of the file has counts."""
    for place in PLACES:
        if (
            place != where
            and place in group
            and _kind(group[place]) in KINDS
            and (_largest_count(group[place]) or 0) > 1
        ):
            name = "raw" if place.startswith("raw") else place.removeprefix("layers/")
            yield f"{where} has only 0 and 1, and {place} has counts: sg.CountsFile(layer={name!r}) takes these"
            return


KINDS = ("csr_matrix", "csr", "csc_matrix", "csc", "array")


def _kind(element: Any) -> str:
    return str(element.attrs.get("encoding-type") or element.attrs.get("h5sparse_format") or "array")


def _blocks(element: Any) -> Iterator[Any]:
    kind = _kind(element)
    _check_chunks(element)
    if kind in ("csr_matrix", "csr"):
        return group_blocks(element, _shape(element))
    if kind in ("csc_matrix", "csc"):
        return row_blocks_of(column_entries(element, _shape(element)[1]), _shape(element))
    if hasattr(element, "shape"):
        return array_blocks(element)
    raise DataError(f"{element.name} is a matrix of a kind that is not known here: {kind}")


def _check_chunks(element: Any) -> None:
    """Zarr takes a chunk that is not there for zeros, which values and columns of a sparse matrix never are."""
    for name in ("data", "indices"):
        array = element[name] if hasattr(element, "keys") and name in element else None
        there, wanted = (getattr(array, f"nchunks{kind}", 0) for kind in ("_initialized", ""))
        if there < wanted:
            raise DataError(f"{element.name}/{name} has {there} of {wanted} chunks: the folder is not complete")


def _shape(element: Any) -> tuple[int, int]:
    if hasattr(element, "shape"):
        return int(element.shape[0]), int(element.shape[1])
    rows, columns = element.attrs["shape"] if "shape" in element.attrs else element.attrs["h5sparse_shape"]
    return int(rows), int(columns)
