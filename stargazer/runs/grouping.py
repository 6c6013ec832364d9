"""Short calls of a run on their way to the workers of a client, many at once, and back."""

from __future__ import annotations

import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from dask._task_spec import DataNode, Task

from stargazer.calls.graph import delayed_of, known_values
from stargazer.calls.group import run_group
from stargazer.calls.node import Sealed
from stargazer.errors import OutputError
from stargazer.ledger import Ledger
from stargazer.runs.claims import Claims
from stargazer.runs.groups import Groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distributed import Client, Future

    from stargazer.calls.call import Call
    from stargazer.runs.state import RunState

__all__ = ["Grouping"]

EVERY = 0.5
"""Seconds between two looks at whether calls are still in a group of another run."""


class Grouping:
    """What one run sends in groups.

    Parameters
    ----------
    client
        A synchronous client.
    watch
        Told of calls as they end.
    graph, calls
        Of the run; both grow.
    """

    def __init__(self, client: Client, watch: RunState, graph: dict[str, Any], calls: Mapping[str, Call]) -> None:
        self._client, self._watch, self._calls = client, watch, calls
        self._graph, self._groups, self._claims = graph, Groups(graph), Claims(client)
        self._topic = f"stargazer-groups-{uuid.uuid4().hex}"
        self._told: deque[tuple[float, dict[str, Any]]] = deque()
        self._is_told = False
        self._ready: list[str] = []
        self._alone: set[str] = set()
        self._theirs: dict[str, Call] = {}
        self._asked_at = 0.0
        self.results: dict[str, Any] = {}
        """What has come, by key."""
        self._fresh: list[str] = []
        self._failed: list[str] = []
        self.is_over = False
        """Whether nobody wants the groups any more: the run was cancelled, or others ended it."""

    def __bool__(self) -> bool:
        return bool(self._groups or self._ready) and not self.is_over

    def __contains__(self, name: object) -> bool:
        return name in self._groups

    # On the way there.

    def split(self, ready: Iterable[str]) -> list[str]:
        """Take what can be sent now, and let go what was held for it; return the keys that are to be sent alone."""
        alone = self._rest(list(ready))
        todo, self._ready = [*self._ready, *self._freed(alone)], []
        while todo:
            rest = self._rest(todo, freed=True)
            alone += rest
            todo = self._freed(rest)
        return alone

    def _rest(self, keys: list[str], *, freed: bool = False) -> list[str]:
        """Let those of some nodes that may go in groups; return those that go alone now, and wait for nothing."""
        alike = self._groups.alike(keys, self._calls, freed=freed)
        self._groups.take(self._claimed({key: call for key, call in alike.items() if key not in self._alone}))
        return self._groups.hold(keys)

    def _claimed(self, calls: dict[str, Call]) -> dict[str, Call]:
        """Those of some calls that no other run has in a group, and no scheduler by themselves."""
        if not calls:
            return {}
        found = self._claims.take(list(calls))
        self._alone |= found.alone
        self._theirs |= {key: calls[key] for key in found.theirs}
        self._groups.wait(found.theirs)
        return {key: call for key, call in calls.items() if key in found.ours}

    def _freed(self, keys: Iterable[str]) -> list[str]:
        """What was held and can be sent, now that these are; elements of what is there are taken here."""
        ready, todo = list[str](), self._groups.free(keys)
        while todo:
            key = todo.pop()
            is_asked = self._groups.let_go(key)
            if key in self._calls or (is_asked and not self._is_there(key)):
                ready.append(key)
            elif not self._is_there(key) or self._took(key):
                todo += self._groups.free([key])
        return ready

    def _is_there(self, element: str) -> bool:
        return all(known_values(self._graph[whole]) for whole in self._graph[element].dependencies)

    def _took(self, element: str) -> bool:
        """Take an element of a result that is there; False if it has none."""
        node = self._graph[element]
        (whole,) = node.dependencies
        _, index, label = node.args
        try:
            value = node.func(known_values(self._graph[whole])[0], index, label)
        except OutputError as error:
            self._watch.lacks(label, index, error)
            self._spoil([element])
            return False
        self._graph[element] = DataNode(element, value)
        self._come(element, value)
        return True

    def _come(self, key: str, value: Any) -> None:
        self.results[key] = value
        self._fresh.append(key)

    def fresh(self) -> list[str]:
        """Keys of what has come since this was asked last."""
        found, self._fresh = self._fresh, []
        return found

    def failed(self) -> list[str]:
        """Keys of the calls, and of elements, that have failed since this was asked last."""
        found, self._failed = self._failed, []
        return found

    def send(self, granted: Mapping[str, dict[str, float]]) -> dict[str, Future[Any]]:
        """Send the groups that can be sent now; return their futures."""
        due = self._groups.due(self._topic, self._claims.threads, time.monotonic())
        if not due:
            return {}
        if not self._is_told:
            self._client.subscribe_topic(self._topic, self._told.append)
            self._is_told = True
        graph = {name: Task(name, run_group, Sealed(group)) for name, (_, group) in due.items()}
        firsts = {name: first for name, (first, _) in due.items()}
        resources = {name: granted[first.key] for name, first in firsts.items() if first.key in granted}
        made = self._client.compute(delayed_of(graph, firsts, list(graph), resources))
        return dict(zip(graph, made, strict=True))

    # And back.

    def look(self) -> None:
        """See what is to be sent otherwise: given back by workers, not short, or no longer in another run's group."""
        while self._told:
            _, told = self._told.popleft()
            self._groups.given_back(told["group"], told["begun"], told["seconds"])
        self._send_alone(self._groups.too_long(time.monotonic()))
        if self._theirs and time.monotonic() - self._asked_at > EVERY:
            self._asked_at = time.monotonic()
            found = self._claims.take(list(self._theirs))
            self._groups.take({key: self._theirs.pop(key) for key in found.ours})
            for key in found.alone:
                del self._theirs[key]
            self._send_alone(found.alone)

    def _send_alone(self, keys: Iterable[str]) -> None:
        if found := list(keys):
            self._groups.leave(found)
            self._claims.give_back(found)
            self._alone.update(found)
            self._ready += found

    def ended(self, futures: Iterable[Future[Any]], outcomes: Mapping[str, Any]) -> None:
        """Take what groups made; of those that came to nothing, the calls are sent alone, or were cancelled."""
        ended, there = list[str](), list[str]()
        for future in futures:
            name = str(future.key)
            if name in outcomes:
                values, errors = self._groups.ended(name, outcomes[name])
                self._note(values, errors)
                there += [call.key for call in values]
                ended += [call.key for call in (*values, *errors)]
            elif future.status == "cancelled":
                self._cancelled(self._groups.lost(name))
            else:  # also where the worker that had the outcome is gone, before it was fetched
                self._send_alone([call.key for call in self._groups.lost(name)])
        if ended:
            self._claims.give_back(ended)
            self._ready += self._freed(there)

    def _note(self, values: Mapping[Call, Any], errors: Mapping[Call, BaseException]) -> None:
        """Tell of calls as they ended."""
        for call, value in values.items():
            self._come(call.key, value)
            self._watch.done(call.plan_key, value)
        for call, error in errors.items():
            self._watch.failed(call.plan_key, error)
        if errors:
            self._spoil([call.key for call in errors])

    def _spoil(self, keys: list[str]) -> None:
        """These have failed: what needs them and was held is skipped."""
        self._failed += keys
        for key in self._groups.spoil(keys):
            if key in self._calls:
                self._watch.skipped(self._calls[key].plan_key)

    def _cancelled(self, calls: list[Call]) -> None:
        """Of a group that nobody wants any more, the ledger knows what has ended."""
        self.is_over = True
        if not calls:  # all were given back
            return
        ledger = Ledger(calls[0].store.records)
        found = ledger.lookup([call.plan_key for call in calls])
        for call in calls:
            if (record := found.get(call.plan_key)) is not None:
                self._watch.done(call.plan_key, ledger.results(record, call.returns.named))
            else:
                self._watch.cancelled(call.plan_key)

    def running(self, names: Iterable[str]) -> set[str]:
        """Plan keys of calls that run, where these tasks of Dask do."""
        return {call.plan_key for call in map(self._groups.first_of, names) if call is not None}

    def close(self) -> None:
        """The run has ended, or its client is closed."""
        self._claims.give_back()
        if self._is_told and self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)
