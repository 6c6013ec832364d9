"""What a machine has, handed out to calls."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

from stargazer.profiles.profile import cores, resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["IN_BODY", "Slots", "machine_memory", "of_this_process", "shared"]

IN_BODY: ContextVar[bool] = ContextVar("in_body", default=False)
"""Whether a body runs, or what it started: it holds slots already, and waiting for more of the same might never end."""

EVERY = 0.5
"""Seconds between two looks at whether a call that waits was given up."""


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
            while not (given_up() or (self._queue[0] is turn and self._fits(wanted))):
                self._changed.wait(EVERY)
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
