"""What was made of what, around one file: a graph of files and calls, drawn as SVG."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stargazer.display.html import Markup, escape, short
from stargazer.ledger.lineage import trace

if TYPE_CHECKING:
    from stargazer.assets import Asset
    from stargazer.ledger.lineage import Node
    from stargazer.ledger.record import Record
    from stargazer.store import Store

__all__ = ["AT_ONCE", "Graph", "graph_around"]

AT_ONCE = 150
"""Nodes that are drawn before somebody asks for more."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 40, 46, 14, 14
LONGEST = 25


@dataclass
class Graph:
    """Files and calls, and what leads from one to the other.

    Parameters
    ----------
    chosen
        Id of the file in the middle.
    files, calls
        By their ids.
    edges
        Pairs of ids, in the order of time.
    left_out
        Nodes that are farther away than those shown.
    """

    chosen: str
    files: dict[str, Asset] = field(default_factory=dict)
    calls: dict[str, Record] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    left_out: int = 0

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.files) + len(self.calls)

    def svg(self, base: str) -> str:
        """Return the drawing; each file is a link to its page below `base`."""
        places = _places(self)
        right = max(x for x, _ in places.values()) + WIDTH + MARGIN
        bottom = max(y for _, y in places.values()) + HEIGHT + MARGIN
        lines = [_edge(places[one], places[other]) for one, other in self.edges]
        boxes = [self._box(name, place, base) for name, place in places.items()]
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{right}" height="{bottom}" role="group" '
        return f'{head}aria-label="What was made of what">{"".join(lines)}{"".join(boxes)}</svg>'

    def _box(self, name: str, place: tuple[int, int], base: str) -> str:
        if name in self.files:
            asset = self.files[name]
            kind = "file chosen" if name == self.chosen else "file"
            label, second = asset.name or short(str(asset.cid)), _told(asset)
            link = f"{base}/files/{name}"
        else:
            record = self.calls[name]
            kind, label, second = "call", record.task, record.started[:16].replace("T", " ")
            link = f"{base}/runs/calls/{name}"
        x, y = place
        rounded = 18 if name in self.calls else 4
        return (
            f'<a class="{kind}" href="{escape(link)}"><title>{escape(label)}</title>'
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{rounded}"/>'
            f'<text x="{x + 10}" y="{y + 17}">{_cut(label)}</text>'
            f'<text class="second" x="{x + 10}" y="{y + 32}">{_cut(second)}</text></a>'
        )

    def _repr_html_(self) -> str:
        return self.svg("")


def graph_around(store: Store, asset: Asset, limit: int = AT_ONCE) -> Graph:
    """Return what an asset was made of and what was made of it, the nearest first.

    Parameters
    ----------
    store
        Whose ledger is asked.
    asset
        The file in the middle.
    limit
        Nodes that are shown.
    """
    graph = Graph(asset.id, {asset.id: asset})
    todo: deque[tuple[Node, bool]] = deque()
    for direction in ("up", "down"):
        todo += [(root, direction == "up") for root in trace(store, str(asset.cid), direction).roots]
    seen: set[int] = set()
    while todo:
        node, up = todo.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for one, other in _steps(node, up):
            _join(graph, one, other, limit)
        todo += [(each, up) for each in node.next]
    return graph


def _steps(node: Node, up: bool) -> list[tuple[Any, Any]]:
    """Pairs of what follows on another, in the order of time."""
    if up:
        made = [(node.record, node.asset)] if node.record is not None else []
        return [*made, *((each.asset, node.record) for each in node.next)]
    return [pair for each in node.next for pair in ((node.asset, each.record), (each.record, each.asset))]


def _join(graph: Graph, one: Any, other: Any, limit: int) -> None:
    names = []
    for each in (one, other):
        found: dict[str, Any] = graph.calls if hasattr(each, "plan_key") else graph.files
        name = each.id if hasattr(each, "plan_key") else _same_file(graph, each)
        if name not in found:
            if graph.size >= limit:
                graph.left_out += 1
                return
            found[name] = each
        names.append(name)
    if names[0] != names[1]:
        graph.edges[names[0], names[1]] = None


def _same_file(graph: Graph, asset: Asset) -> str:
    """The chosen file may be known by another record of the same bytes."""
    return graph.chosen if asset.cid == graph.files[graph.chosen].cid else asset.id


# Where each box stands: columns in the order of time, in each the boxes near to what they come from.


def _places(graph: Graph) -> dict[str, tuple[int, int]]:
    columns: dict[int, list[str]] = defaultdict(list)
    for name, rank in _ranks(graph).items():
        columns[rank].append(name)
    before = defaultdict(list)
    for one, other in graph.edges:
        before[other].append(one)
    heights: dict[str, float] = {}
    for rank in sorted(columns):
        wanted = {name: _mean([heights[each] for each in before[name] if each in heights]) for name in columns[rank]}
        for place, name in enumerate(sorted(columns[rank], key=lambda name: (wanted[name], name))):
            heights[name] = place
    most = max(map(len, columns.values()))
    found = {}
    for number, rank in enumerate(sorted(columns)):
        shift = (most - len(columns[rank])) / 2
        for name in columns[rank]:
            y = MARGIN + int((heights[name] + shift) * (HEIGHT + GAP_Y))
            found[name] = (MARGIN + number * (WIDTH + GAP_X), y)
    return found


def _ranks(graph: Graph) -> dict[str, int]:
    """Length of the longest way to each node; what leads back to itself counts once."""
    after, waits = defaultdict(list), dict.fromkeys([*graph.files, *graph.calls], 0)
    for one, other in graph.edges:
        after[one].append(other)
        waits[other] += 1
    ranks = dict.fromkeys(waits, 0)
    ready = deque(name for name, number in waits.items() if number == 0)
    left = set(waits)
    while left:
        name = ready.popleft() if ready else min(left)
        if name not in left:
            continue
        left.discard(name)
        for other in after[name]:
            if other in left:
                ranks[other] = max(ranks[other], ranks[name] + 1)
                waits[other] -= 1
                if waits[other] == 0:
                    ready.append(other)
    return ranks


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _edge(one: tuple[int, int], other: tuple[int, int]) -> str:
    (x, y), (u, v) = one, other
    start, end, middle = x + WIDTH, u, (x + WIDTH + u) // 2
    y, v = y + HEIGHT // 2, v + HEIGHT // 2
    return f'<path d="M{start} {y}C{middle} {y} {middle} {v} {end} {v}"/>'


def _told(asset: Asset) -> str:
    sample = str(asset.declared.get("sample_id", "") or "")
    return " ".join(filter(None, (asset.asset_key, sample)))


def _cut(text: str) -> Markup:
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}…{text[-8:]}")
