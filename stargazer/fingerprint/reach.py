"""Walk from a function to all of the user's own code and constants that it reaches."""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.counters import Counters, defaults_of
from stargazer.fingerprint.dynamic import UNMARKED, asks_by_text, may_find, names_in, uses_of
from stargazer.fingerprint.effects import Effects, in_order, loaded
from stargazer.fingerprint.members import Members, is_place
from stargazer.fingerprint.names import Settled, definitions
from stargazer.fingerprint.origin import label, lies_with_python, module_of
from stargazer.fingerprint.outside import outside_settings
from stargazer.fingerprint.parsing import walk
from stargazer.fingerprint.source import (
    defaults_in,
    dotted,
    enclosing_node,
    file_text,
    function_nodes,
    global_names,
    module_statements,
    parameter_types,
    references,
    texts_set_outside,
)
from stargazer.fingerprint.state import may_write, remembered, written
from stargazer.fingerprint.watch import MISSING, contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.fingerprint.source import Chain, References

__all__ = ["Reach"]

FUTURE = __future__.annotations.compiler_flag
CUSTOMIZE = ("sitecustomize", "usercustomize")
MAKES_TASKS = "stargazer.calls"

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


class Reach(Members):
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
        super().__init__(owner, settled)
        self._counters = Counters()
        self._trees_of: dict[FunctionType, list[ast.AST]] = {}
        if isinstance(values, FunctionType):
            self._root(values)
        else:
            self.pieces[""] = "\n".join(f"{name} = {self.value(value)}" for name, value in values.items())
        self.write_all()
        self._others_changed()
        self.uncertain += self._counters.told()
        for module in sorted(self._modules()) if self.reads_source else ():
            self._as_it_stands(sys.modules[module])
        settled.full |= self.reads_text
        settled.hints |= self.reads_hints

    @classmethod
    def of(cls, values: FunctionType | Mapping[str, Any], owner: str) -> Reach:
        """Follow what a function or namespace reaches, again until nothing new is found on which the walk depends."""
        settled = Settled()
        while True:
            before = settled.size()
            reach = cls(values, owner, settled)
            if settled.size() == before:
                return reach

    def _others_changed(self) -> None:
        """Count what the modules that the code comes from do to libraries as they are imported."""
        done: dict[str, list[ast.stmt]] = {}
        seen: set[str] = set()
        effects = Effects(self.is_own)
        cells = vars(sys.modules["__main__"]).get("In")
        if self._owner == "__main__" and isinstance(cells, list):
            self.watch.look(cells, len)  # each further cell of IPython's may set a library
        while todo := [name for name in sorted(self._modules()) if name not in seen]:
            seen.add(todo[0])
            for module in loaded(sys.modules[todo[0]], self.is_own):
                if module.__name__ not in done:
                    done[module.__name__] = effects.of(module)
                    self._effects(module, done[module.__name__])
            seen |= done.keys()
            self.write_all()
        self._order_of({name: statements for name, statements in done.items() if statements})

    def _order_of(self, acting: dict[str, list[ast.stmt]]) -> None:
        """Count in which order modules change what is not their own; not that of their names, which most have."""
        if len(acting) < 2:
            return
        starts = dict.fromkeys([*CUSTOMIZE, self._owner, *sorted(self._modules())])
        names = [self._same_everywhere(name) for name in in_order(starts, acting, self.is_own)]
        if names != sorted(set(names)):
            self._constant("order in which libraries are set", "\n".join(names))

    def _same_everywhere(self, name: str) -> str:
        """Name of a module; of the task's own its last part, for it may run as a script."""
        return last_name(sys.modules[name]) if name in (self._owner, "__main__") else name

    def _as_it_stands(self, module: ModuleType) -> None:
        """Count a whole file, with its comments, for code that reads files of code."""
        text = file_text(module)
        if text is None:
            self.uncertain.append(f"the text of module {module.__name__}, which the code reads")
        else:
            self._constant(f"text of {last_name(module)}", text)

    def _modules(self) -> set[str]:
        names = {self._owner, "__main__"} if self._owner == _main_name() else {self._owner}
        names.update(filter(self._is_of_each_process, CUSTOMIZE))
        return {name for name in (*names, *(module for module, _ in self.by_name)) if name in sys.modules}

    def _is_of_each_process(self, name: str) -> bool:
        """Whether each Python that begins imports a module of one's own of that name, which nobody names."""
        file = getattr(sys.modules.get(name), "__file__", None)
        return bool(file) and self.is_own(name) and not lies_with_python(str(file))

    def _effects(self, module: ModuleType, statements: list[ast.stmt]) -> None:
        lines: list[str] = []
        with self.importing(), self.at(module.__name__, ""):
            for statement in statements:
                names_own = isinstance(statement, ast.FunctionDef) and not callable(vars(module).get(statement.name))
                found = references([statement], bodies=names_own)
                lines.append(canonical(statement))
                self._from_outside(module, statement)
                lines += self._lines(vars(module), {c for c in found.chains if c[0] in vars(module)})
                if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                    lines.append(self.value(vars(module).get(statement.name)))
                if isinstance(statement, (ast.Import, ast.ImportFrom)):
                    for name in [getattr(statement, "module", ""), *(each.name for each in statement.names)]:
                        self.library(name if name in sys.modules else "")
        if lines:
            self._constant(f"libraries set by {last_name(module)}", "\n".join(lines))

    def _from_outside(self, module: ModuleType, statement: ast.stmt) -> None:
        """Note what a statement that sets a library takes from outside."""
        if outside := outside_settings(statement, definitions(module_statements(module.__name__)), vars(module)):
            told = ", ".join(sorted(outside))
            self.uncertain.append(f"what {module.__name__} sets when it is imported comes from outside ({told})")

    def _root(self, function: FunctionType) -> None:
        if self.is_own(module_of(function)) or not any(self.inside(function, set())):
            place = module_of(function), function.__qualname__
            self.piece(function, function.__qualname__, self.function_text, place)
        else:
            self.pieces[function.__qualname__] = self.value(function)
        # What a body is given may be of the user's own classes, whose methods it calls without naming them.
        chains = {chain for node in self._trees(function) for chain in parameter_types(node)}
        for chain in sorted(chains):
            value = self._looked_up(function, chain)
            if isinstance(value, type) and self.is_own(value.__module__):
                self._binding(function.__globals__, *chain)
            elif value is not MISSING and not isinstance(value, (type, ModuleType)):
                self.value(value)  # an alias of several classes
        self._returned(function)

    def _trees(self, function: FunctionType) -> list[ast.AST]:
        """Trees of a function, for which its text is held beside what runs: once in a walk."""
        if function not in self._trees_of:
            self._trees_of[function] = function_nodes(function)
        return self._trees_of[function]

    def _returned(self, function: FunctionType) -> None:
        """Note the type that a body declares to return: what it returns is converted to it."""
        declared = (getattr(node, "returns", None) for node in self._trees(function))
        returned: list[ast.expr] = [each for each in declared if each is not None]
        if returned:
            chains = {c for c in references(returned).chains if c[0] in function.__globals__}
            lines = [*map(canonical, returned), *self._lines(function.__globals__, chains)]
            self.pieces[f"{function.__name__} returns"] = "\n".join(lines)

    def function_text(self, name: str, function: FunctionType) -> None:
        """Write the code of a function, its defaults, and a line for each name that it reads from outside."""
        with self.importing(id(function) in self._only_at_import):
            self._write_function(name, function)

    def _write_function(self, name: str, function: FunctionType) -> None:
        self.note(module_of(function), function.__qualname__)
        self.watch.function(function)
        nodes = self._trees(function)
        lines = []
        for node in nodes:
            kept = self._decorators(function, node)
            full = self._full or not all(self._leaves_annotations(function, each) for each in kept)
            lines.append(_written_out(node, tuple(kept), full))
            chains = references(kept).chains
            with self.importing():
                lines += self._lines(function.__globals__, {c for c in chains if c[0] in function.__globals__})
        self._note_writes(function, nodes)
        if self._hints and function.__code__.co_flags & FUTURE and function.__annotations__:
            lines.append("annotations are texts")
        lines += [*self._defaults(function, nodes), *self._attributes_of(function), *self._set_outside(function, nodes)]
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
            if not is_place(function.__globals__, decorator):
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

    def _defaults(self, function: FunctionType, nodes: list[ast.AST]) -> list[str]:
        """Values of defaults; of those that the function itself changes, only what is written."""
        values = defaults_of(function)
        changed = [name for name in values if (id(function), f"default {name}") in self._known]
        lines = [f"default {self.value(value)}" for name, value in values.items() if name not in changed]
        space = function.__globals__
        written = [each for node in nodes if changed for each in defaults_in(node)]
        for chain in sorted(references(written).chains):
            if chain[0] in space and not isinstance(space[chain[0]], (FunctionType, type, ModuleType)):
                lines.append(f"default of {chain[0]} {self._said(module_of(function), chain[0])}")
            else:
                lines += self._lines(space, {chain} if chain[0] in space else ())
        return lines

    def _attributes_of(self, function: FunctionType) -> list[str]:
        """Attributes that somebody set on a function."""
        attributes = {
            name: value
            for name, value in vars(function).items()
            if name not in ("__wrapped__", "__signature__") and (id(function), name) not in self._known
        }
        lines = [f"attribute {name} = {self.value(value)}" for name, value in attributes.items()]
        if any((id(function), name) in self._known for name in vars(function)):
            lines.append(f"state {self._said(module_of(function), function.__qualname__.partition('.')[0])}")
        else:
            self.watch.constant(vars(function))
        return lines

    def _set_outside(self, function: FunctionType, nodes: list[ast.AST]) -> list[str]:
        """What somebody set of a function that its own text says otherwise: its name, its text for people."""
        around = getattr(function, "__wrapped__", None)
        if around is not None:
            held = [contents(cell) for cell in function.__closure__ or ()]
            return [] if any(each is around for each in held) else [f"wraps {self.value(around)}"]
        lines = [] if function.__name__ == function.__code__.co_name else [f"named {function.__name__}"]
        if self._full and nodes:
            self.watch.constant(function.__annotations__)
            if hasattr(function, "__signature__"):
                lines.append(f"signature {self.value(function.__signature__)}")
            lines += texts_set_outside(function, nodes[0], self.value)
        return lines

    def _note_writes(self, function: FunctionType, nodes: Iterable[ast.AST]) -> None:
        """Find variables, attributes and defaults that a function writes: memos, counters, registries."""
        if self._at_import or not may_write(function.__code__):
            return
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        reachable = global_names(function.__code__)
        space, found, defaults = function.__globals__, self.settled.state, defaults_of(function)
        for node in nodes:
            for name, attribute in written(node):
                value = contents(cells[name]) if name in cells else space.get(name, MISSING)
                if name in cells:
                    found.add((id(value), attribute) if attribute is not None else (id(cells[name]), name))
                elif name in function.__code__.co_varnames:  # of variables that are none, nothing is asked
                    is_default = attribute is None and name in defaults
                    found.update({(id(function), f"default {name}")} if is_default else set())
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
        self.reads_hints = self.reads_hints or uses.hints
        self.reads_source = self.reads_source or uses.sources
        for attribute, chain in sorted(uses.walks):
            holder = self._looked_up(function, chain) if chain else MISSING
            if attribute == "__subclasses__" and isinstance(holder, type) and self.is_own(holder.__module__):
                place = {"module": holder.__module__, "name": holder.__name__, "reach": "value"}
                self.watch.look(holder, type.__subclasses__)
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

    def _names(self, function: FunctionType, nodes: list[ast.AST]) -> list[str]:
        """One line for each name that the function reads from outside."""
        found = _read(tuple(nodes), self._full)
        code, space = function.__code__, function.__globals__
        reachable = global_names(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        lines = []
        annotated = found.chains - _read(tuple(nodes), False).chains if self._hints else frozenset()
        for chain in sorted(found.chains):
            head, rest = chain[0], chain[1:]
            meant = []
            if head in cells:
                meant.append(self._cell(function, head, cells[head], rest))
            else:
                meant += [self._imported(each, rest, space, (nodes, chain)) for each in found.imports.get(head, ())]
                is_read = head in reachable or (chain in annotated and head in space)  # by who reads annotations
                if is_read and (not meant or head in space):
                    meant.append(self._finder(space, chain, nodes) or self._binding(space, *chain))
            if meant:
                lines.append(f"{'.'.join(chain)} = {' or '.join(meant)}")
        self._load(found, space)
        return [*lines, *self._named_in_texts(function, nodes, found)] if asks_by_text(code) else lines

    def _load(self, found: References, space: dict[str, Any]) -> None:
        """Note modules that are imported inside, also where nobody names them: they may be there for what they do."""
        named = {chain[0] for chain in found.chains}
        for name, imports in found.imports.items():
            for each in imports:
                self.loads(each, space, named=name in named)

    def _named_in_texts(self, function: FunctionType, nodes: list[ast.AST], found: References) -> list[str]:
        """One line for each variable of the module that a text for a library names: ``table.query("x > @LIMIT")``."""
        space, code = function.__globals__, function.__code__
        texts = [each.value for node in nodes for each in walk(node) if isinstance(each, ast.Constant)]
        texts += [space.get(chain[0]) for chain in found.chains]
        called = {".".join((self._module_of(function, found, chain[0]), *chain[1:])) for chain in found.chains}
        names = names_in([text for text in texts if isinstance(text, str)], marked=UNMARKED.isdisjoint(called))
        followed = {chain[0] for chain in found.chains} | {*code.co_varnames, *code.co_freevars}
        return self._lines(space, {(name,) for name in names & space.keys() - followed})

    def _module_of(self, function: FunctionType, found: References, name: str) -> str:
        """Name of the module that a name stands for, where a function or its module imports one."""
        inner = [each.loaded for each in found.imports.get(name, ()) if each.name is None]
        value = function.__globals__.get(name)
        return inner[0] if inner else value.__name__ if isinstance(value, ModuleType) else name

    def _cell(self, function: FunctionType, name: str, cell: Any, attributes: Chain) -> str:
        """What a variable of a closure is bound to; of one that the function changes, the code that made it."""
        if (id(cell), name) in self._known and not isinstance(contents(cell), (FunctionType, type, ModuleType)):
            around = enclosing_node(function)
            made = canonical(around) if around is not None else ""
            return f"state {name} {made} {self._said(module_of(function), function.__qualname__.partition('.')[0])}"
        self.watch.cell(cell)
        return self._follow(contents(cell), attributes)


@functools.lru_cache(maxsize=8192)
def _written_out(node: ast.AST, decorators: tuple[ast.expr, ...], full: bool) -> str:
    return canonical(node, decorators=decorators, full=full)


@functools.lru_cache(maxsize=8192)
def _read(nodes: tuple[ast.AST, ...], full: bool) -> References:
    return references(nodes, skip_decorators=True, full=full)


def last_name(module: ModuleType) -> str:
    """Last part of the name under which a module is imported, also where it runs as a script."""
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__" and file:
        return str(file).rpartition("/")[2].removesuffix(".py")
    return module.__name__.rpartition(".")[2]


def _main_name() -> str:
    """Name under which the module that runs as a script would be imported."""
    main = sys.modules.get("__main__")
    return str(getattr(getattr(main, "__spec__", None), "name", "__main__"))
