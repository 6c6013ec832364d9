"""Signed URLs, which are secrets while they are valid: httpx notes every URL in its log, these without signature."""

from __future__ import annotations

import logging
from collections import deque

__all__ = ["hide"]

_hidden: deque[str] = deque(maxlen=1000)


def hide(url: str) -> str:
    """Keep a signed URL out of the log in which httpx notes requests; the URL again."""
    _hidden.append(url)
    logging.getLogger("httpx").addFilter(_without_signature)
    return url


def _without_signature(record: logging.LogRecord) -> bool:
    """Cut signatures off the URLs that httpx notes."""
    if isinstance(record.args, tuple):
        shown = [str(arg).partition("?")[0] if str(arg) in _hidden else arg for arg in record.args]
        record.args = tuple(shown)
    return True
