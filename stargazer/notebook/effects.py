"""What makes a cell live by its very text: clocks, queries of the store, changes of the whole process."""

from __future__ import annotations

import ast
import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.source import dotted
from stargazer.notebook.names import LOOKS_UP, QUERIES_OF_FRAMES, kind_in, nodes_in, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["WIDGET", "full_names", "samples_rows", "touches_engine", "why_live"]

CLOCKS = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "uuid.uuid1", "uuid.uuid4",
    "os.urandom", "secrets.token_hex", "secrets.token_bytes", "secrets.token_urlsafe", "pandas.Timestamp.now",
    "pandas.Timestamp.today", "pandas.Timestamp.utcnow",
}  # fmt: skip
QUERIES = {
    "add",
    "assemble",
    "active_store",
    "forget",
    "push",
    "verify",
    "names",
    "connect",
    "plan",
    "trace",
    "Store",
    "notebook",
    "Notebook",
}
"""Names of the engine's that ask or change what is in a store, or elsewhere."""

WIDGETS, WIDGET = "marimo.ui.", "it makes a widget"
PROCESS = {"os.chdir": "it moves the whole process", "os.putenv": "it sets variables of the whole process"}


SEEDS = {"random_state", "seed", "rng", "None"}
"""Arguments by which ``.sample`` is told where to draw from; of ``**options`` nobody can say."""

OF_FILES = {"exists", "lexists", "is_file", "isfile", "is_dir", "isdir", "getmtime", "stat", "lstat"}
"""Methods and functions that say whether a file is there, or since when."""


def why_live(cell: Cell, prelude: Prelude) -> str:
    """Why a cell runs each time, as far as its text tells; empty where it need not."""
    if found := _looks_up(cell, prelude):
        return f"it looks names up while it runs ({found})"
    if cell.names.stars:
        return f"it imports whatever {cell.names.stars[0]} has"
    if cell.notes.cache == "off":
        return "it says @cache off"
    if any(mount.writable for mount in cell.notes.mounts):
        return "it writes to a place that it mounts"
    for name in _called(cell, prelude):
        if name in CLOCKS and cell.notes.cache is None:
            return f"it asks the clock or chance ({name})"
        if name in PROCESS:
            return PROCESS[name]
        if name.startswith(("stargazer.",)) and name.rpartition(".")[2] in QUERIES and cell.notes.cache is None:
            return f"it asks the store ({name.removeprefix('stargazer.')})"
        if name == "marimo.sql" or name.startswith("duckdb."):
            return "its SQL may name any value"
    if cell.notes.cache is None and samples_rows([*cell.tree.body, *prelude.nodes_of(prelude.reached(cell.refs))]):
        return "it draws random numbers (.sample without random_state)"
    if cell.notes.cache is None and (asked := _asks_for_files(cell)):
        return f"it asks what files there are (.{asked})"
    if _opens_database(cell, prelude):
        return "it opens a database, which only the thread that did may ask (sqlite3.connect)"
    for name in _called(cell, prelude, deep=False):
        if f"{name}.".startswith(WIDGETS) or name == "marimo.state":
            return WIDGET
    return ""


def _opens_database(cell: Cell, prelude: Prelude) -> bool:
    """Whether a cell may leave a connection of SQLite to others; one that a block has is of no use after it."""
    nodes = prelude.statements_under(cell)
    blocks = (each for node in nodes for each in kind_in(node, ast.With, ast.AsyncWith))
    left = {id(item) for each in blocks for item in _opened(each)}
    calls = (each for node in nodes for each in kind_in(node, ast.Call) if id(each) not in left)
    return any(name == "sqlite3.connect" for call in calls for name in full_names([call.func], prelude))


def _opened(block: ast.With | ast.AsyncWith) -> Iterator[ast.AST]:
    for item in block.items:
        yield from nodes_in(item.context_expr)


def samples_rows(nodes: Iterable[ast.AST]) -> bool:
    """Whether rows of a table are drawn at random, which the table asks NumPy's generator for."""
    calls = (each for node in nodes for each in kind_in(node, ast.Call))
    drawn = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "sample")
    return any(SEEDS.isdisjoint(str(keyword.arg) for keyword in call.keywords) for call in drawn)


def _looks_up(cell: Cell, prelude: Prelude) -> str:
    """What of a cell, or of what it reaches, reads names that nobody can see in its text."""
    for node in prelude.statements_under(cell):
        for each in kind_in(node, ast.Call):
            called = each.func
            if isinstance(called, ast.Name) and called.id in LOOKS_UP and not (called.id == "vars" and each.args):
                return called.id
            if isinstance(called, ast.Attribute) and called.attr in QUERIES_OF_FRAMES and not texts_of(each):
                return f"a query that is made while it runs, by .{called.attr}"
    return ""


def _asks_for_files(cell: Cell) -> str:
    """How a cell asks whether a file is there: no event of Python's tells of that. What is fetched never changes."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in cell.tree.body if not isinstance(node, definitions)]
    calls = (each for node in nodes for each in kind_in(node, ast.Call))
    names = (getattr(each.func, "attr", None) or getattr(each.func, "id", "") for each in calls if not _fetched(each))
    return next((name for name in names if name in OF_FILES), "")


def _fetched(call: ast.Call) -> bool:
    """Whether something is asked of a stored file, as in ``asset.fetch().stat()``."""
    of = getattr(call.func, "value", None)
    return isinstance(of, ast.Call) and getattr(of.func, "attr", "") == "fetch"


def touches_engine(cell: Cell, prelude: Prelude) -> bool:
    """Whether a cell, or what it reaches, names the engine or a task: then it runs in this process."""
    names = prelude.reached(cell.refs | cell.defs)
    return any(_is_of_engine(prelude.namespace.get(name)) for name in names)


def _is_of_engine(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return f"{value.__name__}.".startswith("stargazer.")
    module = getattr(value, "__module__", None) or ""
    return str(type(value).__module__).startswith("stargazer.") or str(module).startswith("stargazer.")


def _called(cell: Cell, prelude: Prelude, *, deep: bool = True) -> Iterator[str]:
    """Full names of what a cell, and the code that it reaches, reads by dotted names."""
    yield from full_names(prelude.statements_under(cell) if deep else cell.tree.body, prelude)


def full_names(nodes: Iterable[ast.AST], prelude: Prelude) -> Iterator[str]:
    """Full names of what some nodes read by dotted names, as far as the code imports or makes it."""
    for node in nodes:
        for chain in _chains(node):
            if found := _full_name(chain, prelude):
                yield found


@functools.lru_cache(maxsize=8192)
def _chains(node: ast.AST) -> tuple[tuple[str, ...], ...]:
    """Dotted names that a node reads or binds."""
    return tuple(chain for each in kind_in(node, ast.Attribute, ast.Name) if (chain := dotted(each)))


def _full_name(chain: tuple[str, ...], prelude: Prelude) -> str:
    head, *rest = chain
    value = prelude.namespace.get(head)
    if isinstance(value, ModuleType):
        return ".".join([value.__name__, *rest])
    if isinstance(value, type) and rest:
        return ".".join([value.__module__, value.__qualname__, *rest])
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if (not module or not name) and (found := prelude.imported_from(head)):
        return ".".join([found, *rest])
    if not module or not name or module == "__notebook__":
        return ""
    return ".".join([public(module), name, *rest])


@functools.lru_cache(maxsize=256)
def public(module: str) -> str:
    """A module of Stargazer by the name that people use; any other as it is."""
    return "stargazer" if module.startswith("stargazer.") else module
