"""Answers of JSON: whatever the engine says is written so that every reader can read it."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse

from stargazer.visible import finite

__all__ = ["JSONAnswer"]


class JSONAnswer(JSONResponse):
    """An answer of JSON; numbers that are none, or infinite, are null: JSON has no others."""

    def render(self, content: Any) -> bytes:
        """Return the body; of names that are no UTF-8, too."""
        return json.dumps(finite(content), allow_nan=False, separators=(",", ":")).encode("ascii")
