"""What cells change by calling code: attributes of classes and functions, globals, lists that functions add to.

Every cell has names of its own, and the code of a notebook is shared by all that run in a process: a class that one
cell counts up is another one, or an older one, where the next cell runs. What a cell changes in place is found by
looking at the values that it was given; this here is not given to it. So it is looked for in the text, and the cells
that have part in it run one after the other with the same names, as in a kernel.
"""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING, NamedTuple

from stargazer.fingerprint.parsing import children
from stargazer.notebook.names import PRESENT, free_names, kind_in, nodes_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stargazer.notebook.document import Cell

__all__ = ["MUTATORS", "State", "changing_methods", "root_of", "shared_states", "state_changes", "targets_of"]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
CHANGES = (ast.Assign, ast.Delete, ast.AugAssign, ast.AnnAssign, ast.Call)
"""Nodes that may change something that is there: see `targets_of`."""

BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)

MUTATORS = frozenset({
    "append", "extend", "insert", "remove", "pop", "popitem", "popleft", "appendleft", "clear", "sort", "reverse",
    "add", "discard", "update", "setdefault", "register", "rotate", "fill",
})  # fmt: skip
"""Methods that change what they are called on, whatever it is."""

CHANGING = {"setattr", "delattr", "next"}
"""Functions of Python's own that change their first argument."""


REMEMBERING = {"cache", "lru_cache", "cached", "memoize"}
"""Decorators by which a function remembers what it returned."""


class State(NamedTuple):
    """Something that some cells change and others use, which no value tells of.

    Parameters
    ----------
    name
        What is changed: a class, a function, a constant, or what functions change as a global.
    changing
        Cells that change it, in their order.
    cells
        All cells that have part in it, those that define it too.
    """

    name: str
    changing: tuple[Cell, ...]
    cells: frozenset[Cell]


def shared_states(cells: Sequence[Cell], code: frozenset[str]) -> list[State]:
    """Find what some cells change through code, and others use.

    Parameters
    ----------
    cells
        Of code, in the order in which they run.
    code
        Names of the notebook's code.
    """
    book = _Book(cells, code)
    changed = {cell: book.changed_by(cell) for cell in cells}
    found = []
    for name in sorted(frozenset().union(*changed.values())):
        users = [cell for cell in cells if name in book.used_by(cell) or name in changed[cell]]
        changing = tuple(cell for cell in users if name in changed[cell])
        if len(users) > 1 and changing:
            found.append(State(name, changing, frozenset(users).union(book.defining(name))))
    return found


def state_changes(cell: Cell, cells: Sequence[Cell], code: frozenset[str]) -> str:
    """What a cell changes, or uses after others changed it, through code; for programs that run cells one by one."""
    book = _Book(cells, code)
    changed: frozenset[str] = frozenset().union(*(book.changed_by(each) for each in cells))
    return next(iter(sorted(changed & (book.used_by(cell) | book.changed_by(cell)))), "")


