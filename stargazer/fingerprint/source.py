"""Find the syntax tree of a function, class or module that is already running."""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import inspect
import linecache
import os
import sys
import time
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import CodeChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Chain",
    "Import",
    "References",
    "class_node",
    "dotted",
    "function_nodes",
    "global_names",
    "methods",
    "module_tree",
    "parameter_types",
    "references",
    "runs",
]


def function_nodes(function: FunctionType) -> list[ast.AST]:
    """Return the syntax trees that `function` may have been made from: one, or several lambdas of one line.

    An empty list means that its source is nowhere to be found.

    Raises
    ------
    CodeChanged
        The file was edited after the function was imported.
    """
    code, scope = function.__code__, function.__globals__
    text = _text(code.co_filename, scope)
    if "@pytest_ar" not in scope and not runs(code, text):
        linecache.checkcache(code.co_filename)
        text = _text(code.co_filename, scope)
        if not runs(code, text):
            raise CodeChanged(
                f"{code.co_filename} was edited after {function.__qualname__} was read from it; "
                "start the script again, or import it again (restart the kernel or use importlib.reload)"
            )
    return _functions(code.co_filename, text).get((code.co_name, code.co_firstlineno), [])


def class_node(cls: type) -> ast.ClassDef | None:
    """Return the syntax tree of `cls`, or None where it has no source."""
    for filename, namespace in _files_of(cls):
        text = _text(filename, namespace)
        found = _classes(filename, text).get(cls.__qualname__.rpartition("<locals>.")[2], [])
        if found:
            return next((node for node in found if _is_made_by(cls, node)), found[-1])
    return None


def module_tree(module: Any) -> ast.Module | None:
    """Return the syntax tree of a whole module, or None where it has no source."""
    filename = getattr(module, "__file__", None)
    text = _text(filename, vars(module)) if filename else ""
    return _parse(filename, text) if filename and text else None


def methods(cls: type) -> list[FunctionType]:
    """Return the functions written in the body of `cls`: not those that dataclasses, enums or named tuples add."""
    parts: list[Any] = []
    for member in vars(cls).values():
        parts += [getattr(member, name, None) for name in ("fget", "fset", "fdel", "func")]
        parts.append(inspect.unwrap(getattr(member, "__func__", member)))
    prefix = f"{cls.__qualname__}."
    return [p for p in parts if isinstance(p, FunctionType) and p.__code__.co_qualname.startswith(prefix)]


def _text(filename: str, namespace: dict[str, Any] | None) -> str:
    return "".join(linecache.getlines(filename, namespace))


def _is_made_by(cls: type, node: ast.ClassDef) -> bool:
    """Whether `cls`, of which there are several of one name in a file, stands at `node`."""
    line = getattr(cls, "__firstlineno__", None)  # since Python 3.13
    lines = [line] if line else [method.__code__.co_firstlineno for method in methods(cls)]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return any(first <= line <= (node.end_lineno or first) for line in lines)


def _files_of(cls: type) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for method in methods(cls):
        yield method.__code__.co_filename, method.__globals__
    module = sys.modules.get(cls.__module__)
    if getattr(module, "__file__", None):
        yield str(module.__file__), vars(module)  # type: ignore[union-attr]
    # Cells of a notebook: newest first, for a class may have been defined more than once.
    for filename in reversed(list(linecache.cache)):
        if filename.startswith("<") or "ipykernel" in filename or "__marimo__" in filename:
            yield filename, None


@functools.lru_cache(maxsize=256)
def _parse(filename: str, text: str) -> ast.Module:
    try:
        return ast.parse(text, filename)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


