"""Run a graph on threads of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stargazer.calls.elements import element
from stargazer.calls.granted import Capacity
from stargazer.calls.node import named_inputs
from stargazer.calls.sealed import opened
from stargazer.errors import Cancelled, OutputError
from stargazer.execute.execute import execute
from stargazer.runs.slots import Slots, of_this_process, shared

if TYPE_CHECKING:
    from stargazer.calls import Call
    from stargazer.execute import Order
    from stargazer.runs.watch import Watch

__all__ = ["Threads"]


_thread = threading.local()


class Missing:
    """Stands for the result of a call that failed, in the inputs of those that need it."""


class Threads:
    """Threads of this process, as many as it may use cores.

    Parameters
    ----------
    watch
        Told of everything.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        # A body that runs calls itself holds slots already; waiting for more of the same might never end.
        self._slots = Slots(of_this_process()) if getattr(_thread, "in_body", False) else shared()
        self._stop = threading.Event()

    def execute(self, graph: dict[str, Any], calls: dict[str, Call], keys: list[str]) -> dict[str, Any]:
        """Run the graph to its end; return the results of `keys`, without those that failed."""
        from dask.threaded import ContextAwareThreadPoolExecutor, get

        has = self._slots.has
        Capacity(has, "threads of this process", clamp=True).check(calls.values())
        # Dask would keep a pool for each thread that ever ran a graph.
        with ContextAwareThreadPoolExecutor(int(has["cpus"])) as pool:
            results = get(graph, keys, pool=pool)
        return {key: value for key, value in zip(keys, results, strict=True) if not isinstance(value, Missing)}

    def cancel(self) -> None:
        """Start nothing more, and end what runs."""
        self._stop.set()
        self._slots.look_again()

    dashboard = None
    where = "threads"
    patience = 0.0

    def waits_for(self) -> None:
        """Nothing: threads are always there."""

    def running(self) -> None:
        """Nothing: the watch is told when a call starts."""

    def node(self, order: Order, plan_key: str, parameters: dict[str, Any], *inputs: Any) -> Any:
        """Run one call; a failure becomes a `Missing`, so that its siblings go on."""
        if _holds_missing([*inputs, *parameters.values()]):
            self.watch.skipped(plan_key)
            return Missing()
        try:
            with self._slots.take(order.task.needs.fitted(self._slots.has, clamp=True), self._stop.is_set):
                if self._stop.is_set():
                    raise Cancelled("cancelled before it started")
                self.watch.started(plan_key)
                named = named_inputs(order, inputs)
                result = self._executed(order, plan_key, named, opened(parameters))
        except Cancelled:
            self.watch.cancelled(plan_key)
            return Missing()
        except Exception as error:  # noqa: BLE001 - it is raised when the run has ended
            self.watch.failed(plan_key, error)
            return Missing()
        self.watch.done(plan_key, result)
        return result

    def _executed(self, order: Order, plan_key: str, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        _thread.in_body = True
        try:
            return execute(order, plan_key, inputs, parameters, self._stop.is_set)
        finally:
            _thread.in_body = False

    def take(self, whole: Any, index: Any) -> Any:
        """Take one element of a result; that it has none fails only what needs it."""
        try:
            return whole if isinstance(whole, Missing) else element(whole, index)
        except OutputError as error:
            self.watch.failures[f"element {index!r}"] = error
            return Missing()


def _holds_missing(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_missing, value))
    if isinstance(value, dict):
        return any(map(_holds_missing, value.values()))
    return isinstance(value, Missing)
