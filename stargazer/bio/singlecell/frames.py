"""Tables of cells and genes, from pandas into a tree and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.bio.singlecell.elements import Categories, Nullable, Values, write_element, write_group

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.bio.singlecell.draft import TreeDraft

__all__ = ["code_type", "column_values", "series_of", "unique_names", "write_frame", "write_table"]


def unique_names(names: Values) -> tuple[Values, int]:
    """Names made different by ``-1``, ``-2``, … as scanpy does, and how many were changed."""
    seen = set(names)
    if len(seen) == len(names):
        return names, 0
    counts: dict[str, int] = {}
    made, changed = names.copy(), 0
    for position, name in enumerate(names):
        number = counts.get(name, -1) + 1
        while number and f"{name}-{number}" in seen:
            number += 1
        counts[name] = number
        if number:
            made[position], changed = f"{name}-{number}", changed + 1
            seen.add(made[position])
    return made, changed


def write_frame(draft: TreeDraft, name: str, frame: Any) -> list[str]:
    """Write a pandas table as ``obs`` or ``var``.

    Parameters
    ----------
    draft
        The tree.
    name
        ``"obs"`` or ``"var"``.
    frame
        The table; names that occur twice are made different, and what its index is called is kept.

    Returns
    -------
    list[str]
        What had to be changed, in words.
    """
    names, changed = unique_names(np.asarray(frame.index.astype(str), dtype=object))
    kind = "cells" if name == "obs" else "genes"
    notes = [f"{changed} {kind} had the name of another; -1, -2, … was added"] if changed else []
    titles = unique_titles(frame.columns)
    index = "_index" if frame.index.name is None else unique_titles([*frame.columns, frame.index.name])[-1]
    draft.frame(name, names, index)
    for position, title in enumerate(titles):
        column = frame.columns[position]
        if title != str(column):
            notes.append(f"column {str(column)!r} of {name} is now {title!r}")
        draft.column(name, title, column_values(frame.iloc[:, position]))
    return notes


def unique_titles(names: Iterable[Any]) -> list[str]:
    """Names of columns as a tree can have them, each once: those that must change get out of the others' way."""
    wanted = [str(name) for name in names]
    taken = {name for name in wanted if _title(name) == name}
    titles: list[str] = []
    for place, name in enumerate(wanted):
        title, number = _title(name), 0
        if title == name and name not in wanted[:place]:
            titles.append(title)
            continue
        while (found := f"{title}-{number}" if number else title) in taken:
            number += 1
        taken.add(found)
        titles.append(found)
    return titles


def _title(name: str) -> str:
    """Name of a column as a tree can have it: no path, no file of zarr's."""
    plain = name.replace("/", "_").replace("\0", "_")
    return f"column_{plain.strip('.')}" if plain in ("", ".", "..", "_index", "zarr.json") else plain


def write_table(path: Path, frame: Any) -> None:
    """Write a pandas table at any place of a tree."""
    titles = unique_titles(frame.columns)
    index = "_index" if frame.index.name is None else unique_titles([*frame.columns, frame.index.name])[-1]
    write_group(path, "dataframe", _index=index, column_order=titles)
    write_element(path / index, np.asarray(frame.index.astype(str), dtype=object))
    for position, title in enumerate(titles):
        write_element(path / title, column_values(frame.iloc[:, position]))


def column_values(series: Any) -> Any:
    """A column as it is stored: numbers and booleans as they are, gaps as gaps, repeated texts as categories."""
    kind = series.dtype.kind if isinstance(series.dtype, np.dtype) else ""
    if kind in ("b", "i", "u", "f"):
        return series.to_numpy(np.float32) if series.dtype == np.float16 else series.to_numpy()
    if str(series.dtype) == "category":
        return _categories(series.array)
    if str(series.dtype).lower().startswith(("int", "uint", "float", "boolean")):
        return _with_gaps(series)
    texts = series.astype(object).where(series.notna(), None)
    values = np.array([None if value is None else str(value) for value in texts], dtype=object)
    distinct = {value for value in values if value is not None}
    if len(distinct) == len(values):
        return values
    names = np.array(sorted(distinct), dtype=object)
    number = {value: code for code, value in enumerate(names)}
    codes = np.array([-1 if value is None else number[value] for value in values], code_type(len(names)))
    return Categories(codes, names)


def _with_gaps(series: Any) -> Any:
    missing = series.isna().to_numpy(bool)
    if str(series.dtype).lower().startswith("float"):
        return series.to_numpy(float, na_value=np.nan)
    kind = np.dtype(bool) if str(series.dtype) == "boolean" else series.dtype.numpy_dtype
    values = series.fillna(kind.type(0)).to_numpy(kind)
    return Nullable(values, missing) if missing.any() else values


def _categories(array: Any) -> Categories:
    names = np.asarray(array.categories)
    if names.dtype.kind not in "biuf":
        names = np.array([str(name) for name in array.categories], dtype=object)
    return Categories(np.asarray(array.codes), names, bool(array.ordered))


def code_type(count: int) -> Any:
    """Type of the codes of so many categories, as pandas chooses it."""
    return np.int8 if count < 128 else np.int16 if count < 32768 else np.int32


def series_of(value: Any, kept: Values) -> Any:
    """A stored column, of the rows of a mask, as pandas has it; categories that no row has are left out."""
    import pandas as pd

    if isinstance(value, Nullable):
        of_kind = pd.arrays.BooleanArray if value.values.dtype.kind == "b" else pd.arrays.IntegerArray
        return of_kind(value.values[kept], value.mask[kept].copy())
    if not isinstance(value, Categories):
        return value[kept]
    whole = pd.Categorical.from_codes(value.codes[kept], value.names, ordered=value.ordered)
    return whole.remove_unused_categories() if not kept.all() else whole
