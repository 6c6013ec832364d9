"""Which calls of a run go to workers many at once: a core without I/O.

A task of Dask costs more than a short call does. So calls of one task that want nothing of their own, and wait for
nothing, are held back where there are many. The first few are sent in small groups; what these take tells how many go
together, or that they are not short after all: then all are sent as ever. All groups are sent then, for who hires
workers must see the work; the last ones are small, so that no worker has them for itself. What needs such calls is held
until they are there.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from dask.delayed import Delayed

from stargazer.calls.graph import known_values, part_of, value_node
from stargazer.calls.group import BUDGET, Group, Member, error_of
from stargazer.calls.growth import Frontier
from stargazer.calls.walk import has_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.calls.call import Call
    from stargazer.calls.group import Outcome

__all__ = ["LEAST", "Groups"]

LEAST = 64
"""Calls of one task, below which each goes by itself."""

FIRST = 8
"""Calls of a group while nobody knows how long they take, and of the smallest after that."""

SHORT = 0.1
"""Seconds that a short call takes at most, in the mean of its task."""

WAVE = 2
"""Groups for each thread of the workers that are sent while nobody knows, so that none waits for the next."""

QUIET = 5.0
"""Seconds after which it is no use to wait for the first groups: workers are busy with other things, or gone."""

TINY = 1e-6
"""Seconds that a call takes at least."""


class _Kind:
    """Calls of one task that wait to be sent in groups, and what is known of how long they take."""

    def __init__(self, node: Any) -> None:
        self.spec, self.strict = node.args[0], bool(node.kwargs.get("strict", False))
        self.waiting: deque[Call] = deque()
        self.out, self.began = 0, math.inf
        self.is_short: bool | None = None
        self._count, self._seconds = 0, 0.0

    def measured(self, count: int, seconds: float) -> None:
        """Learn how long some calls took; what was too long once is not tried again."""
        self._count, self._seconds = self._count + count, self._seconds + seconds
        if self._count and self.is_short is not False:
            self.is_short = self._seconds / self._count < SHORT

    def may_send(self, threads: int) -> bool:
        """Whether a group can be sent now."""
        return bool(self.waiting) and (self.is_short or (self.is_short is None and self.out < WAVE * threads))

    def next(self, threads: int, now: float) -> list[Call]:
        """Take the calls of the next group, which is sent now."""
        self.began = min(self.began, now)
        share = -(-len(self.waiting) // (2 * threads))
        size = min(share, FIRST)
        if self.is_short:
            size = max(FIRST, min(share, int(BUDGET * self._count / max(self._seconds, TINY))))
        self.out += 1
        return [self.waiting.popleft() for _ in range(min(size, len(self.waiting)))]


class Groups:
    """The calls of one run that go in groups, and what waits for these.

    Parameters
    ----------
    graph
        Of the run, as it grows; the nodes of calls whose results are there are replaced.
    """

    def __init__(self, graph: dict[str, Any]) -> None:
        self._graph = graph
        self._kinds: dict[int, _Kind] = {}
        self._out: dict[str, tuple[_Kind, list[Call]]] = {}
        self._unsent: set[str] = set()
        self._held: dict[str, bool] = {}
        self._frontier = Frontier()

    def __bool__(self) -> bool:
        return bool(self._unsent)

    def __contains__(self, name: object) -> bool:
        return name in self._out

    def alike(self, keys: Iterable[str], calls: Mapping[str, Call], *, freed: bool = False) -> dict[str, Call]:
        """Return those of some calls that may go in groups, where there are enough of their task.

        Parameters
        ----------
        keys
            Of nodes that can be sent.
        calls
            Of the run, by key.
        freed
            Whether they were held for others that went in groups: fewer are enough then, as they come by and by.
        """
        found: dict[int, dict[str, Call]] = {}
        for key in keys:
            call = calls.get(key)
            if call is not None and _wants_nothing(call) and self._is_given(self._graph[key]):
                found.setdefault(id(self._graph[key].args[0]), {})[key] = call
        short = {place: kind.is_short for place, kind in self._kinds.items() if kind.is_short is not None}
        known = {place: each for place, each in found.items() if short.get(place) is not False}
        enough = [each for place, each in known.items() if len(each) >= (FIRST if freed or place in short else LEAST)]
        return {key: call for each in enough for key, call in each.items()}

    def _is_given(self, node: Any) -> bool:
        return all(known_values(self._graph[needed]) for needed in node.dependencies)

    def wait(self, keys: Iterable[str]) -> None:
        """These are not sent yet: what needs them is held."""
        self._unsent.update(keys)

    def take(self, calls: Mapping[str, Call]) -> None:
        """Let these go in groups."""
        self.wait(calls)
        for key, call in calls.items():
            node = self._graph[key]
            kind = self._kinds.get(id(node.args[0])) or self._kinds.setdefault(id(node.args[0]), _Kind(node))
            kind.waiting.append(call)

    # What needs such calls.

    def hold(self, keys: Iterable[str]) -> list[str]:
        """Hold what needs a call that is not sent yet; return the others of some keys."""
        asked = [key for key in dict.fromkeys(keys) if key not in self._unsent]
        if not asked or not self._unsent:  # asked time and again while a hundred thousand wait
            return asked
        nodes = part_of(self._graph, asked)
        held = _above(nodes, [key for key in nodes if key in self._unsent or key in self._held])
        new = held - self._held.keys()
        self._held |= dict.fromkeys(new, False)
        for key in new:
            waits = [each for each in nodes[key].dependencies if each in self._unsent or each in self._held]
            self._frontier.add(key, waits)
        self._held |= {key: True for key in asked if key in held}
        return [key for key in asked if key not in held]

    def free(self, keys: Iterable[str]) -> list[str]:
        """These are sent, or their results are there; return what was held and waits for nothing else."""
        freed = []
        for key in keys:
            self._unsent.discard(key)
            freed += [each for each in self._frontier.free(key) if each in self._held]
        return freed

    def let_go(self, key: str) -> bool:
        """Hold a node no more; return whether it was asked for, or only stands between others."""
        return self._held.pop(key)

    def spoil(self, keys: Iterable[str]) -> set[str]:
        """These have failed: what needs them is held no more, and never sent; return its keys."""
        self._unsent.difference_update(keys)
        spoilt = {key for key in self._frontier.above(keys) if key in self._held}
        for key in spoilt:
            del self._held[key]
        return spoilt

    # Groups on their way.

    def due(self, topic: str, threads: int, now: float) -> dict[str, tuple[Call, Group]]:
        """Take the groups that can be sent now, with the first call of each, by name."""
        found = {}
        for kind in self._kinds.values():
            while kind.may_send(threads):
                name = f"{kind.spec.name}-group-{uuid.uuid4().hex}"
                calls = kind.next(threads, now)
                self._out[name] = kind, calls
                found[name] = calls[0], Group(name, topic, kind.spec, kind.strict, list(map(self._member, calls)))
        return found

    def _member(self, call: Call) -> Member:
        before = self._graph[call.key].kwargs.get("before", ())
        parameters, inputs = (
            {name: self._known(value) for name, value in each.items()} for each in (call.given, call.inputs)
        )
        return Member(call.key, call.plan_key, parameters, tuple(inputs.values()), before)

    def _known(self, value: Any) -> Any:
        """A value with the results of the calls in it."""
        if isinstance(value, Delayed):
            return known_values(self._graph[value.key])[0]
        if isinstance(value, list) and has_call(value):
            return [self._known(item) for item in value]
        if isinstance(value, dict) and has_call(value):
            return {name: self._known(item) for name, item in value.items()}
        return value

    def ended(self, name: str, outcome: Outcome) -> tuple[dict[Call, Any], dict[Call, BaseException]]:
        """Return the results of a group's calls, and what failed; those that were not begun wait again."""
        kind, calls = self._returned(name)
        kind.measured(len(outcome.values) + len(outcome.errors), outcome.seconds)
        values: dict[Call, Any] = {}
        errors: dict[Call, BaseException] = {}
        for number, call in enumerate(calls):  # a second attempt may have run what the first has given back
            if number in outcome.values:
                values[call] = outcome.values[number]
                self._graph[call.key] = value_node(call.key, values[call])
            elif number in outcome.errors:
                errors[call] = error_of(outcome.errors[number])
            else:
                kind.waiting.append(call)
        return values, errors

    def given_back(self, name: str, begun: int, seconds: float) -> None:
        """A worker will not run what stands behind a call of a group that takes long."""
        if name in self._out:
            kind, calls = self._out[name]
            self._out[name] = kind, calls[:begun]
            kind.waiting.extend(calls[begun:])
            if kind.is_short is None:
                kind.measured(begun, seconds)

    def lost(self, name: str) -> list[Call]:
        """A group has no outcome: return its calls, which wait for nothing any more."""
        return self._returned(name)[1]

    def too_long(self, now: float) -> list[str]:
        """Take the keys of calls that are not short after all, or of whose first groups nothing is heard."""
        found: list[str] = []
        for kind in self._kinds.values():
            if kind.is_short is None and now - kind.began > QUIET:
                kind.is_short = False
            if kind.is_short is False:
                found += [call.key for call in kind.waiting]
                kind.waiting.clear()
        return found

    def leave(self, keys: Iterable[str]) -> None:
        """These will be sent by themselves."""
        self._unsent.difference_update(keys)

    def first_of(self, name: str) -> Call | None:
        """A call of a group that is on its way: where the group runs, one of them does. Safe from any thread."""
        _, calls = self._out.get(name, (None, ()))
        return calls[0] if calls else None

    def _returned(self, name: str) -> tuple[_Kind, list[Call]]:
        kind, calls = self._out.pop(name)
        kind.out -= 1
        return kind, calls


def _wants_nothing(call: Call) -> bool:
    """Whether a call wants nothing but a thread of any worker, and can't be told from others of its task there."""
    spec, needs = call.spec, call.spec.needs
    if not (needs.are_plain and needs.are_given) or needs.walltime or needs.retries or call.annotations:
        return False
    return not (spec.tools or spec.wires or spec.renewal or spec.executor is not None)


def _above(nodes: Mapping[str, Any], keys: Iterable[str]) -> set[str]:
    """Keys of all nodes that need one of these, however far up."""
    above: dict[str, list[str]] = {}
    for key, node in nodes.items():
        for needed in node.dependencies:
            above.setdefault(needed, []).append(key)
    found, todo = set[str](), list(keys)
    while todo:
        more = [key for key in above.get(todo.pop(), ()) if key not in found]
        found.update(more)
        todo += more
    return found
