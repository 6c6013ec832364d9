"""Walk the calls that a call needs, without recursion: chains may be deeper than the interpreter's stack."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dask.delayed import Delayed

from stargazer.errors import ArgumentError

if TYPE_CHECKING:
    from dask.typing import Key

    from stargazer.calls.call import Call

__all__ = ["CALLS", "LAYER", "check_no_call_lost", "has_call", "needs", "walk"]

LAYER = "stargazer"
"""Name of the one layer of all graphs in which calls stand."""

CALLS: WeakValueDictionary[Key, Call] = WeakValueDictionary()
"""Every live call of this process by its Dask key: equal calls are one object."""


def needs(call: Call) -> list[Call]:
    """Return the calls whose results a call takes: no other `Delayed` is ever among its inputs."""
    found: list[Any] = []
    for values in (call.inputs, call.given):
        for value in values.values():
            if isinstance(value, Delayed):
                found.append(value)
            elif isinstance(value, (list, dict)):
                _collect(value, found)
    return found


def _collect(value: Any, found: list[Any]) -> None:
    """Add the calls that a list or dict holds, or the lists and dicts in it."""
    for item in value if isinstance(value, list) else value.values():
        if isinstance(item, Delayed):
            found.append(item)
        elif isinstance(item, (list, dict)):
            _collect(item, found)


def has_call(value: Any) -> bool:
    """Whether a value is a call, or a list or dict that holds one."""
    if isinstance(value, Delayed):
        return True
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return any(map(has_call, items))


def walk(root: Call) -> Iterator[Call]:
    """Yield every whole call that another needs, itself among them, once."""
    todo, seen = [root.whole], {root.whole.key}
    while todo:
        yield (call := todo.pop())
        wholes = {needed.whole.key: needed.whole for needed in needs(call)}
        todo += [whole for key, whole in wholes.items() if key not in seen]
        seen |= wholes.keys()


# What is given to be planned or run, and is no call.


def check_no_call_lost(value: Any) -> None:
    """Refuse what stands where a call should, and would be passed over in silence.

    Parameters
    ----------
    value
        Neither a call nor a list, tuple or dict. Stored assets and plain values are fine: they are results already.

    Raises
    ------
    ArgumentError
        A task that was not called, a function, a generator or set of calls, a collection of Dask's, a Dask client.
    """
    if why := _mistake(value):
        raise ArgumentError(why)


def _mistake(value: Any) -> str:
    kind = type(value)
    if hasattr(kind, "check_code"):
        return f"{value.name} is a task, not a call of it: write {value.name}(…)"
    if isinstance(value, (Iterator, AbstractSet)):
        return f"{kind.__name__} is no list of calls: write a list, as in [task(x) for x in …]"
    if hasattr(kind, "__dask_graph__"):
        return f"{value!r} is not a call of a task; dask.compute runs it, with the calls that it needs"
    if hasattr(value, "run_on_scheduler"):
        return "a Dask client is passed by keyword: client=…"
    if callable(value) and hasattr(value, "__name__"):
        return f"{value.__name__} is a function: call it, and pass the calls that it returns"
    return ""
