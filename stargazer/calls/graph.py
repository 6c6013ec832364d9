"""Calls as Dask's layered graph: one lazy layer for the process, cut down to what must run when Dask asks for it.

A layer a call makes merging quadratic; one layer a root is quadratic when roots share calls. Here all calls of a
process share one layer of one name, which merges at no cost, and holds nothing: only `Layer.cull`, or pickling for a
scheduler elsewhere, walks the calls that are wanted, asks the ledger for them, level by level, and builds one flat
graph. Each root has a layer of its own beside it, an anchor, which keeps it alive.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from dask._task_spec import DataNode, Dict, List, Task, TaskRef
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer

from stargazer import config
from stargazer.calls.elements import element
from stargazer.calls.node import opened, refuse, run, seal
from stargazer.calls.resources import granted_here
from stargazer.calls.walk import CALLS, LAYER, has_call, needs
from stargazer.errors import CodeChanged, NeedUnmet, OutputError, StoreError, StoresMixed
from stargazer.ledger import Ledger, walk_assets
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from dask.typing import Key

    from stargazer.calls.call import Call
    from stargazer.execute import TaskSpec
    from stargazer.execute.wiring import Sketch
    from stargazer.ledger import Record

__all__ = [
    "delayed_of",
    "flat_delayed",
    "flatten",
    "graph_of",
    "known_values",
    "node_of",
    "part_of",
    "value_node",
]


class Flat(MaterializedLayer):
    """What must run: one materialised layer, with the annotations of each call."""

    def __init__(self, graph: dict[str, Any], annotations: dict[str, dict[str, Any]]) -> None:
        super().__init__(graph, annotations={name: ByKey(values) for name, values in annotations.items()} or None)


class ByKey:
    """An annotation that differs from call to call; None where a call has none."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __call__(self, key: str) -> Any:
        return self.values.get(key)


class Lazy(Layer):
    """A layer that is made of calls when Dask asks for it."""

    annotations = None
    collection_annotations = None
    has_legacy_tasks = False

    def is_materialized(self) -> bool:
        return False

    def get_output_keys(self) -> AbstractSet[Key]:
        return set()

    def __bool__(self) -> bool:
        return True


class Wiring(Lazy):
    """All live calls of this process, as a layer that holds nothing; what a graph maps stands in its anchors."""

    def __init__(self) -> None:
        pass

    def get_output_keys(self) -> AbstractSet[Key]:
        return set(CALLS.copy())

    def cull(self, keys: set[Key], all_hlg_keys: Collection[Key]) -> tuple[Layer, Mapping[Key, set[Key]]]:
        # Other layers' keys are among them, too.
        calls = [call for call in map(CALLS.get, keys) if call is not None]
        graph, missing = flatten(calls, with_outputs=True)
        return Flat(*_with_needs(graph, missing)), {key: set() for key in graph}

    def __getitem__(self, key: Key) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __reduce__(self) -> Any:
        # Pickle calls this once a graph, whatever number of roots it has. Graphs that are alive beside it come along,
        # and the scheduler cuts them away: those that could not run must not stand in its way.
        with _ANCHORING:
            calls = [anchor.call for anchor in ANCHORS]
        graph, annotations, gone = {}, {}, {}
        for store in {call.spec.store for call in calls}:
            try:
                nodes, missing = flatten([call for call in calls if call.spec.store == store], lenient=True)
            except StoreError as error:
                gone[store] = error
            else:
                graph.update(nodes)
                annotations.update(missing)
        if gone and not graph:
            raise next(iter(gone.values()))
        for call in calls:
            if call.spec.store in gone:
                graph[call.key] = Task(call.key, refuse, str(gone[call.spec.store]), StoreError)
        return Flat, _with_needs(graph, annotations)


