"""What can be called: tasks and workflows by name, their arguments, and calls of them from plain values."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.catalog.catalog import Bound as Bound
    from stargazer.catalog.catalog import bind as bind
    from stargazer.catalog.catalog import get as get
    from stargazer.catalog.catalog import list as list
    from stargazer.catalog.catalog import schema as schema
    from stargazer.catalog.entries import Entry as Entry
    from stargazer.catalog.entries import Param as Param
    from stargazer.catalog.filtered import bind_filtered as bind_filtered
    from stargazer.catalog.outputs import Output as Output
    from stargazer.catalog.results import asset_json as asset_json
    from stargazer.catalog.results import marshal as marshal

_HOMES = {
    "stargazer.catalog.catalog": ("Bound", "bind", "get", "list", "schema"),
    "stargazer.catalog.entries": ("Entry", "Param"),
    "stargazer.catalog.filtered": ("bind_filtered",),
    "stargazer.catalog.results": ("asset_json", "marshal"),
    "stargazer.catalog.outputs": ("Output",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Bound", "Entry", "Output", "Param", "asset_json", "bind", "bind_filtered", "get", "list", "marshal", "schema",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