class _Book:
    """The definitions of a notebook, and what calling them changes."""

    def __init__(self, cells: Sequence[Cell], code: frozenset[str]) -> None:
        self._cells, self._code = cells, code
        self._nodes: dict[str, list[ast.stmt]] = {}
        self._imported: set[str] = set()
        for cell in cells:
            for node in _statements(cell.tree.body):
                for name in _defined(node):
                    self._nodes.setdefault(name, []).append(node)
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    self._imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        self._names = frozenset(code).union(*(cell.defs for cell in cells)) - self._imported
        every = [node for nodes in self._nodes.values() for node in nodes]
        self._kept: dict[str, set[str]] = {}
        for each in (node for node in every if isinstance(node, ast.ClassDef)):
            for attribute in _containers(each):
                self._kept.setdefault(attribute, set()).add(each.name)
        methods = MUTATORS.union(*(changing_methods(node) for node in every if isinstance(node, ast.ClassDef)))
        self._changes = {
            name: frozenset().union(*(_changes(node, methods) | self._classes_changed_by(node) for node in nodes))
            for name, nodes in self._nodes.items()
        }
        for cell in cells:
            for node in _statements(cell.tree.body):
                self._pass_on(node)
        for name in self._asked_for_calls() & self._nodes.keys():
            self._changes[name] |= {name}
        self._used: dict[Cell, frozenset[str]] = {}
        self._handed = self._handed_out()

    def _handed_out(self) -> dict[str, set[str]]:
        """Names that may mean what a function remembers and gives to whoever asks again, with these functions."""
        caches = {name for name, nodes in self._nodes.items() if any(_is_remembering(node) for node in nodes)}
        found: dict[str, set[str]] = {}
        for cell in self._cells if caches else ():
            for node in _statements(cell.tree.body):
                value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
                names = {each.id for each in kind_in(value, ast.Name)} if value else set()
                of = (names & caches).union(*(found.get(name, ()) for name in names))
                for target in _places(node) if of and isinstance(node, (ast.Assign, ast.AnnAssign)) else ():
                    for each in _unpacked(target):
                        found.setdefault(root_of(each), set()).update(of)
        return found

    def _pass_on(self, node: ast.stmt) -> None:
        """What holds a function, as a table of them does, changes what that changes."""
        if not isinstance(node, ast.Assign):
            return
        calls = {each.func for each in kind_in(node.value, ast.Call)}
        held = {n.id for n in kind_in(node.value, ast.Name) if n not in calls}
        for name in {each.id for each in node.targets if isinstance(each, ast.Name)} if held else ():
            changed = frozenset().union(*(self._changes.get(each, ()) for each in held))
            self._changes[name] = self._changes.get(name, frozenset()) | changed

    def _classes(self, attributes: Iterable[str]) -> frozenset[str]:
        """Classes that keep containers under some attributes for all their objects."""
        return frozenset[str]().union(*(self._kept.get(each, ()) for each in attributes)) if self._kept else frozenset()

    def _classes_changed_by(self, node: ast.AST) -> frozenset[str]:
        return self._classes(_reached_into(node)) if self._kept else frozenset()

    def _asked_for_calls(self) -> set[str]:
        """Functions whose cache is looked at, or emptied: then calls of them count."""
        return set().union(*(_asked_for_calls(cell.tree) for cell in self._cells))

    def used_by(self, cell: Cell) -> frozenset[str]:
        """Names that the work of a cell leads to: what it reads when it runs, and what the code reads that it calls."""
        if cell not in self._used:
            direct = frozenset().union(*(_work(node, self._code) for node in cell.tree.body))
            direct |= self._classes(_attributes(cell.tree)) if self._kept else frozenset()
            self._used[cell] = self._reached(direct)
        return self._used[cell]

    def _reached(self, names: Iterable[str]) -> frozenset[str]:
        found, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            if name in found or name not in self._names:
                continue
            found.add(name)
            for node in self._nodes.get(name, ()):
                todo += free_names(node)
                todo += self._classes(_attributes(node)) if self._kept else ()
            todo += self._changes.get(name, ())
        return frozenset(found)

    def changed_by(self, cell: Cell) -> frozenset[str]:
        """What a cell changes that is not a value of its own or one that it was given."""
        known = self._nodes.keys() | self._code
        direct = frozenset().union(*(_changed_at_once(node) for node in cell.tree.body)) & known
        plain = (node for node in cell.tree.body if not isinstance(node, DEFINITIONS))
        direct |= frozenset[str]().union(*map(self._classes_changed_by, plain))
        called = (self._changes.get(name, frozenset()) for name in self.used_by(cell))
        handed = (self._handed.get(name, ()) for node in cell.tree.body for name in _changed_in_place(node))
        return direct.union(*called, *(handed if self._handed else ())) & self._names

    def defining(self, name: str) -> Iterator[Cell]:
        """Cells that bind a name, or define code that leads to it."""
        for cell in self._cells:
            defined = {each for node in _statements(cell.tree.body) for each in _defined(node)}
            if name in cell.defs or any(name in self._reached([each]) for each in defined):
                yield cell


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a cell, those in blocks too, but none that stand in functions or classes."""
    for node in body:
        yield node
        if isinstance(node, BLOCKS):
            inner = (each for each in children(node) if isinstance(each, (ast.stmt, ast.ExceptHandler)))
            for each in inner:
                yield from _statements(each.body if isinstance(each, ast.ExceptHandler) else [each])


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        return [each.id for each in node.targets if isinstance(each, ast.Name)]
    return []


@functools.lru_cache(maxsize=1024)
def _asked_for_calls(tree: ast.Module) -> frozenset[str]:
    every = kind_in(tree, ast.Attribute)
    return frozenset(root_of(each) for each in every if each.attr in ("cache_info", "cache_clear"))


def _work(node: ast.stmt, code: frozenset[str]) -> frozenset[str]:
    """Names that a statement reads when it runs; functions and constants are made then, and not used."""
    if isinstance(node, ast.Assign) and (
        isinstance(node.value, ast.Lambda)
        or all(isinstance(each, ast.Name) and each.id in code for each in node.targets)
    ):
        return frozenset()
    return _read(node)


@functools.lru_cache(maxsize=4096)
def _read(node: ast.stmt) -> frozenset[str]:
    """Names that a statement reads; a definition reads what decorates it, and what it is made from."""
    if isinstance(node, ast.ClassDef):
        parts: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        parts = [*node.decorator_list, *node.args.defaults, *(each for each in node.args.kw_defaults if each)]
    else:
        parts = [node]
    found = frozenset(each.id for part in parts for each in kind_in(part, ast.Name))
    if isinstance(node, ast.AugAssign):
        return found
    names = kind_in(node, ast.Name)
    loaded = {each.id for each in names if isinstance(each.ctx, ast.Load)}
    return found - {each.id for each in names if isinstance(each.ctx, ast.Store) and each.id not in loaded}


def root_of(node: ast.AST | None) -> str:
    """The name that ``a.b[c].d`` begins with; empty where it begins with something else."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def targets_of(node: ast.AST, methods: frozenset[str] = MUTATORS) -> Iterator[ast.AST]:
    """What a node changes by an attribute, an item or a method."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        places: list[ast.expr] = [part for each in node.targets for part in _unpacked(each)]
    else:
        places = [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign)) else []
    yield from (each.value for each in places if isinstance(each, ast.Subscript))
    yield from (each.value for each in places if isinstance(each, ast.Attribute) and not each.attr.startswith("__"))
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            yield node.func.value
        if isinstance(node.func, ast.Name) and node.func.id in CHANGING and node.args:
            yield node.args[0]


def _unpacked(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _unpacked(each)
    else:
        yield target


@functools.lru_cache(maxsize=4096)
def _changed_at_once(node: ast.stmt) -> frozenset[str]:
    """Names whose objects a statement changes itself; decorators that register count."""
    if isinstance(node, DEFINITIONS):
        called = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
        return frozenset(root_of(each) for each in called if isinstance(each, ast.Attribute) and each.attr in MUTATORS)
    return frozenset(root_of(target) for each in kind_in(node, *CHANGES) for target in targets_of(each)) - {""}


@functools.lru_cache(maxsize=4096)
def _attributes(node: ast.AST) -> frozenset[str]:
    """Attributes that code names."""
    return frozenset(each.attr for each in nodes_in(node) if isinstance(each, ast.Attribute))


@functools.lru_cache(maxsize=4096)
def _reached_into(node: ast.AST) -> frozenset[str]:
    """Attributes into whose values code changes something: ``a.seen`` in ``a.seen.append(1)`` and ``a.seen[0] = 1``."""
    targets = [target for each in nodes_in(node) for target in targets_of(each)]
    targets += [each.target for each in nodes_in(node) if isinstance(each, ast.AugAssign)]
    found = set[str]()
    for target in targets:
        while isinstance(target, (ast.Attribute, ast.Subscript)):
            found |= {target.attr} if isinstance(target, ast.Attribute) else set()
            target = target.value
    return frozenset(found)


def _is_remembering(node: ast.stmt) -> bool:
    """Whether a function gives the same object to whoever calls it in the same way."""
    decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
    called = (each.func if isinstance(each, ast.Call) else each for each in decorators)
    return any(getattr(each, "attr", getattr(each, "id", "")) in REMEMBERING for each in called)


def _changed_in_place(node: ast.stmt) -> frozenset[str]:
    """Names whose objects a statement changes, by ``+=`` and ``inplace=True`` too."""
    found = {root_of(each.target) for each in kind_in(node, ast.AugAssign)}
    for each in kind_in(node, ast.Call):
        if any(keyword.arg == "inplace" for keyword in each.keywords):
            found.add(root_of(each.func))
    return (_changed_at_once(node) | found) - {""}


@functools.lru_cache(maxsize=4096)
def _changes(node: ast.stmt, methods: frozenset[str]) -> frozenset[str]:
    """Names from around a definition whose objects, or meanings, calls of it change."""
    finder = _Changes(node, methods)
    finder.visit(node)
    return frozenset(finder.found - PRESENT - {""})


class _Changes(ast.NodeVisitor):
    """Looks through a function or a class for what it changes beside its own variables."""

    def __init__(self, node: ast.stmt, methods: frozenset[str]) -> None:
        self.found: set[str] = set()
        self._methods = methods
        self._scopes: list[set[str]] = []
        self._whole = next(iter(_defined(node)), "")
        self._class = node if isinstance(node, ast.ClassDef) else None
        self._kept_by_class = _mutable_attributes(node) if isinstance(node, ast.ClassDef) else set()
        self._defaults: list[set[str]] = []
        self._inner: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        """Look at a node, and into it."""
        if self._scopes:
            for target in targets_of(node, self._methods):
                self._note(target)
        if isinstance(node, FUNCTIONS):
            self._function(node)
        else:
            self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        every = [each for child in children(node) for each in nodes_in(child)]
        beyond = {name for each in every if isinstance(each, ast.Global) for name in each.names}
        stored = {each.id for each in every if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
        self.found |= stored & beyond
        around = {name for each in every if isinstance(each, ast.Nonlocal) for name in each.names}
        if stored & around:
            self.found.add(self._whole)
        inner = {each.name for each in every if isinstance(each, DEFINITIONS)}
        self._inner |= inner
        self._scopes.append((stored | inner | {each.arg for each in every if isinstance(each, ast.arg)}) - beyond)
        self._defaults.append(set(_mutable_defaults(node)))
        self.generic_visit(node)
        self._scopes.pop()
        self._defaults.pop()

    def _note(self, target: ast.AST) -> None:
        name = root_of(target)
        is_default = len(self._scopes) == 1 and name in self._defaults[-1]
        if (
            is_default
            or name in self._inner
            or (self._class is not None and _is_the_class(target, self._kept_by_class))
        ):
            self.found.add(self._whole)
        elif not any(name in scope for scope in self._scopes):
            self.found.add(name)


def _is_the_class(target: ast.AST, attributes: set[str]) -> bool:
    """Whether a method means its class: ``cls``, ``type(self)``, ``self.__class__``, or what the class keeps."""
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        if _is_of_class(target, attributes):
            return True
        target = target.value
    if isinstance(target, ast.Call) and isinstance(target.func, ast.Name) and target.func.id == "type":
        return True
    return isinstance(target, ast.Name) and target.id == "cls"


def _is_of_class(target: ast.AST, attributes: set[str]) -> bool:
    if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name) or target.value.id != "self":
        return False
    return target.attr == "__class__" or target.attr in attributes


def changing_methods(node: ast.ClassDef) -> set[str]:
    """Methods of a class that change its objects."""
    methods = (each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {
        each.name
        for each in methods
        if each.name != "__init__" and any(root_of(t) == "self" for n in nodes_in(each) for t in targets_of(n))
    }


def _mutable_attributes(node: ast.ClassDef) -> set[str]:
    """Attributes that a class has for all its objects, and none of these has for itself."""
    made = (each for each in node.body if isinstance(each, (ast.Assign, ast.AnnAssign)) and not _is_field(each))
    found = {target.id for each in made for target in _places(each) if isinstance(target, ast.Name)}
    own = {
        target.attr
        for each in nodes_in(node)
        if isinstance(each, (ast.Assign, ast.AnnAssign))
        for target in _places(each)
        if isinstance(target, ast.Attribute) and root_of(target.value) == "self"
    }
    return found - own


def _containers(node: ast.ClassDef) -> set[str]:
    """Of these attributes, those that may be changed in place."""
    fixed = (ast.Constant, ast.Tuple, ast.Name, ast.Attribute, ast.Lambda, ast.JoinedStr, ast.UnaryOp, ast.BinOp)
    made = (each for each in node.body if isinstance(each, (ast.Assign, ast.AnnAssign)))
    open_ = (each for each in made if each.value is not None and not isinstance(each.value, fixed))
    found = {target.id for each in open_ for target in _places(each) if isinstance(target, ast.Name)}
    return found & _mutable_attributes(node)


def _is_field(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a statement of a class says what each object has: ``n: list``, also with ``= field(…)``."""
    if not isinstance(node, ast.AnnAssign):
        return False
    call = node.value
    return call is None or (isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2].lower() == "field")


def _places(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return list(node.targets) if isinstance(node, ast.Assign) else [node.target]


def _mutable_defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs = [*zip(reversed(positional), reversed(node.args.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
    for argument, default in pairs:
        if not isinstance(default, (ast.Constant, ast.Tuple, ast.Name, ast.Attribute)):
            yield argument.arg
