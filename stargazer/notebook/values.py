"""Values of cells as files: the same value gives the same bytes, and the bytes give the same value.

Plain data are canonical JSON, tables Arrow, arrays NumPy's own format, cells trees of zarr. What nothing else can write
is pickled, with the classes of the notebook by their names. Which codec wrote a value stands in the asset.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stargazer.assets.notebook import NotebookValue as Value
from stargazer.errors import NotKept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["NOTEBOOK", "Encoded", "Scope", "Value", "decode", "encode", "from_plain", "to_plain"]

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


def encode(value: Any, path: Path, scope: Scope | None = None) -> Encoded:
    """Write a value.

    Parameters
    ----------
    value
        Of any type.
    path
        Where to: a file, or for some codecs a directory.
    scope
        The notebook that it is a value of.

    Raises
    ------
    NotKept
        It has no bytes, is too large, or holds what is never pickled.
    """
    from stargazer.notebook.codecs import codecs_for
    from stargazer.notebook.pickles import write_pickle

    kind = type(value).__qualname__
    try:
        path.write_bytes(plain_bytes(value))
        return Encoded("json", kind)
    except (TypeError, RecursionError):
        pass
    for codec in codecs_for(value):
        try:
            if codec.write(value, path):
                return Encoded(codec.name, kind)
        except NotKept:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises where it cannot write a value
            if codec.name.startswith(OWN):
                raise NotKept(f"{kind} that its codec cannot write: {type(error).__name__}: {error}") from None
        remove(path)
    return Encoded("pickle", kind, write_pickle(value, path, scope or Nowhere()))


def decode(asset: Value, path: Path, scope: Scope | None = None) -> Any:
    """Read what `encode` wrote.

    Parameters
    ----------
    asset
        The value.
    path
        Where its bytes are.
    scope
        The notebook; classes are looked up there.

    Raises
    ------
    NotKept
        Nothing here reads it: what wrote it is not installed, or not registered.
    """
    from stargazer.notebook.codecs import codec_named
    from stargazer.notebook.pickles import read_pickle

    if asset.codec == "json":
        return from_plain(json.loads(path.read_bytes()))
    if asset.codec == "pickle":
        return read_pickle(path, scope or Nowhere())
    return codec_named(asset.codec).read(path)


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


def digest_of_value(value: Any, scratch: Path, scope: Scope | None = None) -> str:
    """Digest of a value as it would be written; two equal ones have one.

    Raises
    ------
    NotKept
        It has no bytes.
    """
    try:
        return f"json {hashlib.sha256(plain_bytes(value)).hexdigest()}"
    except (TypeError, RecursionError):
        pass
    from stargazer.cid import cid_of_path

    path = scratch / "value"
    remove(path)
    encoded = encode(value, path, scope)
    try:
        return f"{encoded.codec} {encoded.code} {cid_of_path(path)}"
    finally:
        remove(path)


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


def module_of_name(name: str) -> Any:
    """A module that is loaded already, or None."""
    return sys.modules.get(name)