@functools.lru_cache(maxsize=256)
def _functions(filename: str, text: str) -> dict[tuple[str, int], list[ast.AST]]:
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(_parse(filename, text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


@functools.lru_cache(maxsize=256)
def _classes(filename: str, text: str) -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.ClassDef):
                found.setdefault(prefix + child.name, []).append(child)
                inner = f"{prefix}{child.name}."
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inner = ""
            visit(child, inner)

    visit(_parse(filename, text), "")
    return found


# Which names a piece of code refers to.


Chain = tuple[str, ...]
READS_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"}


class Import(NamedTuple):
    """An import inside a function.

    Parameters
    ----------
    module, level, name
        As in ``from ..module import name``; `name` is None for ``import module``.
    loaded
        The whole module that the statement loads: ``import a.b`` binds ``a``, but loads ``a.b``.
    """

    module: str
    level: int
    name: str | None
    loaded: str


class References(ast.NodeVisitor):
    """Dotted names that are read (``h.double`` is ``("h", "double")``) and names that are imported inside.

    Annotations of functions are passed over, as in `stargazer.fingerprint.canonical`; with ``bodies=False``
    what stands in functions, too, for it has a scope of its own.
    """

    def __init__(self, *, bodies: bool = True) -> None:
        self._bodies = bodies
        self.chains: set[Chain] = set()
        self.imports: dict[str, Import] = {}
        self._in_function = False

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = dotted(node)
        if chain:
            self.chains.add(chain)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            self.imports[alias.asname or module] = Import(module, 0, None, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imports[alias.asname or alias.name] = Import(node.module or "", node.level, alias.name, "")

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.target, node.value, None if self._in_function else node.annotation])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.enter(node.args, [node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self.enter(node.args, node.body if self._bodies else [])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._in_function = self._in_function, False
        self.generic_visit(node)
        self._in_function = outer

    def enter(self, arguments: ast.arguments, body: list[Any]) -> None:
        """Visit a function's defaults and body."""
        self._visit_all([*arguments.defaults, *arguments.kw_defaults])
        outer, self._in_function = self._in_function, True
        self._visit_all(body)
        self._in_function = outer

    def _visit_all(self, nodes: list[Any]) -> None:
        for node in filter(None, nodes):
            self.visit(node)


def references(nodes: Sequence[ast.AST], *, skip_decorators: bool = False, bodies: bool = True) -> References:
    """Collect the references of `nodes`; optionally not those in the decorators of the nodes themselves."""
    found = References(bodies=bodies)
    for node in nodes:
        if skip_decorators and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.enter(node.args, node.body)
        else:
            found.visit(node)
    return found


def parameter_types(node: ast.AST) -> set[Chain]:
    """Return the names in the annotations of a function's parameters, also in those written as strings."""
    found = References()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            todo = [argument.annotation] if argument.annotation else []
            while todo:
                annotation = todo.pop()
                found.visit(annotation)
                constants = [part.value for part in ast.walk(annotation) if isinstance(part, ast.Constant)]
                todo += [_parsed(text) for text in constants if isinstance(text, str)]
    return found.chains


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return ast.Constant(None)


def dotted(node: ast.AST) -> Chain:
    """Return the dotted name that an expression is, or nothing."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def global_names(code: CodeType) -> set[str]:
    """Names that `code` and the code inside it read from their module."""
    local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    names = set(code.co_names)
    if names & local:
        # A local name that is an attribute's name too; inlined comprehensions may have a global one beside it.
        read = {step.argval for step in dis.get_instructions(code) if step.opname in READS_GLOBAL}
        names = (names - local) | (names & read)
    for const in code.co_consts:
        if hasattr(const, "co_names"):
            names |= global_names(const)
    return names


# Was a file edited after its code was read? Then its text is not what runs.


MARGIN = 2.0
"""Seconds by which the clock of a file server may be behind."""


def _process_start() -> float:
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return 0.0


STARTED = _process_start()
FLAGS = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


def runs(code: CodeType, text: str) -> bool:
    """Whether `text`, what its file says now, is what `code` was compiled from.

    A file that nobody touched since the process started is believed; another is compiled and compared.
    """
    try:
        found = os.stat(code.co_filename)
    except (OSError, ValueError):
        return True
    if max(found.st_mtime, found.st_ctime) < STARTED - MARGIN:
        return True
    candidates = _codes(text, code.co_flags & FLAGS).get((code.co_name, code.co_firstlineno), [])
    return any(_same(code, candidate) for candidate in candidates)


@functools.lru_cache(maxsize=256)
def _codes(text: str, flags: int) -> dict[tuple[str, int], list[CodeType]]:
    found: dict[tuple[str, int], list[CodeType]] = {}
    try:
        todo = [compile(text, "<source>", "exec", flags=flags, dont_inherit=True)]
    except (SyntaxError, ValueError):
        todo = []
    while todo:
        inner = [const for const in todo.pop().co_consts if isinstance(const, CodeType)]
        todo += inner
        for code in inner:
            found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    return found


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two codes are the same function; one may stand in a function's body, as marimo writes its cells."""
    if one.co_freevars == other.co_freevars and (one.co_code != other.co_code or one.co_names != other.co_names):
        return False
    if _names(one) != _names(other) or len(one.co_consts) != len(other.co_consts):
        return False
    pairs = list(zip(one.co_consts, other.co_consts, strict=True))
    plain = [(ascii(a), ascii(b)) for a, b in pairs if not isinstance(a, (CodeType, frozenset))]
    nested = [(a, b) for a, b in pairs if isinstance(a, CodeType) and isinstance(b, CodeType)]
    return all(a == b for a, b in plain) and all(_same(a, b) for a, b in nested)


def _names(code: CodeType) -> set[str]:
    return {*code.co_names, *code.co_freevars, *code.co_cellvars, *code.co_varnames}
