"""Handles that are values of cells: a name may mean a stored asset, or a list or dict of such.

A cell's result holds an asset for each name, and one of type `NotebookValue` stands for the value that it keeps. Where
a person asked the store for such an asset, the name means that asset and no value: so it is held in a box.
"""

from __future__ import annotations

from typing import Any

from stargazer.assets import Asset
from stargazer.notebook.values import Value

__all__ = ["boxed", "is_handles", "unboxed"]

BOX = ".handle"
"""Key of the only item of a box."""


def is_handles(value: Any) -> bool:
    """Whether a value is a stored asset, or a list or dict of nothing else."""
    if isinstance(value, Asset):
        return value.cid is not None
    items: list[Any] = []
    if type(value) is list:
        items = value
    elif type(value) is dict and all(type(key) is str for key in value) and BOX not in value:
        items = list(value.values())
    return bool(items) and all(isinstance(item, Asset) and item.cid is not None for item in items)


def boxed(value: Any) -> Any:
    """Return handles as a cell's result holds them."""
    return {BOX: value} if isinstance(value, Value) else value


def unboxed(kept: Any) -> Any:
    """Return handles as a cell is given them."""
    return kept[BOX] if isinstance(kept, dict) and BOX in kept else kept
