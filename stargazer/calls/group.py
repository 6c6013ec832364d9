"""Short calls that go to a worker many at once: one task of Dask, whose body runs them one after the other.

Each is executed as it is by itself: the ledger is asked, its mark lies beside the worker, it leaves its own record, and
what it raises is its own. A group ends between two calls, when its time is over or nobody wants it; what it has not
begun goes back. Where one call takes long, those behind it are given back while it runs.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from stargazer.calls.node import executed_on, named_inputs, released, worker_and_key

if TYPE_CHECKING:
    from stargazer.calls.node import Sealed
    from stargazer.execute import TaskSpec

__all__ = ["BUDGET", "Group", "Member", "Outcome", "error_of", "run_group"]

BUDGET = 0.5
"""Seconds after which a group begins no further call."""

LONGEST = 1.0
"""Seconds after which a group whose call still runs gives back those behind it."""


class Member(NamedTuple):
    """One call of a group.

    Parameters
    ----------
    key, plan_key
        Its own, as if it were sent by itself.
    parameters, inputs
        All known.
    before
        Plan keys of the calls whose results are among these.
    """

    key: str
    plan_key: str
    parameters: dict[str, Any]
    inputs: tuple[Any, ...]
    before: tuple[str, ...]


class Group(NamedTuple):
    """Calls of one task.

    Parameters
    ----------
    name, topic
        What the group is called, and the topic of Dask's events under which it says that it gives calls back.
    spec
        Of all of them.
    strict
        Whether hidden inputs are errors.
    members
        In the order in which they run.
    """

    name: str
    topic: str
    spec: TaskSpec
    strict: bool
    members: list[Member]


class Outcome(NamedTuple):
    """How a group ended; a call that is in neither was not begun.

    Parameters
    ----------
    values
        Results by number.
    errors
        What calls raised, by number, as `error_of` reads it.
    seconds
        That all of it took.
    """

    values: dict[int, Any]
    errors: dict[int, bytes]
    seconds: float


def run_group(sealed: Sealed) -> Outcome:
    """Run the calls of a group on a worker, until its time is over or nobody wants it any more."""
    group: Group = sealed.open()
    _ = group.spec.task  # its module is imported before the time counts
    values, errors, began = dict[int, Any](), dict[int, bytes](), time.monotonic()
    worker, task = worker_and_key()
    is_released = released()
    with _Turn(worker, group) as turn:
        while time.monotonic() - began < BUDGET and not is_released() and (number := turn.next()) is not None:
            member = group.members[number]
            given = named_inputs(group.spec, member.inputs)
            try:
                values[number] = executed_on(
                    worker, member.key, task, group.spec, member.plan_key, given, member.parameters, is_released,
                    before=member.before, strict=group.strict,
                )  # fmt: skip
            except Exception as error:  # noqa: BLE001 - it is the call's own, and raised where the run is waited for
                errors[number] = _packed(error)
    return Outcome(values, errors, time.monotonic() - began)


class _Turn:
    """Which call of a group is next; while one runs for long, those behind it are given back.

    Parameters
    ----------
    worker
        That tells the client.
    group
        The group.
    """

    def __init__(self, worker: Any, group: Group) -> None:
        self._worker, self._group = worker, group
        self._begun, self._left = 0, len(group.members)
        self._lock = threading.Lock()
        self._timer = threading.Timer(LONGEST, self._give_back)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._timer.cancel()

    def next(self) -> int | None:
        """Number of the next call, which begins; None where none is left."""
        with self._lock:
            if not self._left:
                return None
            self._left -= 1
            self._begun += 1
            return self._begun - 1

    def _give_back(self) -> None:
        with self._lock:
            given, self._left = self._left, 0
        if given:
            told = {"group": self._group.name, "begun": self._begun, "seconds": LONGEST}
            self._worker.log_event(self._group.topic, told)


def _packed(error: BaseException) -> bytes:
    """An error as Dask sends it: with its traceback, and in words where it can't be pickled."""
    from distributed.core import error_message

    packed: bytes = error_message(error)["exception"].data
    return packed


def error_of(packed: bytes) -> BaseException:
    """Return the error that a call of a group raised."""
    from distributed.core import clean_exception

    _, error, _ = clean_exception(packed)
    assert error is not None
    return error
