"""What an object holds: its attributes and slots, and what a base in C keeps beside them."""

from __future__ import annotations

import collections
import functools
import inspect
import pickle
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Iterable, Iterator

__all__ = [
    "NotWhole",
    "array_layout",
    "base_content",
    "bound_parts",
    "is_array",
    "is_plain_numpy",
    "parts_of",
    "slots_of",
    "spread",
    "state_of",
    "value_alone",
    "value_of",
]

WRAPPED = ("__wrapped__", "py_func", "pyfunc", "func", "function", "body")

REDUCERS = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
HEAP_TYPE = 1 << 9
"""Flag of classes that were made while the process ran, those of Python among them."""

BASES: dict[type, Any] = {
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex(complex.real.__get__(value), complex.imag.__get__(value)),
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytes(bytearray.__getitem__(value, slice(None))),
    memoryview: lambda value: (bytes(value), value.format, value.shape),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    collections.defaultdict: lambda value: (value.default_factory, dict(dict.items(value))),
    collections.OrderedDict: lambda value: dict(collections.OrderedDict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    collections.deque: lambda value: (list(collections.deque.__iter__(value)), value.maxlen),
}
"""How the value of each built-in base is got at, whatever a subclass overrides."""

KNOWN = (
    "abc", "argparse", "array", "builtins", "collections", "datetime", "decimal", "_decimal", "_datetime",
    "_collections",
    "dataclasses", "enum", "fractions", "_functools", "functools", "ipaddress", "itertools", "_operator", "operator",
    "numbers", "pathlib", "random", "_random", "re", "string", "statistics", "textwrap", "types", "typing", "uuid",
    "zoneinfo", "_zoneinfo", "csv", "_csv", "json", "configparser", "shlex", "string", "calendar", "graphlib", "struct",
    "_struct", "heapq", "bisect", "inspect",
    "numpy", "pandas", "scipy", "toolz", "cytoolz", "attr", "attrs", "pydantic", "sortedcontainers", "frozendict",
    "dateutil", "pytz", "networkx", "sympy", "fastobo", "pyrsistent",
)  # fmt: skip
"""Packages whose objects are what their attributes say: no number of a process, no time, no handle in them."""


class NotWhole(Exception):
    """What an object holds cannot be told."""


def slots_of(cls: type) -> Iterator[str]:
    """Names of the slots that a class in Python adds, as attributes are stored."""
    slots = vars(cls).get("__slots__", ())
    for slot in (slots,) if isinstance(slots, str) else slots:
        if slot not in ("__dict__", "__weakref__"):
            private = slot.startswith("__") and not slot.endswith("__")
            yield f"_{cls.__name__.lstrip('_')}{slot}" if private else slot


def state_of(value: Any) -> dict[str, Any]:
    """Return the attributes and slots of an object, by name."""
    slots = [slot for base in type(value).__mro__ for slot in slots_of(base)]
    held = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    return {**getattr(value, "__dict__", {}), **held}


def base_content(value: Any) -> Any:
    """What a base in C keeps of an object, as other values; None if it keeps nothing.

    Raises
    ------
    NotWhole
        That base does not tell.
    """
    cls = type(value)
    if not _keeps_in_c(cls):
        return None
    for base, content in BASES.items():
        if issubclass(cls, base):
            return [base.__name__, content(value)]
    if is_array(value):
        return _array(value)
    if isinstance(value, BaseException) and value.__cause__ is not None:
        return [_reduced(value), value.__cause__]
    return _reduced(value)


def is_array(value: Any) -> bool:
    """Whether a value is an array of NumPy, or a scalar of it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def is_plain_numpy(value: Any) -> bool:
    """Whether an array or scalar is of NumPy's own plain types, and holds no objects."""
    numpy = sys.modules.get("numpy")
    plain = numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic))
    return bool(plain and type(value).__module__ == "numpy" and not value.dtype.hasobject)


def array_layout(value: Any) -> str:
    """Return how an array lies in memory, where it is not in the order of C and may not be written."""
    flags = value.flags
    order = "" if flags.c_contiguous else " in the order of Fortran" if flags.f_contiguous else " with gaps"
    return order + (" read only" if value.ndim and not flags.writeable else "")


def _array(value: Any) -> Any:
    import numpy

    if isinstance(value, numpy.ma.MaskedArray):
        return [numpy.ma.getdata(value).view(numpy.ndarray), numpy.ma.getmaskarray(value), value.fill_value]
    whole = value.view(numpy.ndarray) if isinstance(value, numpy.ndarray) else value
    return [str(value.dtype), value.shape, value.tolist()] if value.dtype.hasobject else whole


def _keeps_in_c(cls: type) -> bool:
    """Whether a class, or a base of it, is made in C: its objects hold more than attributes and slots."""
    return any(base is not object and not _is_python(base) for base in cls.__mro__)


@functools.lru_cache(maxsize=4096)
def _is_python(cls: type) -> bool:
    """Whether a class was made by a statement in Python: C gives its objects only ``__dict__`` and slots."""
    given = {"__dict__", "__weakref__", *slots_of(cls)}
    own = {name for name, member in vars(cls).items() if getattr(member, "__objclass__", None) is cls}
    return bool(cls.__flags__ & HEAP_TYPE) and own <= given


def _reduced(value: Any) -> Any:
    """What copying an object would hand on: only where code in C, or a known library, says what that is."""
    cls = type(value)
    for name in REDUCERS:
        where = inspect.getattr_static(cls, name, None)
        if isinstance(where, FunctionType) and where.__module__.partition(".")[0] not in {*KNOWN, "copyreg"}:
            raise NotWhole
    try:
        reduced = value.__reduce_ex__(2)
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, pickle.PickleError) as error:
        raise NotWhole from error
    if isinstance(reduced, str):
        raise NotWhole
    return [list(part) if hasattr(part, "__next__") else part for part in reduced[1:] if part is not None]


def parts_of(value: Any) -> Iterator[Any]:
    """What an object of a library may wrap: variables of closures, and attributes."""
    if isinstance(value, FunctionType):
        yield from (_contents(cell) for cell in value.__closure__ or ())
    for name in WRAPPED:
        yield inspect.getattr_static(value, name, None)
    yield from getattr(value, "__dict__", {}).values()


def spread(part: Any) -> Iterable[Any]:
    """What a container holds; anything else alone."""
    return part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else (part,)


def value_of(variable: contextvars.ContextVar[Any], missing: Any = None) -> Any:
    """What a variable of a context holds here, which may be its default."""
    try:
        return variable.get()
    except LookupError:
        return missing


def value_alone(variable: contextvars.ContextVar[Any]) -> list[Any]:
    """The same, to be compared as it is."""
    return [value_of(variable)]


def bound_parts(value: functools.partial[Any]) -> list[Any]:
    """What a partial is made of; its arguments by name change in place, and are watched on their own."""
    return [value.func, *value.args, value.keywords]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