class Anchor(Lazy):
    """Keeps a call alive as long as a graph refers to it, and shows its part of the graph to who iterates over it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        with _ANCHORING:
            ANCHORS.add(self)

    @functools.cached_property
    def _graph(self) -> dict[Any, Any]:
        return dict(flatten([self.call])[0])

    def cull(self, keys: set[Key], all_hlg_keys: Collection[Key]) -> tuple[Layer, Mapping[Key, set[Key]]]:
        return self, {}

    def __getitem__(self, key: Key) -> Any:
        return self._graph[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._graph)

    def __len__(self) -> int:
        return len(self._graph)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce__(self) -> Any:
        return MaterializedLayer, ({},)


_ANCHORING = threading.Lock()
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


def delayed_of(
    graph: dict[str, Any], calls: dict[str, Call], keys: Iterable[str], resources: Mapping[str, dict[str, float]]
) -> list[Delayed]:
    """Return a plain `Delayed` for each of `keys` in a graph made by `flatten`, whose calls take `resources`."""
    whole = HighLevelGraph({LAYER: Flat(graph, _annotations(calls, resources))}, {LAYER: set()})
    return [Delayed(key, whole, layer=LAYER) for key in keys]


def part_of(graph: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the nodes of a flat graph that some of them need."""
    found: dict[str, Any] = {}
    todo = list(keys)
    while todo:
        key = todo.pop()
        if key not in found:
            found[key] = graph[key]
            todo += graph[key].dependencies
    return found


