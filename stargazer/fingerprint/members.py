"""Classes as text: what is written in their bodies, and what they have beside it."""

from __future__ import annotations
import __future__

import ast
import enum
import functools
import inspect
import sys
import typing
from abc import ABCMeta, _get_dump  # type: ignore[attr-defined]
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.dynamic import uses_of
from stargazer.fingerprint.names import Names
from stargazer.fingerprint.objects import slots_of, state_of
from stargazer.fingerprint.origin import label, module_of
from stargazer.fingerprint.source import (
    class_node,
    dotted,
    is_ambiguous,
    methods,
    references,
)
from stargazer.fingerprint.watch import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["Members", "is_place"]

CELLS = ("function", "class_definition", "cell")
"""Decorators of marimo's files (``@app.function``), which say where something belongs, not what it does."""

METACLASSES = (
    "abc:ABCMeta",
    "enum:EnumType",
    "enum:EnumMeta",
    "typing:_ProtocolMeta",
    "typing:NamedTupleMeta",
    "typing:_TypedDictMeta",
    "builtins:type",
)
STANDARD = frozenset({
    "__module__", "__qualname__", "__name__", "__doc__", "__dict__", "__weakref__", "__slots__", "__dataclass_fields__",
    "__dataclass_params__", "__annotations__", "__annotate__", "__annotate_func__",
    "__annotations_cache__",
    "__static_attributes__", "__firstlineno__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__",
    "__type_params__", "_is_protocol", "__protocol_attrs__", "__non_callable_proto_members__", "_is_runtime_protocol",
    "__conditional_annotations__", "__signature__", "__classdictcell__", "__replace__",
    "__pydantic_core_schema__", "__pydantic_validator__", "__pydantic_serializer__", "__class_vars__",
    "__attrs_attrs__", "__attrs_own_setattr__", "_mark", "__slotnames__", "__required_keys__",
    "__optional_keys__",
    "__total__", "__mutable_keys__", "__readonly_keys__",
    "__closed__", "__extra_items__", "__attrs_props__", "__attrs_base_of_slotted__",
})  # fmt: skip
"""Members that a class has from how it is written, which is followed, or from the Python that made it."""

MADE = frozenset({
    "__init__", "__repr__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__",
    "__delattr__", "__getstate__", "__setstate__", "__new__", "__getnewargs__", "_make", "_replace", "_asdict",
    "_source",    "__str__", "__format__", "__reduce_ex__",
})  # fmt: skip
"""Methods that dataclasses, named tuples, enums and attrs add."""

MARKS = ("__dataclass_fields__", "_fields", "__attrs_attrs__", "__members__", "__pydantic_fields__")
"""Attributes of classes that somebody else's code has added methods to, of a text that it made."""

NAMES_OF_FIELDS = frozenset({"__match_args__", "_fields", "_field_defaults"})
OPTIONS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")

MAKERS = ("pydantic", "attr", "attrs", "msgspec")
"""Libraries whose metaclasses make a class of what is written in its body."""


