"""Calls that run once more, whatever the ledger knows of them: copies of a graph that ask for it.

A call that is asked for again has the same keys in the ledger as before, and another key in Dask's: a result that a
client holds is not taken for the new one. What needs it is copied as well; there the ledger is asked once the new bytes
are there, so that it runs only if they differ.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from dask.delayed import Delayed

from stargazer.calls.walk import needs
from stargazer.errors import ArgumentError
from stargazer.ledger.chosen import task_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dask.typing import Key

    from stargazer.calls.call import Call
    from stargazer.execute import TaskSpec

__all__ = ["renewed", "renewed_within"]

EVERYTHING = ("*",)
"""Stands for all calls, among the names of what runs once more."""


def renewed(roots: Iterable[Call], again: Any) -> dict[Key, Call]:
    """Return a call for each of `roots`, by its key, of which some parts run once more.

    Parameters
    ----------
    roots
        Calls.
    again
        True for all calls that they need; or a task, a call, or a task's name; or several of these.

    Raises
    ------
    ArgumentError
        Something else was named, or what no call here needs.
    """
    calls = list(roots)
    renewal = _Renewal(again)
    made = {call.key: renewal.call(call) for call in _needed_first(calls)}
    renewal.check_all_found()
    return {call.key: made[call.key] for call in calls}


def renewed_within(calls: Iterable[Call], spec: TaskSpec) -> dict[Key, Call]:
    """As `renewed`, for what a call wired that runs once more itself; names that nothing here has are no mistake.

    Parameters
    ----------
    calls
        What it wired.
    spec
        Its own: says what of it runs once more.
    """
    renewal = _Renewal(True if spec.renews == EVERYTHING else list(spec.renews), spec.renewal)
    return {call.key: renewal.call(call) for call in _needed_first(calls)}


def _needed_first(roots: Iterable[Call]) -> Iterator[Call]:
    """Yield all calls below some and elements of their results, each after what it needs; chains may be deep."""
    done: set[Key] = set()
    todo = [(call, False) for call in roots]
    while todo:
        call, expanded = todo.pop()
        if call.key in done:
            continue
        if expanded:
            done.add(call.key)
            yield call
            continue
        before = needs(call) if call.parent is None else (call.parent,)
        todo += [(call, True), *((each, False) for each in before)]


class _Renewal:
    """One request to run something once more."""

    def __init__(self, again: Any, token: str = "") -> None:
        self._everything = again is True
        several = isinstance(again, (list, tuple, set, frozenset))
        named = [] if isinstance(again, bool | None) else list(again) if several else [again]
        for each in named:
            if not (isinstance(each, str) or hasattr(type(each), "plan_key") or hasattr(type(each), "check_code")):
                raise ArgumentError(f"again={again!r}: {each!r} is no task, call or task's name; or write again=True")
        self._left = {_place(each): each for each in named}
        self._named = set(self._left)
        self._token = token or uuid.uuid4().hex
        self._within = EVERYTHING if self._everything else tuple(self._left)
        self._made: dict[Key, Call] = {}
        self._specs: dict[tuple[int, bool], TaskSpec] = {}
        self._seen: dict[str, None] = {}
        self._grows = False

    def call(self, call: Call) -> Call:
        """Return a call as it is to run; those that it needs were asked about before."""
        found = self._element(call) if call.parent is not None else self._whole(call)
        self._made[call.key] = found
        return found

    def check_all_found(self) -> None:
        """Refuse a name that no call has."""
        if self._left and not self._grows:
            names = ", ".join(str(each) for each in self._left.values())
            raise ArgumentError(
                f"again: nothing here needs {names}; there are calls of {', '.join(sorted(self._seen))}"
            )

    def _element(self, call: Call) -> Call:
        parent = self._made[call.parent.key]  # type: ignore[union-attr]
        if parent is call.parent:
            return call
        return call.replace(spec=parent.spec, parent=parent)

    def _whole(self, call: Call) -> Call:
        self._seen[call.name] = None
        again = self._everything or self._is_named(call) or call.spec.wires
        self._grows = self._grows or call.spec.wires
        if not again and all(self._made[needed.key] is needed for needed in needs(call)):
            return call
        inputs, parameters = (
            {name: self._mapped(value) for name, value in given.items()} for given in (call.inputs, call.given)
        )
        spec = self._spec(call.spec, again)
        return call.replace(spec=spec, inputs=inputs, given=parameters)

    def _is_named(self, call: Call) -> bool:
        found = self._named.intersection((call.name, *task_names(call.spec.home), f"#{call.plan_key}"))
        for place in found:
            self._left.pop(place, None)
        return bool(found)

    def _spec(self, spec: TaskSpec, again: bool) -> TaskSpec:
        place = (id(spec), again)
        if place not in self._specs:
            renews = self._within if spec.wires else ()
            self._specs[place] = spec.with_changes(renewal=self._token, again=again, renews=renews)
        return self._specs[place]

    def _mapped(self, value: Any) -> Any:
        if isinstance(value, Delayed):
            return self._made[value.key]
        if isinstance(value, list):
            return [self._mapped(item) for item in value]
        return {name: self._mapped(item) for name, item in value.items()} if type(value) is dict else value


def _place(named: Any) -> str:
    """What a name, a task or a call is found by."""
    if isinstance(named, Delayed):
        return f"#{named.plan_key}"
    return named if isinstance(named, str) else f"{named.__module__}:{named.__qualname__}"
