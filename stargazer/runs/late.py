"""Calls whose needs are functions of their inputs: they are sent once those are there, then what needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.arguments import given_needs
from stargazer.calls.elements import element
from stargazer.calls.graph import known_values, node_of
from stargazer.calls.walk import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stargazer.calls.call import Call

__all__ = ["Late"]


class Late:
    """The calls of a graph that cannot be sent yet, without I/O.

    Parameters
    ----------
    graph, calls
        As `stargazer.calls.graph.flatten` returns them; nodes of calls whose needs become known are replaced.
    node
        What each node runs.
    """

    def __init__(self, graph: dict[str, Any], calls: Mapping[str, Call], node: Callable[..., Any]) -> None:
        self.graph, self.calls, self.node = graph, calls, node
        self.failed: dict[str, Exception] = {}
        self._values: dict[str, Any] = {}
        self._waiting = {key: call for key, call in calls.items() if not call.spec.needs.are_given}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def wanted(self) -> set[str]:
        """Keys of the calls whose results functions want."""
        return {need.whole.key for call in self._waiting.values() for need in needs(call)} & self.calls.keys()

    def arrived(self, values: Mapping[str, Any]) -> None:
        """Results are there: give the calls their needs that waited for nothing else."""
        self._values.update(values)
        for key, call in list(self._waiting.items()):
            if all(self._is_there(need) for need in needs(call)):
                del self._waiting[key]
                try:
                    self._give(key, call)
                except Exception as error:  # noqa: BLE001 - it is the call's own
                    self.failed[key] = error

    def drop(self, keys: Iterable[str]) -> None:
        """These will never run."""
        for key in keys:
            self._waiting.pop(key, None)

    def held_back(self) -> set[str]:
        """Keys of the calls that cannot be sent: those that wait or failed, and all that need them."""
        held = self._waiting.keys() | self.failed.keys()
        return held | set(self._above(held)) if held else set()

    def spoilt(self, keys: Iterable[str]) -> set[str]:
        """Keys of all calls that need one of these."""
        return set(self._above(set(keys)))

    def _above(self, keys: set[str]) -> Iterator[str]:
        found = set(keys)
        while True:
            more = {
                key
                for key, call in self.calls.items()
                if key not in found and any(need.whole.key in found for need in needs(call))
            }
            if not more:
                return
            yield from more
            found |= more

    def _is_there(self, need: Call) -> bool:
        return need.whole.key in self._values or need.whole.key not in self.calls

    def _give(self, key: str, call: Call) -> None:
        values = {name: self._value(value) for name, value in (*call.inputs.items(), *call.parameters.items())}
        call.set_needs(given_needs(call.spec.name, call.spec.needs, values))
        sent, strict = self.graph[key].args[0], self.graph[key].kwargs.get("strict", False)
        self.graph[key] = node_of(call, self.node, sent.with_changes(needs=call.spec.needs), strict=strict)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {name: self._value(item) for name, item in value.items()}
        return self._result(value) if hasattr(value, "plan_key") else value

    def _result(self, need: Call) -> Any:
        key = need.whole.key
        whole = self._values[key] if key in self._values else known_values(self.graph[key])[0]
        return whole if need.parent is None else element(whole, need.index)
