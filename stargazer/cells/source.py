"""What a file of counts holds, before it becomes a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Source"]


@dataclass
class Source:
    """Counts of a file, their cells and genes, and what else there is.

    Parameters
    ----------
    obs, var
        Tables of cells and genes (pandas).
    blocks
        Gives the counts by row blocks, CSR.
    others
        Other elements by place (``"obsm/X_pca"``): each a function that reads it.
    notes
        What was chosen or left out, in words.
    where
        Which matrix of the file the counts come from.
    """

    obs: Any
    var: Any
    blocks: Callable[[], Iterator[Any]]
    others: dict[str, Callable[[], Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    where: str = "X"
