"""What names mean: in the globals of a function, in modules, in imports that stand inside code."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
import inspect
import logging
import sys
import threading
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.dynamic import IMPORTERS, READERS, RUNNERS, constants_of, finds, texts_given
from stargazer.fingerprint.origin import is_of_python, is_standard, label, module_of, public_module
from stargazer.fingerprint.outside import files_named, of_the_machine, outside_of
from stargazer.fingerprint.parsing import parse, walk
from stargazer.fingerprint.source import (
    module_statements,
    references,
)
from stargazer.fingerprint.state import mentions, written
from stargazer.fingerprint.values import OPAQUE, Things
from stargazer.fingerprint.watch import MISSING, handed_on, is_changed
from stargazer.fingerprint.wide import BINARY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.fingerprint.source import Chain, Import

__all__ = ["Names", "Settled", "definitions"]

IMPORTS = (ast.Import, ast.ImportFrom)
PLACES = ("__file__", "__spec__", "__path__", "__loader__")
SAYS_LITTLE = (threading.Event, threading.Semaphore, threading.Barrier, logging.LoggerAdapter)
"""Types of objects that change while code runs, so that they count by what is written of them."""

TAKEN_AS_TEXT = "write what it is given as a constant, or name the code itself"


class Settled:
    """What a first walk finds out, and the walks after it go by.

    Parameters
    ----------
    state
        Variables, attributes and defaults that the code itself writes while it runs: by the namespace and a name.
    remembered
        Attributes that methods set where they are not set yet: by module, class and name.
    full, hints
        Whether docstrings and annotations count, and what these name, because code reads them.
    loaded
        Own modules that a walk imported, because code imports them while it runs: what they do as they are imported
        is only then to be seen.
    """

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.state: set[tuple[int, str]] = set()
        self.remembered: set[tuple[str, str, str]] = set()
        self.full = self.hints = False

    def size(self) -> tuple[int, int, bool, bool, int]:
        """Grows as long as something new is found."""
        return len(self.state), len(self.remembered), self.full, self.hints, len(self.loaded)


class Bound(NamedTuple):
    """Where a name is bound: an own module and the name there, all statements of that, and those that bind it."""

    module: str
    name: str
    tree: tuple[ast.stmt, ...]
    statements: list[ast.stmt]


class Names(Things):
    """Follows dotted names to what they mean; constants get pieces of their own.

    Parameters
    ----------
    owner
        Module of the task.
    settled
        What an earlier walk found out; it is added to.
    """

    def __init__(self, owner: str, settled: Settled) -> None:
        super().__init__(owner)
        self.settled = settled
        self._known = frozenset(settled.state)
        self._memos = frozenset(settled.remembered)
        self._full, self._hints = settled.full, settled.hints

    def _lines(self, namespace: dict[str, Any], chains: Iterable[Chain]) -> list[str]:
        return [f"{'.'.join(chain)} = {self._binding(namespace, *chain)}" for chain in sorted(chains)]

    def _finder(self, namespace: dict[str, Any], chain: Chain, nodes: list[ast.AST]) -> str | None:
        """Text of a function that finds code, where it is told by constants what to find; None of all others."""
        value = namespace.get(chain[0], getattr(builtins, chain[0], MISSING))
        for attribute in chain[1:]:
            value = getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING
        return self._told(value, (nodes, chain), namespace)

    def _told(self, value: Any, occurs: tuple[list[ast.AST], Chain], namespace: dict[str, Any]) -> str | None:
        name = f"{getattr(value, '__module__', '')}:{getattr(value, '__name__', '')}" if callable(value) else ""
        if name in RUNNERS:
            return self._texts_run(name, occurs, namespace)
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

    def _texts_run(self, name: str, occurs: tuple[list[ast.AST], Chain], namespace: dict[str, Any]) -> str:
        """Follow all texts that a function of a library is given, which runs them as code."""
        self.library(name.partition(":")[0])
        if None in constants_of(*occurs):
            self.doubt(f"{name.replace(':', '.')} of a text that is made while it runs", TAKEN_AS_TEXT, reach="names")
        return f"runner {name} {[self._text_run(each, namespace) for each in texts_given(*occurs)]}"

    def _text_run(self, text: str, namespace: dict[str, Any]) -> str:
        """Follow the names in a text that is run as code."""
        try:
            tree = parse(text)
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
        if not _is_there(module.partition(".")[0]):
            return f"no module {module}"
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
            value = getattr(builtins, name)
            return "builtin" if is_of_python(value) else self.value(value)
        if name in PLACES:
            self.uncertain.append(
                f"files that stand beside the code, which {self._place[1] or self._place[0]} finds by {name}"
            )
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
            if attribute == "__dict__" or self.is_own(type(module).__module__):
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
        if not name or value is MISSING or isinstance(value, ModuleType):
            return self.value(value)
        if callable(value):
            text = self.value(value)
            if text.startswith(OPAQUE):  # a connection, a model: an object that may be called, too
                self._made_from_outside(name, self._origin(self._place[0], name), text)
            return text
        bound = self._origin(self._place[0], name)
        if bound.statements and of_the_machine(bound.statements):
            return f"of the machine {[canonical(each) for each in bound.statements]}"
        with self.at(bound.module, bound.name):
            said = f" {self._said(bound.module, bound.name)}" if isinstance(value, SAYS_LITTLE) else ""
            text = self.value(value)
            self._made_from_outside(name, bound, text)
            return f"constant {self._constant(name, text + said)}"

    def _made_from_outside(self, name: str, bound: Bound, text: str) -> None:
        """Note what a value was made of as its module was imported; of an opaque object, also files that are named."""
        module, statements, known = bound.module, bound.statements, definitions(bound.tree)
        if outside := outside_of(statements, known):
            self.uncertain.append(f"{name} comes from outside when {module} is imported ({', '.join(sorted(outside))})")
        elif OPAQUE in text:
            space = vars(sys.modules[module]) if module in sys.modules else {}
            if files := files_named(statements, known, space):
                told = ", ".join(files[:3])
                self.uncertain.append(f"{name}, which is made of {told} when {module} is imported")

    def opaque(self, value: Any) -> None:
        """Watch an object that one's own module made: what changes it later may stand in no other text.

        What a library has itself, it changes itself; what threads hold for themselves is another in each.
        """
        module, name = self._place
        made = self._statements(module, name)
        if not made or isinstance(value, threading.local) or any(isinstance(each, IMPORTS) for each in made):
            return
        self.watch.opaque(value)
        if not getattr(sys.modules.get(module), "__file__", None):
            if isinstance(held := handed_on(value), int):  # no text of a module counts in its place
                self._constant(f"{name} as it is", str(held))
        elif is_changed(value):
            self.uncertain.append(f"{name}, an object of {label(type(value))} that was changed after it was made")

    def _origin(self, module: str, name: str) -> Bound:
        """Where a name was imported from."""
        tree = module_statements(module)
        statements = _bindings(tree).get(name, [])
        for statement in statements:
            if isinstance(statement, ast.ImportFrom):
                package = str(getattr(sys.modules.get(module), "__package__", None) or "")
                where = "." * statement.level + (statement.module or "")
                whole = importlib.util.resolve_name(where, package) if statement.level else where
                theirs = next((a.name for a in statement.names if (a.asname or a.name) == name), name)
                if whole in sys.modules and self.is_own(whole) and (whole, theirs) != (module, name):
                    return self._origin(whole, theirs)
        return Bound(module, name, tree, statements)

    def _statements(self, module: str, name: str) -> list[ast.stmt]:
        """Statements of a module that bind a name."""
        return _bindings(module_statements(module)).get(name, [])

    def _said(self, module: str, name: str) -> str:
        """What a module's own statements say of a variable that is changed later, and what they lead to."""
        module, name, tree, _ = self._origin(module, name)
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
        module = _whole_name(what, scope)
        name = f"module {module} {what.name or ''}"
        if module.startswith("."):
            return name
        chain = (*((what.name,) if what.name else ()), *attributes)
        if not self.is_own(module):
            self.library(module)
            return self._from_library(module, name, chain, scope, occurs)
        found = self._loaded(what, module)
        self.watch.name(sys.modules, module, MISSING if found is None else found)
        return name if found is None else self._follow(found, chain)

    def _loaded(self, what: Import, module: str) -> ModuleType | None:
        """Import what a function imports, or try to: what a module raises is for the function to meet when it runs."""
        try:
            return self._load_own(what, module)
        except ImportError:
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
            self.uncertain.append(f"module {module}, which cannot be imported here ({type(error).__name__}: {error})")
            return None

    def _load_own(self, what: Import, module: str) -> ModuleType:
        """Import it; that it was not there before is noted."""
        before = set(sys.modules)
        found = importlib.import_module(module)
        importlib.import_module(what.loaded or module)
        if what.name and what.name != "*" and not hasattr(found, what.name):
            importlib.import_module(f"{module}.{what.name}")
        self.settled.loaded.update(name for name in sys.modules.keys() - before if self.is_own(name))
        return found

    def loads(self, what: Import, scope: dict[str, Any], *, named: bool) -> None:
        """Note a module that a function imports: what it does to others counts."""
        module = _whole_name(what, scope)
        if module.startswith("."):
            return
        if not self.is_own(module):
            if not named:
                self.library(module)
            return
        if self._loaded(what, module) is None:
            return
        for each in (module, what.loaded, f"{module}.{what.name}"):
            if each in sys.modules:
                self.note(each, "")

    def _from_library(
        self, module: str, name: str, chain: Chain, scope: dict[str, Any], occurs: tuple[list[ast.AST], Chain]
    ) -> str:
        """What a library's module gives that a function imports: one text, whether it is loaded already or not."""
        self.check_reader(module, head := chain[0] if chain else "")
        if finds(module, head):
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


def _is_there(top: str) -> bool:
    try:
        return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _whole_name(what: Import, scope: dict[str, Any]) -> str:
    """Name of the module that is imported; with its dots, where there is no package that they lead from."""
    name = "." * what.level + what.module
    try:
        return importlib.util.resolve_name(name, scope.get("__package__") or "")
    except ImportError:
        return name


def _plainly(module: ModuleType, attributes: Chain) -> str:
    """Text of what stands in a library's module, where nobody put anything of one's own there."""
    return f"module {public_module(module.__name__)}:{'.'.join(attributes)}"


def _of_module(value: Any, attribute: str) -> Any:
    return getattr(value, attribute, MISSING) if isinstance(value, ModuleType) else MISSING


@functools.lru_cache(maxsize=256)
def definitions(tree: tuple[ast.stmt, ...]) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Functions and classes at the top of a module."""
    return {node.name: node for node in tree if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


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
        for node in walk(statement):
            names = (
                [(a.asname or a.name).partition(".")[0] for a in node.names]
                if isinstance(node, (ast.Import, ast.ImportFrom))
                else []
            )
            names += [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []
            for name in names:
                found.setdefault(name, []).append(node if isinstance(node, (ast.Import, ast.ImportFrom)) else statement)
    return found
