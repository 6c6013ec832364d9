"""The tree of assets and calls that an asset came from, or that came from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.ledger.record import Record
    from stargazer.ledger.rocrate import Files
    from stargazer.store import Store

__all__ = ["Direction", "Lineage", "Node"]

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Node:
    """One asset in a lineage.

    Parameters
    ----------
    asset
        The asset, as a handle.
    record
        What made it; None for a file that a person added.
    parameter
        As which input of the task next to it the asset was used.
    next
        Up: the inputs of `record`. Down: what was made of the asset.
    repeated
        Whether the same asset stands elsewhere in the tree with all that follows.
    """

    asset: Asset
    record: Record | None = None
    parameter: str = ""
    next: tuple[Node, ...] = ()
    repeated: bool = False

    def walk(self) -> Iterator[Node]:
        """Yield this node and all that follow."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo += reversed(node.next)


@dataclass(frozen=True, repr=False)
class Lineage:
    """The lineage of one asset: as objects, as text (``print``), as a Mermaid diagram.

    Parameters
    ----------
    roots
        One tree for each way in which the asset was made (up), or one tree of uses (down).
    direction
        ``"up"`` to what it was made of, ``"down"`` to what was made of it.
    """

    roots: tuple[Node, ...]
    direction: Direction = "up"
    store: Store | None = field(default=None, repr=False, compare=False)

    @property
    def records(self) -> list[Record]:
        """All records in the lineage, each once, nearest first."""
        found = {node.record.id: node.record for node in self.walk() if node.record is not None}
        return list(found.values())

    @property
    def assets(self) -> list[Asset]:
        """All assets in the lineage, each once, nearest first."""
        return list({node.asset.id: node.asset for node in self.walk()}.values())

    @property
    def sources(self) -> list[Asset]:
        """The assets that nothing recorded made: files that were added."""
        return [asset for asset in self.assets if all(n.record is None for n in self.walk() if n.asset.id == asset.id)]

    def walk(self) -> Iterator[Node]:
        """Yield all nodes of all trees."""
        for root in self.roots:
            yield from root.walk()

    def __repr__(self) -> str:
        from stargazer.display import lineage_text

        return lineage_text(self)

    def to_mermaid(self) -> str:
        """Return a Mermaid flow chart: assets are boxes, calls are rounded."""
        from stargazer.display import lineage_mermaid

        return lineage_mermaid(self)

    def _repr_html_(self) -> str:
        from stargazer.display import lineage_html

        return lineage_html(self)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the trees as JSON."""
        return [_node_dict(root) for root in self.roots]

    def to_rocrate(self, path: str | os.PathLike[str], *, files: Files = "result", license: str = "") -> Path:
        """Write a folder for other programs: a Workflow Run RO-Crate of all calls that led to the asset.

        Of a bare CID that was made in several ways, the newest is written.

        Parameters
        ----------
        path
            Folder to make.
        files
            What is copied into it: ``"result"`` with its companions, ``"sources"`` as well, or ``"none"``. All other
            files are named by ``ipfs://`` and their CID.
        license
            URL or SPDX identifier of the licence of the data.

        Returns
        -------
        Path
            The folder; ``ro-crate-metadata.json`` in it says it all.

        Raises
        ------
        AssetError
            Nothing recorded made the asset, or the lineage goes down.
        StoreError
            The folder is there and not empty.
        ToolMissing
            The library rocrate is not installed (extra ``rocrate``).
        """
        from stargazer.ledger.rocrate import write_crate

        return write_crate(self, path, files=files, licence=license)


def _node_dict(node: Node) -> dict[str, Any]:
    """JSON of one tree; iterative, for chains may be deeper than the interpreter's stack."""
    made: dict[int, dict[str, Any]] = {}
    for each in reversed(list(node.walk())):
        made[id(each)] = {
            "asset": each.asset.to_dict(),
            "parameter": each.parameter,
            "task": each.record.task if each.record else None,
            "record": each.record.id if each.record else None,
            "next": [made[id(following)] for following in each.next],
        }
    return made[id(node)]
