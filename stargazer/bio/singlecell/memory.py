"""Cells in memory, brought into a form that a file can hold: what anndata cannot write is made text, or left out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.errors import DataError, DataWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["write_cells", "write_modalities"]

UNWRITABLE = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
LONGEST_LIST = 1_000_000


def write_cells(adata: Any, path: Path) -> None:
    """Write an `anndata.AnnData` as a ``.h5ad``, and warn of what had to change for it.

    Columns of several kinds become texts; members of ``uns`` that no file can hold are left out.

    Parameters
    ----------
    adata
        The cells.
    path
        File to write.

    Raises
    ------
    DataError
        It cannot be written, or an array hides some of its values behind a mask.
    """
    _check_masks(adata)
    try:
        adata.write_h5ad(path)
        return
    except _unwritable() as error:
        first = error
    path.unlink(missing_ok=True)
    said: list[str] = []
    changed = _plain(adata, said)
    try:
        changed.write_h5ad(path)
    except _unwritable() as error:
        raise DataError(f"this AnnData cannot be written ({first})") from error
    _tell(said, "AnnData")


def write_modalities(mdata: Any, path: Path) -> None:
    """Write a `mudata.MuData` as a ``.h5mu``, and warn of what had to change for it; `mdata` stays as it is.

    Parameters
    ----------
    mdata
        Modalities of the same cells.
    path
        File to write.

    Raises
    ------
    DataError
        It cannot be written, or an array hides some of its values behind a mask.
    """
    import mudata

    said: list[str] = []
    for adata in mdata.mod.values():
        _check_masks(adata)
    mods = {str(name): _plain(adata, said, f"{name}/") for name, adata in mdata.mod.items()}
    with warnings.catch_warnings(), mudata.set_options(pull_on_update=False):
        warnings.simplefilter("ignore")  # of names that stand in two modalities, which are kept apart here
        made = mudata.MuData(mods, axis=mdata.axis)
        _take_common(made, mdata, said)
        try:
            made.write_h5mu(path)
        except _unwritable() as error:
            raise DataError(f"this MuData cannot be written ({error})") from error
    _tell(said, "MuData")


def _take_common(made: Any, mdata: Any, said: list[str]) -> None:
    """Take over what a MuData says of cells for all modalities; its cells may stand in another order.

    Columns such as ``rna:name`` repeat those of its modalities.
    """
    starts = tuple(f"{mod}:" for mod in mdata.mod)
    beside = [name for name in mdata.obs if str(name).startswith(starts)]
    repeated = {f"{mod}:{name}" for mod, adata in mdata.mod.items() for name in adata.obs}
    said += [f"column {name!r} of obs is left out: no modality has it" for name in beside if name not in repeated]
    common = mdata.obs[[name for name in mdata.obs if name not in beside]]
    place = _places(made.obs_names, mdata.obs_names.astype(str))
    for name, column in _frame(common, "obs", said).items():
        made.obs[name] = column.iloc[place].array
    for name, value in mdata.obsm.items():
        if name not in mdata.mod:
            made.obsm[str(name)] = value.iloc[place] if hasattr(value, "iloc") else value[place]
    for name, value in mdata.obsp.items():
        if name not in mdata.mod:
            rows = value.tocsr() if hasattr(value, "tocsr") else np.asarray(value)
            made.obsp[str(name)] = rows[place][:, place]
    lost = [f"{kind}/{name}" for kind in ("varm", "varp") for name in getattr(mdata, kind) if name not in mdata.mod]
    said += [f"{name} is left out: it is of genes of several modalities" for name in lost]
    made.uns.update(_members(mdata.uns, "uns", said))


def _places(wanted: Any, given: Any) -> Any:
    """Rows of cells by their names."""
    if wanted.equals(given):
        return np.arange(len(given))
    if not given.is_unique:
        raise DataError("cells of this MuData have the same names: call obs_names_make_unique()")
    if not wanted.isin(given).all():
        raise DataError("modalities of this MuData have cells that its obs has not: call update()")
    return given.get_indexer(wanted)


def _tell(said: list[str], what: str) -> None:
    if said:
        told = f"not all of this {what} can be kept in a file as it is: {'; '.join(said)}"
        warnings.warn(told, DataWarning, stacklevel=7)


def _unwritable() -> tuple[type[Exception], ...]:
    """What anndata raises over values that it cannot write; its own error has no public name."""
    from anndata._io.specs.registry import IORegistryError

    return (*UNWRITABLE, IORegistryError)


def _check_masks(adata: Any) -> None:
    """A file keeps what lies behind a mask, and not the mask."""
    matrices = {"X": adata.X, **{f"layers[{name!r}]": value for name, value in adata.layers.items()}}
    for name, value in matrices.items():
        if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
            raise DataError(f"{name} has masked values, which no file keeps: say what they are, as in {name}.filled(0)")


def _plain(adata: Any, said: list[str], where: str = "") -> Any:
    """A copy of what can be written that shares its matrices; what was changed or left out is added in words."""
    import anndata

    frames = {name: _frame(getattr(adata, name), f"{where}{name}", said) for name in ("obs", "var")}
    members = {
        kind: {str(name): value for name, value in getattr(adata, kind).items()}
        for kind in ("layers", "obsm", "varm", "obsp", "varp")
    }
    made = anndata.AnnData(adata.X, **frames, **members)
    if adata.raw is not None:
        raw = anndata.AnnData(adata.raw.X, obs=frames["obs"][[]], var=_frame(adata.raw.var, f"{where}raw.var", said))
        made.raw = raw
    made.uns = dict(_members(adata.uns, f"{where}uns", said))
    return made


def _frame(frame: Any, name: str, said: list[str]) -> Any:
    """A table whose columns a file can hold, each under a name of its own."""
    import pandas as pd

    from stargazer.bio.singlecell.frames import unique_titles

    titles = unique_titles(frame.columns)
    columns = {}
    for place, title in enumerate(titles):
        column = frame.iloc[:, place]
        if title != frame.columns[place]:
            said.append(f"column {frame.columns[place]!r} of {name} is now {title!r}")
        columns[title] = _column(column, f"column {title!r} of {name}", said)
    index = _index(frame.index, name, said)
    return pd.DataFrame({title: values.array for title, values in columns.items()}, index=index)


def _index(index: Any, name: str, said: list[str]) -> Any:
    """Names as texts; those of several levels are joined by a hyphen, as no file has levels."""
    import pandas as pd

    if isinstance(index, pd.MultiIndex):
        said.append(f"the {index.nlevels} levels of the index of {name} are now one text, with hyphens between them")
        return pd.Index(["-".join(map(str, each)) for each in index], dtype=object)
    return pd.Index(index.astype(str), dtype=object, name=index.name and str(index.name))


def _column(column: Any, what: str, said: list[str]) -> Any:
    """A column as it is if it has values of one kind that a file can hold, else as texts; truth with gaps stays so."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        if column.cat.categories.inferred_type in ("string", "integer", "floating", "boolean", "empty"):
            return column
        texts = column.astype(object).where(column.notna(), None)
        names = list(dict.fromkeys(map(str, column.cat.categories)))
        said.append(f"categories of {what} are now texts")
        made = pd.Categorical(
            [None if each is None else str(each) for each in texts], names, ordered=column.cat.ordered
        )
        return pd.Series(made, index=column.index)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "empty":  # nothing but gaps, which are written of categories alone
        return pd.Series(pd.Categorical([None] * len(column)), index=column.index)
    if kind == "string" or (column.dtype != object and kind in ("integer", "floating", "boolean", "complex")):
        return column
    if kind == "boolean":
        return column.astype("boolean")
    if kind == "integer":
        return column.astype("Int64")
    said.append(f"{what} is now text: its values are {kind.replace('-', ' ')}")
    texts = [str(value) if here else None for value, here in zip(column, column.notna(), strict=True)]
    return pd.Series(pd.Categorical(texts), index=column.index)


def _members(values: Mapping[Any, Any], place: str, said: list[str]) -> Iterator[tuple[str, Any]]:
    """Members of a mapping that a file can hold; names that no place can have are changed."""
    from stargazer.bio.singlecell.frames import unique_titles

    for (name, value), text in zip(values.items(), unique_titles(values), strict=True):
        here = f"{place}/{name}"
        if text != str(name):
            said.append(f"{here} is now {place}/{text}")
        if isinstance(value, dict):
            yield text, dict(_members(value, here, said))
        elif value is None or _is_writable(value):
            yield text, value
        elif isinstance(value, (tuple, list)) and len(value) < LONGEST_LIST and _is_writable(np.asarray(value, str)):
            said.append(f"{here} is now a list of texts")
            yield text, np.asarray([str(each) for each in value], dtype=object)
        else:
            said.append(f"{here} is left out: no file can hold a {type(value).__name__}")


def _is_writable(value: Any) -> bool:
    """Whether anndata can write it, which is tried in memory."""
    import h5py
    from anndata.io import write_elem

    with h5py.File("tried.h5", "w", driver="core", backing_store=False) as file:
        try:
            write_elem(file, "value", value)
        except _unwritable():
            return False
    return True
