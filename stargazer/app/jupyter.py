"""The app in Jupyter: jupyter-server-proxy starts it, and lets in whom Jupyter has let in."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from stargazer import config

__all__ = ["setup"]

COMMAND = "from stargazer.cli import main; main()"


def setup() -> dict[str, Any]:
    """Return how jupyter-server-proxy starts the app.

    The secret by which the app knows its proxy lies in a file of mode 600; requests carry it in a header.
    """
    folder = config.cache_dir() / "jupyter"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = secrets.token_urlsafe(32)
    handle, name = tempfile.mkstemp(dir=folder, prefix="proxy-")  # mode 600
    with open(handle, "w", encoding="utf-8") as file:
        file.write(secret)
    root = os.fspath(Path.home() / "notebooks")
    options = ["--no-open", "--port", "{port}", "--base-url", "{base_url}stargazer", "--trust-proxy", name]
    return {
        "command": [sys.executable, "-P", "-c", COMMAND, "app", root, *options],
        "absolute_url": True,
        "timeout": 120,
        "request_headers_override": {"X-Stargazer-Proxy": secret, "X-Stargazer-User": config.user_name()},
        "launcher_entry": {"title": "Stargazer"},
        "new_browser_tab": True,
    }
