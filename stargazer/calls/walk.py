"""Walk the calls that a call needs, without recursion: chains may be deeper than the interpreter's stack."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from dask.delayed import Delayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dask.typing import Key

    from stargazer.calls.call import Call

__all__ = ["CALLS", "LAYER", "needs", "walk"]

LAYER = "stargazer"
"""Name of the one layer of all graphs in which calls stand."""

CALLS: WeakValueDictionary[Key, Call] = WeakValueDictionary()
"""Every live call of this process by its Dask key: equal calls are one object."""


def needs(call: Call) -> Iterator[Call]:
    """Yield the calls whose results a call takes: no other `Delayed` is ever among its inputs."""
    for value in (*call.inputs.values(), *call.given.values()):
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else (value,)
        yield from (item for item in items if isinstance(item, Delayed))  # type: ignore[misc]


def walk(root: Call) -> Iterator[Call]:
    """Yield every whole call that another needs, itself among them, once."""
    todo, seen = [root.whole], {root.whole.key}
    while todo:
        yield (call := todo.pop())
        wholes = {needed.whole.key: needed.whole for needed in needs(call)}
        todo += [whole for key, whole in wholes.items() if key not in seen]
        seen |= wholes.keys()
