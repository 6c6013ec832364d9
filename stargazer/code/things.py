"""What a name leads to, as text: constants in full, the user's own code by the name of its piece."""

from __future__ import annotations

import functools
import logging
import threading
import typing
from types import BuiltinFunctionType, FunctionType, GenericAlias, MappingProxyType, MethodType, ModuleType, UnionType
from typing import TYPE_CHECKING, Any

from stargazer.code.origin import is_own, label, module_of, public_label
from stargazer.code.values import encode
from stargazer.code.watch import MISSING, Watch, contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Things"]

INERT = (logging.Logger, type(threading.Lock()), type(threading.RLock()), threading.Event, threading.Condition)
WRAPPED = ("__wrapped__", "py_func", "pyfunc", "func")


class Things:
    """Writes values as text, and notes which pieces of own code they lead to.

    Attributes
    ----------
    pieces
        Canonical text of each piece, by a name for people.
    uncertain
        What cannot be hashed, in words.
    by_name
        Module and name of everything own that another process would import: it does not travel with the task.
    """

    def __init__(self, owner: str) -> None:
        self.pieces: dict[str, str] = {}
        self.uncertain: list[str] = []
        self.by_name: set[tuple[str, str]] = set()
        self.watch = Watch()
        self._owner = owner
        self._labels: dict[int, str] = {}
        self._kept: list[Any] = []
        self._todo: list[Callable[[], None]] = []

    def function_text(self, name: str, function: FunctionType) -> None:
        """Write the piece of a function."""
        raise NotImplementedError

    def class_text(self, name: str, cls: type) -> None:
        """Write the piece of a class."""
        raise NotImplementedError

    def module_text(self, name: str, module: ModuleType) -> None:
        """Write the piece of a module that is used as a whole."""
        raise NotImplementedError

    def is_own(self, module: str) -> bool:
        """Whether a module's code counts."""
        return is_own(module, self._owner)

    def piece(self, value: Any, name: str, write: Callable[[str, Any], None]) -> str:
        """Name of the piece of `value`; written later, for pieces may refer to each other in circles."""
        if id(value) not in self._labels:
            short = unique = name.rpartition("<locals>.")[2]
            number = 1
            while unique in self.pieces:
                number += 1
                unique = f"{short}#{number}"
            self.pieces[unique] = ""
            self._labels[id(value)] = unique
            self._kept.append(value)
            self._todo.append(functools.partial(write, unique, value))
        return self._labels[id(value)]

    def write_all(self) -> None:
        """Write all pieces that were noted."""
        while self._todo:
            self._todo.pop(0)()

    def value(self, value: Any) -> str:
        """Text of whatever a name leads to."""
        if not isinstance(value, (FunctionType, type, ModuleType)):
            self.watch.constant(value)
        try:
            return encode(value, self._other, self._kind)
        except RecursionError:
            self.uncertain.append(f"a {type(value).__qualname__} that holds itself")
            return f"endless {type(value).__qualname__}"

    def _kind(self, kind: type) -> str:
        return self._class(kind) if self.is_own(kind.__module__) else kind.__qualname__

    def _other(self, value: Any) -> str:
        """Reference to anything that is not plain data."""
        if value is MISSING:
            return "undefined"
        if isinstance(value, ModuleType):
            own = self.is_own(value.__name__) and getattr(value, "__file__", None)
            name = f"module {value.__name__}"
            return self.piece(value, name, self.module_text) if own else name
        if isinstance(value, FunctionType) and self.is_own(module_of(value)):
            return f"function {self.piece(value, value.__qualname__, self.function_text)}"
        if isinstance(value, type) and self.is_own(value.__module__):
            return self._class(value)
        return self._bound(value) or self._foreign(value)

    def _class(self, cls: type) -> str:
        return f"class {self.piece(cls, cls.__qualname__, self.class_text)}"

    def _bound(self, value: Any) -> str | None:
        if isinstance(value, MethodType):
            return f"method {self._other(value.__func__)} of {self.value(value.__self__)}"
        if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, (ModuleType, type, type(None))):
            return f"method {value.__name__} of {self.value(value.__self__)}"
        if isinstance(value, functools.partial):
            self.watch.constant(value.keywords)
            return f"partial {self.value(value.func)} {self.value(value.args)} {self.value(value.keywords)}"
        if isinstance(value, MappingProxyType):
            return f"mapping {self.value(dict(value))}"
        if isinstance(value, (GenericAlias, UnionType)) or type(value).__module__ == "typing":
            return f"type {self._type(value)}"
        return None

    def _type(self, value: Any) -> str:
        if isinstance(value, type) and not isinstance(value, GenericAlias) and type(value).__module__ != "typing":
            return self._other(value)
        origin, arguments = typing.get_origin(value), typing.get_args(value)
        if origin is None:
            return ascii(value)
        name = "Union" if origin in (typing.Union, UnionType) else getattr(origin, "__name__", None) or str(origin)
        return f"{name}[{', '.join(map(self._type, arguments))}]"

    def _foreign(self, value: Any) -> str:
        if isinstance(value, INERT):
            return f"a {type(value).__qualname__}"
        if self.is_own(type(value).__module__):
            return f"object {self.piece(value, f'{type(value).__qualname__} object', self._object_text)}"
        inside = ", ".join(map(self._other, self._inside(value, set())))
        if inside and isinstance(value, FunctionType):
            return f"foreign {module_of(value)}:{value.__code__.co_qualname} of {inside}"
        if inside:
            return f"foreign {public_label(type(value))} of {inside}"
        if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
            return f"foreign {public_label(value)}"
        self.uncertain.append(f"an object of {label(type(value))}")
        return f"opaque {label(type(value))}"

    def _inside(self, value: Any, seen: set[int]) -> Iterator[FunctionType]:
        """Own functions that a library's object wraps: decorators, caches, dispatchers, tasks."""
        if id(value) in seen or isinstance(value, (type, ModuleType)):
            return
        seen.add(id(value))
        for part in _parts(value):
            if isinstance(part, (dict, list)):
                self.watch.constant(part)
            for each in _spread(part):
                if isinstance(each, FunctionType) and self.is_own(module_of(each)):
                    if id(each) not in seen:
                        seen.add(id(each))
                        yield each
                elif callable(each):
                    yield from self._inside(each, seen)

    def _object_text(self, name: str, value: Any) -> None:
        slots = [slot for base in type(value).__mro__ for slot in _slots(base) if hasattr(value, slot)]
        state = {**getattr(value, "__dict__", {}), **{slot: getattr(value, slot) for slot in slots}}
        for attribute in slots:
            self.watch.name(_Attributes(value), attribute, state[attribute])
        self.watch.constant(getattr(value, "__dict__", None))
        self.pieces[name] = f"{self._class(type(value))} {self.value(state)}"


class _Attributes:
    """The attributes of an object without ``__dict__``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self, name: str, default: Any, /) -> Any:
        return getattr(self.value, name, default)


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slot for slot in slots if not slot.startswith("__"))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        yield from (contents(cell) for cell in value.__closure__ or ())
    for name in WRAPPED:
        yield getattr(value, name, None)


def _spread(part: Any) -> Iterator[Any]:
    items = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else (part,)
    yield from items
