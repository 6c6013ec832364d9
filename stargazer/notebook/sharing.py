"""Values that have a part in common: what a cell changes of one is changed of the other.

A view of an array, a column of a table, a list inside of a dict: kept values know nothing of each other any more, so
what they had in common when a cell made them is kept beside them.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import sys
import types
from collections.abc import Iterator, MappingView
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["shared_parts"]

MOST, MOST_COLUMNS = 10_000, 1_000
"""Parts of a value, and columns of a table, that are looked at; what lies beyond them goes unseen."""

CONTAINERS = (list, dict, set, bytearray, collections.deque)
WHOLE = (type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType)
"""Things of a program, and no data."""

READ_LATER = (Iterator, MappingView, types.MappingProxyType)
"""What reads something else when it is read itself: generators, ``zip``, ``dict.keys()``."""

OF_STREAMS = ("_io", "_csv")
"""Modules whose objects read from others, or write to them, and have no attributes that say so."""

OF_A_PROGRAM = ("logging", "threading", "_thread", "matplotlib", "concurrent", "asyncio")
"""Packages whose objects belong to all of a process."""


def shared_parts(made: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return which names have a part in common that may be changed, by those that a cell made.

    Parameters
    ----------
    made, given
        Values that a cell made, and those that it was given.
    """
    parts = {name: _Parts(value) for name, value in {**given, **made}.items()}
    found = {name: [other for other in parts if other != name and parts[name].meet(parts[other])] for name in made}
    return {name: sorted(others) for name, others in found.items() if others}


class _Parts:
    """What of a value may be changed: objects by their ids, memory of arrays by its bounds."""

    def __init__(self, value: Any) -> None:
        self._objects: dict[int, Any] = {}
        self._functions: dict[int, Any] = {}
        self._spans: list[tuple[int, int]] = []
        todo = collections.deque([value])
        for _ in range(MOST):
            if not todo:
                break
            todo.extend(islice(self._look(todo.popleft()), MOST))

    def meet(self, other: _Parts) -> bool:
        """Whether both have something in common."""
        if not self._objects.keys().isdisjoint(other._objects):
            return True
        return any(a < d and c < b for a, b in self._spans for c, d in other._spans)

    def _look(self, value: Any) -> Iterable[Any]:
        """Note one thing; return what it consists of."""
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)) and not isinstance(value.__self__, WHOLE):
            return [value.__self__]
        if isinstance(value, functools.partial):
            return [value.func, *value.args, *value.keywords.values()]
        if isinstance(value, types.FunctionType) and id(value) not in self._functions:
            self._functions[id(value)] = value
            return _held_by(value)
        if value is None or isinstance(value, (str, bytes, int, float, complex, *WHOLE)):
            return ()
        if isinstance(value, (tuple, frozenset)):
            return [*value]
        if id(value) in self._objects or type(value).__module__.partition(".")[0] in OF_A_PROGRAM:
            return ()
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and isinstance(value, numpy.ndarray):
            return self._array(value, numpy)
        if pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series, pandas.Index)):
            self._objects[id(value)] = value
            return _blocks(value, pandas)
        if type(value).__module__ in OF_STREAMS:
            self._objects[id(value)] = value
            return gc.get_referents(value)
        with contextlib.suppress(TypeError):
            inner = list(vars(value).values())
            self._objects[id(value)] = value  # it lives as long: no other has its id
            return inner
        if isinstance(value, CONTAINERS):
            self._objects[id(value)] = value
            return [] if isinstance(value, bytearray) else list(value.values() if isinstance(value, dict) else value)
        if isinstance(value, memoryview):
            return [value.obj]
        if isinstance(value, READ_LATER):
            self._objects[id(value)] = value
            return gc.get_referents(value)
        return ()

    def _array(self, array: Any, numpy: Any) -> Iterable[Any]:
        if not array.size:
            return ()
        self._spans.append(numpy.lib.array_utils.byte_bounds(array))
        return list(islice(array.flat, MOST)) if array.dtype.hasobject else ()


def _held_by(function: types.FunctionType) -> Iterator[Any]:
    """What a function remembers: variables of the one that made it, and defaults."""
    yield from [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it has none yet
            yield cell.cell_contents


def _blocks(value: Any, pandas: Any) -> Iterator[Any]:
    """Arrays that a table consists of; where tables copy when they are written to, they have nothing in common."""
    copies = int(pandas.__version__.partition(".")[0]) >= 3 or pandas.options.mode.copy_on_write is True
    if isinstance(value, pandas.Index) or copies:
        return
    columns = [value]
    if isinstance(value, pandas.DataFrame):
        columns = [value.iloc[:, number] for number in range(min(value.shape[1], MOST_COLUMNS))]
    for column in columns:
        array = column.array
        yield from (getattr(array, name) for name in ("_ndarray", "_data", "_mask") if hasattr(array, name))
