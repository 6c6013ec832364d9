"""Tables of Iceberg, Parquet and zarr as calls: one for each row group that may hold a wanted row."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.tables.arrow import read_table as read_table
    from stargazer.tables.scanning import Scan as Scan
    from stargazer.tables.scanning import scan as scan
    from stargazer.tables.sources import is_table_uri as is_table_uri

_HOME = {
    "Scan": "stargazer.tables.scanning",
    "is_table_uri": "stargazer.tables.sources",
    "read_table": "stargazer.tables.arrow",
    "scan": "stargazer.tables.scanning",
}
__all__ = ["Scan", "is_table_uri", "read_table", "scan"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
