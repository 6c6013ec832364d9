"""Walk from a function to all of the user's own code and constants that it reaches."""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.util
import inspect
import sys
from dataclasses import fields, is_dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.counters import Counters, defaults_of
from stargazer.fingerprint.dynamic import IMPORTERS, READERS, constants_of, finds, may_find, uses_of
from stargazer.fingerprint.objects import slots_of, state_of
from stargazer.fingerprint.origin import is_standard, label, module_of, public_module
from stargazer.fingerprint.outside import of_the_machine, outside_of
from stargazer.fingerprint.source import (
    class_node,
    dotted,
    enclosing_node,
    function_nodes,
    global_names,
    is_ambiguous,
    methods,
    module_statements,
    parameter_types,
    references,
)
from stargazer.fingerprint.state import may_write, mentions, remembered, written
from stargazer.fingerprint.values import Things
from stargazer.fingerprint.watch import MISSING, contents
from stargazer.fingerprint.wide import BINARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.fingerprint.source import Chain, Import, References

__all__ = ["Reach", "Settled"]

MAKES_TASKS = "stargazer.calls"
CELLS = ("function", "class_definition", "cell")
"""Decorators of marimo's files (``@app.function``), which say where something belongs, not what it does."""

PLAIN_DECORATORS = (
    "functools",
    "contextlib",
    "abc",
    "builtins",
    "dataclasses",
    "typing",
    "numba",
    "enum",
    "_functools",
)
"""Modules whose decorators do not read the annotations of functions."""

ACCESSORS = ("setter", "getter", "deleter")
PLACES = ("__file__", "__spec__", "__path__", "__loader__")
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
    "__dataclass_params__", "__match_args__", "__annotations__", "__annotate__", "__annotate_func__",
    "__annotations_cache__",
    "__static_attributes__", "__firstlineno__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__",
    "__type_params__", "_is_protocol", "__protocol_attrs__", "__non_callable_proto_members__", "_is_runtime_protocol",
    "__conditional_annotations__", "__signature__", "__classdictcell__", "__replace__", "_field_defaults", "_fields",
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

TAKEN_AS_TEXT = "write what it is given as a constant, or name the code itself"


class Settled:
    """What a first walk finds out, and the walks after it go by.

    Parameters
    ----------
    state
        Variables, attributes and defaults that the code itself writes while it runs: by the namespace and a name.
    remembered
        Attributes that methods set where they are not set yet: by module, class and name.
    full
        Whether docstrings and annotations count, because code reads them.
    """

    def __init__(self) -> None:
        self.state: set[tuple[int, str]] = set()
        self.remembered: set[tuple[str, str, str]] = set()
        self.full = False

    def size(self) -> tuple[int, int, bool]:
        """Grows as long as something new is found."""
        return len(self.state), len(self.remembered), self.full


