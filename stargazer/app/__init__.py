"""The home page of notebooks, files and runs: a server for one user, on one port."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.app.server import make_app as make_app
    from stargazer.app.server import serve as serve

__all__ = ["make_app", "serve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stargazer.app' has no attribute {name!r}")
    return getattr(importlib.import_module("stargazer.app.server"), name)
