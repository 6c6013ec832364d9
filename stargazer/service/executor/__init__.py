"""Cells on machines of others, and of others here: the executor protocol, version 1, both ends."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.executors.asking import Executed as Executed
    from stargazer.executors.asking import Executor as Executor
    from stargazer.service.executor.worker import worker_application as worker_application

_HOME = {
    "Executed": "stargazer.executors.asking",
    "Executor": "stargazer.executors.asking",
    "worker_application": "stargazer.service.executor.worker",
}
__all__ = ["Executed", "Executor", "worker_application"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
