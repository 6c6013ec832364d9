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
    from stargazer.notebook.promotion.promote import Promotion as Promotion
    from stargazer.notebook.promotion.promote import check_task as check_task
    from stargazer.notebook.promotion.promote import promote as promote

_HOMES = {
    "Notebook": "stargazer.notebook.book",
    "codec": "stargazer.notebook.codecs",
    "Cell": "stargazer.notebook.document",
    "Document": "stargazer.notebook.document",
    "read_document": "stargazer.notebook.document",
    "Promotion": "stargazer.notebook.promotion.promote",
    "check_task": "stargazer.notebook.promotion.promote",
    "promote": "stargazer.notebook.promotion.promote",
}

__all__ = ["Cell", "Document", "Notebook", "Promotion", "check_task", "codec", "promote", "read_document"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stargazer.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
