"""Walk from a function to all of the user's own code and constants that it reaches."""

from __future__ import annotations

import builtins
import functools
import importlib.util
import logging
import sys
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.code.canonical import canonical
from stargazer.code.origin import is_own, label, public_label
from stargazer.code.references import global_names, references
from stargazer.code.source import class_node, function_nodes, methods, module_tree
from stargazer.code.values import encode, is_constant

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable

    from stargazer.code.references import References

__all__ = ["Reach"]

MISSING = object()


class Reach:
    """All pieces of code and constants that `function` reaches, and where each was found.

    Attributes
    ----------
    pieces
        Canonical text of each piece, by a name for people.
    uncertain
        What cannot be hashed, in words.
    """

    def __init__(self, function: FunctionType) -> None:
        self.pieces: dict[str, str] = {}
        self.uncertain: list[str] = []
        self._owner = function.__module__ or "__main__"
        self._labels: dict[int, str] = {}
        self._kept: list[Any] = []
        self._bindings: list[tuple[dict[str, Any], str, Any]] = []
        self._codes: list[tuple[FunctionType, Any, Any, Any]] = []
        self._cells: list[tuple[Any, Any]] = []
        self._mutable: list[tuple[Any, str]] = []
        self._function(function, root=True)

    def is_current(self) -> bool:
        """Whether every name still leads to the same object, and every mutable constant has the same value."""
        for namespace, name, value in self._bindings:
            if namespace.get(name, MISSING) is not value:
                return False
        for function, code, defaults, kwdefaults in self._codes:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return False
            if function.__kwdefaults__ is not kwdefaults:
                return False
        if any(_contents(cell) is not value for cell, value in self._cells):
            return False
        return all(encode(value, self._same_object) == text for value, text in self._mutable)

    def _piece(self, value: Any, name: str) -> tuple[str, bool]:
        """Label of a piece, and whether it is new."""
        if id(value) in self._labels:
            return self._labels[id(value)], False
        short = name.rpartition("<locals>.")[2]
        unique = short if short not in self.pieces else f"{short}#{len(self.pieces)}"
        self._labels[id(value)] = unique
        self._kept.append(value)
        self.pieces[unique] = ""
        return unique, True

    def _function(self, function: FunctionType, *, root: bool = False) -> str:
        name, new = self._piece(function, function.__qualname__)
        if new:
            self._codes.append((function, function.__code__, function.__defaults__, function.__kwdefaults__))
            nodes = function_nodes(function)
            text = [canonical(node, skip_decorators=root) for node in nodes] or [self._bytecode(function)]
            names = self._names(function, references(nodes, skip_decorators=root)) if nodes else self._globals(function)
            keywords = function.__kwdefaults__ or {}
            defaults = [*map(self._value, function.__defaults__ or ()), *map(self._value, keywords.values())]
            self.pieces[name] = "\n".join([*text, *(f"default {text}" for text in defaults), *names])
        return f"function {name}"

    def _bytecode(self, function: FunctionType) -> str:
        self.uncertain.append(
            f"the source of {label(function)} cannot be read (its bytecode is used, which differs between Pythons)"
        )
        code = function.__code__
        constants = [const for const in code.co_consts if not hasattr(const, "co_code")]
        return f"bytecode {code.co_code.hex()} {self._value(constants)} {code.co_names}"

    def _globals(self, function: FunctionType) -> list[str]:
        names = sorted(global_names(function.__code__))
        return [f"{name} = {self._binding(function.__globals__, name)}" for name in names]

    def _names(self, function: FunctionType, found: References) -> list[str]:
        """One line for each name that the function reads from outside."""
        code = function.__code__
        reachable = global_names(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        lines = []
        for chain in sorted(found.chains):
            if chain[0] in cells:
                value = _contents(cells[chain[0]])
                self._cells.append((cells[chain[0]], value))
                reference = self._follow(value, chain[1:])
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
        if value is MISSING and hasattr(builtins, name):
            return "builtin"
        self._bindings.append((namespace, name, value))
        return "undefined" if value is MISSING else self._follow(value, attributes)

    def _follow(self, value: Any, attributes: Iterable[str]) -> str:
        """Go through the user's own modules to what an attribute chain means."""
        for attribute in attributes:
            if not isinstance(value, ModuleType) or not self._is_own(value.__name__):
                break
            self._bindings.append((vars(value), attribute, vars(value).get(attribute, MISSING)))
            value = getattr(value, attribute, MISSING)
        return "undefined" if value is MISSING else self._value(value)

    def _imported(self, what: tuple[str, int, str | None], attributes: tuple[str, ...], scope: dict[str, Any]) -> str:
        """Follow an import that stands inside the function; foreign modules are not imported for it."""
        module, level, name = what
        if level:
            module = importlib.util.resolve_name("." * level + module, scope.get("__package__") or "")
        if not self._is_own(module):
            return f"module {module} {name or ''}"
        return self._follow(importlib.import_module(module), (*((name,) if name else ()), *attributes))

    def _is_own(self, module: str) -> bool:
        return is_own(module, self._owner)

    def _value(self, value: Any) -> str:
        text = encode(value, self._other)
        if not is_constant(value) and not isinstance(value, (FunctionType, type, ModuleType)):
            self._mutable.append((value, encode(value, self._same_object)))
        return text

    def _same_object(self, value: Any) -> str:
        return f"object {id(value)}"

    def _other(self, value: Any) -> str:
        """Reference to anything that is not plain data."""
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, MethodType):
            return f"method {self._other(value.__func__)} of {self._value(value.__self__)}"
        if isinstance(value, functools.partial):
            return f"partial {self._value(value.func)} {self._value(value.args)} {self._value(value.keywords)}"
        if isinstance(value, FunctionType) and self._is_own(value.__module__ or ""):
            return self._function(value)
        if isinstance(value, type) and self._is_own(value.__module__):
            return self._class(value)
        wrapped = getattr(value, "__wrapped__", None)
        if isinstance(wrapped, FunctionType) and self._is_own(wrapped.__module__ or ""):
            return f"{label(type(value))} of {self._function(wrapped, root=True)}"
        return self._foreign(value)

    def _foreign(self, value: Any) -> str:
        if isinstance(value, logging.Logger):
            return "logger"
        if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
            return f"foreign {public_label(value)}"
        if type(value).__module__ in ("typing", "types"):
            return f"type {value!r}"
        if self._is_own(type(value).__module__) and hasattr(value, "__dict__"):
            return self._instance(value)
        self.uncertain.append(f"an object of {label(type(value))}")
        return f"opaque {label(type(value))}"

    def _instance(self, value: Any) -> str:
        name, new = self._piece(value, f"{type(value).__qualname__} object")
        if new:
            self.pieces[name] = f"{self._value(type(value))} {self._value(vars(value))}"
        return f"object {name}"

    def _module(self, module: ModuleType) -> str:
        tree = module_tree(module) if self._is_own(module.__name__) else None
        if tree is None:
            return f"module {module.__name__}"
        name, new = self._piece(module, f"module {module.__name__}")
        if new:
            self.pieces[name] = canonical(tree)
        return name

    def _class(self, cls: type) -> str:
        name, new = self._piece(cls, cls.__qualname__)
        if new:
            found = class_node(cls)
            if found is not None:
                self.pieces[name] = "\n".join([canonical(found[0]), *self._class_names(cls, found[0])])
            elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
                self.pieces[name] = f"namedtuple {cls._fields} {self._value(getattr(cls, '_field_defaults', {}))}"
            else:
                self.uncertain.append(f"the source of class {label(cls)}")
        return f"class {name}"

    def _class_names(self, cls: type, node: ast.ClassDef) -> list[str]:
        """Lines for what the class reads from its module, and its methods from the functions around it."""
        namespace = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        chains = references([node]).chains
        lines = [f"{'.'.join(c)} = {self._binding(namespace, *c)}" for c in sorted(chains) if c[0] in namespace]
        for method in methods(cls):
            lines += self._names(method, references(function_nodes(method)))
        return lines


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING
