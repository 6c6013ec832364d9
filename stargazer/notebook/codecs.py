"""Codecs of values that are not plain: modules and names, arrays, tables, sparse matrices, cells, and one's own."""

from __future__ import annotations

import functools
import importlib
import json
import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stargazer.errors import NotKept
from stargazer.fingerprint.origin import distribution_of, is_own
from stargazer.notebook.values import NOTEBOOK, OWN, check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Codec", "codec", "codec_named", "codecs_for"]

C = TypeVar("C")

SEQUENCES = "sequences.json"
"""Beside the arrays of cells: which of them were lists and tuples."""


class Codec(NamedTuple):
    """Writes and reads one kind of value.

    Parameters
    ----------
    name
        Stands in each value that it wrote.
    takes
        Whether it may be asked for a value.
    write
        Writes it; False where the same value would not come back.
    read
        Reads it.
    """

    name: str
    takes: Callable[[Any], bool]
    write: Callable[[Any, Path], bool]
    read: Callable[[Path], Any]


_own: dict[str, Codec] = {}


def codec(kind: type) -> Callable[[type[C]], type[C]]:
    """Register how values of a type are kept: a class with ``write(value, path)`` and ``read(path)``.

    Examples
    --------
    >>> import stargazer as sg
    >>> class Spectrum:
    ...     def __init__(self, peaks):
    ...         self.peaks = peaks
    >>> @sg.codec(Spectrum)
    ... class SpectrumCodec:
    ...     @staticmethod
    ...     def write(value, path):
    ...         path.write_text(" ".join(map(str, value.peaks)))
    ...
    ...     @staticmethod
    ...     def read(path):
    ...         return Spectrum([float(peak) for peak in path.read_text().split()])
    """

    def register(made: type[C]) -> type[C]:
        holder: Any = made

        def write(value: Any, path: Path) -> bool:
            holder.write(value, path)
            return True

        name = f"{OWN}{kind.__qualname__}"
        _own[name] = Codec(name, lambda value: type(value) is kind, write, holder.read)
        return made

    return register


def codecs_for(value: Any) -> Iterator[Codec]:
    """Codecs to be tried for a value, one's own first."""
    yield from (each for each in list(_own.values()) if each.takes(value))
    yield from (each for each in BUILT_IN if each.takes(value))


def codec_named(name: str) -> Codec:
    """Return a codec by its name.

    Raises
    ------
    NotKept
        There is none of that name here.
    """
    known = {**{each.name: each for each in BUILT_IN}, **_own}
    if name not in known:
        raise NotKept(f"no codec {name!r} is registered here, which wrote a value; run the cell with @sg.codec first")
    return known[name]


def _is(value: Any, *names: str) -> bool:
    """Whether a value is exactly of one of some types, none of which is imported for that."""
    kind = type(value)
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}" in names


# Modules and names.


def _write_module(value: Any, path: Path) -> bool:
    name = value.__name__
    if is_own(name, NOTEBOOK):
        raise NotKept(f"module {name} is code of your own: import it in a cell of imports")
    path.write_text(f"{name} {_version(name)}")
    return True


def _version(module: str) -> str:
    from stargazer.tools import library_version

    found = distribution_of(module, NOTEBOOK)
    return library_version(found) if found else ""


def _read_module(path: Path) -> Any:
    return importlib.import_module(path.read_text().partition(" ")[0])


