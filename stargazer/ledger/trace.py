"""Where a result came from, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stargazer.assets import Asset
from stargazer.errors import NotFound
from stargazer.ledger.ledger import Ledger
from stargazer.ledger.lineage import Direction, Lineage, Node
from stargazer.ledger.results import walk_assets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stargazer.ledger.record import Record
    from stargazer.store import Store

__all__ = ["Direction", "Lineage", "Node", "trace"]


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
    walker = _Walker(Ledger(store))
    handle = store.get(asset) if isinstance(asset, str) else asset
    if direction == "down":
        return Lineage(walker.uses(handle), direction, store)
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
        known = self.ledger.store.read_assets([identifier for _, identifier in inputs])
        for name, identifier in inputs:
            if identifier in known:
                producer = step.record.producers.get(identifier)
                handle = self.ledger.store.handle(known[identifier], producer)
                yield handle, self.ledger.get(producer) if producer else None, name

    def _used_by(self, step: _Step) -> Iterator[tuple[Asset, Record | None, str]]:
        for user in self.ledger.consumers(step.asset.cid or ""):
            names = [name for name, identifier in _inputs(user) if identifier == step.asset.id]
            if user.status == "ok" and names:
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
            yield from ((f"{name}[{key}]", identifier) for key, identifier in value.items())
        elif isinstance(value, list):
            yield from ((f"{name}[{number}]", identifier) for number, identifier in enumerate(value))
        elif value is not None:
            yield name, value


def _output(ledger: Ledger, record: Record, wanted: Asset) -> Asset:
    for made in walk_assets(ledger.results(record)):
        if made.cid == wanted.cid:
            return made
    raise NotFound(f"record {record.id} no longer names {wanted.cid}")
