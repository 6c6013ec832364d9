"""What a plan will take, told from earlier calls of the same tasks."""

from __future__ import annotations

import dask.config
import pytest

import stargazer as sg
from stargazer.ledger import Ledger
from stargazer.runs.estimate import Expected, _wall


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
        planned = list(sg.plan(calls))
        return _wall(planned, {each.call.key: Expected(10.0, 2.0, 0.0) for each in planned}, places, 2.0)

    assert wall(chain[-1:], 100.0) == 50.0
    assert wall(row, 100.0) == 10.0
    assert wall(row, 4.0) == 20.0
    assert wall(row, 2.0) == 40.0
    assert wall(row, 1.0) == 40.0