def _is_named(value: Any) -> bool:
    """Whether a function or class of a library is found under its own name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)) or not module or not name:
        return False
    if module.startswith("__") or is_own(module, NOTEBOOK):
        return False
    return _attribute(sys.modules.get(module), name) is value


def _attribute(holder: Any, name: str) -> Any:
    return functools.reduce(lambda found, each: getattr(found, each, None), name.split("."), holder)


def _write_name(value: Any, path: Path) -> bool:
    path.write_text(f"{value.__module__}:{value.__qualname__} {_version(value.__module__)}")
    return True


def _read_name(path: Path) -> Any:
    module, _, name = path.read_text().partition(" ")[0].partition(":")
    return _attribute(importlib.import_module(module), name)


# Arrays.


def _write_array(value: Any, path: Path) -> bool:
    import numpy as np

    if value.dtype.hasobject or (isinstance(value, np.ndarray) and value.base is not None and value.dtype.metadata):
        return False
    check_size(int(value.nbytes), f"an array of {value.shape}")
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)
    return True


def _read_array(path: Path) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)


def _is_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic) and type(value).__module__ == "numpy"


def _read_scalar(path: Path) -> Any:
    return _read_array(path)[()]


def _write_sparse(value: Any, path: Path) -> bool:
    from scipy import sparse

    if value.dtype.hasobject or value.format not in ("csr", "csc", "coo", "bsr", "dia"):
        return False
    parts = [getattr(value, name) for name in ("data", "indices", "indptr", "row", "col") if hasattr(value, name)]
    check_size(sum(int(part.nbytes) for part in parts), f"a sparse matrix of {value.shape}")
    with path.open("wb") as file:
        sparse.save_npz(file, value, compressed=False)
    back = _read_sparse(path)
    return type(back) is type(value) and all(
        getattr(back, name).dtype == getattr(value, name).dtype
        for name in ("data", "indices", "indptr")
        if hasattr(value, name)
    )


def _read_sparse(path: Path) -> Any:
    from scipy import sparse

    with path.open("rb") as file:
        return sparse.load_npz(file)


def _is_sparse(value: Any) -> bool:
    kind = type(value)
    return kind.__module__.startswith("scipy.sparse") and kind.__name__.endswith(("_matrix", "_array"))


# Cells.


def _write_cells(value: Any, path: Path) -> bool:
    check_size(int(value.__sizeof__()), f"AnnData of {value.shape}")
    if value.isbacked or value.is_view:
        value = value.to_memory() if value.isbacked else value.copy()
    import warnings

    import anndata
    from zarr.errors import ZarrUserWarning

    try:
        with (
            warnings.catch_warnings(),
            anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False),
        ):
            warnings.simplefilter("ignore", ZarrUserWarning)  # that others may not read consolidated metadata
            value.write_zarr(path, convert_strings_to_categoricals=False)
    except (TypeError, ValueError, NotImplementedError, KeyError):
        return False
    if sequences := _sequences(value.uns):
        (path / SEQUENCES).write_text(json.dumps(sequences))
    back = _read_cells(path)
    return all(_found(back.uns, place) == _found(value.uns, place) for place, _ in sequences) and (
        bool(back.obs.equals(value.obs))
        and bool(back.var.equals(value.var))
        and type(back.X) is type(value.X)
        and back.uns.keys() == value.uns.keys()
        and back.obsm.keys() == value.obsm.keys()
    )


def _read_cells(path: Path) -> Any:
    import anndata

    cells = anndata.read_zarr(path)
    if (noted := path / SEQUENCES).exists():
        for place, kind in json.loads(noted.read_text()):
            made = _found(cells.uns, place).tolist()
            _found(cells.uns, place[:-1])[place[-1]] = tuple(made) if kind == "tuple" else made
    return cells


def _sequences(held: Any, *place: str) -> list[tuple[list[str], str]]:
    """Where lists and tuples stand in what cells have with them: zarr has arrays in their place."""
    found = []
    for name, value in held.items():
        if isinstance(value, Mapping):
            found += _sequences(value, *place, name)
        elif type(value) in (list, tuple):
            found.append(([*place, name], type(value).__name__))
    return found


def _found(held: Any, place: list[str]) -> Any:
    return functools.reduce(lambda inner, name: inner[name], place, held)


# Tables: see `stargazer.notebook.frames`.


def _frames(name: str) -> Any:
    return getattr(importlib.import_module("stargazer.notebook.frames"), name)


BUILT_IN: tuple[Codec, ...] = (
    Codec("module", lambda value: isinstance(value, types.ModuleType), _write_module, _read_module),
    Codec("name", _is_named, _write_name, _read_name),
    Codec("npy", lambda value: _is(value, "numpy.ndarray"), _write_array, _read_array),
    Codec("npy-scalar", _is_scalar, _write_array, _read_scalar),
    Codec("sparse", _is_sparse, _write_sparse, _read_sparse),
    Codec("zarr", lambda value: _is(value, "anndata.AnnData"), _write_cells, _read_cells),
    Codec(
        "frame",
        lambda value: _is(value, "pandas.DataFrame"),
        lambda value, path: bool(_frames("write_frame")(value, path)),
        lambda path: _frames("read_frame")(path),
    ),
    Codec(
        "series",
        lambda value: _is(value, "pandas.Series"),
        lambda value, path: bool(_frames("write_series")(value, path)),
        lambda path: _frames("read_series")(path),
    ),
    Codec(
        "arrow",
        lambda value: _is(value, "pyarrow.Table", "pyarrow.lib.Table"),
        lambda value, path: bool(_frames("write_table")(value, path)),
        lambda path: _frames("read_table")(path),
    ),
    Codec(
        "polars",
        lambda value: _is(value, "polars.DataFrame"),
        lambda value, path: bool(_frames("write_polars")(value, path)),
        lambda path: _frames("read_polars")(path),
    ),
)
