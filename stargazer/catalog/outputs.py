"""What a task or workflow gives; a workflow gives what its calls give, and its code says which these are."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls import Task
from stargazer.calls.arguments import Returns, shown
from stargazer.catalog.annotations import is_call
from stargazer.catalog.hints import annotations_of, result_of
from stargazer.fingerprint.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Output", "task_outputs", "wires", "workflow_outputs"]

DEEPEST = 8
"""Workflows that call each other are followed so far."""

RESULT = "result"


class Output(NamedTuple):
    """What comes out.

    Parameters
    ----------
    name
        Of a field or element; ``"result"`` of what is one thing.
    type
        Asset type, or the type of a plain value.
    """

    name: str
    type: str


def task_outputs(task: Task) -> list[Output]:
    """Return what a task makes."""
    hint = annotations_of(task.body).get("return", inspect.Parameter.empty)
    return _of_returns(task.signature.returns, hint)


def _of_returns(returns: Returns, hint: Any) -> list[Output]:
    kinds = ["plain value" if each is None else each.__name__ for each in returns.types]
    if returns.named is not None:
        hints = annotations_of(returns.named)
        names = returns.named._fields  # type: ignore[attr-defined]
        return [Output(name, _type(hints.get(name))) for name in names]
    if returns.shape == "tuple":
        return [Output(str(place), kind) for place, kind in enumerate(kinds)]
    if returns.shape == "unknown":
        return [Output(RESULT, "any")]
    if returns.shape == "one":
        return [Output(RESULT, kinds[0])]
    whole = {"list": "list[{}]", "dict": "dict[str, {}]"}.get(returns.shape)
    return [Output(RESULT, _type(hint) if whole is None or not kinds else whole.format(kinds[0]))]


def _type(hint: Any) -> str:
    if hint is None or hint is inspect.Parameter.empty:
        return "any"
    inner = typing.get_args(hint)
    if inner and typing.get_origin(hint) is not typing.Literal:
        parts = [_type(each) if each is not Ellipsis else "…" for each in inner]
        origin: Any = typing.get_origin(hint)
        is_union = not isinstance(origin, type) or origin.__module__ != "builtins"
        return " | ".join(parts) if is_union else f"{origin.__name__}[{', '.join(parts)}]"
    return "None" if hint is type(None) else shown(hint)


# Workflows.


class _Several(NamedTuple):
    """A tuple, list or dict of what calls give."""

    shape: str
    parts: tuple[tuple[str, Any], ...]


def workflow_outputs(function: Callable[..., Any], told: str = "") -> list[Output]:
    """Return what the calls of a workflow give.

    Parameters
    ----------
    function
        The workflow.
    told
        What its docstring says of it, where neither its annotation nor its code tell.
    """
    hint = result_of(function)
    if is_call(hint) and typing.get_args(hint):
        return [Output(RESULT, _type(typing.get_args(hint)[0]))]
    found = _result(function, DEEPEST)
    if found is not None:
        return _outputs(found)
    return [Output(RESULT, ", ".join(_named_types(told)) or "any")]


def wires(function: Callable[..., Any]) -> bool:
    """Whether a function gives calls, as its annotation says, or else its code."""
    hint = result_of(function)
    if hint is not inspect.Parameter.empty:
        return any(is_call(each) for each in _parts(hint))
    return _result(function, DEEPEST) is not None


def _parts(hint: Any) -> list[Any]:
    return [hint, *(part for each in typing.get_args(hint) for part in _parts(each))]


def _named_types(told: str) -> list[str]:
    """Asset types in a sentence such as ``Of `Variants`: one VCF``."""
    import re

    from stargazer.assets import asset_types

    names = {cls.__name__ for cls in asset_types().values()}
    return [name for name in dict.fromkeys(re.findall(r"`(\w+)`", told)) if name in names]


def _outputs(found: Any) -> list[Output]:
    if isinstance(found, Returns):
        return _of_returns(found, found.named)
    if found.shape == "list":
        inner = _outputs(found.parts[0][1])
        return [Output(RESULT, f"list[{', '.join(each.type for each in inner)}]")]
    outputs = []
    for name, part in found.parts:
        inner = _outputs(part)
        single = len(inner) == 1 and inner[0].name == RESULT
        outputs += [Output(name if single else f"{name}.{each.name}", each.type) for each in inner]
    return outputs


def _result(function: Any, depth: int) -> Any:
    """What a function returns, as far as its code says so; None where it does not, or not always the same."""
    tree = _parsed(function)
    if tree is None or depth == 0:
        return None
    names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    reader = _Reader(tree, names, depth)
    found = [reader.value(node.value) for node in _own_nodes(tree) if isinstance(node, ast.Return) and node.value]
    return found[0] if found and all(each is not None and each == found[0] for each in found) else None


def _parsed(function: Any) -> ast.FunctionDef | None:
    if not isinstance(function, FunctionType):
        return None
    try:
        tree = parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)


def _own_nodes(tree: ast.FunctionDef) -> list[ast.AST]:
    """Nodes of a function without those of functions in it."""
    found, todo = list[ast.AST](), list[ast.AST](tree.body)
    while todo:
        node = todo.pop(0)
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return found


class _Reader:
    """Reads what expressions of one function give.

    Parameters
    ----------
    tree
        The function.
    names
        What names outside of it stand for.
    depth
        How far to follow other functions.
    """

    def __init__(self, tree: ast.FunctionDef, names: Mapping[str, Any], depth: int) -> None:
        self._names, self._depth = names, depth
        self._locals: dict[str, list[Any]] = {}
        for node in _own_nodes(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(target, node.value, ())

    def _assign(self, target: ast.AST, value: ast.expr, path: tuple[int, ...]) -> None:
        if isinstance(target, ast.Name):
            self._locals.setdefault(target.id, []).append((value, path))
        elif isinstance(target, ast.Tuple):
            for place, each in enumerate(target.elts):
                self._assign(each, value, (*path, place))

    def value(self, node: ast.expr, within: tuple[str, ...] = ()) -> Any:
        """What an expression gives; None if nobody knows."""
        if isinstance(node, ast.Call):
            return self._called(self._static(node.func))
        if isinstance(node, ast.Name):
            return self._local(node.id, within)
        if isinstance(node, ast.Subscript):
            return _element(self.value(node.value, within), getattr(node.slice, "value", None))
        if isinstance(node, ast.Attribute):
            return _element(self.value(node.value, within), node.attr)
        if isinstance(node, ast.IfExp):
            one, other = self.value(node.body, within), self.value(node.orelse, within)
            return one if one == other else None
        return self._several(node, within)

    def _several(self, node: ast.expr, within: tuple[str, ...]) -> Any:
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            return _several("list", [("", self.value(node.elt, within))])
        if isinstance(node, ast.Tuple):
            return _several("tuple", [(str(n), self.value(each, within)) for n, each in enumerate(node.elts)])
        if isinstance(node, ast.List) and node.elts:
            parts = [self.value(each, within) for each in node.elts]
            return _several("list", [("", parts[0])]) if all(part == parts[0] for part in parts) else None
        if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return _several("dict", [(str(getattr(key, "value", "")), self.value(each, within)) for key, each in pairs])
        return None

    def _local(self, name: str, within: tuple[str, ...]) -> Any:
        if name in within:
            return None
        found = []
        for value, path in self._locals.get(name, ()):
            each = self.value(value, (*within, name))
            for place in path:
                each = _element(each, place)
            found.append(each)
        return found[0] if found and all(each == found[0] for each in found) else None

    def _static(self, node: ast.expr) -> Any:
        """The object that a dotted name stands for, unless the function binds the name itself."""
        if isinstance(node, ast.Name):
            return None if node.id in self._locals else self._names.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._static(node.value)
            return getattr(owner, node.attr, None) if inspect.ismodule(owner) else None
        return None

    def _called(self, function: Any) -> Any:
        return function.signature.returns if isinstance(function, Task) else _result(function, self._depth - 1)


def _several(shape: str, parts: list[tuple[str, Any]]) -> _Several | None:
    return None if any(part is None for _, part in parts) else _Several(shape, tuple(parts))


def _element(found: Any, place: Any) -> Any:
    """An element of what a call gives."""
    if isinstance(found, _Several):
        parts = dict(found.parts)
        return parts.get("") if found.shape == "list" else parts.get(str(place))
    if not isinstance(found, Returns) or place is None:
        return None
    if found.named is not None and place in found.named._fields:  # type: ignore[attr-defined]
        place = found.named._fields.index(place)  # type: ignore[attr-defined]
    if found.shape == "tuple" and isinstance(place, int) and -len(found.types) <= place < len(found.types):
        kind = found.types[place]
        return Returns("one", (kind,)) if kind is not None else Returns("plain", plain=True)
    return Returns("one", found.types) if found.shape in ("list", "dict") and found.types and found.types[0] else None