class Members(Names):
    """Writes classes of one's own, with all their members."""

    def class_text(self, name: str, cls: type) -> None:
        """Write the code of a class, its bases, its methods, and the values of all its members."""
        self.note(cls.__module__, cls.__qualname__)
        self.watch.members(cls)
        node = class_node(cls)
        lines = [f"base {self.value(base)}" for base in cls.__bases__ if base is not object]
        lines += [*self._made_by(cls), *self._registered(cls)]
        lines += [] if cls.__name__ == cls.__qualname__.rpartition(".")[2] else [f"named {cls.__name__}"]
        if node is not None:
            lines += self._written(cls, node)
            if is_ambiguous(cls, node):
                self.doubt(f"which of several classes {label(cls)} is", "give them two names")
        else:
            lines += self._made(cls)
        self.pieces[name] = "\n".join([*lines, *self._members(cls)])

    def _made_by(self, cls: type) -> list[str]:
        """A metaclass of one's own counts; what a library's does is known of a few."""
        maker = type(cls)
        if self.is_own(maker.__module__):
            return [f"made by {self.value(maker)}"]
        if f"{maker.__module__}:{maker.__qualname__}" not in METACLASSES and not maker.__module__.startswith(MAKERS):
            self.doubt(f"class {label(cls)}, which {label(maker)} makes", "make it without a metaclass")
        self.library(maker.__module__)
        return []

    def _registered(self, cls: type) -> list[str]:
        """Classes that belong to an abstract one because somebody said so."""
        if not isinstance(cls, ABCMeta):
            return []
        self.watch.look(cls, _registered)
        return [f"registered {self.value(each)}" for each in _registered(cls)]

    def _written(self, cls: type, node: ast.ClassDef) -> list[str]:
        namespace = self._namespace(cls)
        decorators = [each for each in node.decorator_list if not is_place(namespace, each)]
        parts: list[ast.AST] = [*node.bases, *node.keywords, *decorators, *node.body]
        found = references(parts, bodies=False, full=self._full)
        lines = [canonical(node, decorators=decorators, full=self._full)]
        lines += self._lines(namespace, {chain for chain in found.chains if chain[0] in namespace})
        lines += [self._imported(each, (), namespace) for many in found.imports.values() for each in many]
        uses = uses_of([node])
        self.reads_hints |= uses.hints
        self.reads_text, self.reads_source = self.reads_text or uses.documents, self.reads_source or uses.sources
        if self._full and type(cls) is type and not is_dataclass(cls) and cls.__doc__ != ast.get_docstring(node, False):
            lines.append(f"text {cls.__doc__!a}")
        if self._hints and namespace.get("annotations") is __future__.annotations and vars(cls).get("__annotations__"):
            lines.append("annotations are texts")
        return [*lines, *(f"method {self.value(method)}" for method in methods(cls))]

    def _made(self, cls: type) -> list[str]:
        """Identify a class without source: by what made it, as far as that is known, or by its module."""
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return [f"namedtuple {cls._fields} {self.value(getattr(cls, '_field_defaults', {}))}"]
        if issubclass(cls, enum.Enum):
            return [f"enum {[(key, self.value(each.value)) for key, each in cls.__members__.items()]}"]
        if is_dataclass(cls):
            options = [getattr(cls.__dataclass_params__, name) for name in OPTIONS]  # type: ignore[attr-defined]
            return [f"dataclass {options} {[self._field(each) for each in fields(cls)]}"]
        if typing.is_typeddict(cls):
            kinds = {name: self._type(kind) for name, kind in sorted(cls.__annotations__.items())}
            return [f"dict of {kinds} {sorted(cls.__required_keys__)}"]  # type: ignore[attr-defined]
        return ["made"]  # its members and bases are all that there is

    def _field(self, field: Any) -> str:
        options = field.init, field.repr, field.hash, field.compare, field.kw_only
        kind = field.type if isinstance(field.type, str) else self._type(field.type)
        default, factory = (self.value(each) for each in (field.default, field.default_factory))
        told = self.value(dict(field.metadata)) if field.metadata else ""
        return f"{field.name}: {kind} = {default} {factory} {options} {told}"

    def _namespace(self, cls: type) -> dict[str, Any]:
        """The globals that a class was made in."""
        own = methods(cls)
        module = sys.modules.get(cls.__module__)
        return own[0].__globals__ if own else vars(module) if module else {}

    def _members(self, cls: type) -> list[str]:
        """A line for each member of a class that is not written in its body as a method."""
        known = {id(method) for method in methods(cls)}
        slots = set(slots_of(cls))
        for member in cls.__members__.values() if issubclass(cls, enum.Enum) else ():
            self.watch.constant(member)
        lines = [
            f"{name} has {self.value(extra)}"
            for name, member in (cls.__members__ if issubclass(cls, enum.Enum) else {}).items()
            if (extra := _extra(member))
        ]
        lines += [
            f"{name} is {self.value(member.value)}"
            for name, member in (cls.__members__ if issubclass(cls, enum.Enum) else {}).items()
        ]
        for name, value in sorted(vars(cls).items()):
            if name in STANDARD or name in slots or type(value).__qualname__ == "_tuplegetter":
                continue
            if issubclass(cls, enum.Enum) and (
                name in cls.__members__ or (name[0] == "_" and not self._is_code(value))
            ):
                continue
            if (id(cls), name) in self._known:
                lines.append(f"state {name} {self._said(cls.__module__, cls.__qualname__.partition('.')[0])}")
                continue
            self.watch.name(vars(cls), name, value)
            if not self._is_made(cls, name, value) and id(value) not in known:
                lines += [f"{name} = {self.value(each)}" for each in _functions_of(value) if id(each) not in known]
        return lines

    def _is_code(self, value: Any) -> bool:
        """Whether a member of a class is a function of one's own."""
        function = getattr(value, "__func__", getattr(value, "fget", value))
        return isinstance(function, FunctionType) and self.is_own(module_of(function))

    def _is_made(self, cls: type, name: str, value: Any) -> bool:
        """Whether a member was added by what makes dataclasses, named tuples, enums and the like."""
        if name in NAMES_OF_FIELDS:
            if not is_dataclass(cls):
                return issubclass(cls, tuple) or hasattr(cls, "__attrs_attrs__")
            return bool(value == tuple(each.name for each in fields(cls) if each.init and not each.kw_only))
        if type(cls).__module__.startswith(MAKERS) and name.startswith(("__", "model_")):
            return not isinstance(value, FunctionType) or not self.is_own(module_of(value))
        function = getattr(value, "__func__", value)
        if not isinstance(function, FunctionType):
            return name in MADE and not callable(value)
        file = inspect.unwrap(function).__code__.co_filename
        made = name in MADE and (file.startswith("<") or not self.is_own(module_of(function)))
        return made and (not file.startswith("<") or any(hasattr(cls, each) for each in MARKS))

    def ignored(self, value: Any) -> set[str]:
        """Attributes of an object that are computed once and kept, or that code changes."""
        known = super().ignored(value)
        state = {name for holder, name in self._known if holder == id(value)}
        places = {(base.__module__, base.__qualname__) for base in type(value).__mro__}
        kept = {name for module, cls, name in self._memos if (module, cls) in places}
        held = state_of(value) if state or kept else {}
        if (state | kept) & held.keys() or any(name in vars(type(value)) for name in state):
            self.pieces[f"{type(value).__qualname__} (state)"] = self._said(*self._place)
        return known | state | kept


def _registered(cls: type) -> list[type]:
    found = [each for each in (reference() for reference in _get_dump(cls)[0]) if each is not None]
    return sorted(found, key=label)


def is_place(namespace: Mapping[str, Any], decorator: ast.expr) -> bool:
    """Whether a decorator is one of `CELLS`; in a notebook that runs there is no ``app``."""
    chain = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if len(chain) != 2 or chain[1] not in CELLS:
        return False
    app = namespace.get(chain[0], MISSING)
    return app is MISSING or type(app).__module__.startswith("marimo")


def _extra(member: enum.Enum) -> dict[str, Any]:
    """What somebody set on a member of an enum."""
    return {name: value for name, value in vars(member).items() if not (name.startswith("_") or name == "name")}


def _functions_of(value: Any) -> list[Any]:
    """The functions of a property or the like, one by one; anything else as it is."""
    if type(value) is property:
        return [each for each in (value.fget, value.fset, value.fdel) if each is not None]
    if type(value) in (staticmethod, classmethod):
        return [value.__func__]
    return [value.func] if type(value) is functools.cached_property else [value]
