"""The built-in tasks, and what each of them reaches as a plain reading of the sources says: another way than ours."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from stargazer.calls import Task
from stargazer.fingerprint.origin import SCIENCE

Place = tuple[str, str]
"""A module and a name at its top."""

SKIPPED = {"annotation", "returns", "defaults", "kw_defaults"}
"""Defaults count by their values."""


def builtin_tasks() -> dict[str, Task]:
    """Every task below `stargazer.tasks`, by module and name."""
    import stargazer.tasks

    found = {}
    for module in pkgutil.walk_packages(stargazer.tasks.__path__, "stargazer.tasks."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Task) and value.body.__module__ == module.name:
                found[f"{module.name}:{value.name}"] = value
    return found


def is_science(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in SCIENCE)


def science_modules() -> list[str]:
    """Every module of science that stands in a file."""
    found = []
    for name in SCIENCE:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        inner = pkgutil.walk_packages(spec.submodule_search_locations or [], f"{name}.")
        found += [name, *(each.name for each in inner)]
    return sorted(found)


def reached(module: str, name: str) -> set[Place]:
    """Functions, classes and constants of science that a task leads to: names in its source, looked up in imports.

    Constants that only constants name are left out: their values are part of those.
    """
    todo, seen, found = [((module, name), True)], set(), set()
    while todo:
        place, by_code = todo.pop()
        node = _bindings(place[0]).get(place[1])
        if node is None or (place, by_code) in seen:
            continue
        seen.add((place, by_code))
        if isinstance(node, tuple):
            todo.append((node, by_code))
            continue
        is_code = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if is_code or by_code:
            found.add(place)
        todo += [(each, is_code) for chain in _chains(node) for each in _places(place[0], chain)]
    return found


def _places(scope: str, chain: tuple[str, ...]) -> Iterator[Place]:
    """What a dotted name means in a module: a name in it, or one in a module that it imports."""
    target = _bindings(scope).get(chain[0])
    if isinstance(target, tuple) and target[1] not in _bindings(target[0]) and _source(".".join(target)):
        if len(chain) > 1:
            yield ".".join(target), chain[1]
    else:
        yield scope, chain[0]


@functools.cache
def _bindings(module: str) -> dict[str, ast.AST | Place]:
    """Every name at the top of a module: its definition, or where it is imported from."""
    found: dict[str, ast.AST | Place] = {}
    for node in _statements(_tree(module)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id: node for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    for node in ast.walk(_tree(module)):  # imports inside functions, too
        if isinstance(node, ast.ImportFrom) and is_science(node.module or ""):
            found |= {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
    return found


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from [*node.body, *node.orelse]
        else:
            yield node


def _chains(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[tuple[str, ...]]:
    """Dotted names that are read; not those of local variables, nor the options of tasks."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield from () if node.value.id in local else [(node.value.id, node.attr)]
    elif isinstance(node, ast.Name):
        yield from () if node.id in local else [(node.id,)]
    else:
        if isinstance(node, ast.FunctionDef):
            bound = {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
            local |= bound | {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        for field, value in ast.iter_fields(node):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST) and field not in SKIPPED and not _makes_a_task(each):
                    yield from _chains(each, local)


def _makes_a_task(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "task"


@functools.cache
def _tree(module: str) -> ast.Module:
    source = _source(module)
    return ast.parse(source.read_text("utf-8")) if source else ast.Module(body=[], type_ignores=[])


@functools.cache
def _source(module: str) -> Path | None:
    if not is_science(module):
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None
