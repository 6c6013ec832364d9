"""What a plan will take, told from earlier calls of the same tasks."""

from __future__ import annotations

from typing import Any

import dask.config
import pytest

import stargazer as sg
from stargazer.calls.walk import needs
from stargazer.ledger import Ledger
from stargazer.ledger.usage import usage
from stargazer.runs import expected
from stargazer.runs.estimate import Expected, _wall
from stargazer.runs.state import State, Status


@sg.task(cpus=2)
def slow(work: sg.Workdir, given: sg.Asset | None = None, *, n: int) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text("x" * 1000)
    return sg.Asset(path=out)


@sg.task
def fresh(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    return sg.Asset(path=work.file("never.txt"))


def timed(store: sg.Store, seconds: float) -> None:
    """Let the records of `slow` say that each call took so long."""
    ledger = Ledger(store.records)
    for record in ledger.newest("slow"):
        ledger.append(record._replace(seconds=seconds, parameters={"n": 1000 + record.parameters["n"]}, id=""))


def test_an_estimate_says_what_it_rests_on(store: sg.Store) -> None:
    calls = [slow(n=n) for n in range(4)]
    assert sg.plan(calls).estimate is None
    slow(n=100).compute()
    timed(store, 3600.0)
    with dask.config.set({"stargazer.profiles.site": {"kind": "slurm", "workers": 2, "cpus": 2}}):
        plan = sg.plan([*calls, fresh(calls[0])], on="site")
        estimate = plan.estimate
        assert estimate is not None
        assert (estimate.records, estimate.never_ran, estimate.where) == (2, ("fresh",), "site")
        # Half of the records say an hour, the other next to nothing: the median is between.
        assert estimate.core_hours == pytest.approx(4 * 2 * 0.5, rel=0.05)
        assert estimate.wall == pytest.approx(2 * 1800, rel=0.05)  # two workers of two processors, one call each
        assert estimate.stored == 4000
        told = str(plan).splitlines()[-1]
        assert told == (
            "about 1 h 00 min on site, 4.0 core-hours, 4.0 kB to be stored (from 2 records; 1 task never ran)"
        )
        assert plan.to_dict()["estimate"]["records"] == 2


def test_what_is_known_takes_nothing(store: sg.Store) -> None:
    slow(n=1).compute()
    plan = sg.plan(slow(n=1))
    assert plan.estimate is None
    assert "core-hours" not in str(plan)


def test_a_chain_takes_its_length_and_a_row_its_width(store: sg.Store) -> None:
    one = slow(n=0)
    chain = [one]
    for n in range(1, 5):
        chain.append(slow(chain[-1], n=n))
    row = [slow(n=n) for n in range(10, 14)]

    def wall(calls: list[sg.Call], places: float) -> float:
        waits = {each.call.key: {before.whole.key for before in needs(each.call)} for each in sg.plan(calls)}
        return _wall(waits, dict.fromkeys(waits, Expected(10.0, 2.0, 0.0)), places, 2.0)

    assert wall(chain[-1:], 100.0) == 50.0
    assert wall(row, 100.0) == 10.0
    assert wall(row, 4.0) == 20.0
    assert wall(row, 2.0) == 40.0
    assert wall(row, 1.0) == 40.0


@sg.task
def pieces(work: sg.Workdir, *, n: int) -> list[sg.Asset]:
    made = []
    for i in range(n):
        out = work.file(f"{i}.txt")
        out.write_text("x" * (100 + i))
        made.append(sg.Asset(path=out))
    return made


@sg.task
def refined(work: sg.Workdir, piece: sg.Asset) -> sg.Asset:
    out = work.file("refined.txt")
    out.write_text(piece.path.read_text() + "y")
    return sg.Asset(path=out)


@sg.task(cpus=2)
def worked(work: sg.Workdir, piece: sg.Asset, *, by: int = 1) -> sg.Asset:
    out = work.file("worked.txt")
    out.write_text(piece.path.read_text() * by)
    return sg.Asset(path=out)


@sg.task(cpus=lambda parts: len(parts))
def gathered(work: sg.Workdir, parts: list[sg.Asset]) -> int:
    return sum(part.path.stat().st_size for part in parts)


@sg.dynamic
def all_worked(parts: list[sg.Asset], by: int = 1) -> list[sg.Asset]:
    return [worked(refined(part), by=by) for part in parts]


@sg.dynamic
def all_twice(parts: list[sg.Asset]) -> list[sg.Asset]:
    return all_worked(parts)


def lasted(store: sg.Store, seconds: dict[str, float]) -> None:
    """Let the calls of tasks have taken so long, those of a task after those that they needed.

    Each call has a second record then: where a task's calls are taken together, the median is half of that.
    """
    ledger, newer = Ledger(store.records), dict[str, str]()
    for task, each in seconds.items():
        for record in ledger.newest(task):
            ledger.forget([record])
            producers = {asset: newer.get(name, name) for asset, name in record.producers.items()}
            changed = ledger.append(record._replace(seconds=each, producers=producers, id=""))
            newer[record.id] = changed.id


@pytest.fixture
def grown(store: sg.Store) -> sg.Store:
    """A store in which a graph that grows has run, with times that are told apart."""
    sg.run(gathered(all_twice(pieces(n=2))), progress=False)
    took = {"pieces": 20.0, "refined": 100.0, "worked": 1000.0, "all_worked": 0.001, "all_twice": 0.001}
    lasted(store, took | {"gathered": 1000.0})
    return store


@pytest.mark.parametrize("function", [all_worked, all_twice])
def test_what_nobody_knows_yet_is_reckoned_as_last_time(grown: sg.Store, function: Any) -> None:
    """Also what stands between, and what was wired by what was wired."""
    with dask.config.set({"stargazer.profiles.site": {"kind": "slurm", "workers": 2, "cpus": 2}}):
        plan = sg.plan(gathered(function(pieces(n=3))), on="site")
        estimate = plan.estimate
    assert estimate is not None
    assert (estimate.records, estimate.never_ran, estimate.as_last_time) == (8, (), (function.name,))
    assert estimate.core_hours == pytest.approx((10 + 2 * 100 + 2 * 1000 * 2 + 500 * 2) / 3600, rel=0.01)
    assert estimate.wall == pytest.approx(10 + 100 + 1000 + 500, rel=0.01)
    assert f"(from 8 records; {function.name} as last time)" in str(plan)
    assert plan.to_dict()["estimate"]["as_last_time"] == [function.name]


def test_a_function_that_failed_since_is_reckoned_as_when_it_last_ended_well(grown: sg.Store) -> None:
    ledger = Ledger(grown.records)
    (last,) = ledger.newest("all_worked", 1)
    later: dict[str, Any] = {"id": "", "started": "2100-01-01T00:00:00+00:00", "error": "ValueError: no"}
    failed = ledger.append(last._replace(status="failed", outputs=None, output_cids=[], wired=(), **later))
    assert ledger.newest("all_worked", 1) == [], f"{failed.id} is the very last"
    estimate = sg.plan(gathered(all_worked(pieces(n=3)))).estimate
    assert estimate is not None
    assert (estimate.never_ran, estimate.as_last_time) == ((), ("all_worked",))


def test_what_comes_after_a_function_that_wires_waits_for_what_it_wires(grown: sg.Store) -> None:
    with dask.config.set({"stargazer.profiles.site": {"kind": "slurm", "workers": 2, "cpus": 2}}):
        estimate = sg.plan(gathered(all_worked(pieces(n=2), by=2)), on="site").estimate
    assert estimate is not None
    assert (estimate.as_last_time, estimate.never_ran) == ((), ())
    assert estimate.wall == pytest.approx(500 + 500, rel=0.01)
    assert estimate.core_hours == pytest.approx((2 * 500 * 2 + 500 * 2) / 3600, rel=0.01)


def test_a_function_that_never_wired_is_told(store: sg.Store) -> None:
    pieces(n=1).compute()
    estimate = sg.plan(gathered(all_worked(pieces(n=2)))).estimate
    assert estimate is not None
    assert estimate.never_ran == ("all_worked", "gathered")


def test_wiring_asks_for_nothing_and_says_nothing_of_the_time_that_is_left(grown: sg.Store) -> None:
    assert {use.task for use in usage(grown)} == {"pieces", "refined", "worked", "gathered"}
    waits = {"all_worked": {State.WAITING: 1}, "gathered": {State.WAITING: 1}}
    assert expected.Expected(grown).seconds_left(Status(1.0, waits)) is None
    wired = {"all_worked": {State.RUNNING: 1}, "gathered": {State.WAITING: 1}}
    assert expected.Expected(grown).seconds_left(Status(1.0, wired)) == pytest.approx(500, rel=0.01)
