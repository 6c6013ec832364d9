"""Tasks and workflows in files and modules that somebody names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.errors import DefinitionError, StargazerError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from stargazer.calls import Task
    from stargazer.catalog.entries import Entry

__all__ = ["find_entry", "find_tasks", "find_workflow", "load", "named_tasks", "public_names"]

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
        from stargazer.catalog.catalog import get

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
    from stargazer.catalog.entries import entry_of

    found = find_workflow(target)
    if not _is_function(found):
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
    roots = [found] if _is_function(found) else list(vars(load(place or where)).values())
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
        if isinstance(value, Task):
            yield value
        elif _may_wire(value, roots):
            todo += [value.__globals__[name] for name in _names_in(value.__code__) if name in value.__globals__]


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names_in(each)


def _may_wire(function: FunctionType, roots: Iterable[Any]) -> bool:
    own = {str(getattr(root, "__module__", "")).partition(".")[0] for root in roots if isinstance(root, FunctionType)}
    return function.__module__.startswith(LIBRARY) or function.__module__.partition(".")[0] in own - {"stargazer"}


def load(where: str) -> ModuleType:
    """Import a file or a module that somebody named.

    Raises
    ------
    UnknownName
        It is not there.
    DefinitionError
        It cannot be imported.
    """
    if where.endswith(".py"):
        return _load_file(Path(where))
    # The current folder holds data too, and what lies there is no code before it is named.
    try:
        return _imported(where)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"no module {where!r} is installed; for a file write its name: {where}.py:NAME") from None


def _imported(name: str) -> ModuleType:
    """Import a module; what is wrong inside it is told with its place.

    Raises
    ------
    DefinitionError
        It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise DefinitionError(f"{error.filename}, line {error.lineno}: {error.msg}: {line}") from error
    except StargazerError:
        raise
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise
        raise DefinitionError(f"{_place(error)}{error}; install it where this runs") from error
    except Exception as error:
        raise DefinitionError(f"{_place(error)}{type(error).__name__}: {error}") from error


def _place(error: Exception) -> str:
    """Where the user's own code raised an error: the last line outside of libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if "importlib" not in each.filename and "site-packages" not in each.filename]
    last = own[-1] if own else frames[-1]
    return f"{last.filename}, line {last.lineno}: "


def _load_file(path: Path) -> ModuleType:
    """Import a file as a module of its name, as worker processes can, too."""
    if not path.is_file():
        raise UnknownName(f"there is no file {str(path)!r}")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    name = path.stem
    taken = sys.modules.get(name)
    if taken is not None and getattr(taken, "__file__", None) != str(path):
        raise UnknownName(f"{path.name} has the name of a module that is in use; rename the file")
    module = _imported(name)
    if module.__file__ != str(path):
        raise UnknownName(f"{path.name} has the name of the module {module.__file__}; rename the file")
    return module


def public_names(module: ModuleType) -> list[str]:
    """Workflows and tasks that a module defines, or says that it offers."""
    public = getattr(module, "__all__", None)
    if public is not None:
        return [name for name in public if _is_function(getattr(module, name, None))]
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [name for name, value in own.items() if _is_function(value) and value.__module__ == module.__name__]


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and hasattr(value, "__module__")


def named_tasks(places: Iterable[str]) -> list[Task]:
    """Tasks of all files and modules that were named."""
    return [task for place in places for task in find_tasks(place)]