class Reach(Things):
    """All pieces of code and constants that values lead to.

    Parameters
    ----------
    values
        The body of a task; or several values, by name.
    owner
        Module of the task: code of its package is own.
    settled
        What an earlier walk found out; it is added to.
    """

    def __init__(self, values: FunctionType | Mapping[str, Any], owner: str, settled: Settled) -> None:
        super().__init__(owner)
        self.settled = settled
        self._known = frozenset(settled.state)
        self._memos = frozenset(settled.remembered)
        self._full = settled.full
        self._counters = Counters()
        if isinstance(values, FunctionType):
            self._root(values)
        else:
            self.pieces[""] = "\n".join(f"{name} = {self.value(value)}" for name, value in values.items())
        self.write_all()
        self.uncertain += self._counters.told()
        settled.full |= self.reads_text

    @classmethod
    def of(cls, values: FunctionType | Mapping[str, Any], owner: str) -> Reach:
        """Walk until nothing is found out any more that the walk itself depends on."""
        settled = Settled()
        while True:
            before = settled.size()
            reach = cls(values, owner, settled)
            if settled.size() == before:
                return reach

    def _root(self, function: FunctionType) -> None:
        if self.is_own(module_of(function)) or not any(self.inside(function, set())):
            place = module_of(function), function.__qualname__
            self.piece(function, function.__qualname__, self.function_text, place)
        else:
            self.pieces[function.__qualname__] = self.value(function)
        # What a body is given may be of the user's own classes, whose methods it calls without naming them.
        chains = {chain for node in function_nodes(function) for chain in parameter_types(node)}
        for chain in sorted(chains):
            value = self._looked_up(function, chain)
            if isinstance(value, type) and self.is_own(value.__module__):
                self._binding(function.__globals__, *chain)
            elif value is not MISSING and not isinstance(value, (type, ModuleType)):
                self.value(value)  # an alias of several classes
        self._returned(function)

    def _returned(self, function: FunctionType) -> None:
        """Note the type that a body declares to return: what it returns is converted to it."""
        declared = (getattr(node, "returns", None) for node in function_nodes(function))
        returned: list[ast.expr] = [each for each in declared if each is not None]
        if returned:
            chains = {c for c in references(returned).chains if c[0] in function.__globals__}
            lines = [*map(canonical, returned), *self._lines(function.__globals__, chains)]
            self.pieces[f"{function.__name__} returns"] = "\n".join(lines)

    # Functions

    def function_text(self, name: str, function: FunctionType) -> None:
        """Write the code of a function, its defaults, and a line for each name that it reads from outside."""
        with self.importing(id(function) in self._only_at_import):
            self._write_function(name, function)

    def _write_function(self, name: str, function: FunctionType) -> None:
        self.note(module_of(function), function.__qualname__)
        self.watch.function(function)
        nodes = function_nodes(function)
        lines = []
        for node in nodes:
            kept = self._decorators(function, node)
            full = self._full or not all(self._leaves_annotations(function, each) for each in kept)
            lines.append(_written_out(node, tuple(kept), full))
            chains = references(kept).chains
            with self.importing():
                lines += self._lines(function.__globals__, {c for c in chains if c[0] in function.__globals__})
        self._note_writes(function, nodes)
        lines += [*self._defaults(function), *self._attributes_of(function)]
        if nodes:
            if not self._at_import:
                self._walks(function, nodes)
                self._counters.note(function, nodes)
            lines += self._names(function, nodes)
        else:
            lines += self._without_source(function)
        self.pieces[name] = "\n".join(lines)

    def _decorators(self, function: FunctionType, node: ast.AST) -> list[ast.expr]:
        """Decorators that change what a function does: not the one that makes a task of it, nor those above."""
        kept: list[ast.expr] = []
        for decorator in reversed(getattr(node, "decorator_list", [])):
            chain = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
            made_by = self._looked_up(function, chain)
            made_by = made_by.func if isinstance(made_by, functools.partial) else made_by
            if str(getattr(made_by, "__module__", "")).startswith(MAKES_TASKS):
                break
            if not _is_place(function.__globals__, decorator):
                kept.insert(0, decorator)
        return kept

    def _leaves_annotations(self, function: FunctionType, decorator: ast.expr) -> bool:
        """Whether a decorator does not read the annotations of the function under it."""
        chain = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if chain[-1:] and chain[-1] in ACCESSORS:
            return True
        made_by = self._looked_up(function, chain)
        if made_by is MISSING and len(chain) == 1:
            made_by = getattr(builtins, chain[0], MISSING)
        module = str(getattr(made_by, "__module__", "") or "")
        named = getattr(made_by, "__name__", "") != "singledispatch"
        return (named and module.partition(".")[0] in PLAIN_DECORATORS) or (module != "" and self.is_own(module))

    def _looked_up(self, function: FunctionType, chain: Chain) -> Any:
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        head = chain[0] if chain else ""
        value = contents(cells[head]) if head in cells else function.__globals__.get(head, MISSING)
        for attribute in chain[1:]:
            value = getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING
        return value

    def _defaults(self, function: FunctionType) -> list[str]:
        """Values of defaults; of those that the function itself changes, only what is written."""
        return [
            f"default {self.value(value)}"
            for name, value in defaults_of(function).items()
            if (id(function), f"default {name}") not in self._known
        ]

    def _attributes_of(self, function: FunctionType) -> list[str]:
        """Attributes that somebody set on a function."""
        attributes = {
            name: value
            for name, value in vars(function).items()
            if name not in ("__wrapped__", "__signature__") and (id(function), name) not in self._known
        }
        if not any((id(function), name) in self._known for name in vars(function)):
            self.watch.constant(vars(function))
        return [f"attribute {name} = {self.value(value)}" for name, value in attributes.items()]

    def _note_writes(self, function: FunctionType, nodes: Iterable[ast.AST]) -> None:
        """Find variables, attributes and defaults that a function writes: memos, counters, registries."""
        if self._at_import or not may_write(function.__code__):
            return
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        reachable = global_names(function.__code__)
        space, found = function.__globals__, self.settled.state
        for node in nodes:
            for name, attribute in written(node):
                value = contents(cells[name]) if name in cells else space.get(name, MISSING)
                if name in cells:
                    found.add((id(value), attribute) if attribute is not None else (id(cells[name]), name))
                elif name in function.__code__.co_varnames:
                    found.update({(id(function), f"default {name}")} if attribute is None else set())
                elif name in reachable and attribute is None:
                    found.add((id(space), name))
                elif name in reachable and isinstance(value, ModuleType):
                    found.update({(id(vars(value)), str(attribute))} if self.is_own(value.__name__) else set())
                elif name in reachable and (isinstance(value, (FunctionType, type)) or hasattr(value, "__dict__")):
                    found.add((id(value), str(attribute)))
                elif name in reachable:
                    found.add((id(space), name))
            owner = function.__qualname__.rpartition(".")[0]
            self.settled.remembered.update((function.__module__, owner, name) for name in remembered(node))

    def _walks(self, function: FunctionType, nodes: Iterable[ast.AST]) -> None:
        """Doubt what attributes lead to that go from one piece of code to any other."""
        if not may_find(function.__code__):
            return
        uses = uses_of(nodes)
        self.reads_text = self.reads_text or uses.documents
        for attribute, chain in sorted(uses.walks):
            holder = self._looked_up(function, chain) if chain else MISSING
            if attribute == "__subclasses__" and isinstance(holder, type) and self.is_own(holder.__module__):
                place = {"module": holder.__module__, "name": holder.__name__, "reach": "value"}
            else:
                place = {"module": module_of(function), "reach": "all"}
            self.doubt(f"{function.__qualname__} reads {attribute}", "name the code itself", **place)

    def _without_source(self, function: FunctionType) -> list[str]:
        """Text of a function that was made of no file's text: by its module, if that has one, else by its bytecode."""
        code = function.__code__
        names = self._lines(function.__globals__, {(name,) for name in global_names(code)})
        cells = [self.value(contents(cell)) for cell in function.__closure__ or ()]
        what = f"the source of {label(function)}"
        if getattr(sys.modules.get(module_of(function)), "__file__", None):
            self.doubt(what, "write it as a plain function", reach="value")
            return [*names, *cells]
        self.uncertain.append(f"{what} cannot be read (its bytecode is used, which differs between Pythons)")
        constants = [const for const in code.co_consts if not hasattr(const, "co_code")]
        return [f"bytecode {code.co_code.hex()} {self.value(constants)} {code.co_names}", *names, *cells]

    # Names

    def _lines(self, namespace: dict[str, Any], chains: Iterable[Chain]) -> list[str]:
        return [f"{'.'.join(chain)} = {self._binding(namespace, *chain)}" for chain in sorted(chains)]

    def _names(self, function: FunctionType, nodes: list[ast.AST]) -> list[str]:
        """One line for each name that the function reads from outside."""
        found = _read(tuple(nodes), self._full)
        code, space = function.__code__, function.__globals__
        reachable = global_names(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        lines = []
        for chain in sorted(found.chains):
            head, rest = chain[0], chain[1:]
            meant = []
            if head in cells:
                meant.append(self._cell(function, head, cells[head], rest))
            else:
                meant += [self._imported(each, rest, space, (nodes, chain)) for each in found.imports.get(head, ())]
                if head in reachable and (not meant or head in space):
                    meant.append(self._finder(space, chain, nodes) or self._binding(space, *chain))
            if meant:
                lines.append(f"{'.'.join(chain)} = {' or '.join(meant)}")
        return lines

    def _cell(self, function: FunctionType, name: str, cell: Any, attributes: Chain) -> str:
        """What a variable of a closure is bound to; of one that the function changes, the code that made it."""
        if (id(cell), name) in self._known and not isinstance(contents(cell), (FunctionType, type, ModuleType)):
            around = enclosing_node(function)
            made = canonical(around) if around is not None else ""
            return f"state {name} {made} {self._said(*self._place)}"
        self.watch.cell(cell)
        return self._follow(contents(cell), attributes)

    def _finder(self, namespace: dict[str, Any], chain: Chain, nodes: list[ast.AST]) -> str | None:
        """Text of a function that finds code, where it is told by constants what to find; None of all others."""
        value = namespace.get(chain[0], getattr(builtins, chain[0], MISSING))
        for attribute in chain[1:]:
            value = getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING
        return self._told(value, (nodes, chain), namespace)

    def _told(self, value: Any, occurs: tuple[list[ast.AST], Chain], namespace: dict[str, Any]) -> str | None:
        name = f"{getattr(value, '__module__', '')}:{getattr(value, '__name__', '')}" if callable(value) else ""
        if name not in IMPORTERS | READERS and value is not sys.modules:
            return None
        constants = constants_of(*occurs)
        texts = [each for each in constants if each is not None]
        if not texts or len(texts) < len(constants):
            what = "sys.modules" if value is sys.modules else name.replace(":", ".").removeprefix("builtins.")
            reach = "code" if name in READERS else "names"
            self.doubt(f"{what} of a name that is made while it runs", TAKEN_AS_TEXT, reach=reach)
            return f"finder {what}"
        read = self._text_run if name in READERS else self._module_named
        return f"finder {name} {[read(each, namespace) for each in texts]}"

    def _text_run(self, text: str, namespace: dict[str, Any]) -> str:
        """Follow the names in a text that is run as code."""
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return "no code"
        found = references([tree], full=True)
        lines = [self._imported(each, (), namespace) for many in found.imports.values() for each in many]
        return f"{lines} {self._lines(namespace, {c for c in found.chains if c[0] in namespace})}"

    def _module_named(self, text: str, namespace: dict[str, Any]) -> str:
        """Follow a module that is imported by a constant."""
        module, _, _ = text.partition(":")
        if module.startswith("."):
            level = len(module) - len(module.lstrip("."))
            module = importlib.util.resolve_name(module, str(namespace.get("__package__") or "")) if level else module
        if not self.is_own(module):
            self.library(module)
            return f"module {module}"
        what = f"own module {module} as a value"
        self.doubt(what, f"import it, and name what is meant of it ({module}.function)", module=module)
        self.note(module, "")
        return f"module {module}"

    def _binding(self, namespace: dict[str, Any], name: str, *attributes: str) -> str:
        value = namespace.get(name, MISSING)
        module = str(namespace.get("__name__", self._place[0]))
        if (id(namespace), name) in self._known and not isinstance(value, (FunctionType, type, ModuleType)):
            return f"state {name} {self._said(module, name)}"
        self.watch.name(namespace, name, value)
        if value is MISSING and hasattr(builtins, name):
            self.check_finder("builtins", name)
            return "builtin"
        if name in PLACES:
            self.uncertain.append(f"files that stand beside the code, which {self._place[1]} finds by {name}")
            return "place"
        if name == "__name__":
            return "name of the module"
        with self.at(module if self.is_own(module) else self._place[0], name):
            return self._follow(value, attributes, name)

    def _follow(self, value: Any, attributes: Iterable[str], name: str = "") -> str:
        """Go through modules to what an attribute chain means; constants get a piece of their own."""
        rest = tuple(attributes)
        while rest and isinstance(value, ModuleType):
            module, attribute, rest = value, rest[0], rest[1:]
            if not self.is_own(module.__name__):
                return self._of_library(module, (attribute, *rest))
            if str(getattr(module, "__file__", "")).endswith(BINARY):
                return self.binary(module.__name__, attribute)
            if attribute == "__dict__":
                return self.value(module)
            if (id(vars(module)), attribute) in self._known and not callable(vars(module).get(attribute)):
                return f"state {attribute} {self._said(module.__name__, attribute)}"
            self.note(module.__name__, attribute)
            value, name = self._attribute(module, attribute), attribute
            with self.at(module.__name__, attribute):
                if not (rest and isinstance(value, ModuleType)):
                    return self._meant(value, name)
        return self._meant(value, name)

    def _attribute(self, module: ModuleType, attribute: str) -> Any:
        """What an own module has under a name; one that is not there yet may come with a submodule."""
        self.watch.name(vars(module), attribute, vars(module).get(attribute, MISSING))
        if attribute in vars(module):
            return vars(module)[attribute]
        what = f"{module.__name__}.{attribute}, which is not there yet"
        self.doubt(what, "import the module that it stands in", module=module.__name__, reach="names")
        return MISSING

    def _meant(self, value: Any, name: str) -> str:
        """Text of what a name means; a constant is a piece, and where it comes from is looked at."""
        if not name or value is MISSING or callable(value) or isinstance(value, ModuleType):
            return self.value(value)
        module, origin = self._origin(self._place[0], name)
        statements = self._statements(module, origin)
        if statements and of_the_machine(statements):
            return f"of the machine {[canonical(each) for each in statements]}"
        definitions = {n.name: n for n in module_statements(module) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        if outside := outside_of(statements, definitions):
            self.uncertain.append(f"{name} comes from outside when {module} is imported ({', '.join(sorted(outside))})")
        with self.at(module, origin):
            return f"constant {self._constant(name, self.value(value))}"

    def _origin(self, module: str, name: str) -> tuple[str, str]:
        """The own module, and the name there, that a name was imported from."""
        for statement in self._statements(module, name):
            if isinstance(statement, ast.ImportFrom):
                package = str(getattr(sys.modules.get(module), "__package__", None) or "")
                where = "." * statement.level + (statement.module or "")
                whole = importlib.util.resolve_name(where, package) if statement.level else where
                theirs = next((a.name for a in statement.names if (a.asname or a.name) == name), name)
                if whole in sys.modules and self.is_own(whole) and (whole, theirs) != (module, name):
                    return self._origin(whole, theirs)
        return module, name

    def _statements(self, module: str, name: str) -> list[ast.stmt]:
        """Statements of a module that bind a name."""
        return _bindings(module_statements(module)).get(name, [])

    def _said(self, module: str, name: str) -> str:
        """What a module's own statements say of a variable that is changed later, and what they lead to."""
        module, name = self._origin(module, name)
        tree = module_statements(module)
        if not tree:
            self.uncertain.append(f"the first value of {name}, which the code changes")
            return ""
        space = vars(sys.modules[module]) if module in sys.modules else {}
        names = {name, *self._writers(tree, space, name)}
        said = [statement for statement in tree if mentions(statement, names)]
        self.doubt(f"{module}.{name}, which code changes", "", module=module, name=name, reach="state")
        chains = {c for c in references(said, bodies=False).chains if c[0] in space and c[0] != name}
        return f"{[canonical(each) for each in said]} {self._lines(space, chains)}"

    def _writers(self, tree: Iterable[ast.stmt], space: dict[str, Any], name: str) -> set[str]:
        """Functions of a module that change a variable of it."""
        return {
            each.name
            for each in tree
            if isinstance(each, ast.FunctionDef)
            and isinstance(inspect.unwrap(space[each.name]) if callable(space.get(each.name)) else None, FunctionType)
            and not hasattr(space[each.name], "body")
            and any(target == name for target, _ in written(each))
        }

    def _constant(self, name: str, text: str) -> str:
        """Name of the piece of a constant: other modules may have another one of that name."""
        unique, number = name, 1
        while self.pieces.get(unique, text) != text:
            number += 1
            unique = f"{name}#{number}"
        self.pieces[unique] = text
        return unique

    def _imported(
        self, what: Import, attributes: Chain, scope: dict[str, Any], occurs: tuple[list[ast.AST], Chain] = ([], ())
    ) -> str:
        """Follow an import that stands inside the function; foreign modules are not imported for it."""
        module = what.module
        if what.level:
            module = importlib.util.resolve_name("." * what.level + module, scope.get("__package__") or "")
        name = f"module {module} {what.name or ''}"
        chain = (*((what.name,) if what.name else ()), *attributes)
        if not self.is_own(module):
            self.library(module)
            return self._from_library(module, name, chain, scope, occurs)
        try:
            found = importlib.import_module(module)
            importlib.import_module(what.loaded or module)
            if what.name and what.name != "*" and not hasattr(found, what.name):
                importlib.import_module(f"{module}.{what.name}")
        except ImportError:
            return name
        return self._follow(found, chain)

    def _from_library(
        self, module: str, name: str, chain: Chain, scope: dict[str, Any], occurs: tuple[list[ast.AST], Chain]
    ) -> str:
        """What a library's module gives that a function imports: one text, whether it is loaded already or not."""
        if finds(module, head := chain[0] if chain else ""):
            if not chain or not is_standard(module):
                what = f"{module}.{head}".rstrip(".")
                self.doubt(f"{what} inside a function finds code by name", "name the code itself", reach="all")
                return name
            importlib.import_module(module)
        if module not in sys.modules or not chain:
            return name
        found = sys.modules[module]
        if told := self._told(functools.reduce(_of_module, chain, found), occurs, scope):
            return told
        text = self._of_library(found, chain)
        return name if text == _plainly(found, chain) else f"{name} {text}"

    def _of_library(self, module: ModuleType, attributes: Chain) -> str:
        """What stands in a library's module: its version counts, and own code that somebody put there."""
        self.library(module.__name__)
        value: Any = module
        for place, attribute in enumerate(attributes):
            if not isinstance(value, ModuleType):
                break
            self.check_finder(value.__name__, attribute)
            if (value.__name__, attribute) == ("importlib", "resources"):
                self.uncertain.append("files that stand beside the code (importlib.resources)")
            space, value = vars(value), getattr(value, attribute, MISSING)
            if value is not MISSING and self._is_put_there(value):
                self.watch.name(space, attribute, value)
                return self._follow(value, attributes[place + 1 :])
            if isinstance(value, (FunctionType, type)):
                self.watch.name(space, attribute, value)
        return _plainly(module, attributes)

    def _is_put_there(self, value: Any) -> bool:
        """Whether something in a library's module is own code."""
        if isinstance(value, ModuleType):
            return self.is_own(value.__name__)
        if isinstance(value, (FunctionType, type)):
            where = module_of(value) if isinstance(value, FunctionType) else value.__module__
            return self.is_own(where) or (isinstance(value, FunctionType) and any(self.inside(value, set())))
        return False

    def whole(self, module: str, digest: str) -> None:
        """Note a module that counts as a whole, by the digest of its text."""
        unique, number = f"module {module} (whole)", 1
        while self.pieces.get(unique, digest) != digest:
            number += 1
            unique = f"module {module} (whole)#{number}"
        self.pieces[unique] = digest

    def lines_of_module(self, module: ModuleType) -> str:
        """Text of an own module that has no file: all that is in it."""
        names = sorted(name for name in vars(module) if not name.startswith("__"))
        return f"{self._lines(vars(module), [(name,) for name in names])}"

    # Classes

    def class_text(self, name: str, cls: type) -> None:
        """Write the code of a class, its bases, its methods, and the values of all its members."""
        self.note(cls.__module__, cls.__qualname__)
        self.watch.members(cls)
        node = class_node(cls)
        lines = [f"base {self.value(base)}" for base in cls.__bases__ if base is not object]
        lines += self._made_by(cls)
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

    def _written(self, cls: type, node: ast.ClassDef) -> list[str]:
        namespace = self._namespace(cls)
        decorators = [each for each in node.decorator_list if not _is_place(namespace, each)]
        parts: list[ast.AST] = [*node.bases, *node.keywords, *decorators, *node.body]
        found = references(parts, bodies=False, full=self._full)
        lines = [canonical(node, decorators=decorators, full=self._full)]
        lines += self._lines(namespace, {chain for chain in found.chains if chain[0] in namespace})
        lines += [self._imported(each, (), namespace) for many in found.imports.values() for each in many]
        self.reads_text = self.reads_text or uses_of([node]).documents
        return [*lines, *(f"method {self.value(method)}" for method in methods(cls))]

    def _made(self, cls: type) -> list[str]:
        """A class without source: by what made it, as far as that is known, or by its module."""
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return [f"namedtuple {cls._fields} {self.value(getattr(cls, '_field_defaults', {}))}"]
        if issubclass(cls, enum.Enum):
            return [f"enum {[(key, self.value(each.value)) for key, each in cls.__members__.items()]}"]
        if is_dataclass(cls):
            return [f"dataclass {[self._field(each) for each in fields(cls)]}"]
        return ["made"]  # its members and bases are all that there is

    def _field(self, field: Any) -> str:
        options = field.init, field.repr, field.hash, field.compare, field.kw_only
        kind = field.type if isinstance(field.type, str) else self._type(field.type)
        default, factory = (self.value(each) for each in (field.default, field.default_factory))
        return f"{field.name}: {kind} = {default} {factory} {options}"

    def _namespace(self, cls: type) -> dict[str, Any]:
        """The globals that a class was made in."""
        own = methods(cls)
        module = sys.modules.get(cls.__module__)
        return own[0].__globals__ if own else vars(module) if module else {}

    def _members(self, cls: type) -> list[str]:
        """A line for each member of a class that is not written in its body as a method."""
        known = {id(method) for method in methods(cls)}
        slots = set(slots_of(cls))
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
            if issubclass(cls, enum.Enum) and (name in cls.__members__ or name.startswith("_")):
                continue
            if (id(cls), name) in self._known:
                lines.append(f"state {name} {self._said(cls.__module__, cls.__qualname__.partition('.')[0])}")
                continue
            self.watch.name(vars(cls), name, value)
            if not self._is_made(cls, name, value) and id(value) not in known:
                lines += [f"{name} = {self.value(each)}" for each in _functions_of(value) if id(each) not in known]
        return lines

    def _is_made(self, cls: type, name: str, value: Any) -> bool:
        """Whether a member was added by what makes dataclasses, named tuples, enums and the like."""
        if type(cls).__module__.startswith(MAKERS) and name.startswith(("__", "model_")):
            return not isinstance(value, FunctionType) or not self.is_own(module_of(value))
        function = getattr(value, "__func__", value)
        if not isinstance(function, FunctionType):
            return name in MADE and not callable(value)
        file = inspect.unwrap(function).__code__.co_filename
        return name in MADE and (file.startswith("<") or not self.is_own(module_of(function)))

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


MAKERS = ("pydantic", "attr", "attrs", "msgspec")
"""Libraries whose metaclasses make a class of what is written in its body."""


def _is_place(namespace: Mapping[str, Any], decorator: ast.expr) -> bool:
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


@functools.lru_cache(maxsize=8192)
def _written_out(node: ast.AST, decorators: tuple[ast.expr, ...], full: bool) -> str:
    return canonical(node, decorators=decorators, full=full)


@functools.lru_cache(maxsize=8192)
def _read(nodes: tuple[ast.AST, ...], full: bool) -> References:
    return references(nodes, skip_decorators=True, full=full)


def _plainly(module: ModuleType, attributes: Chain) -> str:
    """Text of what stands in a library's module, where nobody put anything of one's own there."""
    return f"module {public_module(module.__name__)}:{'.'.join(attributes)}"


def _of_module(value: Any, attribute: str) -> Any:
    return getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING


def _bindings(tree: tuple[ast.stmt, ...]) -> dict[str, list[ast.stmt]]:
    return _bindings_of(tree)


@functools.lru_cache(maxsize=256)
def _bindings_of(tree: tuple[ast.stmt, ...]) -> dict[str, list[ast.stmt]]:
    """Statements at the top of a module that bind each name."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.setdefault(statement.name, []).append(statement)
            continue
        for node in ast.walk(statement):
            names = (
                [(a.asname or a.name).partition(".")[0] for a in node.names]
                if isinstance(node, (ast.Import, ast.ImportFrom))
                else []
            )
            names += [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []
            for name in names:
                found.setdefault(name, []).append(node if isinstance(node, (ast.Import, ast.ImportFrom)) else statement)
    return found
