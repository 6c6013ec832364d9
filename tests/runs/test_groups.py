"""Which calls go in groups, and of which size: told by what earlier ones took, without any worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from grouped_tasks import both, leaf, many, plus

import stargazer as sg
from stargazer.calls.graph import flatten, known_values
from stargazer.calls.group import Outcome
from stargazer.runs import State, claims
from stargazer.runs.grouping import Grouping
from stargazer.runs.groups import FIRST, LEAST, WAVE, Groups
from stargazer.runs.state import RunState

pytestmark = pytest.mark.usefixtures("store")

THREADS = 2


class Simulated:
    """Groups of some calls on two threads; each call takes as long as it is told to."""

    def __init__(self, roots: list[Any]) -> None:
        self.graph, self.calls = flatten(roots)
        self.groups = Groups(self.graph)
        self.sent: list[Any] = []
        self.ran: list[str] = []
        self.now = 0.0

    def begin(self) -> list[str]:
        """Take all calls; return the keys of those that go alone."""
        self.groups.take(self.groups.alike(self.calls, self.calls))
        return self.groups.hold(self.calls)

    def send(self) -> None:
        self.sent += [group for _, group in self.groups.due("", THREADS, self.now).values()]

    def end(self, seconds: float, fails: bool = False) -> Any:
        """The first group that was sent ends."""
        group = self.sent.pop(0)
        self.ran += [member.key for member in group.members]
        numbers = range(len(group.members))
        made = {} if fails else dict.fromkeys(numbers, 1)
        packed = dict.fromkeys(numbers, error()) if fails else {}
        return self.groups.ended(group.name, Outcome(made, packed, seconds * len(group.members)))


def error() -> bytes:
    from stargazer.calls.group import _packed

    return _packed(ValueError("none here"))


def test_each_runs_once_and_the_last_groups_are_small() -> None:
    runs = Simulated([leaf(i=i) for i in range(3000)])
    assert runs.begin() == []
    sizes = []
    while runs.groups:
        runs.send()
        sizes.append(len(runs.sent[0].members))
        values, _ = runs.end(0.001)
        runs.groups.free(call.key for call in values)
    assert sorted(runs.ran) == sorted(runs.calls)
    assert sizes[: WAVE * THREADS] == [FIRST] * WAVE * THREADS, "nobody knew yet how long they take"
    assert max(sizes) <= 500, "half a second of work"
    assert sizes[-1] <= FIRST
    assert len(sizes) < 60
    assert all(known_values(runs.graph[key]) == [1] for key in runs.calls)


def test_calls_that_are_not_short_go_alone() -> None:
    runs = Simulated([leaf(i=i) for i in range(100)])
    runs.begin()
    runs.send()
    assert runs.groups.too_long(0.5) == []
    first = len(runs.sent[0].members)
    runs.end(0.2)
    alone = runs.groups.too_long(0.5)
    waiting = [member.key for group in runs.sent for member in group.members]
    assert sorted([*runs.ran, *alone, *waiting]) == sorted(runs.calls)
    assert len(runs.ran) == first
    runs.send()
    assert len(runs.sent) == WAVE * THREADS - 1, "no further group is sent"
    assert not runs.groups.alike(alone, runs.calls, freed=True), "nor is any other of their task held back"


def test_nothing_is_heard_of_the_first_groups() -> None:
    runs = Simulated([leaf(i=i) for i in range(100)])
    runs.begin()
    runs.send()
    assert runs.groups.too_long(1.0) == []
    assert len(runs.groups.too_long(10.0)) == 100 - WAVE * THREADS * FIRST


def test_what_a_long_call_holds_up_is_given_back() -> None:
    runs = Simulated([leaf(i=i) for i in range(200)])
    runs.begin()
    runs.send()
    for _ in range(WAVE * THREADS):
        runs.end(0.001)
    runs.send()
    held_up = runs.sent.pop(0)
    runs.groups.given_back(held_up.name, 3, 1.0)
    runs.send()
    while runs.sent:
        runs.end(0.001)
    given = {member.key for member in held_up.members[3:]}
    assert given
    assert given <= {*runs.ran}, "they ran while the long one did"
    runs.sent.append(held_up)
    values, _ = runs.end(1.0)
    assert len(values) == 3, "a second attempt of the group ran what others have run, too"


def test_few_calls_and_those_that_want_something_go_alone() -> None:
    @sg.task(cpus=2)
    def wide(work: sg.Workdir, *, i: int) -> int:
        return i

    @sg.task(retries=1)
    def tried(work: sg.Workdir, *, i: int) -> int:
        return i

    @sg.task(tools=["sh"])
    def tool(work: sg.Workdir, *, i: int) -> int:
        return i

    few = [leaf(i=i) for i in range(LEAST - 1)]
    runs = Simulated([*few, *(task(i=i) for task in (wide, tried, tool) for i in range(LEAST))])
    assert len(runs.begin()) == len(runs.calls) == 4 * LEAST - 1
    assert not runs.groups


def test_what_needs_such_calls_is_held_until_they_are_there() -> None:
    parts = [leaf(i=i) for i in range(LEAST)]
    halves = [both(part) for part in parts[:2]]
    top = many([plus(halves[0].less, by=1), parts[5]])
    runs = Simulated([top, *halves, *parts])
    assert runs.begin() == []
    groups = runs.groups
    assert groups.free([parts[5].key]) == [], "the other waits"
    assert groups.free([parts[0].key]) == [halves[0].key]
    assert groups.let_go(halves[0].key)
    (element,) = groups.free([halves[0].key])
    assert not groups.let_go(element), "it only stands between two calls"
    (summed,) = groups.free([element])
    assert groups.let_go(summed)
    assert groups.free([summed]) == [top.key]
    assert groups.spoil([parts[1].key]) == {halves[1].key}


def test_failed_calls_spoil_what_needs_them_and_nothing_else() -> None:
    parts = [leaf(i=i) for i in range(LEAST)]
    runs = Simulated([many(parts), plus(parts[0], by=1), *parts])
    runs.begin()
    runs.send()
    values, errors = runs.end(0.001, fails=True)
    assert not values
    assert {str(each) for each in errors.values()} == {"none here"}
    spoilt = runs.groups.spoil([call.key for call in errors])
    assert {runs.calls[key].name for key in spoilt} == {"many", "plus"}


# What the scheduler keeps.


def scheduler(tasks: set[str] = frozenset(), threads: int = 2) -> Any:  # type: ignore[assignment]
    workers = {"w": SimpleNamespace(nthreads=threads)} if threads else {}
    return SimpleNamespace(tasks=tasks, clients={"one", "two"}, workers=workers)


def test_a_call_is_in_the_groups_of_one_run_alone() -> None:
    here = scheduler({"d"})
    assert claims._claim("r", "one", ["a", "b", "d"], here) == (2, [], [2])
    assert claims._claim("s", "two", ["b", "c"], here) == (2, [0], [])
    assert claims._claim("r", "one", ["a", "c"], here) == (2, [1], [])
    claims._give_back("r", ["b"], here)
    claims._give_back("r", ["c"], here)
    assert claims._claim("s", "two", ["a", "b", "c"], here) == (2, [0], [])
    claims._give_back("r", None, here)
    assert claims._claim("s", "two", ["a"], here) == (2, [], [])


def test_a_client_that_is_gone_holds_no_call() -> None:
    here = scheduler()
    claims._claim("r", "one", ["a", "b"], here)
    here.clients.remove("one")
    assert claims._claim("s", "two", ["a"], here) == (2, [], [])
    assert here.stargazer_claims.keys() == {"a"}, "nobody else would give the other back"
    here.clients.add("one")
    assert claims._claim("r", "one", ["a", "b"], here) == (2, [0], [])


def test_without_workers_nothing_is_held_back() -> None:
    here = scheduler(threads=0)
    assert claims._claim("r", "one", ["a"], here) == (0, [], [])
    here.workers["w"] = SimpleNamespace(nthreads=1)
    assert claims._claim("s", "two", ["a"], here) == (1, [], [])


class Client:
    """A client of that scheduler, whose workers never answer."""

    id, status = "one", "closed"

    def __init__(self) -> None:
        self.scheduler = scheduler()
        self.sent: list[str] = []

    def run_on_scheduler(self, function: Any, *args: Any) -> Any:
        return function(*args, dask_scheduler=self.scheduler)

    def subscribe_topic(self, topic: str, handler: Any) -> None:
        pass

    def compute(self, groups: list[Any]) -> list[Any]:
        self.sent += [group.key for group in groups]
        return [SimpleNamespace(key=group.key, status="finished") for group in groups]


def test_others_may_have_what_ended_well_or_not() -> None:
    graph, calls = flatten([leaf(i=i) for i in range(LEAST)])
    client: Any = Client()
    watch = RunState(lambda key, result: None)
    watch.expect(calls)
    grouping = Grouping(client, watch, graph, calls)
    assert grouping.split(calls) == []
    futures = grouping.send({})
    assert client.scheduler.stargazer_claims.keys() == calls.keys()
    name, future = next(iter(futures.items()))
    grouping.ended([future], {name: Outcome({0: 1}, {1: error()}, 0.002)})
    status = watch.status()
    assert (status.count(State.DONE), status.count(State.FAILED)) == (1, 1)
    done = [call.key for call in calls.values() if watch.state(call.plan_key) is not State.WAITING]
    assert client.scheduler.stargazer_claims.keys() == calls.keys() - done
    grouping.close()
    assert not client.scheduler.stargazer_claims


@pytest.mark.parametrize("status", ["lost", "pending", "error"])
def test_calls_of_a_group_whose_outcome_is_gone_go_alone(status: str) -> None:
    """Its worker may die between the end of a group and the moment in which the client asks for what it made."""
    graph, calls = flatten([leaf(i=i) for i in range(LEAST)])
    client: Any = Client()
    grouping = Grouping(client, RunState(lambda key, result: None), graph, calls)
    grouping.split(calls)
    _, future = next(iter(grouping.send({}).items()))
    future.status = status
    grouping.ended([future], {})
    assert not grouping.is_over
    assert len(grouping.split([])) == FIRST


def test_a_group_that_gave_all_its_calls_back_is_cancelled() -> None:
    graph, calls = flatten([leaf(i=i) for i in range(LEAST)])
    client: Any = Client()
    grouping = Grouping(client, RunState(lambda key, result: None), graph, calls)
    grouping.split(calls)
    name, future = next(iter(grouping.send({}).items()))
    grouping._told.append((0.0, {"group": name, "begun": 0, "seconds": 1.0}))
    grouping.look()
    future.status = "cancelled"
    grouping.ended([future], {})
    assert grouping.is_over
