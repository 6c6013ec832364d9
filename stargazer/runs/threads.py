"""Run a graph on threads of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stargazer.calls.elements import element
from stargazer.calls.growth import Flat, Growth, Step
from stargazer.calls.node import joined, named_inputs, opened
from stargazer.calls.options import given_needs
from stargazer.calls.resources import IN_BODY, Capacity, Slots, check_environments, of_this_process, shared
from stargazer.calls.walk import needs
from stargazer.errors import Cancelled, NeedUnmet, OutputError
from stargazer.execute.execute import execute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.calls.call import Call
    from stargazer.execute import TaskSpec
    from stargazer.runs.state import RunState

__all__ = ["Threads"]


class Missing:
    """Stands for the result of a call that failed, in the inputs of those that need it."""


class Threads:
    """Threads of this process, as many as it may use cores.

    Parameters
    ----------
    watch
        Told of everything.
    """

    def __init__(self, watch: RunState) -> None:
        self.watch = watch
        # A body that runs calls itself holds slots already; waiting for more of the same might never end.
        self._slots = Slots(of_this_process()) if IN_BODY.get() else shared()
        self._capacity = Capacity(self._slots.has, "threads of this process", clamp=True)
        self._stop = threading.Event()

    def execute(self, graph: dict[str, Any], calls: dict[str, Call], keys: list[str]) -> dict[str, Any]:
        """Run the graph to its end; return the results of `keys`, without those that failed."""
        from dask.threaded import ContextAwareThreadPoolExecutor, get

        has = self._slots.has
        self._check(calls)
        # Dask would keep a pool for each thread that ever ran a graph.
        with ContextAwareThreadPoolExecutor(int(has["cpus"])) as pool:
            if any(call.spec.wires for call in calls.values()) or _differ_in_cores(calls, has["cpus"]):
                growth = self.watch.grows(Growth(graph, calls, self.node, self.take, self.watch.done_keys))
                results = Flat(growth, lambda *found: self._wire(growth, *found), pool.submit).run(keys)
            else:
                results = get(graph, keys, pool=pool)
        return {key: value for key, value in zip(keys, results, strict=True) if not isinstance(value, Missing)}

    def _check(self, calls: Mapping[str, Call]) -> None:
        self._capacity.check(calls.values())
        check_environments(calls.values())

    def _wire(self, growth: Growth, call: Call, results: Mapping[str, Any]) -> Step:
        """Let a call wire; a failure becomes a `Missing`, here too."""
        given = [results.get(need.key, results.get(need.whole.key)) for need in needs(call)]
        if self._stop.is_set() or _holds_missing(given):
            growth.waiting.pop(call.key)
            told = self.watch.cancelled if self._stop.is_set() else self.watch.skipped
            told(call.plan_key)
            return Step([Missing()], [], {})
        self.watch.started(call.plan_key)
        try:
            step = growth.wire(call, results)
            self._check(step.calls)
        except Exception as error:  # noqa: BLE001 - it is raised when the run has ended
            self.watch.failed(call.plan_key, error)
            return Step([Missing()], [], {})
        self.watch.expect(step.calls)
        if step.known:
            self.watch.done(call.plan_key, step.known[0])
        return step

    def cancel(self) -> None:
        """Start nothing more, and end what runs."""
        self._stop.set()
        self._slots.look_again()

    dashboard = None
    where = "threads"
    patience = 0.0

    def waits_for(self) -> None:
        """Nothing: threads are always there."""

    def begin(self, run: str, what: str) -> None:
        """Nothing: nobody is hired."""

    def lost(self) -> list[str]:
        """None."""
        return []

    def running(self) -> None:
        """Nothing: the watch is told when a call starts."""

    def node(self, spec: TaskSpec, plan_key: str, parameters: dict[str, Any], *inputs: Any, **wired: Any) -> Any:
        """Run one call; a failure becomes a `Missing`, so that its siblings go on."""
        if _holds_missing([*inputs, *parameters.values(), wired.get("results")]):
            self.watch.skipped(plan_key)
            return Missing()
        try:
            if "sketch" in wired:
                return self._joined(spec, plan_key, parameters, inputs, wired)
            spec = self._given(spec, inputs, parameters)
            with self._slots.take(spec.needs.fitted(self._slots.has, clamp=True), self._stop.is_set):
                if self._stop.is_set():
                    raise Cancelled("cancelled before it started")
                self.watch.started(plan_key)
                named = named_inputs(spec, inputs)
                result = self._executed(spec, plan_key, named, opened(parameters), wired)
        except Cancelled:
            self.watch.cancelled(plan_key)
            return Missing()
        except Exception as error:  # noqa: BLE001 - it is raised when the run has ended
            self.watch.failed(plan_key, error)
            return Missing()
        self.watch.done(plan_key, result)
        return result

    def _given(self, spec: TaskSpec, inputs: tuple[Any, ...], parameters: dict[str, Any]) -> TaskSpec:
        """The spec with what the call needs, where that is a function of what is there now."""
        if spec.needs.are_given:
            return spec
        found = given_needs(spec.name, spec.needs, named_inputs(spec, inputs) | dict(opened(parameters)))
        if (message := self._capacity.unmet(spec.name, found)) is not None:
            raise NeedUnmet(message)  # it would wait for ever
        return spec.with_changes(needs=found)

    def _joined(
        self,
        spec: TaskSpec,
        plan_key: str,
        parameters: dict[str, Any],
        inputs: tuple[Any, ...],
        wired: dict[str, Any],
    ) -> Any:
        result = joined(spec, plan_key, named_inputs(spec, inputs), opened(parameters), **wired)
        self.watch.done(plan_key, result)
        return result

    def _executed(
        self,
        spec: TaskSpec,
        plan_key: str,
        inputs: dict[str, Any],
        parameters: dict[str, Any],
        wired: dict[str, Any],
    ) -> Any:
        token = IN_BODY.set(True)
        try:
            return execute(spec, plan_key, inputs, parameters, self._stop.is_set, **wired)
        finally:
            IN_BODY.reset(token)

    def take(self, whole: Any, index: Any, label: str) -> Any:
        """Take one element of a result; that it has none fails only what needs it."""
        try:
            return whole if isinstance(whole, Missing) else element(whole, index, label)
        except OutputError as error:
            self.watch.lacks(label, index, error)
            return Missing()


def _differ_in_cores(calls: Mapping[str, Call], there: float) -> bool:
    """Whether some calls take more cores than others.

    Dask goes on with what has just become possible, so that a call of one core often runs while one of all cores waits
    for its end, and the last sample's calls run one by one. Those that could run first go first here, sample after
    sample step by step, and short steps of several samples share the cores.
    """
    return len({min(call.spec.needs.cpus, there) for call in calls.values()}) > 1


def _holds_missing(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_missing, value))
    if isinstance(value, dict):
        return any(map(_holds_missing, value.values()))
    return isinstance(value, Missing)
