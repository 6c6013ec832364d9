"""Run a graph on threads of this process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from stargazer.calls.arguments import given_needs
from stargazer.calls.elements import element
from stargazer.calls.node import named_inputs, opened
from stargazer.calls.resources import Capacity
from stargazer.errors import Cancelled, OutputError
from stargazer.execute.execute import execute
from stargazer.profiles.profile import cores, resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stargazer.calls import Call
    from stargazer.execute import TaskSpec
    from stargazer.runs.state import RunState

__all__ = ["Slots", "Threads", "machine_memory", "of_this_process", "shared"]

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

    def __init__(self, watch: RunState) -> None:
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

    def begin(self, run: str, what: str) -> None:
        """Nothing: nobody is hired."""

    def lost(self) -> list[str]:
        """None."""
        return []

    def running(self) -> None:
        """Nothing: the watch is told when a call starts."""

    def node(self, spec: TaskSpec, plan_key: str, parameters: dict[str, Any], *inputs: Any) -> Any:
        """Run one call; a failure becomes a `Missing`, so that its siblings go on."""
        if _holds_missing([*inputs, *parameters.values()]):
            self.watch.skipped(plan_key)
            return Missing()
        try:
            spec = _given(spec, inputs, parameters)
            with self._slots.take(spec.needs.fitted(self._slots.has, clamp=True), self._stop.is_set):
                if self._stop.is_set():
                    raise Cancelled("cancelled before it started")
                self.watch.started(plan_key)
                named = named_inputs(spec, inputs)
                result = self._executed(spec, plan_key, named, opened(parameters))
        except Cancelled:
            self.watch.cancelled(plan_key)
            return Missing()
        except Exception as error:  # noqa: BLE001 - it is raised when the run has ended
            self.watch.failed(plan_key, error)
            return Missing()
        self.watch.done(plan_key, result)
        return result

    def _executed(self, spec: TaskSpec, plan_key: str, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        _thread.in_body = True
        try:
            return execute(spec, plan_key, inputs, parameters, self._stop.is_set)
        finally:
            _thread.in_body = False

    def take(self, whole: Any, index: Any) -> Any:
        """Take one element of a result; that it has none fails only what needs it."""
        try:
            return whole if isinstance(whole, Missing) else element(whole, index)
        except OutputError as error:
            self.watch.failures[f"element {index!r}"] = error
            return Missing()


def _given(spec: TaskSpec, inputs: tuple[Any, ...], parameters: dict[str, Any]) -> TaskSpec:
    """The spec with what the call needs, where that is a function of what is there now."""
    task = spec.task
    if task.needs.are_given:
        return spec
    values = named_inputs(spec, inputs) | dict(opened(parameters))
    return dataclasses.replace(spec, task=task.with_needs(given_needs(task.name, task.needs, values)))


def _holds_missing(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_missing, value))
    if isinstance(value, dict):
        return any(map(_holds_missing, value.values()))
    return isinstance(value, Missing)


# What a machine has, handed out to calls.


class Slots:
    """Processor cores, memory and the like: a call of four cores takes four; who came first is served first.

    Parameters
    ----------
    has
        Amount of each resource.
    """

    def __init__(self, has: Mapping[str, float]) -> None:
        self.has = dict(has)
        self._free = dict(has)
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, wanted: Mapping[str, float], given_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for so much of everything, and hold it; go on with nothing where it was given up meanwhile."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            self._changed.wait_for(lambda: given_up() or (self._queue[0] is turn and self._fits(wanted)))
            self._queue.remove(turn)
            taken = {} if given_up() else wanted
            self._add(taken, -1)
        try:
            yield
        finally:
            with self._changed:
                self._add(taken, 1)

    def look_again(self) -> None:
        """Something was given up."""
        with self._changed:
            self._changed.notify_all()

    def _fits(self, wanted: Mapping[str, float]) -> bool:
        return all(self._free.get(name, 0.0) >= amount for name, amount in wanted.items())

    def _add(self, wanted: Mapping[str, float], sign: int) -> None:
        for name, amount in wanted.items():
            self._free[name] += sign * amount
        self._changed.notify_all()


_shared: dict[tuple[object, ...], Slots] = {}


def shared() -> Slots:
    """What this process may use, handed out to all its runs together."""
    has = of_this_process()
    # A forked child has runs of its own; what its parent's hold is given back there.
    return _shared.setdefault((os.getpid(), *sorted(has.items())), Slots(has))


def of_this_process() -> dict[str, float]:
    """What this process may use: the machine, unless the profile ``threads`` says otherwise."""
    from stargazer.profiles.settings import find_profile

    profile = find_profile("threads")
    return resources_of(profile.cpus or cores(), profile.memory or machine_memory(), profile.gpus, profile.names)


def machine_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
