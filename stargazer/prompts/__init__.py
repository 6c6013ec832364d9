"""Questions to language models as calls: what was asked once, with these words and options, is known."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.prompts.asking import prompt as prompt
    from stargazer.prompts.request import Answer as Answer
    from stargazer.prompts.request import Request as Request
    from stargazer.prompts.template import render as render

_HOME = {
    "Answer": "stargazer.prompts.request",
    "Request": "stargazer.prompts.request",
    "prompt": "stargazer.prompts.asking",
    "render": "stargazer.prompts.template",
}
__all__ = ["Answer", "Request", "prompt", "render"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
