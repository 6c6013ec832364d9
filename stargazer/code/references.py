"""Which names a piece of code refers to."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

__all__ = ["References", "global_names", "references"]

Chain = tuple[str, ...]


class References(ast.NodeVisitor):
    """Dotted names that are read (``h.double`` is ``("h", "double")``) and names that are imported inside.

    Annotations of functions are passed over, as in `stargazer.code.canonical`.
    """

    def __init__(self) -> None:
        self.chains: set[Chain] = set()
        self.imports: dict[str, tuple[str, int, str | None]] = {}
        self._in_function = False

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        names: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self.chains.add((base.id, *reversed(names)))
        else:
            self.visit(base)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            self.imports[alias.asname or module] = (module, 0, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.imports[alias.asname or alias.name] = (node.module or "", node.level, alias.name)

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.target, node.value, None if self._in_function else node.annotation])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._enter(node.args, [node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._enter(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._in_function = self._in_function, False
        self.generic_visit(node)
        self._in_function = outer

    def _enter(self, arguments: ast.arguments, body: list[Any]) -> None:
        self._visit_all([*arguments.defaults, *arguments.kw_defaults])
        outer, self._in_function = self._in_function, True
        self._visit_all(body)
        self._in_function = outer

    def _visit_all(self, nodes: list[Any]) -> None:
        for node in filter(None, nodes):
            self.visit(node)


def references(nodes: list[ast.AST], *, skip_decorators: bool = False) -> References:
    """Collect the references of `nodes`; optionally not those in the decorators of the nodes themselves."""
    found = References()
    for node in nodes:
        if skip_decorators and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found._enter(node.args, node.body)
        else:
            found.visit(node)
    return found


def global_names(code: CodeType) -> set[str]:
    """Names that `code` and the code inside it may read from its module: no local variable is among them."""
    names = set(code.co_names)
    for const in code.co_consts:
        if hasattr(const, "co_names"):
            names |= global_names(const)
    return names
