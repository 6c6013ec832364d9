"""Calls that cannot be sent yet: their needs are functions of their inputs, or they wire; and what needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.elements import element
from stargazer.calls.graph import known_values, node_of
from stargazer.calls.growth import Frontier
from stargazer.calls.options import given_needs
from stargazer.calls.walk import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stargazer.calls.call import Call
    from stargazer.calls.growth import Growth

__all__ = ["Late"]

GIVEN = "given "
"""How the name begins of what a late call waits for beside other calls: that its own turn came."""


class Late:
    """The calls of a graph that cannot be sent yet, without I/O beside what functions that wire ask of the ledger.

    Parameters
    ----------
    growth
        The graph; nodes of calls whose needs become known, or that have wired, are replaced.
    keys
        Of all nodes that shall be sent: calls, and elements of their results.
    node
        What each node runs.
    told
        Called with what a call has wired: calls that it added.
    """

    def __init__(
        self,
        growth: Growth,
        keys: Iterable[str],
        node: Callable[..., Any],
        told: Callable[[dict[str, Call]], None] = lambda _: None,
    ) -> None:
        self.growth, self.node, self._told = growth, node, told
        self.failed: dict[str, Exception] = {}
        self.known: dict[str, Any] = {}
        """Results of calls that wire, which the ledger knew once they were asked for."""
        self.wanted: set[str] = set()
        """Keys of the calls whose results functions want."""
        self._values: dict[str, Any] = {}
        self._waiting: dict[str, Call] = {}
        self._arrivals, self._order = Frontier(), Frontier()
        self._sendable: list[str] = []
        self._to_give: list[str] = []
        if any(map(_is_late, growth.calls.values())):
            self._take(keys)
        else:
            self._sendable = list(keys)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting(self) -> list[Call]:
        """The calls themselves that wait."""
        return list(self._waiting.values())

    @property
    def lacking(self) -> set[str]:
        """Keys of the calls whose results functions want, and have not got."""
        return self.wanted - self._values.keys()

    def sendable(self) -> list[str]:
        """Return the keys that can be sent since this was asked last."""
        found, self._sendable = self._sendable, []
        return [key for key in found if key not in self.known]

    def arrived(self, values: Mapping[str, Any]) -> None:
        """Results are there: give the calls their needs that waited for nothing else, and let those wire that do."""
        self._values.update(values)
        for key in values:
            self._to_give += self._arrivals.free(key)
        while self._to_give:
            key = self._to_give.pop()
            call = self._waiting.pop(key, None)
            if call is not None:
                try:
                    self._give(key, call)
                except Exception as error:  # noqa: BLE001 - it is the call's own
                    self.failed[key] = error

    def drop(self, keys: Iterable[str]) -> None:
        """These will never run."""
        for key in keys:
            self._waiting.pop(key, None)

    def spoilt(self, keys: Iterable[str]) -> set[str]:
        """Keys of all calls that need one of these."""
        return self._order.above(keys) & self.growth.calls.keys()

    def _take(self, keys: Iterable[str]) -> None:
        """Calls and elements that shall be sent, once all can be that they need."""
        calls = self.growth.calls
        for key in keys:
            call, node = calls.get(key), self.growth.graph[key]
            is_late = call is not None and _is_late(call)
            needed = set(node.dependencies) if call is None else {need.whole.key for need in needs(call)}
            self._wait(key, (needed & calls.keys()) | ({GIVEN + key} if is_late else set()))
            if call is not None and is_late:
                self._waiting[key] = call
                self.wanted |= needed & calls.keys()
                if self._arrivals.add(key, needed & calls.keys()):
                    self._to_give.append(key)

    def _wait(self, key: str, needed: set[str]) -> None:
        if self._order.add(key, needed):
            self._free(key)

    def _free(self, key: str) -> None:
        """A node can be sent, and with it all that waited for nothing else."""
        todo = [key]
        while todo:
            found = todo.pop()
            if not found.startswith(GIVEN):
                self._sendable.append(found)
            todo += self._order.free(found)

    def _give(self, key: str, call: Call) -> None:
        if call.spec.wires:
            self._wire(key, call)
            return
        graph = self.growth.graph
        values = {name: self._value(value) for name, value in (*call.inputs.items(), *call.parameters.items())}
        call.set_needs(given_needs(call.spec.name, call.spec.needs, values))
        sent, strict = graph[key].args[0], graph[key].kwargs.get("strict", False)
        graph[key] = node_of(call, self.node, sent.with_changes(needs=call.spec.needs), needs(call), strict=strict)
        self._free(GIVEN + key)

    def _wire(self, key: str, call: Call) -> None:
        step = self.growth.wire(call, self._values)
        if step.known:
            self.known[key] = step.known[0]
            self._free(GIVEN + key)
            self.arrived({key: step.known[0]})
            return
        self._told(step.calls)
        self._take(step.calls)
        self._wait(key, {each.whole.key for each in self.growth.wired[key]} & self.growth.calls.keys())

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {name: self._value(item) for name, item in value.items()}
        return self._result(value) if hasattr(value, "plan_key") else value

    def _result(self, need: Call) -> Any:
        key = need.whole.key
        whole = self._values[key] if key in self._values else known_values(self.growth.graph[key])[0]
        return whole if need.parent is None else element(whole, need.index, need.label)


def _is_late(call: Call) -> bool:
    return call.spec.wires or not call.spec.needs.are_given
