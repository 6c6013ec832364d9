"""The code of a notebook: imports, definitions and constants, run wherever a cell needs them, and the key of a cell.

What is code is found out statement by statement: an import, a function, a class or an UPPERCASE constant that reads
nothing but code. All of it makes one module, the same from the same text in every process and every host; the code of
a cell is digested there, with all that it reaches.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import linecache
import re
import sys
import threading
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint import CodeIdentity, identify
from stargazer.fingerprint.parsing import children, lines_of, parse, walk
from stargazer.notebook.names import PRESENT, free_names, kind_in, tree_of
from stargazer.notebook.surroundings import Surroundings
from stargazer.notebook.values import NOTEBOOK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.notebook.document import Cell

__all__ = [
    "Part",
    "Prelude",
    "Setting",
    "Split",
    "as_main",
    "prelude_of",
    "root_set_up",
    "split_cells",
    "statement_names",
]

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
CONSTANT = (
    ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Name, ast.expr_context,
)  # fmt: skip
MAKE_TYPES = ("namedtuple", "NamedTuple", "NewType", "TypeVar", "make_dataclass")
"""Functions whose results are types."""

SETS_UP = re.compile(
    r"(set(?!p\b)|seed|use|filter(?!_)|simplefilter|register|config|rc|enable|disable|init|basicConfig|update)"
)
"""How functions are named that change what a library keeps; ``filter_cells(adata)`` and ``setp(lines)`` change data."""

SEEDS_IT = re.compile(r"seed\(")
"""Where numbers begin, which no table shows."""

WHERE_MODULES_ARE = ("sys.path.append", "sys.path.extend", "sys.path.insert")
"""Functions that say where later imports look."""


class Part(NamedTuple):
    """Some statements of a cell.

    Parameters
    ----------
    source
        Text of the whole cell.
    chosen
        Which of its statements, by number.
    """

    source: str
    chosen: tuple[int, ...]

    def nodes(self) -> list[ast.stmt]:
        """The statements."""
        body = tree_of(as_main(self.source)).body
        return [body[number] for number in self.chosen]


class Setting(NamedTuple):
    """A statement that changes what a library keeps.

    Parameters
    ----------
    root
        The name that it begins with.
    text
        It, with digests of what it reads.
    patches
        Whether it counts for all cells: it puts code of the notebook into the library, which its objects have then,
        whoever asks them, or is made with a value.
    """

    root: str
    text: str
    patches: bool


class Split(NamedTuple):
    """A notebook's statements: what is code, and what is left for cells to do.

    Parameters
    ----------
    parts
        Of each cell, its code; empty where it has none.
    rest
        Of each cell, numbers of the other statements.
    names
        Names of all code.
    """

    parts: tuple[Part, ...]
    rest: tuple[tuple[int, ...], ...]
    names: frozenset[str]


@functools.lru_cache(maxsize=1024)
def as_main(source: str) -> str:
    """Let ``__name__`` be ``"__main__"``, as in a kernel and in marimo, whatever the module is called here.

    In the text, line by line, as functions are compared with theirs; in an f-string it stays as it is.
    """
    if "__name__" not in source:
        return source
    lines = [line.encode() for line in lines_of(source, ends=True)]
    for node in sorted(_read_plainly(tree_of(source)), key=lambda each: (each.lineno, each.col_offset), reverse=True):
        line, at = lines[node.lineno - 1], node.col_offset
        if line[at:].startswith(b"__name__"):
            lines[node.lineno - 1] = line[:at] + b'"__main__"' + line[at + len("__name__") :]
    return b"".join(lines).decode()


def _read_plainly(node: ast.AST) -> Iterable[ast.Name]:
    """Where ``__name__`` is read, but for f-strings."""
    if isinstance(node, ast.Name) and node.id == "__name__" and isinstance(node.ctx, ast.Load):
        yield node
    elif not isinstance(node, ast.JoinedStr):
        for each in children(node):
            yield from _read_plainly(each)


def statement_names(node: ast.stmt) -> frozenset[str]:
    """Names that a statement of code binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset({node.name})
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return frozenset((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    targets = node.targets if isinstance(node, ast.Assign) else []
    return frozenset(each.id for target in targets for each in walk(target) if isinstance(each, ast.Name))


def split_cells(cells: Sequence[Cell]) -> Split:
    """Find out what of the cells is code.

    A name that is bound in two ways is no code, and neither is what reads it.
    """
    bodies = [cell.tree.body for cell in cells]
    asked = {c for c, cell in enumerate(cells) if cell.notes.prompt is not None}
    chosen = {
        (c, n) for c, body in enumerate(bodies) if c not in asked for n, node in enumerate(body) if _may_be_code(node)
    }
    others = _bound_by_others(cells, bodies, chosen)
    while True:
        texts: dict[str, set[str]] = {}
        for c, n in chosen:
            for name in statement_names(bodies[c][n]):
                texts.setdefault(name, set()).add(_text_of(bodies[c][n], name))
        code = {name for name, found in texts.items() if len(found) == 1 and name not in others}
        known = frozenset().union(*(cell.defs | cell.names.early for cell in cells)) if cells else frozenset()
        wrong = {
            (c, n)
            for c, n in chosen
            if not statement_names(bodies[c][n]) <= code or (free_names(bodies[c][n]) & known) - code
        }
        if not wrong:
            break
        others |= frozenset().union(*(statement_names(bodies[c][n]) for c, n in wrong))
        chosen -= wrong
    chosen |= {(c, n) for c, body in enumerate(bodies) for n, node in enumerate(body) if _sets_up(node, code)}
    return Split(
        tuple(
            Part(cell.source, tuple(n for n in range(len(body)) if (c, n) in chosen))
            for c, (cell, body) in enumerate(zip(cells, bodies, strict=True))
        ),
        tuple(tuple(n for n in range(len(body)) if (c, n) not in chosen) for c, body in enumerate(bodies)),
        frozenset(code),
    )


def _text_of(node: ast.stmt, name: str) -> str:
    """Text of what binds a name; one import may stand in several cells, beside others."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        found = [a for a in node.names if (a.asname or a.name).partition(".")[0] == name]
        head = f"{node.module} {node.level}" if isinstance(node, ast.ImportFrom) else ""
        first = found[0]
        return f"{head} {first.name if first.asname or head else first.name.partition('.')[0]}"
    return ast.unparse(node)


def _bound_by_others(
    cells: Sequence[Cell], bodies: list[list[ast.stmt]], chosen: set[tuple[int, int]]
) -> frozenset[str]:
    """Names that some statement binds which is no code for sure."""
    found = set[str]()
    for c, body in enumerate(bodies):
        for n, node in enumerate(body):
            if (c, n) not in chosen:
                stored = (e for e in kind_in(node, ast.Name) if not isinstance(e.ctx, ast.Load))
                found.update(each.id for each in stored)
                found.update(name for each in kind_in(node, *DEFINITIONS) for name in statement_names(each))
    return frozenset(found & frozenset().union(*(cell.defs for cell in cells)) if cells else ())


def _may_be_code(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name != "*"
    if isinstance(node, DEFINITIONS):
        return True
    if not isinstance(node, ast.Assign) or not all(isinstance(target, ast.Name) for target in node.targets):
        return False
    if isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).rpartition(".")[2] in MAKE_TYPES
    names = statement_names(node)
    return all(name.isupper() for name in names) and all(isinstance(each, CONSTANT) for each in walk(node.value))


def _sets_up(node: ast.stmt, code: set[str]) -> bool:
    """Whether a statement of code changes what a library keeps: ``np.random.seed(0)``, ``pd.options.x = 1``."""
    return bool(root_set_up(node)) and free_names(node) <= code


def root_set_up(node: ast.stmt) -> str:
    """The name by which a statement changes what it stands for; empty where it does not look like that."""
    if isinstance(node, ast.Assign):
        changes = all(isinstance(each, (ast.Attribute, ast.Subscript)) for each in node.targets)
        return _root(node) if changes else ""
    call = node.value if isinstance(node, ast.Expr) else None
    called = call.func if isinstance(call, ast.Call) else None
    if not isinstance(called, ast.Attribute):
        return ""
    return _root(node) if SETS_UP.match(called.attr) or ast.unparse(called) in WHERE_MODULES_ARE else ""


class Prelude:
    """The code of a notebook, as a module that is made of its text.

    Parameters
    ----------
    parts
        From `split_cells`, in an order in which they can run.

    Attributes
    ----------
    errors
        What was raised by which part, by number; what it defines is missing then.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(part for part in parts if part.chosen)
        self.errors: dict[int, BaseException] = {}
        self._lock = threading.RLock()
        self._codes: dict[str, str] = {}
        self._leads: dict[str, frozenset[str]] = {}
        self._surroundings = Surroundings()

    def __reduce__(self) -> Any:
        return prelude_of, (self.parts,)

    @functools.cached_property
    def digest(self) -> str:
        """Tells one notebook's code from another's, in this process."""
        return hashlib.sha256(repr(self.parts).encode()).hexdigest()[:16]

    @functools.cached_property
    def module(self) -> ModuleType:
        """The module; its code runs when it is first asked for."""
        with self._lock:
            made = ModuleType(NOTEBOOK)
            made.__file__ = f"<notebook {self.digest}>"
            statements = [node for part in self.parts for node in part.nodes()]
            text = ast.unparse(ast.Module(statements, []))
            linecache.cache[made.__file__] = (len(text), None, lines_of(text, ends=True), made.__file__)
            sys.modules[NOTEBOOK] = made
            self._surroundings.note(lambda: self._run_all(made))
            return made

    def _run_all(self, made: ModuleType) -> None:
        for number, part in enumerate(self.parts):
            self._run(number, part, made)

    def _run(self, number: int, part: Part, made: ModuleType) -> None:
        code = compile(ast.Module(part.nodes(), []), filename_of(as_main(part.source)), "exec", dont_inherit=True)
        try:
            exec(code, made.__dict__)
        except Exception as error:  # noqa: BLE001 - it is told where the cell is
            self.errors[number] = error

    def set_up_again(self) -> None:
        """Run what sets up libraries once more, as for a kernel that is started anew: seeds, above all."""
        with self._lock:
            self._surroundings.note(self._set_up)

    def _set_up(self) -> None:
        for part in self.parts:
            nodes = [node for node in part.nodes() if not _may_be_code(node)]
            code = compile(ast.Module(nodes, []), filename_of(as_main(part.source)), "exec", dont_inherit=True)
            with contextlib.suppress(Exception):  # it was raised, and told, when the module was made
                exec(code, self.module.__dict__)

    def around(self, *, keep: bool = False) -> contextlib.AbstractContextManager[None]:
        """Let what the code set for its own thread, as the precision of decimals, hold in this one."""
        return self._surroundings.again(keep=keep)

    @property
    def namespace(self) -> Mapping[str, Any]:
        """What the names of the code mean."""
        return self.module.__dict__

    def error_of(self, cell: Cell) -> BaseException | None:
        """What was raised when the code of a cell ran."""
        _ = self.module
        found = (n for n, part in enumerate(self.parts) if part.source == cell.source)
        return next((self.errors[n] for n in found if n in self.errors), None)

    @functools.cached_property
    def _statements(self) -> dict[str, list[ast.stmt]]:
        found: dict[str, list[ast.stmt]] = {}
        for part in self.parts:
            for node in part.nodes():
                for name in statement_names(node) if not isinstance(node, (ast.Expr,)) else ():
                    found.setdefault(name, []).append(node)
        return found

    @functools.cached_property
    def _settings(self) -> list[Setting]:
        """Statements that change what libraries keep."""
        nodes = [node for part in self.parts for node in part.nodes() if not _may_be_code(node)]
        return [self.setting(node) for node in nodes]

    def setting(self, node: ast.stmt) -> Setting:
        """What a statement sets up, with digests of the constants and functions that it reads."""
        own = sorted(name for name in free_names(node) if name in self._statements and not self.is_imported(name))
        text = " ".join([ast.unparse(node), *(f"{name}={self.code_of(name)}" for name in own)])
        patches = isinstance(node, ast.Assign) and any(isinstance(n, DEFINITIONS) for n in self.nodes_of(own))
        return Setting(_root(node), text, patches)

    def run_setting(self, node: ast.stmt, values: Mapping[str, Any]) -> None:
        """Run a statement that changes what a library keeps, for all that runs from here on."""
        code = compile(ast.Module([node], []), "<setting>", "exec", dont_inherit=True)
        with self._lock, self.around(keep=True):
            exec(code, {**self.namespace, **values})

    def reached(self, names: Iterable[str]) -> frozenset[str]:
        """Names of code that some names lead to."""
        return frozenset[str]().union(*(self._reached_from(name) for name in names if name in self._statements))

    def _reached_from(self, first: str) -> frozenset[str]:
        """Names that a name of code leads to, and itself; looked up once, as the text stays as it is."""
        if first not in self._leads:
            found, todo = set[str](), [first]
            while todo:
                name = todo.pop()
                if name not in found and name in self._statements:
                    found.add(name)
                    todo += [each for node in self._statements[name] for each in free_names(node)]
            self._leads[first] = frozenset(found)
        return self._leads[first]

    def nodes_of(self, names: Iterable[str]) -> list[ast.stmt]:
        """Statements that bind some names."""
        return [node for name in sorted(names) for node in self._statements.get(name, ())]

    def statements_under(self, cell: Cell) -> list[ast.stmt]:
        """Statements of a cell, and those of the code that it reaches."""
        return [*cell.tree.body, *self.nodes_of(self.reached(cell.refs | cell.defs))]

    def statements_of(self, names: frozenset[str]) -> list[ast.stmt]:
        """Statements that bind some names, and those that set up the libraries these stand for, as they are run."""
        nodes = [node for part in self.parts for node in part.nodes()]
        return [
            node for node in nodes if statement_names(node) & names or (not _may_be_code(node) and _root(node) in names)
        ]

    def settings(self, names: frozenset[str], *, shows: bool = False, placed: Sequence[Setting] = ()) -> str:
        """Digest of what sets up the libraries that some names of code stand for; empty where nothing does.

        Parameters
        ----------
        names
            Of code, that a cell reaches.
        shows
            Whether it shows something: a table looks as its library was told, also where the cell does not name that.
        placed
            What other cells set up before it, beside the code.
        """
        texts = [each.text for each in (*self._settings, *placed) if self.is_counted(each, names, shows=shows)]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest() if texts else ""

    def is_counted(self, setting: Setting, names: frozenset[str], *, shows: bool) -> bool:
        """Whether a setting counts for what reaches some names of code."""
        if setting.patches or setting.root in names:
            return True
        library = self.imported_from(setting.root).partition(".")[0]
        libraries = {found.partition(".")[0] for name in names if (found := self.imported_from(name))}
        may_show = shows and library not in sys.stdlib_module_names and not SEEDS_IT.search(setting.text)
        return library in libraries or may_show

    def imported_from(self, name: str) -> str:
        """Where a name comes from that the code imports, as ``numpy.random.seed``; empty where it imports none."""
        for node in self._statements.get(name, ()):
            for alias in node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ():
                if (alias.asname or alias.name).partition(".")[0] == name:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    return f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else whole
        return ""

    def is_imported(self, name: str) -> bool:
        """Whether the code imports what a name stands for."""
        return bool(self.imported_from(name))

    def code_of(self, name: str) -> str:
        """Digest of what a name of the code means, with all that it reaches."""
        if name not in self._codes:
            self._codes[name] = self.identify(f"{name}\n", frozenset(), name).digest if name in self.namespace else ""
        return self._codes[name]

    def identify(
        self, source: str, given: frozenset[str], name: str, hidden: frozenset[str] = frozenset()
    ) -> CodeIdentity:
        """Digest the code of a cell, as if it were a function of this module, with all that it reaches.

        Parameters
        ----------
        source
            Its text.
        given
            Names that it reads, or may read before it binds them; those that are no code are its parameters.
        name
            How warnings call it.
        hidden
            Names of Python's own that other cells bind.
        """
        with self._lock:
            sys.modules[NOTEBOOK] = self.module
            return identify(self.function(source, given, hidden), name)

    def function(self, source: str, given: frozenset[str], hidden: frozenset[str] = frozenset()) -> FunctionType:
        """The function that stands for a cell; only looked at, never called."""
        return _function(self.module, source, sorted(given - self._statements.keys() - (PRESENT - hidden)))


def _function(module: ModuleType, source: str, parameters: list[str]) -> FunctionType:
    name, text, code = _as_function(source, tuple(parameters))
    linecache.cache[name] = (len(text), None, lines_of(text, ends=True), name)
    scope: dict[str, Any] = {}
    exec(code, module.__dict__, scope)
    found: FunctionType = scope["cell"]
    return found


@functools.lru_cache(maxsize=1024)
def _as_function(source: str, parameters: tuple[str, ...]) -> tuple[str, str, CodeType]:
    """A cell as the text of a function, under which name tracebacks and digests know it, and compiled."""
    tree = tree_of(as_main(source))
    kinds = {type(node) for node in _outside(tree)}
    if ast.AnnAssign in kinds:
        tree = _AsFunction().visit(parse(as_main(source)))  # a tree of its own, which it may change
        kinds = {type(node) for node in _outside(tree)}
    kind = ast.FunctionDef if kinds.isdisjoint((ast.Await, ast.AsyncFor, ast.AsyncWith)) else ast.AsyncFunctionDef
    body = [ast.Pass(), *(node for node in tree.body if not _is_future(node))]
    arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
    text = ast.unparse(ast.Module([kind("cell", arguments, body, [], lineno=1, col_offset=0)], []))
    name = f"<cell-identity {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    return name, text, compile(text, name, "exec", dont_inherit=True)


class _AsFunction(ast.NodeTransformer):
    """What may stand in a module and not in a function: annotations of names that are global there."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Write it without its annotation."""
        if node.value is None:
            return ast.Pass()
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_FunctionDef(self, node: Any) -> Any:
        """Leave what is inside of it."""
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef


def _outside(tree: ast.Module) -> Iterable[ast.AST]:
    """Nodes of a cell that are not inside of a function of it."""
    todo: list[ast.AST] = [*tree.body]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            todo += children(node)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _root(node: ast.stmt) -> str:
    """The name that a statement like ``a.b.c(…)`` or ``a.b = …`` begins with."""
    found: Any = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "value", None)
    while isinstance(found, (ast.Attribute, ast.Subscript, ast.Call)):
        found = found.func if isinstance(found, ast.Call) else found.value
    return found.id if isinstance(found, ast.Name) else ""


def filename_of(source: str) -> str:
    """Name under which the text of a cell is known to tracebacks."""
    name = f"<cell {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    if name not in linecache.cache:
        text = source if source.endswith("\n") else f"{source}\n"
        linecache.cache[name] = (len(text), None, lines_of(text, ends=True), name)
    return name


_preludes: dict[tuple[Part, ...], Prelude] = {}
_making = threading.Lock()


def prelude_of(parts: Sequence[Part]) -> Prelude:
    """The code of a notebook; the same object for the same text, so that its classes are the same."""
    key = tuple(part for part in parts if part.chosen)
    with _making:
        if key not in _preludes:
            if len(_preludes) >= 64:
                _preludes.pop(next(iter(_preludes)))
            _preludes[key] = Prelude(key)
        return _preludes[key]
