"""Work on machines of others: cells and tasks that go to an executor, by protocol v1."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.executors.asking import Executed as Executed
    from stargazer.executors.asking import Executor as Executor
    from stargazer.executors.place import Place as Place
    from stargazer.executors.place import find_place as find_place

_HOME = {
    "Executed": "stargazer.executors.asking",
    "Executor": "stargazer.executors.asking",
    "Place": "stargazer.executors.place",
    "find_place": "stargazer.executors.place",
}
__all__ = ["Executed", "Executor", "Place", "find_place"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
