"""Graphs that grow: calls that wire others are held back until what they were given is there.

When it is, the function wires, here, and its node is replaced by one that waits for what it wired and puts the results
together. So a graph stays one flat graph however deep functions that wire lie in each other: a loop of a thousand
rounds is a chain of a thousand such nodes, and no recursion.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from dask._task_spec import DataNode
from dask.base import annotate, is_dask_collection

from stargazer.assets import Asset
from stargazer.calls.elements import element
from stargazer.calls.graph import flatten, known_values, node_of, value_node
from stargazer.calls.node import joined, on_worker, run
from stargazer.calls.renewed import renewed_within
from stargazer.calls.resources import shared
from stargazer.calls.walk import check_no_call_lost, needs, walk
from stargazer.errors import ArgumentError, OutputError, WiringError
from stargazer.execute.wiring import Place, Sketch, Wiring, check_stored
from stargazer.ledger.reads import LIBRARY, TOOL, variable_value
from stargazer.ledger.record import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from stargazer.calls.call import Call
    from stargazer.execute import TaskSpec

__all__ = ["Flat", "Frontier", "Growth", "Step", "grown", "would_wire"]


class Frontier:
    """Which nodes of a graph wait for others, as these are let go one by one; without I/O."""

    def __init__(self) -> None:
        self._waits: dict[str, int] = {}
        self._above: dict[str, list[str]] = {}
        self._free: set[str] = set()

    def add(self, key: str, needed: Iterable[str]) -> bool:
        """Take a node, or one that waits for something else from now on; return whether it waits for nothing."""
        waits = [each for each in needed if each not in self._free]
        for each in waits:
            self._above.setdefault(each, []).append(key)
        self._waits[key] = len(waits)
        return not waits

    def free(self, key: str) -> list[str]:
        """Let a node go; return those that wait for nothing any more."""
        if key in self._free:
            return []
        self._free.add(key)
        ready = []
        for each in self._above.get(key, ()):
            self._waits[each] -= 1
            if not self._waits[each]:
                ready.append(each)
        return ready

    def above(self, keys: Iterable[str]) -> set[str]:
        """Return all nodes that need one of these, however far up."""
        found: set[str] = set()
        todo = list(keys)
        while todo:
            more = [each for each in self._above.get(todo.pop(), ()) if each not in found]
            found.update(more)
            todo += more
        return found


class Step(NamedTuple):
    """What became of a call that wires.

    Parameters
    ----------
    known
        Its result in a list, where the ledger knew it; else empty.
    keys
        Of the nodes that are new or another now.
    calls
        The calls that it added.
    """

    known: list[Any]
    keys: list[str]
    calls: dict[str, Call]


class Growth:
    """A graph in flight in which some calls wire others.

    Parameters
    ----------
    graph, calls
        From `stargazer.calls.graph.flatten`; both grow.
    node, take
        As there.
    done
        Asked for the plan keys of the calls that were asked for again, and have run since.
    """

    def __init__(
        self,
        graph: dict[str, Any],
        calls: dict[str, Call],
        node: Callable[..., Any] = run,
        take: Callable[..., Any] = element,
        done: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.graph, self.calls = graph, calls
        self._node, self._take, self._done = node, take, done
        self.waiting = {key: call for key, call in calls.items() if call.spec.wires}
        self.wired: dict[str, tuple[Call, ...]] = {}
        """What each has wired, by its key."""
        self._paths: dict[str, list[str]] = {}
        self._within: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self.relied_on: Callable[[dict[str, Any], Mapping[str, Call]], object] = lambda graph, calls: None
        """Told of the nodes and calls that come as functions wire, before anything of them runs."""

    def __bool__(self) -> bool:
        return bool(self.waiting or self.wired)

    def wire(self, call: Call, results: Mapping[str, Any]) -> Step:
        """Let a call wire, now that what it was given is there.

        Parameters
        ----------
        call
            One that waits.
        results
            By key, of the whole calls among what it was given; those that the ledger knew stand in the graph.

        Raises
        ------
        Exception
            What the function raises, or what is wrong with what it returned; a record tells of it.
        """
        del self.waiting[call.key]
        node = self.graph[call.key]
        sent, strict = node.args[0], node.kwargs.get("strict", False)
        inputs, parameters = (
            {name: self._value(value, results) for name, value in each.items()} for each in (call.inputs, call.given)
        )
        before = node.kwargs.get("before", ())
        with annotate(**call.annotations) if call.annotations else contextlib.nullcontext():
            found = _wired(Wiring(sent, call.plan_key, inputs, parameters, before=before, strict=strict))
        if isinstance(found, _Found):
            step = self._grow(call, found, sent, strict)
        else:
            self.graph[call.key] = value_node(call.key, found[0])
            step = Step(found, [call.key], {})
        self.relied_on({key: self.graph[key] for key in step.keys}, step.calls)
        return step

    def place(self, plan_key: str) -> str:
        """Where a call stands in what wired it, as ``"per_cluster[3]"``; empty where nothing did."""
        while self._paths:
            key, paths = self._paths.popitem()
            for root, path in zip(self.wired[key], paths, strict=True):
                for each in walk(root):
                    self._places.setdefault(each.plan_key, path)
        return self._places.get(plan_key, "")

    def _grow(self, call: Call, found: _Found, sent: TaskSpec, strict: bool) -> Step:
        done = self._done() if any(each.spec.renewal for each in found.calls) else ()
        graph, missing = flatten(found.calls, self._node, self._take, done=done)
        self._refuse_circles(call, missing)
        new = {key: node for key, node in graph.items() if key not in self.graph}
        added = {key: each for key, each in missing.items() if key in new}
        self.graph |= new
        self.calls |= added
        for key, each in added.items():
            if each.spec.wires:
                self.waiting[key] = each
                self._within[key] = call.key
        self.wired[call.key], self._paths[call.key] = found.calls, found.paths
        self.graph[call.key] = node_of(
            call, self._node, sent, needs(call), strict=strict, sketch=found.sketch, wired=found.calls
        )
        return Step([], [*new, call.key], added)

    def _refuse_circles(self, call: Call, missing: Mapping[str, Call]) -> None:
        """What waits for a call above it would wait for ever."""
        key: str | None = call.key
        while key is not None:
            if key in missing:
                raise WiringError(
                    f"{call.name} wires {missing[key]!r}, which waits for it: a round of a loop needs arguments of its "
                    "own, as a number that counts down"
                )
            key = self._within.get(key)

    def _value(self, value: Any, results: Mapping[str, Any]) -> Any:
        if isinstance(value, list):
            return [self._value(item, results) for item in value]
        if type(value) is dict:
            return {name: self._value(item, results) for name, item in value.items()}
        if not hasattr(value, "plan_key"):
            return value
        key = value.whole.key
        whole = results[key] if key in results else known_values(self.graph[key])[0]
        return whole if value.parent is None else element(whole, value.index, value.label)


# What a function wired, read.


class _Found(NamedTuple):
    calls: tuple[Call, ...]
    paths: list[str]
    sketch: Sketch


def _wired(wiring: Wiring) -> list[Any] | _Found:
    """The result in a list, where it is known; else what the function wires."""
    if known := wiring.found():
        return known
    made, reads, noted = wiring.wire()
    try:
        reader = _Reader(wiring)
        shape = reader.read(made)
    except RecursionError:
        told = f"{wiring.spec.name} returned a list that holds itself, or is nested too deeply"
        wiring.failed(error := OutputError(told))
        raise error from None
    except Exception as error:
        wiring.failed(error)
        raise
    calls = tuple(reader.calls.values())
    if wiring.spec.renews:
        fresh = renewed_within(calls, wiring.spec)
        calls = tuple(fresh[call.key] for call in calls)
    reads |= _relied_on(calls, wiring.spec)
    sketch = Sketch(shape, tuple(call.plan_key for call in calls), reads, noted)
    return _Found(calls, list(reader.paths), sketch)


def would_wire(call: Call, inputs: dict[str, Any], parameters: dict[str, Any]) -> list[Call]:
    """Return what a call would wire with these results; nothing is recorded, and nothing runs.

    Raises
    ------
    Exception
        What the function raises, or what is wrong with what it returns.
    """
    wiring = Wiring(call.spec, call.plan_key, inputs, parameters)
    made, _, _ = wiring.look()
    reader = _Reader(wiring)
    reader.read(made)
    return list(reader.calls.values())


class _Reader:
    """Finds the calls in what a function returned."""

    def __init__(self, wiring: Wiring) -> None:
        self._spec, self._store = wiring.spec, wiring.store
        self.calls: dict[Any, Call] = {}
        self.paths: list[str] = []
        self._numbers: dict[Any, Place] = {}

    def read(self, made: Any, path: str = "") -> Any:
        """Return what it returned with a `Place` for each call."""
        if hasattr(type(made), "plan_key"):
            return self._place(made, path)
        if is_dask_collection(made):  # made of calls by operators, perhaps: to ask one of anything gives another
            raise ArgumentError(
                f"{self._spec.name}{path} is {made!r}, which Dask computes, and no call: what is computed with the "
                "result of a call is for a task to do, or for a function that wires and takes that result"
            )
        if isinstance(made, tuple):
            items = [self.read(item, f"{path}[{number}]") for number, item in enumerate(made)]
            return type(made)(*items) if hasattr(made, "_fields") else tuple(items)
        if isinstance(made, list):
            return [self.read(item, f"{path}[{number}]") for number, item in enumerate(made)]
        if isinstance(made, dict):
            return {name: self.read(item, f"{path}[{name!r}]") for name, item in made.items()}
        if isinstance(made, Asset):
            check_stored(self._spec.name, made, self._store)
        else:
            check_no_call_lost(made)
            encode(made)
        return made

    def _place(self, call: Call, path: str) -> Place:
        place = self._numbers.get(call.key)
        if place is None:
            place = self._numbers[call.key] = Place(len(self.calls))
            self.calls[call.key] = call
            self.paths.append(f"{self._spec.name}{path}")
        return place


def _relied_on(calls: Iterable[Call], spec: TaskSpec) -> dict[str, str]:
    """Tools, libraries and variables of all that was wired, as far as they are not in the key of what wired it."""
    specs = {id(each.spec): each.spec for call in calls for each in _walked(call)}
    here = {tool.name for tool in spec.tools}
    found: dict[str, str] = {}
    for each in specs.values():
        tools = {f"{TOOL}{t.name}": f"{t.version} {t.digest}".strip() for t in each.tools if t.name not in here}
        found |= tools
        found |= {f"{LIBRARY}{name}": v for name, v in each.libraries.items() if name not in spec.libraries}
        found |= {f"${name}": variable_value(name) for name in each.env if name not in spec.env}
    return found


def _walked(call: Call) -> Iterator[Call]:
    """A call and those that it needs; most have none below them."""
    return walk(call) if needs(call.whole) else iter((call,))


# Running a graph that grows, node by node.


class Flat:
    """Runs a graph that grows to its end, without Dask's schedulers: those take no more once they have begun.

    Parameters
    ----------
    growth
        The graph.
    wire
        Lets a call wire: `Growth.wire`, or what also takes care of its failures.
    submit
        Runs a function of no arguments somewhere; None for here and now.
    """

    def __init__(
        self,
        growth: Growth,
        wire: Callable[[Call, Mapping[str, Any]], Step],
        submit: Callable[[Callable[[], None]], Any] | None = None,
    ) -> None:
        self._growth, self._wire, self._submit = growth, wire, submit
        self._values: dict[str, Any] = {}
        self._frontier = Frontier()
        self._ready: deque[str] = deque()
        self._ended: queue.SimpleQueue[tuple[str, Any, BaseException | None]] = queue.SimpleQueue()
        self._running = 0

    def run(self, keys: Sequence[str]) -> list[Any]:
        """Run it, and return the results of some nodes.

        Raises
        ------
        Exception
            What the first node raised that failed; what runs beside it has ended then.
        WiringError
            Some calls wait for each other.
        """
        self._take(self._growth.graph)
        while self._ready or self._running:
            if self._ready:
                self._begin(self._ready.popleft())
            if self._running and (not self._ready or not self._ended.empty()):
                self._collect()
        if any(key not in self._values for key in keys):
            names = ", ".join(dict.fromkeys(call.name for call in self._growth.waiting.values()))
            raise WiringError(f"calls of {names or 'functions that wire'} wait for each other, and never end")
        return [self._values[key] for key in keys]

    def _take(self, keys: Iterable[str]) -> None:
        graph = self._growth.graph
        self._ready += [key for key in keys if self._frontier.add(key, graph[key].dependencies)]

    def _begin(self, key: str) -> None:
        node = self._growth.graph[key]
        if key in self._growth.waiting:
            self._grow(key)
        elif key not in self._growth.calls or isinstance(node, DataNode):
            self._end(key, node(self._inputs(node)))
        else:
            self._running += 1
            inputs = self._inputs(node)
            if self._submit is None:
                self._run(key, node, inputs)
            else:
                self._submit(lambda: self._run(key, node, inputs))

    def _grow(self, key: str) -> None:
        call = self._growth.waiting[key]
        step = self._wire(call, self._values)
        if step.known:
            self._end(key, step.known[0])
        else:
            self._take(step.keys)

    def _run(self, key: str, node: Any, inputs: dict[str, Any]) -> None:
        try:
            self._ended.put((key, node(inputs), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the graph is run
            self._ended.put((key, None, error))

    def _inputs(self, node: Any) -> dict[str, Any]:
        return {each: self._values[each] for each in node.dependencies}

    def _collect(self) -> None:
        key, value, error = self._ended.get()
        self._running -= 1
        if error is None:
            self._end(key, value)
            return
        while self._running:
            self._ended.get()
            self._running -= 1
        call = self._growth.calls[key]
        if place := self._growth.place(call.plan_key):
            error.add_note(f"this was {call.name} of {place}")
        raise error

    def _end(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._ready += self._frontier.free(key)


def grown(
    spec: TaskSpec,
    plan_key: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    before: Sequence[str],
    strict: bool,
    warn: Callable[[str, type[Warning]], None],
) -> Any:
    """Wire where this runs, run what was wired here too, and return the result: where nobody else drives the graph.

    Threads of this process share it; a worker of a Dask client, whose scheduler gave it this one call, runs it alone.
    """
    ledger = Wiring(spec, plan_key, inputs, parameters, before=before, strict=strict, warn=warn)
    if not spec.renewal and (record := ledger.ledger.find(plan_key)) is not None:
        return ledger.ledger.results(record, spec.task.result_type)
    found = _wired(ledger)
    if not isinstance(found, _Found):
        return found[0]
    graph, missing = flatten(found.calls)
    growth = Growth(graph, missing)
    growth.wired[""], growth._paths[""] = found.calls, found.paths
    keys = [call.key for call in found.calls]
    if on_worker():
        results = Flat(growth, growth.wire).run(keys)
    else:
        from dask.threaded import ContextAwareThreadPoolExecutor

        with ContextAwareThreadPoolExecutor(int(shared().has["cpus"])) as pool:
            results = Flat(growth, growth.wire, pool.submit).run(keys)
    return joined(spec, plan_key, dict(inputs), dict(parameters), found.sketch, results, before=before, strict=strict)
