"""Whose code is it: the user's own, an installed package's, or the engine's."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["is_own", "label", "module_of", "public_label"]

ENGINE = "stargazer"
TASKS_OF_THE_ENGINE = ("stargazer.tasks", "stargazer.workflows")


def is_own(module: str, owner: str) -> bool:
    """Whether code of `module` counts towards the identity of a task of module `owner`.

    Own is what belongs to the task's top-level package, and whatever is not installed: scripts, notebooks, modules
    beside them, checkouts. Of the engine only its tasks count, or each release would make every result stale.
    """
    if module == ENGINE or module.startswith(ENGINE + "."):
        return module.startswith(TASKS_OF_THE_ENGINE)
    if module.partition(".")[0] == owner.partition(".")[0]:
        return True
    return not _is_installed(module)


def _is_installed(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    return top != "__main__" and _is_library(_place(module))


@functools.lru_cache(maxsize=1024)
def _is_library(place: str) -> bool:
    return any(part in ("site-packages", "dist-packages") for part in place.split(os.sep))


def _place(module: str) -> str:
    """File or directory of a module, without importing it; empty for one made in memory or not found."""
    name = module
    while name:
        loaded = sys.modules.get(name)
        found = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", ())), None)
        if found:
            return str(found)
        name = name.rpartition(".")[0]
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return ""
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return str(next(filter(None, places), ""))


def module_of(function: FunctionType) -> str:
    """Name of the module whose globals a function reads; decorators copy other functions' ``__module__``."""
    return str(function.__globals__.get("__name__") or function.__module__ or "__main__")


def label(value: Any) -> str:
    """Return ``module:name`` of a function, class or module."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
    return f"{getattr(value, '__module__', None) or 'builtins'}:{name}"


def public_label(value: Any) -> str:
    """Return `label` without private modules: where a library keeps a name differs from version to version."""
    module, _, name = label(value).partition(":")
    public = [part for part in module.split(".") if not part.startswith("_")]
    return f"{'.'.join(public) or module.lstrip('_')}:{name}"
