"""The states of the calls of a run: a core without I/O, fed by whatever runs them."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.calls.call import Call
    from stargazer.calls.growth import Growth

__all__ = ["RunState", "State", "Status"]


class State(enum.Enum):
    """State of one call of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Status:
    """What a run had done at one moment.

    Parameters
    ----------
    seconds
        Since it started.
    tasks
        Number of calls in each state, by task name, in the order in which the tasks come first.
    """

    seconds: float
    tasks: dict[str, dict[State, int]]

    def count(self, *states: State) -> int:
        """Number of calls in these states; of all calls where none is given."""
        return sum(n for each in self.tasks.values() for state, n in each.items() if not states or state in states)

    @property
    def ended(self) -> int:
        """Number of calls that are neither waiting nor running."""
        return self.count() - self.count(State.WAITING, State.RUNNING)

    def __str__(self) -> str:
        counts = ((state, self.count(state)) for state in State)
        return f"{self.ended} of {self.count()} calls ended in {self.seconds:.1f} s: " + (
            ", ".join(f"{number} {state.value}" for state, number in counts if number) or "nothing to run"
        )

    def _repr_html_(self) -> str:
        from stargazer.display import status_html

        return status_html(self)


class RunState:
    """States and failures of the calls that must run; safe to use from any thread.

    Parameters
    ----------
    on_done
        Called with the plan key and the result of each call that ended well.
    """

    def __init__(self, on_done: Callable[[str, Any], None]) -> None:
        self._on_done = on_done
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._seconds: float | None = None
        self._names: dict[str, str] = {}
        self._states: dict[str, State] = {}
        self.failures: dict[str, BaseException] = {}
        self._growth: Growth | None = None
        self.relied_on: Callable[[dict[str, Any], Mapping[str, Call]], object] = lambda graph, calls: None
        """Told of what comes as functions wire; a run lets its lease hold it."""

        self.events: list[tuple[float, str, str]] = []
        """What happened: when, the new state of a call, its plan key."""

    def grows(self, growth: Growth) -> Growth:
        """Let the graph be one that grows: it tells where a call stands in what wired it."""
        self._growth = growth
        growth.relied_on = self.relied_on
        return growth

    def label(self, key: str) -> str:
        """How a call is named where it failed: task, first digits of its key, and its place in what wired it."""
        if key not in self._names:  # of an element
            return key
        place = self._growth.place(key) if self._growth else ""
        return f"{self.name(key)} {key[:8]}" + (f" of {place}" if place else "")

    def expect(self, calls: dict[str, Call]) -> None:
        """Begin, or begin again, with these calls waiting."""
        with self._lock:
            for call in calls.values():
                self._names.setdefault(call.plan_key, call.name)
                self._states[call.plan_key] = State.WAITING
                self.failures.pop(call.plan_key, None)

    def started(self, key: str) -> None:
        """The call runs."""
        self._set(key, State.RUNNING)

    def now_running(self, keys: set[str]) -> None:
        """These calls run, and the others that have not ended wait."""
        with self._lock:
            for key, state in self._states.items():
                if state in (State.WAITING, State.RUNNING):
                    self._states[key] = State.RUNNING if key in keys else State.WAITING
                if state is State.WAITING and key in keys:
                    self.events.append((time.time(), State.RUNNING.value, key))

    def done(self, key: str, result: Any) -> None:
        """The call ended well."""
        self._set(key, State.DONE)
        self._on_done(key, result)

    def failed(self, key: str, error: BaseException) -> None:
        """The call itself failed."""
        self.failures[key] = error
        self._set(key, State.FAILED)

    def lacks(self, label: str, index: object, error: BaseException) -> None:
        """A result has no such element: what needs it fails, and not the call."""
        self.failures[f"element {index!r} of {label}"] = error

    def skipped(self, key: str) -> None:
        """Something that the call needs failed."""
        self._set(key, State.SKIPPED)

    def cancelled(self, key: str) -> None:
        """The run was cancelled before the call ended."""
        self._set(key, State.CANCELLED)

    def stop(self) -> None:
        """The run has ended: stop the clock."""
        self._seconds = time.monotonic() - self._started

    def state(self, key: str) -> State | None:
        """State of one call; None if it did not have to run."""
        return self._states.get(key)

    def done_keys(self) -> list[str]:
        """Plan keys of the calls that ended well."""
        with self._lock:
            return [key for key, state in self._states.items() if state is State.DONE]

    def name(self, key: str) -> str:
        """Name of the task of a call."""
        return self._names.get(key, key)

    def status(self) -> Status:
        """Count the calls in each state."""
        with self._lock:
            tasks: dict[str, Counter[State]] = {}
            for key, state in self._states.items():
                tasks.setdefault(self._names[key], Counter())[state] += 1
        seconds = self._seconds if self._seconds is not None else time.monotonic() - self._started
        return Status(seconds, {name: dict(counts) for name, counts in tasks.items()})

    def _set(self, key: str, state: State) -> None:
        with self._lock:
            self._states[key] = state
            self.events.append((time.time(), state.value, key))
