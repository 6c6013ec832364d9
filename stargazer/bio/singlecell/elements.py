"""Elements of a tree as anndata encodes them: arrays, texts, categories, scalars, dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stargazer.bio.singlecell.layout import array_chunks, compressor, text_compressor
from stargazer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Categories",
    "Nullable",
    "Values",
    "open_group",
    "read_element",
    "read_labels",
    "write_element",
    "write_group",
]

Values = NDArray[Any]
_GROUP_VERSIONS = {
    "anndata": "0.1.0",
    "dict": "0.1.0",
    "dataframe": "0.2.0",
    "csr_matrix": "0.1.0",
    "nullable-integer": "0.1.0",
    "nullable-boolean": "0.1.0",
}
_NULLABLE = ("nullable-integer", "nullable-boolean")


class Categories(NamedTuple):
    """A categorical column.

    Parameters
    ----------
    codes
        Index of each row's category; -1 for none.
    names
        The categories, texts or numbers.
    ordered
        Whether their order means something.
    """

    codes: Values
    names: Values
    ordered: bool = False


class Nullable(NamedTuple):
    """A column of whole numbers or booleans with gaps.

    Parameters
    ----------
    values
        Of all rows; anything where there is a gap.
    mask
        Where the gaps are.
    """

    values: Values
    mask: Values


def open_group(path: Path, mode: str = "r") -> Any:
    """Open the zarr group in a directory; metadata are read from the group's own files alone."""
    import zarr

    return zarr.open_group(str(path), mode=mode, zarr_format=3, use_consolidated=False)  # type: ignore[arg-type]


def write_group(path: Path, kind: str, **attributes: Any) -> Any:
    """Make a directory a zarr group of an anndata encoding.

    Parameters
    ----------
    path
        The directory; made if need be.
    kind
        ``"anndata"``, ``"dict"``, ``"dataframe"``, ``"csr_matrix"`` or ``"categorical"``.
    **attributes
        What else the encoding wants, underscores for hyphens.
    """
    encoding = {"encoding-type": kind, "encoding-version": _GROUP_VERSIONS.get(kind, "0.2.0")}
    named = {name.replace("column_order", "column-order"): value for name, value in attributes.items()}
    group = open_group(path, "a")
    group.attrs.put(encoding | named)
    return group


def write_element(path: Path, value: Any) -> None:
    """Write one element at a new place of a tree.

    Parameters
    ----------
    path
        Where; the directory above is a group, and nothing lies here.
    value
        An array of numbers, booleans or texts, `Categories`, `Nullable`, a scalar, a mapping of
        these, or a list of texts.

    Raises
    ------
    DataError
        It is something else.
    """
    if isinstance(value, Mapping):
        write_group(path, "dict")
        for name in sorted(value):
            write_element(path / name, value[name])
    elif isinstance(value, Categories):
        write_group(path, "categorical", ordered=value.ordered)
        write_element(path / "codes", value.codes)
        write_element(path / "categories", value.names)
    elif isinstance(value, Nullable):
        kind = "nullable-boolean" if value.values.dtype.kind == "b" else "nullable-integer"
        write_group(path, kind)
        write_element(path / "values", np.where(value.mask, value.values.dtype.type(0), value.values))
        write_element(path / "mask", value.mask)
    elif value is None:
        raise DataError(f"cannot store {path.name}: it is None")
    elif isinstance(value, (str, bool, int, float, np.generic)):
        _write_array(path, np.asarray(value, dtype=object if isinstance(value, str) else None), "scalar")
    else:
        _write_array(path, np.asarray(value, dtype=object if _is_texts(value) else None), "array")


def _is_texts(value: Any) -> bool:
    if isinstance(value, Sequence):
        return all(isinstance(each, str) for each in value)
    return getattr(value, "dtype", np.dtype(float)).kind in "OUT"


def _write_array(path: Path, values: Values, form: str) -> None:
    texts = values.dtype.kind == "O"
    if not texts and values.dtype.kind not in "biuf":
        raise DataError(
            f"cannot store {path.name}: an array of {values.dtype}; convert it to numbers, booleans or texts"
        )
    scalar = "string" if texts else "numeric-scalar"
    kind = scalar if form == "scalar" else "string-array" if texts else "array"
    array = open_group(path.parent, "r+").create_array(
        path.name,
        shape=values.shape,
        dtype="string" if texts else values.dtype,
        chunks=array_chunks(values.shape, values.dtype.itemsize) if values.ndim else (),
        compressors=text_compressor() if texts else compressor(values.dtype.itemsize),
        attributes={"encoding-type": kind, "encoding-version": "0.2.0"},
        config={"write_empty_chunks": False},
    )
    array[...] = values if values.ndim else values.item()


def read_element(group: Any, name: str) -> Any:
    """Read what `write_element` wrote, and other arrays; categories as `Categories`, gaps as `Nullable`.

    Parameters
    ----------
    group
        A zarr group.
    name
        Of the element in it.
    """
    element = group[name]
    kind = element.attrs.get("encoding-type", "array")
    if kind == "dict":
        return {key: read_element(element, key) for key in sorted(element.keys())}
    if kind == "categorical":
        names = read_element(element, "categories")
        return Categories(element["codes"][...], names, bool(element.attrs.get("ordered", False)))
    if kind in _NULLABLE:
        return Nullable(np.asarray(element["values"][...]), np.asarray(element["mask"][...], bool))
    if kind.startswith("nullable"):
        values = np.asarray(element["values"][...], dtype=object)
        values[element["mask"][...]] = None
        return values
    values = np.asarray(element[...])
    if values.dtype.kind in "OUT":
        values = values.astype(object)
    return values if values.ndim else values.item()


def read_labels(group: Any, name: str) -> Categories:
    """Read a column as categories, whatever it is: texts and numbers are numbered in their order."""
    value = read_element(group, name)
    if isinstance(value, Categories):
        return value
    if isinstance(value, Nullable):
        texts = value.values.astype(object)
        texts[value.mask] = None
        value = texts
    missing = np.array([each is None or each != each for each in value], bool)
    names, codes = np.unique(value[~missing].astype(str), return_inverse=True)
    full = np.full(len(value), -1, np.int32)
    full[~missing] = codes
    return Categories(full, names.astype(object))
