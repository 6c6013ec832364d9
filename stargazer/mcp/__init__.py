"""A server of the Model Context Protocol: what can be called is found, described, planned and run by programs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.mcp.http import HttpApp as HttpApp
    from stargazer.mcp.http import http_app as http_app
    from stargazer.mcp.http import serve_http as serve_http
    from stargazer.mcp.server import make_server as make_server
    from stargazer.mcp.server import serve_stdio as serve_stdio

_HOMES = {
    "HttpApp": "stargazer.mcp.http",
    "http_app": "stargazer.mcp.http",
    "serve_http": "stargazer.mcp.http",
    "make_server": "stargazer.mcp.server",
    "serve_stdio": "stargazer.mcp.server",
}

__all__ = ["HttpApp", "http_app", "make_server", "serve_http", "serve_stdio"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
