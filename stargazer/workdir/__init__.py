"""A task's scratch directory, and the only place that starts a subprocess."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.workdir.workdir import EMBEDDED, Workdir

if TYPE_CHECKING:
    from stargazer.workdir.process import end_all, interruption
    from stargazer.workdir.scratch import INPUTS, Scratch

__all__ = ["EMBEDDED", "INPUTS", "Scratch", "Workdir", "end_all", "interruption"]

_HOME = {"INPUTS": "scratch", "Scratch": "scratch", "end_all": "process", "interruption": "process"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stargazer.workdir' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"stargazer.workdir.{_HOME[name]}"), name)
    return value