def _with_needs(graph: dict[str, Any], calls: dict[str, Call]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The graph and its annotations; calls that would wait for ever on the active client's workers fail instead."""
    resources, unmet = granted_here(calls)
    refused = {key: Task(key, refuse, message, NeedUnmet) for key, message in unmet.items()}
    return graph | refused, _annotations(calls, resources)


def _stored_inputs(call: Call) -> list[str]:
    """CIDs of what is known of a call's inputs: where they lie, it should run."""
    return [asset.cid for asset in walk_assets(list(call.inputs.values())) if asset.cid]


def _annotations(calls: dict[str, Call], resources: Mapping[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    annotations: dict[str, dict[str, Any]] = {"resources": dict(resources)} if resources else {}
    if inputs := {key: cids for key, call in calls.items() if call.inputs and (cids := _stored_inputs(call))}:
        annotations["stargazer_inputs"] = inputs
    for key, call in calls.items():
        for name, value in call.annotations.items():
            known = annotations.setdefault(name, {})
            known[key] = {**known.get(key, {}), **value} if name == "resources" else value
    return annotations


# Calls as one flat graph of what must run; what the ledger knows is cut away.


def flatten(
    roots: Iterable[Call],
    function: Callable[..., Any] = run,
    take: Callable[..., Any] = element,
    *,
    lenient: bool = False,
    with_outputs: bool = False,
    done: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, Call]]:
    """Return the flat graph of what `roots` need, and the calls in it that must run.

    Parameters
    ----------
    roots
        Calls of one store.
    function
        What each node runs: ``function(spec, plan_key, parameters, *inputs, before=…)``, with the plan keys of the
        calls whose results it takes, if there are any, and ``strict=True`` if hidden inputs are errors here.
    take
        What takes an element of a result: ``take(whole, index, label)``, with that of the call for messages.
    lenient
        Calls whose code has changed, and elements that known results have not, become nodes that raise the error if
        they are wanted.
    with_outputs
        What remotes know of `roots` is taken with its bytes; of the calls below, these come when they are needed.
    done
        Plan keys of the calls that were asked for again, and have run since.

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
    changed: dict[int, CodeChanged | None] = {}
    strict = config.strict()
    specs: dict[int, TaskSpec] = {}
    while level:
        wholes = {call.whole.key: call.whole for call in level.values()}
        fresh = {key: call for key, call in wholes.items() if key not in graph}
        keys = [call.plan_key for call in fresh.values() if not call.spec.renewal or call.plan_key in done]
        found = ledger.find_or_take(keys, with_outputs=with_outputs and not graph) if ledger else {}
        following: dict[str, Call] = {}
        for key, call in fresh.items():
            record = found.get(call.plan_key)
            if record is not None and ledger is not None:
                graph[key] = _known(call, record, ledger)
            elif (error := _code_error(call, changed)) is None:
                if id(call.spec) not in specs:
                    specs[id(call.spec)] = call.spec.stamped()
                before = needs(call)
                graph[key], missing[key] = node_of(call, function, specs[id(call.spec)], before, strict=strict), call
                if before:
                    following |= {each.key: each for each in before}
            elif lenient:
                graph[key] = Task(key, refuse, str(error))
            else:
                raise error
        for key, call in level.items():
            if call.parent is not None:
                graph[key] = _element_node(call, graph[call.parent.key], take, lenient=lenient)
        level = {key: call for key, call in following.items() if key not in graph}
    return graph, missing


def _one_ledger(calls: Iterable[Call]) -> Ledger | None:
    stores = {call.spec.store for call in calls}
    if len(stores) > 1:
        raise StoresMixed(f"calls of several stores cannot run in one graph: {', '.join(sorted(stores))}")
    return Ledger(Store.open(stores.pop()).records) if stores else None


def _code_error(call: Call, checked: dict[int, CodeChanged | None]) -> CodeChanged | None:
    place = id(call.spec)
    if place not in checked:
        try:
            checked[place] = call.spec.check_code()  # type: ignore[func-returns-value]
        except CodeChanged as error:
            checked[place] = error
    return checked[place]


def _known(call: Call, record: Record, ledger: Ledger) -> DataNode | Task:
    return value_node(call.key, ledger.results(record, call.returns.named))


def value_node(key: str, value: Any) -> DataNode | Task:
    """Return the node of a call whose result is there."""
    sealed = seal(value)
    return DataNode(key, value) if sealed is value else Task(key, opened, sealed)


def known_values(node: Any) -> list[Any]:
    """Return the result that a node of a flat graph holds, if the ledger knew it."""
    if isinstance(node, DataNode):
        return [node.value]
    return [opened(node.args[0])] if isinstance(node, Task) and node.func is opened else []


def node_of(
    call: Call,
    function: Callable[..., Any],
    spec: TaskSpec,
    before: Sequence[Call],
    *,
    strict: bool,
    sketch: Sketch | None = None,
    wired: Sequence[Call] = (),
) -> Task:
    """Return the node of one call.

    Parameters
    ----------
    call
        A whole call.
    function
        What the node runs.
    spec
        The call's own, as it travels.
    before
        The calls whose results it takes.
    strict
        Whether hidden inputs are errors.
    sketch, wired
        Of one that has wired others: what it returned, and these calls.
    """
    parameters: Any = {name: _reference(value) for name, value in call.given.items()}
    inputs = [_reference(value) for value in call.inputs.values()]
    told: dict[str, Any] = {}
    if before:
        if any(isinstance(value, Delayed) for value in call.given.values()):
            parameters = Dict(parameters)
        told = {"before": tuple(dict.fromkeys([each.plan_key for each in before]))}
    told |= {"strict": True} if strict else {}
    if sketch is not None:
        told |= {"sketch": sketch._replace(shape=seal(sketch.shape)), "results": List(*map(_reference, wired))}
    return Task(call.key, function, spec, call.plan_key, parameters, *inputs, **told)


def _reference(value: Any) -> Any:
    if isinstance(value, Delayed):
        return TaskRef(value.key)
    if isinstance(value, (list, dict)) and has_call(value):
        if isinstance(value, list):
            return List(*map(_reference, value))
        return Dict({key: _reference(item) for key, item in value.items()})
    return seal(value)


def _element_node(call: Call, parent: Any, take: Callable[..., Any], *, lenient: bool) -> Any:
    assert call.parent is not None
    if isinstance(parent, DataNode):
        try:
            return DataNode(call.key, take(parent.value, call.index, call.label))
        except OutputError as error:
            if not lenient:
                raise
            return Task(call.key, refuse, str(error), OutputError)
    return Task(call.key, take, TaskRef(call.parent.key), call.index, call.label)
