"""Walk from a function to all of the user's own code and constants that it reaches."""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.util
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.code.canonical import canonical
from stargazer.code.origin import label, module_of
from stargazer.code.references import dotted, global_names, parameter_types, references
from stargazer.code.source import class_node, function_nodes, methods, module_tree
from stargazer.code.things import Things
from stargazer.code.watch import MISSING, contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.code.references import Chain, Import, References

__all__ = ["Reach"]

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
