"""What a cell may change of values that others made, as far as its text tells.

When it runs, that is found by looking at the values. A plan runs nothing: there the cells that read such a value may
have to run, because the value that is known is not the one that they will be given.
"""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING

from stargazer.fingerprint.parsing import children
from stargazer.notebook.effects import full_names
from stargazer.notebook.names import PRESENT, nodes_in
from stargazer.notebook.rows import name_of
from stargazer.notebook.state import DEFINITIONS, MUTATORS, changing_methods, root_of, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell
    from stargazer.notebook.rows import Aliases

__all__ = ["doubts", "may_change"]

LEARNS = frozenset({"fit", "fit_transform", "fit_predict", "partial_fit", "train", "load_state_dict", "compile"})
"""Methods of models that change them."""

ONLY_SHOW = {"matplotlib", "seaborn", "plotly", "bokeh", "altair", "logging", "warnings", "IPython", "pl", "plotting"}
"""Libraries, and parts of such, whose functions draw and tell."""


def doubts(cell: Cell, reads: frozenset[str], prelude: Prelude, same: Aliases) -> dict[str, str]:
    """Why values are not known any more in a plan once a cell runs, by name.

    Parameters
    ----------
    cell
        That runs.
    reads
        Names of values that it reads.
    prelude
        The notebook's code.
    same
        Names that mean one object; those are added that the cell gives to what it reads.
    """
    for name, others in _meanings([*_walked(cell.tree.body)]).items():
        if name in cell.defs and others & reads:
            same.group({name, *(others & reads)})
    changed = (same.of(name) for name in may_change(cell, prelude) & reads)
    names = frozenset[str]().union(*changed) - cell.defs
    return {name: f"it reads {name}, which {name_of(cell)} may change" for name in names}


def may_change(cell: Cell, prelude: Prelude) -> frozenset[str]:
    """Names of values that a cell reads and may change in place.

    Calls of the notebook's own functions are looked into. A library's function counts where nobody takes what it gives
    back, as `sc.pp.log1p(adata)`: it must do something; one that gives back what it changed is not seen.

    Parameters
    ----------
    cell
        Of the notebook.
    prelude
        The notebook's code.
    """
    nodes = [*_code(prelude), *cell.tree.body]
    return frozenset(_Finder(nodes, prelude).changed(cell.tree.body, shown=True) - cell.defs)


@functools.lru_cache(maxsize=16)
def _code(prelude: Prelude) -> tuple[ast.stmt, ...]:
    return tuple(node for part in prelude.parts for node in part.nodes())


class _Finder:
    """Looks through statements, and the functions of the notebook that they call."""

    def __init__(self, nodes: Sequence[ast.stmt], prelude: Prelude) -> None:
        self._prelude = prelude
        self._functions = {node.name: node for node in nodes if isinstance(node, (ast.FunctionDef))}
        own = (changing_methods(node) for node in nodes if isinstance(node, ast.ClassDef))
        self._methods = MUTATORS.union(LEARNS, *own)
        self._changed: dict[str, frozenset[str]] = {}

    def changed(self, body: Sequence[ast.stmt], *, shown: bool = False) -> set[str]:
        """Names whose objects some statements change; the value of the last one may be `shown`."""
        every = [*_walked(body)]
        meant = _meanings(every)
        last = body[-1] if shown and body else None
        dropped = {id(node.value) for node in every if isinstance(node, ast.Expr) and node is not last}
        found: set[str] = set()
        for node in every:
            for target in self._targets(node, is_dropped=id(node) in dropped):
                found |= meant.get(root_of(target), {root_of(target)})
        return found - {""}

    def _targets(self, node: ast.AST, *, is_dropped: bool) -> Iterator[ast.AST]:
        yield from targets_of(node, self._methods)
        if not isinstance(node, ast.Call):
            return
        options = {each.arg: each.value for each in node.keywords}
        yield from (options[name] for name in ("out",) if name in options)
        is_in_place = isinstance(told := options.get("inplace"), ast.Constant) and told.value is True
        if isinstance(node.func, ast.Attribute) and (is_dropped or is_in_place):
            yield node.func.value
        if isinstance(node.func, ast.Name) and node.func.id in self._functions:
            yield from self._passed(node, self._functions[node.func.id])
        elif is_dropped and self._is_of_library(node.func):
            yield from [*node.args, *options.values()]

    def _passed(self, call: ast.Call, function: ast.FunctionDef) -> Iterator[ast.AST]:
        """What a call gives for the parameters that one of the notebook's functions changes."""
        changed = self._parameters(function)
        names = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
        for name, value in [*zip(names, call.args, strict=False), *((each.arg, each.value) for each in call.keywords)]:
            if name in changed or isinstance(value, ast.Starred):
                yield value

    def _parameters(self, function: ast.FunctionDef) -> frozenset[str]:
        if function.name not in self._changed:
            self._changed[function.name] = frozenset()  # of a function that calls itself
            self._changed[function.name] = frozenset(self.changed(function.body))
        return self._changed[function.name]

    def _is_of_library(self, called: ast.expr) -> bool:
        if isinstance(called, ast.Name) and called.id in PRESENT:
            return False
        names = [*full_names([called], self._prelude)]
        return bool(names) and ONLY_SHOW.isdisjoint(names[0].split("."))


def _walked(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of some statements, but not what is inside of definitions."""
    for node in body:
        if not isinstance(node, DEFINITIONS):
            yield node
            yield from _walked(children(node))


def _meanings(nodes: Iterable[ast.AST]) -> dict[str, set[str]]:
    """By name, all names that may mean the object that it means, or the one that it is a part of."""
    meant: dict[str, set[str]] = {}
    for node in nodes:
        for target, value in _bindings(node):
            inside = {each.id for each in nodes_in(value) if isinstance(each, ast.Name)}
            names = set().union(*(meant.get(each, {each}) for each in inside))
            for each in nodes_in(target):
                if isinstance(each, ast.Name):
                    meant[each.id] = meant.get(each.id, {each.id}) | names
    return meant


def _bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Names that a node gives to what others mean: plain ones, parts, and elements in loops."""
    if isinstance(node, (ast.For, ast.comprehension)):
        yield node.target, node.iter
    if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript, ast.IfExp)):
        yield from ((target, node.value) for target in node.targets if isinstance(target, ast.Name))
