"""Files and modules that somebody names: imported when they are asked for, and what they offer."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import DefinitionError, StargazerError, UnknownName

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["is_function", "load", "public_names"]

OURS = f"{Path(__file__).parents[1]}{os.sep}"
"""Where the package lies, which may be no folder of installed packages."""


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
    libraries = ("importlib", "site-packages", OURS)
    own = [each for each in frames if not any(part in each.filename for part in libraries)]
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
        return [name for name in public if is_function(getattr(module, name, None))]
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [name for name, value in own.items() if is_function(value) and value.__module__ == module.__name__]


def is_function(value: Any) -> bool:
    """Whether a value may be a workflow or a task: callable, defined in a module, and no class."""
    return callable(value) and not isinstance(value, type) and hasattr(value, "__module__")
