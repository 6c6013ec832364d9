"""The tree of assets and calls that an asset came from, or that came from it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stargazer.assets import Asset
from stargazer.errors import ArgumentError, NotFound
from stargazer.ledger.ledger import Ledger
from stargazer.ledger.record import walk_assets
from stargazer.ledger.signatures import whose

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stargazer.ledger.record import Record
    from stargazer.ledger.rocrate import Files
    from stargazer.store import Store

__all__ = ["Direction", "Lineage", "Node", "trace"]

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
    store
        Where its records are.
    to_all
        Whether it is told to everybody: who signed it is told by keys then.
    """

    roots: tuple[Node, ...]
    direction: Direction = "up"
    store: Store | None = field(default=None, repr=False, compare=False)
    to_all: bool = field(default=False, repr=False, compare=False)

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

    @functools.cached_property
    def whose(self) -> dict[str, str]:
        """Whose each record is, by id: ``yours``, ``signed by NAME``, ``unsigned`` or ``not as signed``."""
        return {} if self.store is None else whose(self.store.records, self.records, to_all=self.to_all)

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
        return [_node_dict(root, self.whose) for root in self.roots]

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


def _node_dict(node: Node, whose: Mapping[str, str]) -> dict[str, Any]:
    """JSON of one tree; iterative, for chains may be deeper than the interpreter's stack."""
    made: dict[int, dict[str, Any]] = {}
    for each in reversed(list(node.walk())):
        made[id(each)] = {
            "asset": each.asset.to_dict(),
            "parameter": each.parameter,
            "task": each.record.task if each.record else None,
            "record": each.record.id if each.record else None,
            "user": each.record.user if each.record else None,
            "whose": whose.get(each.record.id, "") if each.record else None,
            "next": [made[id(following)] for following in each.next],
        }
    return made[id(node)]


# Where a result came from, and what was made of it.


def trace(store: Store, asset: Asset | str, direction: Direction = "up") -> Lineage:
    """Follow an asset to where it came from, or to what was made of it.

    Parameters
    ----------
    store
        Where to look.
    asset
        A handle, which knows the record that it came from; or a bare CID, for which all producers are listed,
        newest first.
    direction
        ``"up"`` or ``"down"``.

    Raises
    ------
    NotFound
        The store knows nothing of that CID.
    """
    walker = _Walker(Ledger(store.records))
    handle = store.get(asset) if isinstance(asset, str) else asset
    if direction == "down":
        return Lineage(walker.uses(handle), direction, store)
    if direction != "up":
        raise ArgumentError(
            f'direction={direction!r:.80}: choose "up" (where it came from) or "down" (what was made of it)'
        )
    return Lineage(walker.origins(asset, handle), direction, store)


@dataclass(frozen=True)
class _Step:
    """A node before the nodes that follow it are known."""

    asset: Asset
    record: Record | None
    parameter: str
    parent: int


class _Walker:
    """Walks without recursion: chains may be deeper than the interpreter's stack."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def origins(self, asked: Asset | str, handle: Asset) -> tuple[Node, ...]:
        """One tree a producer of a bare CID; of a handle, the tree of its own record."""
        own = asked.source.record if isinstance(asked, Asset) and asked.source is not None else None
        if own and (record := self.ledger.get(own)):
            return (self.tree(_Step(handle, record, "", -1), self._made_of),)
        producers = self.ledger.producers(handle.cid or "")
        starts = [_Step(_output(self.ledger, record, handle), record, "", -1) for record in producers]
        return tuple(self.tree(start, self._made_of) for start in starts) or (Node(handle),)

    def uses(self, handle: Asset) -> tuple[Node, ...]:
        """The tree of what was made of an asset."""
        return (self.tree(_Step(handle, None, "", -1), self._used_by),)

    def tree(self, start: _Step, follow: Callable[[_Step], Iterator[tuple[Asset, Record | None, str]]]) -> Node:
        steps, todo, seen = list[_Step](), [start], set[str]()
        repeated = set[int]()
        while todo:
            step = todo.pop()
            place = len(steps)
            steps.append(step)
            if step.asset.id in seen:
                repeated.add(place)
                continue
            seen.add(step.asset.id)
            todo += reversed([_Step(*following, place) for following in follow(step)])
        return _built(steps, repeated)

    def _made_of(self, step: _Step) -> Iterator[tuple[Asset, Record | None, str]]:
        if step.record is None:
            return
        inputs = list(_inputs(step.record))
        known = self.ledger.records.assets.read([identifier for _, identifier in inputs])
        for name, identifier in inputs:
            if identifier in known:
                producer = step.record.producers.get(identifier)
                handle = self.ledger.records.assets.handle(known[identifier], producer)
                yield handle, self.ledger.get(producer) if producer else None, name

    def _used_by(self, step: _Step) -> Iterator[tuple[Asset, Record | None, str]]:
        for user in self.ledger.consumers(step.asset.cid or ""):
            names = [name for name, identifier in _inputs(user) if identifier == step.asset.id]
            if user.status == "ok" and names and not user.wires:  # what it wired tells of itself
                for made in walk_assets(self.ledger.results(user)):
                    yield made, user, names[0]


def _built(steps: list[_Step], repeated: set[int]) -> Node:
    """Nodes from the last step to the first: what follows a node always stands after it."""
    following: dict[int, list[Node]] = {}
    for place in range(len(steps) - 1, -1, -1):
        step, nodes = steps[place], tuple(reversed(following.pop(place, [])))
        node = Node(step.asset, step.record, step.parameter, nodes, place in repeated and step.record is not None)
        following.setdefault(step.parent, []).append(node)
    return following[-1][0]


def _inputs(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the parameter and the id of every input."""
    for name, value in record.inputs.items():
        if isinstance(value, dict):
            # Places in lists of lists have their brackets.
            places = ((key if key.startswith("[") else f"[{key}]", identifier) for key, identifier in value.items())
            yield from ((f"{name}{place}", identifier) for place, identifier in places)
        elif isinstance(value, list):
            yield from ((f"{name}[{number}]", identifier) for number, identifier in enumerate(value))
        elif value is not None:
            yield name, value


def _output(ledger: Ledger, record: Record, wanted: Asset) -> Asset:
    for made in walk_assets(ledger.results(record)):
        if made.cid == wanted.cid:
            return made
    raise NotFound(f"record {record.id} no longer names {wanted.cid}")
