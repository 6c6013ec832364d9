"""Calls as a Dask graph: one lazy flat layer for the process, cut down to what must run when Dask asks for it.

A layer a call makes merging quadratic; one layer a root is quadratic when roots share calls. Here all calls of a
process share one layer of one name, which merges at no cost, and holds nothing: only `Layer.cull`, or pickling for a
scheduler elsewhere, walks the calls that are wanted, asks the ledger for them, level by level, and builds one flat
graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from dask._task_spec import DataNode, Dict, List, Task, TaskRef
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer

from stargazer.calls.call import CALLS, Call
from stargazer.calls.elements import element
from stargazer.calls.node import run
from stargazer.errors import StoresMixed
from stargazer.ledger import Ledger
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from dask.typing import Key as DaskKey

__all__ = ["LAYER", "delayed_of", "flat_delayed", "flatten", "graph_of"]

LAYER = "stargazer"


class Flat(MaterializedLayer):
    """What must run: one materialised layer, with the annotations of each call."""

    def __init__(self, graph: dict[str, Any], annotations: dict[str, dict[str, Any]]) -> None:
        super().__init__(graph, annotations={name: ByKey(values) for name, values in annotations.items()} or None)


class ByKey:
    """An annotation that differs from call to call."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __call__(self, key: str) -> Any:
        return self.values.get(key)


class Wiring(Layer):
    """All live calls of this process, as a layer that holds nothing."""

    annotations = None
    collection_annotations = None

    def __init__(self) -> None:
        pass

    def is_materialized(self) -> bool:
        return False

    def get_output_keys(self) -> AbstractSet[DaskKey]:
        return set(CALLS)

    def cull(
        self, keys: set[DaskKey], all_hlg_keys: Collection[DaskKey]
    ) -> tuple[Layer, Mapping[DaskKey, set[DaskKey]]]:
        graph, calls = flatten([CALLS[key] for key in keys])
        return Flat(graph, _annotations(calls)), {key: set(node.dependencies) for key, node in graph.items()}

    def __getitem__(self, key: DaskKey) -> Any:
        return flatten([CALLS[key]])[0][str(key)]

    def __iter__(self) -> Iterator[DaskKey]:
        return iter(list(CALLS.keys()))

    def __len__(self) -> int:
        return len(CALLS)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> Any:
        # Pickle calls this once a graph, whatever number of roots it has. Graphs that are alive beside it come along,
        # and the scheduler cuts them away.
        graph, calls = flatten([anchor.call for anchor in ANCHORS])
        return Flat, (graph, _annotations(calls))


class Anchor(MaterializedLayer):
    """An empty layer that keeps a call alive as long as a graph refers to it."""

    def __init__(self, call: Call) -> None:
        super().__init__({})
        self.call = call
        ANCHORS.add(self)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce__(self) -> Any:
        return MaterializedLayer, ({},)


ANCHORS: WeakSet[Anchor] = WeakSet()
WIRING = Wiring()


def graph_of(call: Call) -> HighLevelGraph:
    """Return the graph of one call. Never kept: the ledger moves on."""
    anchor = f"keep-{call.key}"
    return HighLevelGraph({LAYER: WIRING, anchor: Anchor(call)}, {LAYER: set(), anchor: set()})


def flat_delayed(call: Call) -> Delayed:
    """Return a plain `Delayed` with only the call's own graph."""
    graph: dict[Any, Any] = flatten([call])[0]
    return Delayed(call.key, HighLevelGraph.from_collections(call.key, graph))


def delayed_of(graph: dict[str, Any], calls: dict[str, Call], keys: Iterable[str]) -> list[Delayed]:
    """Return a plain `Delayed` for each of `keys` in a graph made by `flatten`."""
    whole = HighLevelGraph({LAYER: Flat(graph, _annotations(calls))}, {LAYER: set()})
    return [Delayed(key, whole, layer=LAYER) for key in keys]


def flatten(
    roots: Iterable[Call], function: Callable[..., Any] = run, take: Callable[..., Any] = element
) -> tuple[dict[str, Any], dict[str, Call]]:
    """Return the flat graph of what `roots` need, and the calls in it that must run.

    Parameters
    ----------
    roots
        Calls of one store.
    function
        What each node runs: ``function(order, plan_key, parameters, *inputs)``.
    take
        What takes an element of a result: ``take(whole, index)``.

    Raises
    ------
    StoresMixed
        Calls of two stores.
    CodeChanged
        A task's code is no longer what it was when the call was made.
    """
    graph: dict[str, Any] = {}
    missing: dict[str, Call] = {}
    level = {call.key: call for call in roots}
    ledger = _one_ledger(level.values())
    checked: set[int] = set()
    while level:
        wholes = {call.whole.key: call.whole for call in level.values()}
        fresh = {key: call for key, call in wholes.items() if key not in graph}
        found = ledger.find_many(call.plan_key for call in fresh.values()) if ledger else {}
        following: dict[str, Call] = {}
        for key, call in fresh.items():
            record = found.get(call.plan_key)
            if record is not None and ledger is not None:
                graph[key] = DataNode(key, ledger.results(record, call.returns.named))
                continue
            _check_code(call, checked)
            graph[key], missing[key] = _node(call, function), call
            following |= {needed.key: needed for needed in needs(call)}
        for key, call in level.items():
            if call.parent is not None:
                graph[key] = _element_node(call, graph[call.parent.key], take)
        level = {key: call for key, call in following.items() if key not in graph}
    return graph, missing


def needs(call: Call) -> Iterator[Call]:
    """Yield the calls whose results a call takes."""
    for value in (*call.inputs.values(), *call.parameters.values()):
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else (value,)
        yield from (item for item in items if isinstance(item, Call))


def _one_ledger(calls: Iterable[Call]) -> Ledger | None:
    stores = {call.order.store for call in calls}
    if len(stores) > 1:
        raise StoresMixed(f"calls of several stores cannot run in one graph: {', '.join(sorted(stores))}")
    return Ledger(Store.open(stores.pop())) if stores else None


def _check_code(call: Call, checked: set[int]) -> None:
    if id(call.order) not in checked:
        checked.add(id(call.order))
        call.order.task.check_code(call.order.code)


def _node(call: Call, function: Callable[..., Any]) -> Task:
    parameters: Any = call.parameters
    if any(isinstance(value, Call) for value in parameters.values()):
        parameters = Dict({name: _reference(value) for name, value in parameters.items()})
    inputs = [_reference(value) for value in call.inputs.values()]
    return Task(call.key, function, call.order, call.plan_key, parameters, *inputs)


def _reference(value: Any) -> Any:
    if isinstance(value, Call):
        return TaskRef(value.key)
    if isinstance(value, list) and any(isinstance(item, Call) for item in value):
        return List(*map(_reference, value))
    if isinstance(value, dict) and any(isinstance(item, Call) for item in value.values()):
        return Dict({key: _reference(item) for key, item in value.items()})
    return value


def _element_node(call: Call, parent: Any, take: Callable[..., Any]) -> Any:
    assert call.parent is not None
    if isinstance(parent, DataNode):
        return DataNode(call.key, take(parent.value, call.index))
    return Task(call.key, take, TaskRef(call.parent.key), call.index)


def _annotations(calls: dict[str, Call]) -> dict[str, dict[str, Any]]:
    annotations: dict[str, dict[str, Any]] = {}
    for key, call in calls.items():
        for name, value in call.annotations.items():
            annotations.setdefault(name, {})[key] = value
    return annotations
