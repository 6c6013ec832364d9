"""What a name leads to, as text: values in full, the user's own code by the name of its piece."""

from __future__ import annotations

import contextlib
import contextvars
import enum
import functools
import logging
import os
import re
import struct
import sys
import threading
import types
import typing
import weakref
from pathlib import PurePath, PureWindowsPath
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    UnionType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.config import environment_class
from stargazer.fingerprint.canonical import Scalar, array_text, exact_text, scalar_text
from stargazer.fingerprint.dynamic import ENTRY_POINTS, FINDS_TEXT, HINTS, LOADERS, TEXT_MODULES, finds, reads_source
from stargazer.fingerprint.objects import (
    KNOWN,
    NotWhole,
    array_layout,
    base_content,
    bound_parts,
    is_plain_numpy,
    parts_of,
    spread,
    state_of,
    value_alone,
    value_of,
)  # fmt: skip
from stargazer.fingerprint.origin import (
    distribution_of,
    is_found,
    is_own,
    label,
    module_of,
    public_label,
    public_module,
)
from stargazer.fingerprint.watch import MISSING, Watch, contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


__all__ = ["OPAQUE", "Doubt", "Things"]

OPAQUE = "opaque "
"""How the text of an object begins that counts by the text that makes it."""

# Followed is what is understood whole. Of anything else a doubt is noted: it makes the key wide
# (`stargazer.fingerprint.wide`).


INERT = (
    logging.Logger, logging.RootLogger, logging.LoggerAdapter, type(threading.Lock()), type(threading.RLock()),
    threading.Event, threading.Condition, threading.Semaphore, threading.BoundedSemaphore, threading.Barrier,
)  # fmt: skip
IN_C = (
    BuiltinFunctionType, WrapperDescriptorType, MethodDescriptorType, GetSetDescriptorType, MemberDescriptorType,
    type("".__add__), types.ClassMethodDescriptorType,
)  # fmt: skip
Plain = (list, tuple, set, frozenset, dict)
LIMIT = 10_000
"""Objects inside one of a library's, beyond which it is not looked through."""


class Doubt(NamedTuple):
    """Something that is not understood whole.

    Parameters
    ----------
    what, remedy
        In words: what it is, and what to write in its place.
    module, name
        The module that it stands in, and the name there that holds it; no name if it is code.
    reach
        ``"value"``: what put it there; ``"code"``: what its module imports; ``"package"``: that, and what the task
        imports below it; ``"names"``: whatever can be found by a name; ``"all"``: all that the task imports.
    """

    what: str
    remedy: str
    module: str
    name: str = ""
    reach: str = "code"


