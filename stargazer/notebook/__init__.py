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
    from stargazer.notebook.graduation import Graduation as Graduation
    from stargazer.notebook.graduation import graduate as graduate
    from stargazer.notebook.promotion.promote import Promotion as Promotion
    from stargazer.notebook.promotion.promote import check_task as check_task
    from stargazer.notebook.promotion.promote import promote as promote
    from stargazer.notebook.shipped import Tile as Tile
    from stargazer.notebook.shipped import find_tile as find_tile
    from stargazer.notebook.shipped import tiles as tiles
    from stargazer.notebook.snapshots import Snapshot as Snapshot
    from stargazer.notebook.snapshots import fetch_snapshot as fetch_snapshot
    from stargazer.notebook.snapshots import find_snapshot as find_snapshot
    from stargazer.notebook.snapshots import freeze as freeze
    from stargazer.notebook.snapshots import list_snapshots as list_snapshots
    from stargazer.notebook.verify import verify_snapshot as verify_snapshot

_HOMES = {
    "Notebook": "stargazer.notebook.book",
    "codec": "stargazer.notebook.codecs",
    "Cell": "stargazer.notebook.document",
    "Document": "stargazer.notebook.document",
    "read_document": "stargazer.notebook.document",
    "Promotion": "stargazer.notebook.promotion.promote",
    "check_task": "stargazer.notebook.promotion.promote",
    "promote": "stargazer.notebook.promotion.promote",
    "Snapshot": "stargazer.notebook.snapshots",
    "fetch_snapshot": "stargazer.notebook.snapshots",
    "Tile": "stargazer.notebook.shipped",
    "find_tile": "stargazer.notebook.shipped",
    "tiles": "stargazer.notebook.shipped",
    "Graduation": "stargazer.notebook.graduation",
    "graduate": "stargazer.notebook.graduation",
    "find_snapshot": "stargazer.notebook.snapshots",
    "freeze": "stargazer.notebook.snapshots",
    "list_snapshots": "stargazer.notebook.snapshots",
    "verify_snapshot": "stargazer.notebook.verify",
}

__all__ = [
    "Cell", "Document", "Graduation", "Notebook", "Promotion", "Snapshot", "Tile", "check_task", "codec",
    "fetch_snapshot", "find_snapshot", "find_tile", "freeze", "graduate", "list_snapshots", "promote", "read_document",
    "tiles", "verify_snapshot",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stargazer.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
