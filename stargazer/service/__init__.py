"""The core as a service: `materialize` here, and over a network for programs that are not Python."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.service.application import application as application
    from stargazer.service.artifact import Artifact as Artifact
    from stargazer.service.client import ServiceClient as ServiceClient
    from stargazer.service.materializing import is_stale as is_stale
    from stargazer.service.materializing import materialize as materialize
    from stargazer.service.transforms import transform as transform

_HOME = {
    "application": "stargazer.service.application",
    "Artifact": "stargazer.service.artifact",
    "ServiceClient": "stargazer.service.client",
    "is_stale": "stargazer.service.materializing",
    "materialize": "stargazer.service.materializing",
    "transform": "stargazer.service.transforms",
}
__all__ = ["Artifact", "ServiceClient", "application", "is_stale", "materialize", "transform"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
