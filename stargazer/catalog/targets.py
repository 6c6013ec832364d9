"""Tasks and workflows in files and modules that somebody names."""

from __future__ import annotations

import importlib
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.catalog.catalog import get
from stargazer.catalog.entries import entry_of
from stargazer.catalog.modules import is_function, load, public_names
from stargazer.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from stargazer.calls import Task
    from stargazer.catalog.entries import Entry

__all__ = ["find_entry", "find_tasks", "find_workflow", "named_tasks"]

LIBRARY = "stargazer.workflows"


def find_workflow(target: str) -> Any:
    """Return what ``FILE.py:NAME``, ``module:NAME``, or a name of the catalog stands for.

    Parameters
    ----------
    target
        As the user wrote it. A file or module alone will do if it has one workflow, and nothing else that can be run.

    Returns
    -------
    object
        A workflow function, a task, or a call (or several) that the module made itself.

    Raises
    ------
    UnknownName
        There is nothing of that name; the message says what there is.
    """
    where, colon, name = target.rpartition(":")
    if not colon and not target.endswith(".py"):
        return get(target).function
    module = load(where if colon else target)
    if not colon:
        raise UnknownName(f"{target} has {_told(target, module)}; name one: {target}:NAME")
    if not hasattr(module, name):
        raise UnknownName(f"{where} has no {name!r}; it has {_told(where, module)}")
    return getattr(module, name)


def find_entry(target: str) -> Entry:
    """Return the entry of a task or workflow in a file or module.

    Raises
    ------
    UnknownName
        There is none, or it is wired already.
    """
    found = find_workflow(target)
    if not is_function(found):
        raise UnknownName(f"{target} is {type(found).__name__}, no task or workflow")
    return entry_of(found)


def _told(where: str, module: ModuleType) -> str:
    return ", ".join(public_names(module)) or "nothing to run"


def find_tasks(where: str | None = None) -> list[Task]:
    """Return the tasks of ``FILE.py`` or of a module, or those that ``FILE.py:NAME`` reaches.

    By default those for reads and variants that come along.
    """
    from stargazer.calls import Task

    if where is None:
        import pkgutil

        import stargazer.tasks.general as general

        names = [f"{general.__name__}.{each.name}" for each in pkgutil.iter_modules(general.__path__)]
        roots = [value for name in names for value in vars(importlib.import_module(name)).values()]
        return [value for value in roots if isinstance(value, Task)]
    place, colon, _ = where.rpartition(":")
    found = find_workflow(where) if colon else None
    roots = [found] if is_function(found) else list(vars(load(place or where)).values())
    return list(_reached(roots))


def _reached(roots: Iterable[Any]) -> Iterator[Task]:
    """Tasks among some values, and those that functions among them name, in their own modules or in ours."""
    from stargazer.calls import Task

    todo, seen = list(roots), set()
    while todo:
        value = todo.pop(0)
        if id(value) in seen or not isinstance(value, (Task, FunctionType)):
            continue
        seen.add(id(value))
        if isinstance(value, Task) and not value.wires:
            yield value
        elif isinstance(value, Task) or _may_wire(value, roots):
            value = getattr(value, "body", value)
            todo += [value.__globals__[name] for name in _names_in(value.__code__) if name in value.__globals__]


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names_in(each)


def _may_wire(function: FunctionType, roots: Iterable[Any]) -> bool:
    own = {str(getattr(root, "__module__", "")).partition(".")[0] for root in roots if isinstance(root, FunctionType)}
    return function.__module__.startswith(LIBRARY) or function.__module__.partition(".")[0] in own - {"stargazer"}


def named_tasks(places: Iterable[str]) -> list[Task]:
    """Tasks of all files and modules that were named."""
    return [task for place in places for task in find_tasks(place)]
