"""Walk the calls that a call needs, without recursion: chains may be deeper than the interpreter's stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dask.delayed import Delayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dask.typing import Key

    from stargazer.calls.call import Call

__all__ = ["CALLS", "LAYER", "has_call", "needs", "walk"]

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
