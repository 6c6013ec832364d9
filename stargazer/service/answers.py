"""Answers of JSON: whatever the engine says is written so that every reader can read it."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import JSONResponse

__all__ = ["JSONAnswer"]


class JSONAnswer(JSONResponse):
    """An answer of JSON; numbers that are none, or infinite, are null: JSON has no others."""

    def render(self, content: Any) -> bytes:
        """Return the body; of names that are no UTF-8, too."""
        return json.dumps(_finite(content), allow_nan=False, separators=(",", ":")).encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
