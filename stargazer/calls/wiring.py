"""Calls as one flat graph of what must run; what the ledger knows is cut away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask._task_spec import DataNode, Dict, List, Task, TaskRef

from stargazer.calls.call import Call
from stargazer.calls.elements import element
from stargazer.calls.node import refuse, run
from stargazer.calls.sealed import opened, seal
from stargazer.errors import CodeChanged, StoresMixed
from stargazer.ledger import Ledger
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stargazer.ledger import Record

__all__ = ["flatten", "known_values", "needs"]


def flatten(
    roots: Iterable[Call],
    function: Callable[..., Any] = run,
    take: Callable[..., Any] = element,
    *,
    lenient: bool = False,
    whole: bool = False,
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
    lenient
        Calls whose code has changed become nodes that raise the error if they are wanted.
    whole
        What remotes know of `roots` is taken with its bytes; of the calls below, these come when they are needed.

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
    while level:
        wholes = {call.whole.key: call.whole for call in level.values()}
        fresh = {key: call for key, call in wholes.items() if key not in graph}
        keys = [call.plan_key for call in fresh.values()]
        found = ledger.find_or_take(keys, whole=whole and not graph) if ledger else {}
        following: dict[str, Call] = {}
        for key, call in fresh.items():
            record = found.get(call.plan_key)
            if record is not None and ledger is not None:
                graph[key] = _known(call, record, ledger)
            elif (error := _code_error(call, changed)) is None:
                graph[key], missing[key] = _node(call, function), call
                following |= {needed.key: needed for needed in needs(call)}
            elif lenient:
                graph[key] = Task(key, refuse, str(error))
            else:
                raise error
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


def _code_error(call: Call, checked: dict[int, CodeChanged | None]) -> CodeChanged | None:
    place = id(call.order)
    if place not in checked:
        try:
            checked[place] = call.order.task.check_code(call.order)  # type: ignore[func-returns-value]
        except CodeChanged as error:
            checked[place] = error
    return checked[place]


def _known(call: Call, record: Record, ledger: Ledger) -> DataNode | Task:
    value = ledger.results(record, call.returns.named)
    sealed = seal(value)
    return DataNode(call.key, value) if sealed is value else Task(call.key, opened, sealed)


def known_values(node: Any) -> list[Any]:
    """Return the result that a node of a flat graph holds, if the ledger knew it."""
    if isinstance(node, DataNode):
        return [node.value]
    return [opened(node.args[0])] if isinstance(node, Task) and node.func is opened else []


def _node(call: Call, function: Callable[..., Any]) -> Task:
    parameters: Any = {name: _reference(value) for name, value in call.parameters.items()}
    if any(isinstance(value, Call) for value in call.parameters.values()):
        parameters = Dict(parameters)
    inputs = [_reference(value) for value in call.inputs.values()]
    return Task(call.key, function, call.order, call.plan_key, parameters, *inputs)


def _reference(value: Any) -> Any:
    if isinstance(value, Call):
        return TaskRef(value.key)
    if isinstance(value, list) and any(isinstance(item, Call) for item in value):
        return List(*map(_reference, value))
    if isinstance(value, dict) and any(isinstance(item, Call) for item in value.values()):
        return Dict({key: _reference(item) for key, item in value.items()})
    return seal(value)


def _element_node(call: Call, parent: Any, take: Callable[..., Any]) -> Any:
    assert call.parent is not None
    if isinstance(parent, DataNode):
        return DataNode(call.key, take(parent.value, call.index))
    return Task(call.key, take, TaskRef(call.parent.key), call.index)
