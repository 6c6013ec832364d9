"""What goes wrong in graphs that grow: told where it is, of what it is, and of nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from growing import Count, count, grow, per_part, split, total, value

import stargazer as sg
from stargazer.errors import ArgumentError, NeedUnmet, OutputError, RunFailed, WiringError
from stargazer.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture(params=["threads", "workers"])
def run(request: pytest.FixtureRequest, store: Store) -> Callable[[Any], Any]:
    """Runs calls to their end, and returns the run."""
    options = {} if request.param == "threads" else {"client": request.getfixturevalue("client")}

    def ended(calls: Any) -> Any:
        flight = sg.run(calls, wait=False, **options)
        flight.wait(timeout=60)
        return flight

    return ended


@sg.task(memory=lambda part: (1 << 60) if part.size > 1 else 1000)
def hungry(work: sg.Workdir, part: sg.Asset) -> int:
    return int(work.memory or 0)


@sg.dynamic
def fed(parts: list[sg.Asset]) -> list[Any]:
    return [value(parts[0]), [hungry(part) for part in parts]]


def test_needs_that_nothing_has_fail_the_call_alone(store: Store) -> None:
    """They are functions of inputs, so that nobody knew before."""
    parts = split(numbers=[1, 22])
    for calls, ended in ((fed(parts), "3 done, 1 failed, 1 skipped"), ([grow(parts[0]), hungry(parts[1])], "1 failed")):
        flight = sg.run(calls, wait=False)
        assert flight.wait(timeout=60)
        ((label, error),) = flight.failures.items()
        assert label.startswith("hungry ")
        assert isinstance(error, NeedUnmet)
        assert "threads of this process have" in str(error)
        assert str(flight.status()).endswith(ended)


def test_needs_that_no_worker_has_fail_the_call_alone(store: Store) -> None:
    with sg.connect("threads", cpus=1, memory="1 GiB") as client:
        parts = split(numbers=[1, 22])
        flight = sg.run(total(per_part(parts)), fed(parts), client=client, wait=False)
        assert flight.wait(timeout=60)
        ((label, error),) = flight.failures.items()
        assert " of fed[1][1]" in label
        assert isinstance(error, NeedUnmet)
        assert str(flight.status()).endswith("7 done, 1 failed, 1 skipped")


def test_elements_that_are_not_there_are_told_one_by_one(run: Callable[[Any], Any]) -> None:
    one, two = per_part(split(numbers=[1])), per_part(split(numbers=[1, 2]))
    flight = run([one[4], two[4], two[0], grow(two[1])])
    assert sorted(map(str, flight.failures.values())) == sorted(
        f"{call.label} has no element 4: it is a list of {length}" for call, length in ((one, 1), (two, 2))
    )
    assert set(flight.failures) == {f"element 4 of {call.label}" for call in (one, two)}
    with pytest.raises(RunFailed, match="2 of 7 calls failed"):
        flight.result()
    known = sg.run(two[4], wait=False)
    with pytest.raises(RunFailed, match="1 of 1 calls failed"):
        known.result()
    with pytest.raises(OutputError, match=r"per_part [0-9a-f]{8} has no element 4: it is a list of 2"):
        two[4].known()


@sg.dynamic
def by_truth(part: sg.Asset) -> int:
    if value(part):
        return value(part)
    return value(grow(part))


@sg.dynamic
def by_size(part: sg.Asset) -> int:
    return value(part) if value(part) > 3 else value(grow(part))


@sg.dynamic
def by_field(parts: list[sg.Asset]) -> int:
    return value(parts[0]) if count(parts).most > 3 else value(parts[1])


@sg.dynamic
def added(part: sg.Asset) -> list[Any]:
    return [value(part), value(part) + 3]


@sg.dynamic
def by_range(part: sg.Asset) -> list[int]:
    return [value(part) for _ in range(value(part))]


@sg.dynamic
def by_place(parts: list[sg.Asset]) -> int:
    return value(parts[value(parts[0])])


@sg.dynamic
def by_format(part: sg.Asset) -> int:
    return value(grow(part, by=len(f"{value(part):3d}")))


@pytest.mark.parametrize("name", ["by_truth", "by_size", "by_field", "by_range", "by_place", "by_format"])
def test_what_a_call_will_give_decides_nothing(run: Callable[[Any], Any], name: str) -> None:
    parts = split(numbers=[1, 2])
    calls = {"by_truth": by_truth(parts[0]), "by_size": by_size(parts[0]), "by_field": by_field(parts)}
    calls |= {"by_range": by_range(parts[0]), "by_place": by_place(parts), "by_format": by_format(parts[0])}
    call = calls[name]
    flight = run([call, grow(parts[1])])
    (error,) = flight.failures.values()
    assert isinstance(error, WiringError)
    assert str(error).startswith(f"{name} asks what a call gave before it has run (")
    assert "pass the call to a function that wires" in str(error)
    assert grow(parts[1]).known() is not None


def test_what_dask_computes_is_no_call(run: Callable[[Any], Any]) -> None:
    (error,) = run(added(split(numbers=[1])[0])).failures.values()
    assert isinstance(error, ArgumentError)
    assert str(error).startswith("added[1] is Delayed(")
    assert "for a task to do" in str(error)


@sg.task
def napping(work: sg.Workdir, part: sg.Asset, *, flag: str) -> int:
    Path(flag).touch()
    work.run(["sleep", "60"])
    raise NotImplementedError


@sg.dynamic
def outer(parts: list[sg.Asset], flag: str) -> list[int]:
    return [inner(parts, flag), value(parts[0])]


@sg.dynamic
def inner(parts: list[sg.Asset], flag: str) -> list[int]:
    return [napping(part, flag=flag) for part in parts]


@pytest.mark.parametrize("place", ["threads", "workers"])
def test_nothing_waits_in_a_run_that_was_cancelled(
    store: Store, tmp_path: Path, request: pytest.FixtureRequest, place: str
) -> None:
    options = {} if place == "threads" else {"client": request.getfixturevalue("client")}
    flag = tmp_path / "flag"
    flight = sg.run(outer(split(numbers=[1]), str(flag)), wait=False, **options)
    ends = time.monotonic() + 60
    while not flag.exists():
        assert time.monotonic() < ends, "it did not begin"
        time.sleep(0.02)
    flight.cancel()
    assert flight.wait(timeout=60)
    assert str(flight.status()).startswith("5 of 5 calls ended")
    assert Count(1, 1) == count(split(numbers=[1])).compute()  # the next run is not held up
