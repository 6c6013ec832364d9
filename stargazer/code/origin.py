"""Whose code is it: the user's own, an installed package's, or the engine's."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

__all__ = ["is_own", "label", "public_label"]

ENGINE = "stargazer"
TASKS_OF_THE_ENGINE = ("stargazer.tasks", "stargazer.workflows")


def is_own(module: str, owner: str) -> bool:
    """Whether code of `module` counts towards the identity of a task of module `owner`.

    Own is what belongs to the task's top-level package, and whatever is not installed: scripts, notebooks, modules
    beside them, checkouts. The engine itself never counts, or each release would make every result stale.
    """
    if module == ENGINE or module.startswith(ENGINE + "."):
        return owner.startswith(ENGINE) and module.startswith(TASKS_OF_THE_ENGINE)
    if module.partition(".")[0] == owner.partition(".")[0]:
        return True
    return not _is_installed(module)


@functools.lru_cache(maxsize=1024)
def _is_installed(module: str) -> bool:
    if module in sys.builtin_module_names or module.partition(".")[0] in sys.stdlib_module_names:
        return module != "__main__"
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        package = getattr(sys.modules.get(module), "__path__", None)
        file = next(iter(package), None) if package else None
    if file is None:
        return module != "__main__" and module in sys.modules
    return any(part in ("site-packages", "dist-packages") for part in str(file).split(os.sep))


def label(value: Any) -> str:
    """Return ``module:name`` of a function, class or module."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
    return f"{getattr(value, '__module__', None) or 'builtins'}:{name}"


def public_label(value: Any) -> str:
    """Return `label` without private modules: where a library keeps a name differs from version to version."""
    module, _, name = label(value).partition(":")
    public = [part for part in module.split(".") if not part.startswith("_")]
    return f"{'.'.join(public) or module.lstrip('_')}:{name}"
