"""Command-line tools: which are here, in which version, and the only place that starts them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.tools.workdir import EMBEDDED, Workdir

if TYPE_CHECKING:
    from stargazer.tools.ending import interruption
    from stargazer.tools.identity import EMBEDDED_TOOLS, identify_tool, library_version
    from stargazer.tools.noted import ToolIdentity
    from stargazer.tools.process import end_all
    from stargazer.tools.scratch import INPUTS, Scratch

__all__ = [
    "EMBEDDED",
    "EMBEDDED_TOOLS",
    "INPUTS",
    "Scratch",
    "ToolIdentity",
    "Workdir",
    "end_all",
    "identify_tool",
    "interruption",
    "library_version",
]

_HOMES = {
    "ending": ("interruption",),
    "identity": ("EMBEDDED_TOOLS", "identify_tool", "library_version"),
    "noted": ("ToolIdentity",),
    "process": ("end_all",),
    "scratch": ("INPUTS", "Scratch"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stargazer.tools' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"stargazer.tools.{_HOME[name]}"), name)
    return value
