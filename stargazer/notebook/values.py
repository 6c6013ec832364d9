"""Values of cells as files: the same value gives the same bytes, and the bytes give the same value.

Plain data are canonical JSON, tables Arrow, arrays NumPy's own format, cells trees of zarr. What nothing else can write
is pickled, with the classes of the notebook by their names. Which codec wrote a value stands in the asset.
"""

from __future__ import annotations

import enum
import functools
import json
import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stargazer.assets.notebook import NotebookValue as Value
from stargazer.errors import NotKept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "NOTEBOOK",
    "SPENT",
    "Encoded",
    "Nowhere",
    "Scope",
    "Spent",
    "Value",
    "check_lazy",
    "from_plain",
    "plain_bytes",
    "remove",
    "to_plain",
]

NOTEBOOK = "__notebook__"
"""Name of the module that code of a notebook is in, wherever it runs."""

EXACT_INTEGER = 1 << 53
"""Integers below it are numbers in JSON; readers in other languages have doubles."""


OWN = "own:"
"""How names of codecs begin that people registered."""


class Encoded(NamedTuple):
    """How a value was written; see `stargazer.assets.NotebookValue`."""

    codec: str
    kind: str
    code: str = ""


class Scope(Protocol):
    """The notebook around a value: its classes are known by name."""

    @property
    def namespace(self) -> Mapping[str, Any]:
        """What names mean."""

    def code_of(self, name: str) -> str:
        """Digest of the code behind a name of the notebook."""


class Nowhere:
    """A scope without names."""

    namespace: Mapping[str, Any] = {}

    def code_of(self, name: str) -> str:
        """Nothing has code here."""
        return ""


SPENT = "spent"
"""Codec of what a ``with`` block left, which nothing can write and nobody reads: a closed file, a pool that ended."""


class Spent:
    """Stands for what a ``with`` block left, in a program that runs cells one by one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotKept(f"a `with` block left this, which came from the ledger and has no {name}: run its cell once more")


def remove(path: Path) -> None:
    """Take away what a codec began to write."""
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Plain data as canonical JSON.


_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def plain_bytes(value: Any) -> bytes:
    """Canonical JSON of plain data.

    Raises
    ------
    TypeError
        It is not plain: of another type, or one list in two places, which JSON cannot tell.
    """
    return _dump(to_plain(value, set())).encode()


def to_plain(value: Any, seen: set[int]) -> Any:
    """What JSON writes for a value; exact for every float, and with the types that JSON does not have."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    writer = WRITERS.get(kind)
    if writer is None:
        raise TypeError(kind.__qualname__)
    if kind in MUTABLE:
        if id(value) in seen:
            raise TypeError("one object in two places")
        seen.add(id(value))
    return writer(value, seen)


MUTABLE = (list, dict, set, bytearray)


def _integer(value: int, seen: set[int]) -> Any:
    return value if abs(value) < EXACT_INTEGER else {"int": hex(value)}


def _float(value: float, seen: set[int]) -> Any:
    return value if math.isfinite(value) and not value.is_integer() else {"float": value.hex()}


def _items(value: Any, seen: set[int]) -> list[Any]:
    return [to_plain(item, seen) for item in value]


def _set(value: Any, seen: set[int]) -> Any:
    return {type(value).__name__: sorted(_items(value, seen), key=_dump)}


WRITERS: dict[type, Callable[[Any, set[int]], Any]] = {
    int: _integer,
    float: _float,
    complex: lambda value, seen: {"complex": [value.real.hex(), value.imag.hex()]},
    bytes: lambda value, seen: {"bytes": value.hex()},
    bytearray: lambda value, seen: {"bytearray": value.hex()},
    range: lambda value, seen: {"range": [value.start, value.stop, value.step]},
    slice: lambda value, seen: {"slice": _items((value.start, value.stop, value.step), seen)},
    list: _items,
    tuple: lambda value, seen: {"tuple": _items(value, seen)},
    set: _set,
    frozenset: _set,
    dict: lambda value, seen: {"dict": [[to_plain(k, seen), to_plain(item, seen)] for k, item in value.items()]},
    type(Ellipsis): lambda value, seen: {"ellipsis": 0},
}

READERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda value: int(value, 16),
    "float": float.fromhex,
    "complex": lambda value: complex(*map(float.fromhex, value)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda value: range(*map(from_plain, value)),
    "slice": lambda value: slice(*map(from_plain, value)),
    "tuple": lambda value: tuple(map(from_plain, value)),
    "set": lambda value: set(map(from_plain, value)),
    "frozenset": lambda value: frozenset(map(from_plain, value)),
    "dict": lambda value: {from_plain(key): from_plain(item) for key, item in value},
    "ellipsis": lambda value: ...,
}


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        return READERS[kind](content)
    return value


def largest() -> int:
    """Bytes of the largest value that is kept."""
    from dask.utils import parse_bytes

    from stargazer.config import notebook_setting

    return int(parse_bytes(notebook_setting("largest")))


def check_size(size: int, what: str) -> None:
    """Refuse what is larger than the setting allows, before it is written.

    Raises
    ------
    NotKept
        It is.
    """
    if size > (most := largest()):
        raise NotKept(
            f"{what} has {size:,} bytes, more than the {most:,} of stargazer.notebook.largest: it stays in memory"
        )


LAZY = {
    "polars.lazyframe": "LazyFrame", "dask": "", "dask_expr": "", "pyarrow._dataset": "", "zarr": "", "h5py": "",
    "fsspec": "", "duckdb": "", "_duckdb": "", "ibis": "",
}  # fmt: skip
"""Modules whose objects stand for data elsewhere that are read when they are used."""


def check_lazy(value: Any) -> None:
    """Refuse what holds no data but says where they are: these may be others by then, and no cell would notice.

    Raises
    ------
    NotKept
        It does.
    """
    kind = type(value)
    if _is_lazy(kind.__module__, kind.__name__) and not isinstance(value, (BaseException, enum.Enum)):
        raise NotKept(f"{kind.__qualname__}, whose data are read when it is used")
    if kind.__name__ == "memmap" and getattr(value, "_mmap", None) is not None and value.flags.writeable:
        raise NotKept(f"{kind.__qualname__}, which writes to a file")


@functools.lru_cache(maxsize=4096)
def _is_lazy(module: str, name: str) -> bool:
    return any(each in ("", name) for start, each in LAZY.items() if f"{module}.".startswith(f"{start}."))


def module_of_name(name: str) -> Any:
    """A module that is loaded already, or None."""
    return sys.modules.get(name)
