"""Values of cells as bytes, in the forms of the executor protocol."""

from __future__ import annotations

import importlib
import io
import json
import math
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["ARROW", "FORMATS", "JSON", "MODULE", "PICKLE", "Unsendable", "decode", "encode"]

ARROW, JSON, PICKLE, MODULE = "arrow/ipc", "json/object", "pickle/object", "module/import"
FORMATS = (ARROW, JSON, MODULE, PICKLE)
SHAPE = b"strata.arrow.shape"
MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
LARGEST_INTEGER = 1 << 53
"""Integers that every reader of JSON reads as they are."""


class Unsendable(TypeError):
    """A value that has no bytes in any form that may be used."""


def encode(value: Any, *, trust: bool) -> tuple[str, bytes]:
    """Return the form of a value, and its bytes.

    Parameters
    ----------
    value
        A table, data frame, series, one-dimensional array, module, or what JSON has.
    trust
        Whether other values may be pickled.

    Raises
    ------
    Unsendable
        It fits none, and may not be pickled.
    """
    if isinstance(value, ModuleType):
        return MODULE, json.dumps(value.__name__).encode()
    arrow = _as_arrow(value)
    if arrow is not None:
        return ARROW, arrow
    if _is_json(value):
        return JSON, json.dumps(value, allow_nan=False).encode()
    if trust:
        import cloudpickle

        return PICKLE, bytes(cloudpickle.dumps(value))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise Unsendable(f"a {kind} has no form but a pickle, and pickles are not trusted here")


def decode(form: str, data: bytes, *, trust: bool, modules: Container[str] | None = None) -> Any:
    """Return the value that bytes stand for.

    Parameters
    ----------
    form, data
        As `encode` returns them.
    trust
        Whether pickles may be read.
    modules
        Names of modules that may be imported, which runs them; None for any. Those that are already, always may be.

    Raises
    ------
    Unsendable
        The form is not known, or a pickle or module that may not be read.
    """
    if form == ARROW:
        return _from_arrow(data)
    if form == JSON:
        return _json(data)
    if form == MODULE:
        return _module(data, modules)
    if form == PICKLE and trust:
        import pickle

        return pickle.loads(data)
    told = "pickles are not trusted here" if form == PICKLE else f"there are {', '.join(FORMATS)}"
    raise Unsendable(f"the form {form!r} is not read: {told}")


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a value was sent that is no JSON, or lists without end: {error}") from error


def _module(data: bytes, modules: Container[str] | None) -> ModuleType:
    text = data.decode("utf-8", "replace").strip()
    told: Any = _json(text) if text[:1] in ('"', "{") else text
    name = told.get("module") or told.get("name") if isinstance(told, dict) else told
    if not isinstance(name, str) or not MODULE_NAME.fullmatch(name):
        raise Unsendable(f"{text[:100]!r} names no module")
    if modules is not None and name not in modules and name not in sys.modules:
        raise Unsendable(f"the module {name} was neither sent nor is imported by what ran, and answers are not trusted")
    try:
        return importlib.import_module(name)
    except Exception as error:  # what a module does as it is imported may fail in any way
        raise Unsendable(f"the module {name} cannot be imported here: {error}") from error


def _is_json(value: Any) -> bool:
    """Whether JSON gives the very value back."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return True
    if kind is int:
        return bool(abs(value) < LARGEST_INTEGER)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(_is_json, value))
    return kind is dict and all(type(name) is str and _is_json(each) for name, each in value.items())


def _as_arrow(value: Any) -> bytes | None:
    """A stream of Arrow, with what it is to become again; None of what is no table, array or scalar of NumPy."""
    home = type(value).__module__.partition(".")[0]
    if home not in ("pandas", "numpy", "pyarrow"):
        return None
    import pyarrow as pa

    name = type(value).__name__
    if home == "pyarrow":
        return _stream(value, "table") if isinstance(value, pa.Table) else None
    if home == "pandas":
        if name == "DataFrame":
            return _stream(pa.Table.from_pandas(value), "table")
        return _stream(pa.Table.from_pandas(value.to_frame(value.name or "0")), "series") if name == "Series" else None
    if name == "ndarray":
        return (
            _stream(pa.table({"0": pa.array(value)}), "tensor") if value.ndim == 1 and value.dtype != object else None
        )
    return _stream(pa.table({"0": pa.array([value.item()])}), "scalar") if hasattr(value, "item") else None


def _stream(table: Any, shape: str) -> bytes:
    import pyarrow as pa

    told = table.replace_schema_metadata({**(table.schema.metadata or {}), SHAPE: shape.encode()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, told.schema) as writer:
        writer.write_table(told)
    return sink.getvalue()


def _from_arrow(data: bytes) -> Any:
    import pyarrow as pa

    table = pa.ipc.open_stream(data).read_all()
    shape = (table.schema.metadata or {}).get(SHAPE, b"table").decode()
    if shape == "scalar":
        return table.column(0)[0].as_py()
    if shape == "tensor":
        return table.column(0).to_numpy()
    try:
        frame = table.to_pandas()
    except ImportError:
        return table
    return frame.iloc[:, 0] if shape == "series" else frame
