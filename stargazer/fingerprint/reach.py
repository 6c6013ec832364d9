"""Walk from a function to all of the user's own code and constants that it reaches."""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.util
import logging
import sys
import threading
import typing
from types import BuiltinFunctionType, FunctionType, GenericAlias, MappingProxyType, MethodType, ModuleType, UnionType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.canonical import canonical, encode
from stargazer.fingerprint.origin import is_own, label, module_of, public_label
from stargazer.fingerprint.source import (
    class_node,
    dotted,
    function_nodes,
    global_names,
    methods,
    module_tree,
    parameter_types,
    references,
)
from stargazer.fingerprint.watch import MISSING, Watch, contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stargazer.fingerprint.source import Chain, Import, References

__all__ = ["Reach", "Things"]

# What a name leads to, as text: constants in full, the user's own code by the name of its piece.


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


DYNAMIC = {name: getattr(builtins, name) for name in ("eval", "exec", "globals", "__import__")}
MAKES_TASKS = "stargazer.calls"


class Reach(Things):
    """All pieces of code and constants that values lead to.

    Parameters
    ----------
    values
        The body of a task; or several values, by name.
    owner
        Module of the task: code of its package is own.
    """

    def __init__(self, values: FunctionType | Mapping[str, Any], owner: str) -> None:
        super().__init__(owner)
        if isinstance(values, FunctionType):
            self._root(values)
        else:
            self.pieces[""] = "\n".join(f"{name} = {self.value(value)}" for name, value in values.items())
        self.write_all()

    def _root(self, function: FunctionType) -> None:
        if self.is_own(module_of(function)) or not any(self._inside(function, set())):
            self.piece(function, function.__qualname__, self.function_text)
        else:
            self.pieces[function.__qualname__] = self._other(function)
        # What a body is given may be of the user's own classes, whose methods it calls without naming them.
        chains = {chain for node in function_nodes(function) for chain in parameter_types(node)}
        for chain in sorted(chains):
            value = self._looked_up(function, chain)
            if isinstance(value, type) and self.is_own(value.__module__):
                self._binding(function.__globals__, *chain)

    def function_text(self, name: str, function: FunctionType) -> None:
        """Write the code of a function, its defaults, and a line for each name that it reads from outside."""
        self._note(module_of(function), function.__qualname__)
        self.watch.function(function)
        nodes = function_nodes(function)
        lines = []
        for node in nodes:
            kept = self._decorators(function, node)
            lines.append(canonical(node, decorators=kept))
            chains = references(list(kept)).chains
            lines += self._lines(function.__globals__, {c for c in chains if c[0] in function.__globals__})
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        lines += [f"default {self.value(default)}" for default in defaults]
        if nodes:
            lines += self._names(function, references(nodes, skip_decorators=True))
        else:
            lines += [self._bytecode(function), *self._globals(function)]
        self.pieces[name] = "\n".join(lines)

    def _note(self, module: str, name: str) -> None:
        if module != "__main__" and "<" not in name:
            self.by_name.add((module, name))

    def _decorators(self, function: FunctionType, node: ast.AST) -> list[ast.expr]:
        """Decorators that change what a function does: not the one that makes a task of it, nor those above."""
        kept: list[ast.expr] = []
        for decorator in reversed(getattr(node, "decorator_list", [])):
            chain = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
            made_by = self._looked_up(function, chain)
            made_by = made_by.func if isinstance(made_by, functools.partial) else made_by
            if str(getattr(made_by, "__module__", "")).startswith(MAKES_TASKS):
                break
            kept.insert(0, decorator)
        return kept

    def _looked_up(self, function: FunctionType, chain: Chain) -> Any:
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        head = chain[0] if chain else ""
        value = contents(cells[head]) if head in cells else function.__globals__.get(head, MISSING)
        for attribute in chain[1:]:
            value = getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING
        return value

    def _bytecode(self, function: FunctionType) -> str:
        self.uncertain.append(
            f"the source of {label(function)} cannot be read (its bytecode is used, which differs between Pythons)"
        )
        code = function.__code__
        constants = [const for const in code.co_consts if not hasattr(const, "co_code")]
        return f"bytecode {code.co_code.hex()} {self.value(constants)} {code.co_names}"

    def _globals(self, function: FunctionType) -> list[str]:
        return self._lines(function.__globals__, {(name,) for name in global_names(function.__code__)})

    def _lines(self, namespace: dict[str, Any], chains: Iterable[Chain]) -> list[str]:
        return [f"{'.'.join(chain)} = {self._binding(namespace, *chain)}" for chain in sorted(chains)]

    def _names(self, function: FunctionType, found: References) -> list[str]:
        """One line for each name that the function reads from outside."""
        code = function.__code__
        reachable = global_names(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        lines = []
        for chain in sorted(found.chains):
            if chain[0] in cells:
                self.watch.cell(cells[chain[0]])
                reference = self._follow(contents(cells[chain[0]]), chain[1:])
            elif chain[0] in found.imports:
                reference = self._imported(found.imports[chain[0]], chain[1:], function.__globals__)
            elif chain[0] in reachable:
                reference = self._binding(function.__globals__, *chain)
            else:
                continue
            lines.append(f"{'.'.join(chain)} = {reference}")
        return lines

    def _binding(self, namespace: dict[str, Any], name: str, *attributes: str) -> str:
        value = namespace.get(name, MISSING)
        self.watch.name(namespace, name, value)
        if value is MISSING and hasattr(builtins, name):
            if name in DYNAMIC:
                self.uncertain.append(f"what {name}() finds")
            return "builtin"
        return self._follow(value, attributes, name)

    def _follow(self, value: Any, attributes: Iterable[str], name: str = "") -> str:
        """Go through the user's own modules to what an attribute chain means; constants get a piece of their own."""
        for attribute in attributes:
            if not isinstance(value, ModuleType) or not self.is_own(value.__name__):
                break
            self._note(value.__name__, attribute)
            self.watch.name(vars(value), attribute, vars(value).get(attribute, MISSING))
            value, name = getattr(value, attribute, MISSING), attribute
        text = self.value(value)
        constant = name and value is not MISSING and not callable(value) and not isinstance(value, ModuleType)
        return f"constant {self._constant(name, text)}" if constant else text

    def _constant(self, name: str, text: str) -> str:
        """Name of the piece of a constant: other modules may have another one of that name."""
        unique, number = name, 1
        while self.pieces.get(unique, text) != text:
            number += 1
            unique = f"{name}#{number}"
        self.pieces[unique] = text
        return unique

    def _imported(self, what: Import, attributes: tuple[str, ...], scope: dict[str, Any]) -> str:
        """Follow an import that stands inside the function; foreign modules are not imported for it."""
        module = what.module
        if what.level:
            module = importlib.util.resolve_name("." * what.level + module, scope.get("__package__") or "")
        name = f"module {module} {what.name or ''}"
        if not self.is_own(module):
            return name
        try:
            found = importlib.import_module(module)
            importlib.import_module(what.loaded or module)
            if what.name and not hasattr(found, what.name):
                importlib.import_module(f"{module}.{what.name}")
        except ImportError:
            return name
        return self._follow(found, (*((what.name,) if what.name else ()), *attributes))

    def module_text(self, name: str, module: ModuleType) -> None:
        """Write a whole module: some name in it is chosen when the code runs."""
        self._note(module.__name__, "")
        tree = module_tree(module) or ast.Module(body=[], type_ignores=[])
        chains = {chain for chain in references([tree], bodies=False).chains if chain[0] in vars(module)}
        own = [thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__]
        things = [self.value(thing) for thing in own if callable(thing)]
        self.pieces[name] = "\n".join([canonical(tree), *things, *self._lines(vars(module), chains)])

    def class_text(self, name: str, cls: type) -> None:
        """Write the code of a class, its methods, and the values of its attributes."""
        self._note(cls.__module__, cls.__qualname__)
        node = class_node(cls)
        if node is not None:
            namespace = self._namespace(cls)
            parts: list[ast.AST] = [*node.bases, *node.keywords, *node.decorator_list, *node.body]
            chains = references(parts, bodies=False).chains
            lines = [canonical(node), *self._lines(namespace, {c for c in chains if c[0] in namespace})]
            lines += [f"method {self._other(method)}" for method in methods(cls)]
            self.pieces[name] = "\n".join([*lines, *self._attributes(cls, node)])
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            self.pieces[name] = f"namedtuple {cls._fields} {self.value(getattr(cls, '_field_defaults', {}))}"
        elif issubclass(cls, enum.Enum):
            self.pieces[name] = f"enum {[(key, self.value(each.value)) for key, each in cls.__members__.items()]}"
        else:
            self.uncertain.append(f"the source of class {label(cls)}")

    def _namespace(self, cls: type) -> dict[str, Any]:
        """The globals that a class was made in."""
        own = methods(cls)
        module = sys.modules.get(cls.__module__)
        return own[0].__globals__ if own else vars(module) if module else {}

    def _attributes(self, cls: type, node: ast.ClassDef) -> list[str]:
        """Lines for what a class holds beside its methods: code elsewhere may have changed it since."""
        written = {target.id for target in ast.walk(node) if isinstance(target, ast.Name)}
        known = {id(method) for method in methods(cls)}
        lines = []
        for name, value in vars(cls).items():
            if name.startswith("__") or (name.startswith("_") and name not in written) or issubclass(cls, enum.Enum):
                continue
            self.watch.name(vars(cls), name, value)
            if isinstance(value, FunctionType) or not hasattr(value, "__get__"):
                lines += [] if id(value) in known else [f"{name} = {self.value(value)}"]
        return lines
