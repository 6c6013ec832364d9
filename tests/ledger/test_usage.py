"""What calls took of what they had asked for, told from their records."""

from __future__ import annotations

from typing import Any

import pytest

import stargazer as sg
from stargazer.ledger import Ledger, Record
from stargazer.ledger.usage import GIBIBYTE, Trend, usage


def record(store: sg.Store, task: str, number: int, **members: Any) -> Record:
    """A record of a call that never ran, with what it would have taken."""
    given: dict[str, Any] = {"seconds": 100.0, "cpu_seconds": 100.0, "started": "2026-11-30T00:00:00+00:00"}
    given |= {"status": "ok", "outputs": {"value": number}, "host": "n1"} | members
    key = f"{abs(hash((task, number))):064x}"[-64:]
    made = Record(
        task=task, plan_key=key, content_key=key, code="0" * 64, manifest={}, parameters={"n": number}, inputs={},
        tools=[], libraries={}, producers={}, **{"input_cids": [], **given},
    )  # fmt: skip
    return Ledger(store.records).append(made)


def test_share_waste_and_advice(store: sg.Store) -> None:
    for number in range(4):
        record(
            store, "idle", number, cpu_seconds=120.0, peak_bytes=GIBIBYTE, asked={"cpus": 8, "memory": 16 * GIBIBYTE}
        )
        record(store, "busy", number, cpu_seconds=380.0, asked={"cpus": 4})
    idle, busy = usage(store)
    assert (idle.task, idle.calls, idle.cpus, idle.seconds) == ("idle", 4, 8, 100.0)
    assert idle.cpu_share == pytest.approx(0.15)
    assert idle.unused == pytest.approx(4 * (800 - 120) / 3600)
    assert idle.advice == {"cpus": "2", "memory": "2 GiB"}
    assert (busy.advice, busy.memory, busy.peak) == ({}, 0, 0)


def test_failures_waste_too_and_do_not_count_in_times(store: sg.Store) -> None:
    record(store, "shaky", 1, seconds=10.0, cpu_seconds=10.0)
    record(store, "shaky", 2, seconds=90.0, cpu_seconds=0.0, status="failed", outputs=None, error="ToolFailed: exit 1")
    (use,) = usage(store, "shaky")
    assert (use.calls, use.failed, use.seconds, use.total) == (2, 1, 10.0, 100.0)
    assert use.unused == pytest.approx(90 / 3600)


def test_memory_that_grows_with_the_input_is_asked_for_by_size(store: sg.Store, tmp_path: Any) -> None:
    for number in range(1, 8):
        file = tmp_path / f"{number}.bin"
        file.write_bytes(bytes([number]) * number * 100_000)
        cid = sg.add(file).cid
        record(
            store, "grows", number, seconds=number * 2.0, cpu_seconds=number * 2.0,
            peak_bytes=int(1e6 + 30 * number * 100_000), asked={"memory": GIBIBYTE}, input_cids=[cid],
        )  # fmt: skip
    (use,) = usage(store, "grows")
    assert use.by_size["peak"].per_byte == pytest.approx(30, rel=0.01)
    assert use.by_size["seconds"].at(400_000) == pytest.approx(8.0, rel=0.01)
    assert use.advice == {"memory": "64 MiB + 38 × the size of the inputs"}


def test_no_trend_is_told_of_few_or_equal_or_scattered_sizes() -> None:
    assert Trend.of([(1.0, 1.0)] * 3) is None
    assert Trend.of([(5.0, float(number)) for number in range(9)]) is None
    assert Trend.of([(float(2**number), 3.0) for number in range(9)]) is None
    scattered = [1.0, 9.0, 2.0, 8.0, 1.0, 9.0, 2.0, 8.0]
    assert Trend.of([(float(number + 1), amount) for number, amount in enumerate(scattered)]) is None


def test_real_calls_leave_what_they_asked_for(store: sg.Store) -> None:
    @sg.task(cpus=2, memory="1 GiB")
    def asks(work: sg.Workdir, *, n: int) -> int:
        return n

    @sg.task
    def asks_nothing(work: sg.Workdir) -> int:
        return 1

    asks(n=1).compute()
    asks_nothing().compute()
    found = {each.task: each for each in Ledger(store.records).everything()}
    assert found["asks"].asked == {"cpus": 2, "memory": GIBIBYTE}
    assert (found["asks_nothing"].asked, b'"asked"' in found["asks_nothing"].to_bytes()) == ({}, False)