class Things:
    """Writes values as text, and notes which pieces of own code they lead to.

    Attributes
    ----------
    pieces
        Canonical text of each piece, by a name for people.
    doubts
        What is not understood whole.
    uncertain
        What no text tells, in words.
    by_name
        Module and name of everything own that another process would import: it does not travel with the task.
    libraries
        Installed distributions that the code names.
    reads_text
        Whether code reads docstrings, annotations or code of functions: then these count.
    reads_hints
        Whether code reads annotations: then what they name counts.
    reads_source
        Whether code reads files of code, with comments and lines: then the files count as they are.
    """

    def __init__(self, owner: str) -> None:
        self.pieces: dict[str, str] = {}
        self.doubts: dict[Doubt, None] = {}
        self.uncertain: list[str] = []
        self.by_name: set[tuple[str, str]] = set()
        self.libraries: set[str] = set()
        self.reads_text = self.reads_hints = self.reads_source = False
        self.watch = Watch()
        self._owner = owner
        self._place = (owner, "")
        self._labels: dict[int, str] = {}
        self._kept: list[Any] = []
        self._todo: list[tuple[tuple[str, str], Callable[[], None]]] = []
        self._own: dict[str, bool] = {}
        self._asked: set[str] = set()
        self._at_import = False
        self._only_at_import: set[int] = set()
        self._inside_of: list[int] = []
        self._within_foreign = 0

    def function_text(self, name: str, function: FunctionType) -> None:
        """Write the piece of a function."""
        raise NotImplementedError

    def class_text(self, name: str, cls: type) -> None:
        """Write the piece of a class."""
        raise NotImplementedError

    def lines_of_module(self, module: ModuleType) -> str:
        """Text of an own module that has no file."""
        raise NotImplementedError

    def opaque(self, value: Any) -> None:
        """Note an object of a library that counts by the text that makes it."""
        raise NotImplementedError

    def is_own(self, module: Any) -> bool:
        """Whether a module's code counts."""
        if module not in self._own:
            self._own[module] = isinstance(module, str) and is_own(module, self._owner)
        return self._own[module]

    def doubt(self, what: str, remedy: str, *, reach: str = "code", module: str = "", name: str = "") -> None:
        """Note that something is not understood whole; inside a library's object, that ends its reading."""
        if self._within_foreign:
            raise NotWhole
        here, at = self._place
        self.doubts[Doubt(what, remedy, module or here, name or (at if reach == "value" else ""), reach)] = None

    def piece(self, value: Any, name: str, write: Callable[[str, Any], None], place: tuple[str, str]) -> str:
        """Name of the piece of `value`; written later, for pieces may refer to each other in circles."""
        if id(value) in self._only_at_import and not self._at_import:
            self._only_at_import.remove(id(value))
            self._todo.append((place, functools.partial(write, self._labels[id(value)], value)))
        if id(value) not in self._labels:
            self._only_at_import.update([id(value)] if self._at_import else [])
            short = unique = name.rpartition("<locals>.")[2]
            number = 1
            while unique in self.pieces:
                number += 1
                unique = f"{short}#{number}"
            self.pieces[unique] = ""
            self._labels[id(value)] = unique
            self._kept.append(value)
            self._todo.append((place, functools.partial(write, unique, value)))
        return self._labels[id(value)]

    def write_all(self) -> None:
        """Write all pieces that were noted."""
        while self._todo:
            self._place, write = self._todo.pop(0)
            write()

    @contextlib.contextmanager
    def importing(self, running: bool = True) -> Iterator[None]:
        """What is followed meanwhile runs when a module is imported, as decorators do, and not when a task does."""
        before, self._at_import = self._at_import, running
        try:
            yield
        finally:
            self._at_import = before

    @contextlib.contextmanager
    def at(self, module: str, name: str) -> Iterator[None]:
        """What is followed meanwhile stands under a name in a module."""
        before, self._place = self._place, (module, name)
        try:
            yield
        finally:
            self._place = before

    def value(self, value: Any) -> str:
        """Text of whatever a name leads to."""
        kind = type(value)
        if kind in Scalar:
            return self._string(value) if kind is str else scalar_text(value)
        if id(value) in self._inside_of:
            return f"the same {len(self._inside_of) - self._inside_of.index(id(value))} levels up"
        if len(self._inside_of) > 200:
            self.doubt(f"a {kind.__qualname__} nested deeper than 200 levels", "flatten it", reach="value")
            return "deep"
        self._inside_of.append(id(value))
        try:
            return self._container(value) if kind in Plain else self._thing(value)
        finally:
            self._inside_of.pop()

    def _string(self, value: str) -> str:
        return f"str {value!a}" if not os.path.isabs(value) else f"str {self._here(value)!a}"

    def _here(self, path: str) -> str:
        """A path into the folder of the code, or one that leads up from it, as it is seen from there.

        ``HERE = Path(__file__).parent`` is another path wherever the project lies, and means the same.
        """
        module = sys.modules.get(self._place[0])
        file = getattr(module, "__file__", None)
        if not file:
            return path
        for folder in (os.path.dirname(os.path.abspath(file)), os.path.dirname(os.path.realpath(file))):
            whole = f"{folder}{os.sep}"
            if path == folder or path.startswith(whole) or whole.startswith(f"{path.rstrip(os.sep)}{os.sep}"):
                return f"<here>/{os.path.relpath(path, folder)}"
        return path

    def _container(self, value: Any) -> str:
        self.watch.constant(value)
        name = type(value).__name__
        if type(value) is dict:
            return f"dict {{{', '.join(f'{self.value(key)}: {self.value(item)}' for key, item in value.items())}}}"
        items = sorted(value, key=_order) if isinstance(value, (set, frozenset)) else value
        return f"{name} [{', '.join(map(self.value, items))}]"

    def _thing(self, value: Any) -> str:
        """Text of anything but numbers, strings and plain containers of these."""
        if value is MISSING:
            return "undefined"
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, type):
            return self._class(value)
        if type(value) is FunctionType:  # some wrappers only say that they are one
            return self._function(value)
        return self._wrapper(value) or self._well_known(value) or self._object(value)

    # Modules, classes, functions

    def _module(self, module: ModuleType) -> str:
        name = module.__name__
        if not self.is_own(name):
            self.library(name)
            if finds(name, "") or name == "sys":
                self.doubt(f"module {name} as a value", "name the function that is meant", reach="all")
            return f"module {public_module(name)}"
        if not getattr(module, "__file__", None):
            return f"module {self.lines_of_module(module)}"
        self.note(name, "")
        reach = "package" if hasattr(module, "__path__") else "code"
        self.doubt(
            f"own module {name} as a value", f"name what is meant of it ({name}.function)", module=name, reach=reach
        )
        return f"module {name}"

    def _class(self, cls: type) -> str:
        if isinstance(cls, GenericAlias):
            return self._type(cls)
        if self.is_own(cls.__module__) or self._is_made_here(cls):
            place = self._home(cls.__module__), cls.__qualname__
            return f"class {self.piece(cls, cls.__qualname__, self.class_text, place)}"
        self.library(cls.__module__)
        self.check_finder(cls.__module__, cls.__name__)
        return f"foreign {public_label(cls)}"

    def _home(self, module: str) -> str:
        """Module that something belongs to; classes that a library makes for others may not say whose they are."""
        return module if self.is_own(module) else self._place[0]

    def _is_made_here(self, cls: type) -> bool:
        """Whether a class that claims to be a library's was made by code of one's own: ``make_dataclass``."""
        return bool(cls.__flags__ & 512) and cls.__module__ == "types" and not hasattr(types, cls.__name__)

    def _function(self, function: FunctionType) -> str:
        module = module_of(function)
        if self.is_own(module):
            place = module, function.__qualname__
            return f"function {self.piece(function, function.__qualname__, self.function_text, place)}"
        self.library(module)
        self.check_finder(module, function.__name__)
        if is_found(function, module):
            registry = getattr(function, "registry", None)
            return f"foreign {public_module(module)}:{function.__qualname__}" + (
                f" {self.value(dict(registry))}" if isinstance(registry, MappingProxyType) else ""
            )
        return self._closure(function, module)

    def _closure(self, function: FunctionType, module: str) -> str:
        """A function that a library made: its code is the library's, what it closes over counts."""
        for cell in function.__closure__ or ():
            self.watch.cell(cell)
        registry = getattr(function, "registry", None)
        if isinstance(registry, MappingProxyType):  # of functools.singledispatch, whose closure holds its caches, too
            self.watch.constant(registry)
            kinds = [f"{self._type(kind)}: {self.value(way)}" for kind, way in registry.items()]
            return f"dispatch {', '.join(sorted(kinds))}"
        held = [contents(cell) for cell in function.__closure__ or ()]
        held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        held += [value for name, value in vars(function).items() if name not in ("__wrapped__", "__signature__")]
        texts = [self.value(each) for each in held if not self._is_machinery(each)]
        wrapped = getattr(function, "__wrapped__", None)
        texts += [self.value(wrapped)] if wrapped is not None else []
        if not function.__closure__ and wrapped is None:
            self.doubt(f"function {label(function)}, which its module does not have", "write it as a plain function")
        return f"foreign {public_module(module)}:{function.__code__.co_qualname} of {', '.join(texts)}"

    def _is_machinery(self, value: Any) -> bool:
        """Whether a library's function closes over what is the library's own."""
        if isinstance(value, FunctionType):
            return not self.is_own(module_of(value)) and is_found(value, module_of(value))
        return isinstance(value, ModuleType) and not self.is_own(value.__name__)

    def library(self, module: str) -> None:
        """Note that the code uses what an installed distribution has."""
        top = str(module or "").partition(".")[0]
        if top and top not in self._asked:
            self._asked.add(top)
            found = distribution_of(top, self._owner)
            self.libraries.update([found] if found else [])

    def check_finder(self, module: str, name: str) -> None:
        """Doubt what a library's function or class finds."""
        self.check_reader(module, name)
        if f"{module}:{name}" in LOADERS and not self.is_own(module):
            self.doubt(f"{module}.{name}, which imports modules by name", "call the code itself", reach="names")
        elif (name not in FINDS_TEXT or self.is_own(module)) and finds(module, name):
            self.doubt(f"{module}.{name}, which finds code by name", "name the code itself", reach="all")

    def check_reader(self, module: str, name: str) -> None:
        """Note that a library's function reads texts of code, or what packages offer by entry points."""
        if self.is_own(module):
            return
        self.reads_text |= name in FINDS_TEXT or module.partition(".")[0] in TEXT_MODULES
        self.reads_hints |= name in HINTS
        self.reads_source |= reads_source(module, name)
        if name in ENTRY_POINTS:
            self._offered()

    def _offered(self) -> None:
        """What packages of one's own offer under names: code may ask for any of it."""
        from importlib import metadata  # brings the parser of e-mail along, which a known run does not want

        found = [each for one in metadata.distributions() for each in one.entry_points if self.is_own(each.module)]
        self.pieces["own entry points"] = "\n".join(sorted({f"{e.group}: {e.name} = {e.value}" for e in found}))
        for each in found:
            self.doubt(f"module {each.module} by an entry point", "name the code itself", module=each.module)

    # What wraps other things

    def _wrapper(self, value: Any) -> str | None:
        kind = type(value)
        if kind is MethodType:
            return f"method {self.value(value.__func__)} of {self.value(value.__self__)}"
        if isinstance(value, IN_C):
            return self._in_c(value)
        if kind is functools.partial:
            self.watch.constant(value.keywords)
            self.watch.look(value, bound_parts)
            rest = f" {self.value(vars(value))}" if vars(value) else ""
            return f"partial {self.value(value.func)} {self.value(value.args)} {self.value(value.keywords)}{rest}"
        if kind is functools._lru_cache_wrapper:
            return f"cached {self.value(value.__wrapped__)}"
        if kind is MappingProxyType:
            self.watch.constant(value)
            return f"mapping {self.value(dict(value))}"
        if kind is property:
            return f"property {self.value((value.fget, value.fset, value.fdel))}"
        if kind in (staticmethod, classmethod):
            return f"{kind.__name__} {self.value(value.__func__)}"
        if kind is functools.cached_property:
            return f"cached property {self.value(value.func)}"
        if kind is functools.singledispatchmethod:
            return f"dispatch {self.value(value.dispatcher)}"
        if isinstance(value, weakref.ref) and kind.__module__ in ("weakref", "_weakrefset"):
            return f"reference to {self.value(value())}"
        if isinstance(value, (GenericAlias, UnionType)) or kind.__module__ == "typing":
            return f"type {self._type(value)}"
        return None

    def _in_c(self, value: Any) -> str:
        holder = getattr(value, "__self__", None)
        if holder is not None and not isinstance(holder, (ModuleType, type)):
            return f"method {value.__name__} of {self.value(holder)}"
        if isinstance(holder, type):
            return f"method {value.__name__} of {self._class(holder)}"
        cls = getattr(value, "__objclass__", None)
        if cls is not None:
            return f"method {value.__name__} of {self._class(cls)}"
        module = str(getattr(value, "__module__", None) or getattr(holder, "__name__", "") or "builtins")
        if self.is_own(module):
            return self.binary(module, value.__name__)
        self.library(module)
        self.check_finder(module, value.__name__)
        return f"foreign {public_module(module)}:{value.__name__}"

    def binary(self, module: str, name: str) -> str:
        """What an own module in C has under a name: its bytes count."""
        self.note(module, "")
        self.doubt(
            f"{name} of module {module}, which is not in Python",
            "nothing: its bytes count",
            module=module,
            reach="code",
        )
        return f"binary {module.rpartition('.')[2]}:{name}"

    def _type(self, value: Any) -> str:
        if isinstance(value, type) and not isinstance(value, GenericAlias) and type(value).__module__ != "typing":
            return self._class(value)
        if isinstance(value, typing.TypeVar) and (value.__bound__ is not None or value.__constraints__):
            return f"{value!a} of {[self._type(each) for each in (value.__bound__, *value.__constraints__)]}"
        if isinstance(value, typing.NewType):
            return f"new type {value.__name__} of {self._type(value.__supertype__)}"
        origin, arguments = typing.get_origin(value), typing.get_args(value)
        if origin is None:
            return ascii(value)
        name = "Union" if origin in (typing.Union, UnionType) else getattr(origin, "__name__", None) or str(origin)
        inner = (self._type(each) if not _is_value(each) else self.value(each) for each in arguments)
        return f"{name}[{', '.join(inner)}]"

    # Objects

    def _well_known(self, value: Any) -> str | None:
        """Text of an object of a built-in type or of a library's that says all about itself."""
        kind = type(value)
        if isinstance(value, INERT) and not self.is_own(kind.__module__):
            return f"a {kind.__qualname__}"
        if isinstance(value, environment_class()):
            return "the environment"  # what a body asks of it is found out when it runs
        if isinstance(value, enum.Enum):
            return f"enum {self._class(kind)}.{value.name}{self._value_of_foreign(value)}"
        if isinstance(value, PurePath) and kind.__module__.partition(".")[0] == "pathlib":
            kind_of_path = "path of Windows" if isinstance(value, PureWindowsPath) else "path"
            return f"{kind_of_path} {self._here(value.as_posix())!a}"
        if isinstance(value, contextvars.ContextVar):
            self.watch.look(value, value_alone)
            return f"context variable {value.name} {self.value(value_of(value, MISSING))}"
        if kind is re.Pattern:
            return f"pattern {value.pattern!a} {value.flags}"
        zone = type(getattr(value, "tzinfo", None)).__module__
        if zone in ("builtins", "datetime", "zoneinfo") and (text := exact_text(value)) is not None:
            return text
        if is_plain_numpy(value):
            self.watch.constant(value)
            return array_text(value) + array_layout(value)
        if kind is struct.Struct:
            return f"structure {value.format}"
        return None

    def _value_of_foreign(self, member: enum.Enum) -> str:
        is_plain = type(member.value) in Scalar and not self.is_own(type(member).__module__)
        return f"={scalar_text(member.value)}" if is_plain else ""

    def _object(self, value: Any) -> str:
        kind = type(value)
        if kind is object:
            return "a sentinel"
        if (self.is_own(kind.__module__) or self._is_made_here(kind)) and not _is_of_cython(kind):
            return f"object {self.piece(value, f'{kind.__qualname__} object', self._object_text, self._place)}"
        self.library(kind.__module__)
        home = str(getattr(value, "__module__", None) or kind.__module__)
        if callable(value) and not self.is_own(home) and is_found(value, home):
            return f"foreign {public_label(value)}"
        if kind.__module__.startswith("stargazer."):
            return self._of_the_engine(value)
        if not self._within_foreign:
            return self._foreign(value)
        self._within_foreign += 1
        if self._within_foreign > LIMIT or kind.__module__.partition(".")[0] not in KNOWN:
            raise NotWhole
        return f"{public_label(kind)} with {self._held(value)}"

    def _of_the_engine(self, value: Any) -> str:
        """A task by its body, an asset by what it is."""
        body = getattr(value, "body", None)
        if isinstance(body, FunctionType):
            return f"a {type(value).__qualname__} of {self.value(body)}"
        return f"{public_label(type(value))} with {self._held(value)}"

    def _foreign(self, value: Any) -> str:
        """An object of a library: what it holds, if that is all understood; else a doubt, and own code in it."""
        kind = type(value)
        if kind.__module__.partition(".")[0] in KNOWN:
            self._within_foreign = 1
            try:
                text = f"{public_label(kind)} with {self._held(value)}"
                self.watch.constant(value)
                return text
            except NotWhole:
                pass
            finally:
                self._within_foreign = 0
        inside = ", ".join(map(self.value, self.inside(value, set())))
        self.doubt(
            f"an object of {label(kind)}",
            "make it in the task, or hold what it is made of in plain values",
            reach="value",
        )
        self.opaque(value)
        return f"{OPAQUE}{public_label(kind)} of {inside}"

    def _held(self, value: Any) -> str:
        """Attributes and slots of an object, and what a base in C keeps."""
        state = {name: each for name, each in state_of(value).items() if name not in self.ignored(value)}
        texts = [f"{name}: {self.value(each)}" for name, each in state.items()]
        content = base_content(value)
        return f"({', '.join(texts)})" + (f" is {self.value(content)}" if content is not None else "")

    def ignored(self, value: Any) -> set[str]:
        """Attributes of an object that are computed once and kept."""
        return {
            name
            for base in type(value).__mro__
            for name, member in vars(base).items()
            if isinstance(member, functools.cached_property)
        }

    def _object_text(self, name: str, value: Any) -> None:
        """Write the piece of an object of an own class."""
        cls = self._class(type(value))
        self.watch.constant(value, self.ignored(value))
        try:
            self.pieces[name] = f"{cls} {self._held(value)}"
        except NotWhole:
            self.pieces[name] = cls
            self.doubt(
                f"an object of {label(type(value))}, whose content is kept in C", "hold plain values", reach="value"
            )

    def inside(self, value: Any, seen: set[int]) -> Iterator[FunctionType]:
        """Own functions that a library's object wraps: decorators, caches, dispatchers."""
        if id(value) in seen or isinstance(value, (type, ModuleType)):
            return
        seen.add(id(value))
        for part in parts_of(value):
            for each in spread(part):
                if isinstance(each, FunctionType) and self.is_own(module_of(each)):
                    if id(each) not in seen:
                        seen.add(id(each))
                        yield each
                elif callable(each):
                    yield from self.inside(each, seen)

    def note(self, module: str, name: str) -> None:
        """Another process would import this."""
        if module != "__main__" and "<" not in name:
            self.by_name.add((module, name))


def _is_of_cython(kind: type) -> bool:
    """Whether a class is one of those that Cython shares among libraries, in a module that no file has."""
    return not isinstance(type(kind).__module__, str)


def _order(value: Any) -> tuple[str, str]:
    """A stable order of the items of a set."""
    return type(value).__qualname__, ascii(value) if type(value) in Scalar else label(value)


def _is_value(argument: Any) -> bool:
    return not isinstance(argument, (type, GenericAlias, UnionType)) and type(argument).__module__ != "typing"
