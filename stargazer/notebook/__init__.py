"""Notebooks whose cells are calls: same code and same inputs, and the answer comes from the ledger."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.notebook.book import Notebook as Notebook
    from stargazer.notebook.codecs import codec as codec
    from stargazer.notebook.document import Cell as Cell
    from stargazer.notebook.document import Document as Document
    from stargazer.notebook.document import read_document as read_document

_HOMES = {
    "Notebook": "stargazer.notebook.book",
    "codec": "stargazer.notebook.codecs",
    "Cell": "stargazer.notebook.document",
    "Document": "stargazer.notebook.document",
    "read_document": "stargazer.notebook.document",
}

__all__ = ["Cell", "Document", "Notebook", "codec", "read_document"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stargazer.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
