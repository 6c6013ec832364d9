"""What a module takes from outside while it is imported: no text can tell such a value."""

from __future__ import annotations

import ast
import os
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint.source import dotted
from stargazer.fingerprint.state import is_main_guard, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeGuard

__all__ = ["files_named", "of_the_machine", "outside_names", "outside_of", "outside_settings"]

READS = frozenset({
    "environ", "environb", "getenv", "open", "read_text", "read_bytes", "input", "urlopen", "urlretrieve",
    "now", "today", "utcnow", "time", "time_ns", "perf_counter", "monotonic", "uuid1", "uuid4", "urandom",
    "token_hex", "token_bytes", "randint", "randrange", "getrandbits", "gethostname", "getpid", "getuser", "getlogin",
    "argv", "check_output", "loadtxt", "genfromtxt", "read_csv", "read_json", "read_yaml", "read_excel", "read_parquet",
    "read_table", "safe_load_all", "memmap", "open_memmap", "memory_map", "fromfile", "read_pickle", "read_feather",
    "read_hdf", "run_path", "read_h5ad", "read_fwf", "read_xml", "read_sql", "read_orc",
})  # fmt: skip
"""Names of functions and variables of libraries that bring values in."""

SEEDED = frozenset({"Random", "default_rng", "RandomState", "SystemRandom", "Generator"})
"""Called without a seed, they take one from outside."""

MODULES = frozenset({"random", "secrets", "requests", "httpx", "socket"})
"""Whose functions all do."""

MACHINE = frozenset({"cpu_count", "process_cpu_count", "sched_getaffinity"})
"""How large this machine is: no result may depend on it."""

ENVIRONMENT = frozenset({"environ", "environb", "getenv"})
PEOPLE = frozenset({"logging", "argparse"})
"""Libraries whose settings shape messages and help."""

LONGEST = 1000
"""Characters of a path."""

Definitions = dict[str, ast.FunctionDef | ast.ClassDef]

READING = (ast.Attribute, ast.Call, ast.Name)
"""Kinds of nodes that can take something in; most are of none of them."""

SAFE = frozenset({"seed", "Random"})
AMBIGUOUS = {"time": "time", "now": "datetime", "today": "date", "open": "", "argv": "sys", "input": ""}


def outside_names(tree: ast.Module) -> tuple[str, ...]:
    """What the statements of a module read from outside as it is imported, also in functions of its own."""
    definitions = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    found: set[str] = set()
    for statement in tree.body:
        if not is_main_guard(statement) and not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found.update(outside_of([statement], definitions))
    return tuple(sorted(found))


def outside_of(nodes: Iterable[ast.AST], definitions: Definitions) -> set[str]:
    """What code reads from outside when it runs; calls of functions of its module are looked into."""
    found: set[str] = set()
    written: set[int] = set()
    for node in _followed(nodes, definitions):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            written.add(id(node.value))  # ``os.environ["X"] = "1"`` takes nothing in
        if isinstance(node, READING) and id(node) not in written:
            found.update(_reads(node))
    return found


def files_named(nodes: Iterable[ast.AST], definitions: Definitions, space: dict[str, Any]) -> list[str]:
    """Files and folders that code names as it runs, by texts or by variables of its module, and that are there.

    Parameters
    ----------
    nodes, definitions
        The code, and functions of its module.
    space
        Variables of the module.
    """
    found: dict[str, None] = {}
    beside = os.path.dirname(str(space.get("__file__") or ""))
    for node in _followed(nodes, definitions):
        value = node.value if isinstance(node, ast.Constant) else space.get(node.id) if _is_read(node) else None
        if isinstance(value, (str, PurePath)) and 0 < len(str(value)) < LONGEST and "\0" not in str(value):
            places = map(os.path.abspath, (value, os.path.join(beside, value)))
            found.update(dict.fromkeys(filter(_is_data, places), None))
    return list(found)


def _is_data(path: str) -> bool:
    """Whether a path leads to a file, or to a folder that is one thing, as one of zarr is."""
    return os.path.isfile(path) or (os.path.isdir(path) and bool(os.path.splitext(path.rstrip(os.sep))[1]))


def _is_read(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _followed(nodes: Iterable[ast.AST], definitions: Definitions) -> Iterator[ast.AST]:
    """What runs of some code, with the bodies of functions and classes of its module that it calls."""
    todo, seen = list(nodes), set[str]()
    while todo:
        for node in running(todo.pop()):
            yield node
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name in definitions and name not in seen:
                seen.add(name)
                todo += definitions[name].body


def outside_settings(
    statement: ast.stmt, definitions: dict[str, ast.FunctionDef | ast.ClassDef], space: dict[str, Any]
) -> set[str]:
    """What a statement that sets a library takes from outside.

    What goes from the environment into it, or into ``sys.path``, is what libraries and imports take from there anyway.
    """
    changed = set(_changed(statement, space))
    if changed and changed <= PEOPLE:
        return set()
    outside = outside_of([statement], definitions)
    if changed and changed <= {*PEOPLE, "environ"}:
        outside = {each for each in outside if each.rpartition(".")[2] not in ENVIRONMENT}
    return outside


def _changed(statement: ast.stmt, space: dict[str, Any]) -> Iterator[str]:
    """Whose things a statement changes or calls: packages, and ``environ`` for the environment and ``sys.path``."""
    for node in running(statement):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield _home(node.value, space)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield _home(node.value.func, space)
        elif isinstance(node, (ast.With, ast.NamedExpr)) or (
            isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) for each in node.targets)
        ):
            yield ""


def _home(node: ast.expr, space: dict[str, Any]) -> str:
    chain = dotted(node)
    if not ENVIRONMENT.isdisjoint(chain) or chain[:2] == ("sys", "path"):
        return "environ"
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    value = space.get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0]
    return str((value if isinstance(value, (FunctionType, type)) else type(value)).__module__).partition(".")[0]


def of_the_machine(nodes: Iterable[ast.AST]) -> bool:
    """Whether code asks how large the machine is."""
    return any(_last_name(node) in MACHINE and dotted(node) for each in nodes for node in running(each))


def _last_name(node: ast.AST) -> str:
    """What a dotted name would end with; asked of each node, before it is taken apart."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _reads(node: ast.AST) -> Iterator[str]:
    chain = dotted(node)
    if isinstance(node, ast.Call):
        called = dotted(node.func)
        if called and called[-1] in SEEDED and not (node.args or node.keywords):
            yield f"{'.'.join(called)}()"
        if len(called) > 1 and called[0] in MODULES and called[-1] not in SAFE:
            yield f"{'.'.join(called)}()"
        if not called and isinstance(node.func, ast.Attribute) and node.func.attr in READS - AMBIGUOUS.keys():
            yield f".{node.func.attr}()"  # of a value: Path(…).read_text()
    if chain and chain[-1] in READS:
        before = AMBIGUOUS.get(chain[-1])
        if before is None or (chain[-2:-1] or ("",))[0] in (before, "datetime" if before == "date" else before):
            yield ".".join(chain)
