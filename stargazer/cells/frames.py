"""Tables of cells and genes: from pandas into a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stargazer.cells.elements import Categories, write_element, write_group
from stargazer.cells.layout import KEPT

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.cells.elements import Values
    from stargazer.cells.tree import TreeDraft

__all__ = ["code_type", "column_values", "unique_names", "write_frame", "write_table"]


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
        The table; names that occur twice are made different.

    Returns
    -------
    list[str]
        What had to be changed, in words.
    """
    names, changed = unique_names(np.asarray(frame.index.astype(str), dtype=object))
    kind = "cells" if name == "obs" else "genes"
    notes = [f"{changed} {kind} had the name of another; -1, -2, … was added"] if changed else []
    draft.frame(name, names)
    for column in frame.columns:
        title = _title(str(column))
        if title != str(column):
            notes.append(f"column {str(column)!r} of {name} is now {title!r}")
        draft.column(name, title, column_values(frame[column]))
    return notes


def _title(name: str) -> str:
    """Name of a column as a tree can have it: no path, no file of zarr's, not that of the mask."""
    if name == KEPT:
        return f"{KEPT}_before"
    plain = name.replace("/", "_")
    return f"column_{plain.strip('.')}" if plain in ("", ".", "..", "_index", "zarr.json") else plain


def write_table(path: Path, frame: Any) -> None:
    """Write a pandas table at any place of a tree."""
    write_group(path, "dataframe", _index="_index", column_order=[str(name) for name in frame.columns])
    write_element(path / "_index", np.asarray(frame.index.astype(str), dtype=object))
    for name in frame.columns:
        write_element(path / str(name), column_values(frame[name]))


def column_values(series: Any) -> Any:
    """A column as it is stored: numbers and booleans as they are, repeated texts and missing values as categories."""
    kind = series.dtype.kind if isinstance(series.dtype, np.dtype) else ""
    if kind in ("b", "i", "u", "f") and series.dtype != np.float16:
        return series.to_numpy()
    if str(series.dtype) == "category":
        return _categories(series.array)
    if hasattr(series.array, "isna") and str(series.dtype).lower().startswith(("int", "uint", "float", "boolean")):
        missing = bool(series.isna().any())
        return series.to_numpy(float, na_value=np.nan) if missing else series.to_numpy(series.dtype.numpy_dtype)
    texts = series.astype(object).where(series.notna(), None)
    values = np.array([None if value is None else str(value) for value in texts], dtype=object)
    distinct = {value for value in values if value is not None}
    if len(distinct) == len(values):
        return values
    names = np.array(sorted(distinct), dtype=object)
    number = {value: code for code, value in enumerate(names)}
    codes = np.array([-1 if value is None else number[value] for value in values], code_type(len(names)))
    return Categories(codes, names)


def _categories(array: Any) -> Categories:
    names = np.asarray(array.categories)
    if names.dtype.kind not in "biuf":
        names = np.array([str(name) for name in array.categories], dtype=object)
    return Categories(np.asarray(array.codes), names, bool(array.ordered))


def code_type(count: int) -> Any:
    """Type of the codes of so many categories, as pandas chooses it."""
    return np.int8 if count < 128 else np.int16 if count < 32768 else np.int32
