"""Which names a piece of code refers to."""

from __future__ import annotations

import ast
import dis
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

__all__ = ["Chain", "Import", "References", "dotted", "global_names", "parameter_types", "references"]

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

    Annotations of functions are passed over, as in `stargazer.code.canonical`; with ``bodies=False`` what stands in
    functions, too, for it has a scope of its own.
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
