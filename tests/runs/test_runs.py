"""Runs on threads of this process and on the workers of a Dask client behave alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from small_tasks import number, shell, total

import stargazer as sg
from stargazer.errors import ArgumentError, BlobLost, Cancelled, DefinitionError, RunFailed, ToolFailed
from stargazer.ledger import Ledger, Record
from stargazer.runs import State

pytestmark = pytest.mark.usefixtures("store")


def text(asset: sg.Asset) -> str:
    return asset.fetch().read_text()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_results_come_in_the_shape_of_the_calls(client: Any) -> None:
    first, second = number(i=1), number(i=2)
    whole = total([first, second])
    flight = sg.run(whole, {"parts": [first, (second,)]}, client=client)
    stored, parts = flight.result()
    assert text(stored) == "3"
    assert [text(parts["parts"][0]), text(parts["parts"][1][0])] == ["1", "2"]
    assert flight.tasks_run == 3
    again = sg.run(whole, client=client)
    assert (again.tasks_run, again.known, again.result()) == (0, 1, stored)


def test_one_failure_leaves_its_siblings_alone(client: Any) -> None:
    bad = shell(script="echo broken input >&2; exit 3")
    after = shell(bad, script="cat")
    good = shell(number(i=1), script="sleep 0.3; cat")
    flight = sg.run(bad, after, good, client=client, wait=False)
    with pytest.raises(RunFailed) as failed:
        flight.result()
    assert "broken input" in str(failed.value)
    assert isinstance(failed.value.__cause__, ToolFailed)
    (error,) = failed.value.failures.values()
    assert isinstance(error, ToolFailed)
    assert error.code == 3
    status = flight.status()
    assert (status.count(State.DONE), status.count(State.FAILED), status.count(State.SKIPPED)) == (2, 1, 1)
    assert text(sg.run(good, client=client).result()) == "1"
    assert sg.run(good, client=client).tasks_run == 0


def test_results_arrive_as_they_finish(client: Any) -> None:
    calls = {shell(script=f"sleep {seconds}; echo {seconds}"): seconds for seconds in (1.5, 0)}
    arrived = [calls[call] for call, _ in sg.run(*calls, client=client, wait=False)]
    assert arrived == [0, 1.5]


@pytest.mark.filterwarnings("ignore:task shell read")  # the flag that tells it what to do is none of its inputs
def test_a_failure_is_not_remembered(client: Any, tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    call = shell(script=f"cat {flag}")
    with pytest.raises(RunFailed):
        sg.run(call, client=client)
    flag.write_text("now")
    assert text(sg.run(call, client=client).result()) == "now"


def test_cancel_ends_the_tool_and_all_that_it_started(client: Any, tmp_path: Any) -> None:
    flag = tmp_path / "started"
    call = shell(script=f"(sleep 987.5 & echo $! > {flag}; wait); true")
    flight = sg.run(call, shell(call, script="cat"), client=client, wait=False)
    until(lambda: flag.exists() and flag.read_text().strip() != "")
    flight.cancel()
    with pytest.raises(Cancelled):
        flight.result()
    until(lambda: not is_alive(int(flag.read_text())))
    assert sg.assemble(asset="asset") == []


def test_a_client_that_is_closed_ends_the_run(tmp_path: Any) -> None:
    from distributed import Client

    flag = tmp_path / "started"
    with Client(processes=False, n_workers=1, dashboard_address=":0", set_as_default=False) as client:
        flight = sg.run(shell(script=f"touch {flag}; sleep 987.5"), client=client, wait=False)
        until(flag.exists)
    with pytest.raises(Cancelled, match="closed its client"):
        flight.result()


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lost_bytes_are_made_again_once(client: Any, store: sg.Store) -> None:
    kept = sg.run(number(i=7), client=client).result()
    blob = store.blobs.path(kept.cid)
    blob.chmod(0o644)
    blob.write_text("8")
    assert text(sg.run(total([number(i=7)]), client=client).result()) == "7"


def test_lost_bytes_that_nothing_makes_are_an_error(client: Any, store: sg.Store, tmp_path: Any) -> None:
    (tmp_path / "given.txt").write_text("5")
    given = sg.add(tmp_path / "given.txt")
    store.blobs.path(given.cid).unlink()
    with pytest.raises(RunFailed) as failed:
        sg.run(total([given]), client=client)
    assert isinstance(failed.value.__cause__, BlobLost)


def test_a_missing_element_fails_only_what_needs_it(client: Any) -> None:
    @sg.task
    def some(work: sg.Workdir) -> list[sg.Asset]:
        out = work.file("one.txt")
        out.write_text("1")
        return [sg.Asset(path=out)]

    made = some()
    flight = sg.run(made[0], made[4], client=client, wait=False)
    with pytest.raises(RunFailed, match="no element 4"):
        flight.result()
    assert text(sg.run(made[0], client=client).result()) == "1"


def test_a_run_inside_a_running_event_loop(client: Any) -> None:
    import asyncio

    async def cell() -> Any:
        return sg.run(number(i=3), client=client).result()

    assert text(asyncio.run(cell())) == "3"


def test_a_run_holds_what_it_relies_on(client: Any, store: sg.Store, tmp_path: Any) -> None:
    (tmp_path / "given.txt").write_text("5")
    given = sg.add(tmp_path / "given.txt")
    flag = tmp_path / "go"
    flight = sg.run(shell(given, script=f"while [ ! -e {flag} ]; do sleep 0.05; done; cat"), client=client, wait=False)
    until(lambda: given.cid in store.roots.held())
    flag.touch()
    flight.wait()
    assert store.roots.held() == set()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (number, r"number is a task, not a call of it: write number\(…\)"),
        (until, "until is a function: call it"),
        ([number], "number is a task"),
        ((number(i=i) for i in range(2)), "generator is no list of calls"),
        ({number}, "set is no list of calls"),
        (dask.delayed(str)(1), "dask.compute runs it"),
    ],
    ids=["task", "function", "list of a task", "generator", "set", "delayed"],
)
def test_what_would_be_passed_over_in_silence_is_refused(mistake: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        sg.run(mistake)
    with pytest.raises(ArgumentError, match=told):
        sg.plan(mistake)


def test_results_are_as_good_as_calls() -> None:
    stored = sg.run(number(i=1)).result()
    assert sg.run(stored, None, [number(i=1), 3]).result() == (stored, None, [stored, 3])
    assert not sg.plan(stored).calls


def test_a_client_is_passed_by_name_and_is_one(client: Any) -> None:
    if client is not None:
        with pytest.raises(ArgumentError, match="client=…"):
            sg.run(number(i=1), client)
    with pytest.raises(ArgumentError, match=r"sg\.connect"):
        sg.run(number(i=1), client="tcp://127.0.0.1:8786")  # type: ignore[arg-type]


def test_a_result_that_is_used_stays(store: sg.Store) -> None:
    """Seconds stand for days: made long ago, of use of late."""
    call = total([number(i=1), number(i=2)])
    result = call.compute()
    time.sleep(2.2)
    assert call.compute() == result
    store.gc(grace=-1, recent=2)
    assert store.exists(result)
    time.sleep(2.2)
    store.gc(grace=-1, recent=2)
    assert not store.exists(result)


def test_what_is_for_the_next_step_only_is_recorded_so_and_is_in_no_key(store: sg.Store) -> None:
    def middle(work: sg.Workdir) -> sg.Asset:
        work.file("m.txt").write_text("middle")
        return sg.Asset(path=work.file("m.txt"))

    temp, lasting = sg.task(temp=True)(middle), sg.task(middle)
    assert temp().plan_key == lasting().plan_key
    result = temp().compute()
    (record,) = Ledger(store.records).of_task("middle")
    assert record.temp
    assert record.home.endswith("<locals>.middle")
    store.gc()
    assert store.exists(result)
    store.gc(grace=-60)
    assert not store.exists(result)
    lasting().compute()
    store.gc(grace=-60)
    assert store.exists(result)
    with pytest.raises(DefinitionError, match="temp='yes' must be True or False"):
        sg.task(temp="yes")(middle)  # type: ignore[call-overload]


@pytest.mark.filterwarnings("ignore:task shell read")  # the flag that tells it what to do is none of its inputs
def test_a_failed_call_leaves_its_scratch_directory_until_it_ends_well(
    client: Any, store: sg.Store, tmp_path: Path
) -> None:
    call = shell(script=f"echo half > half.txt; test -e {tmp_path / 'go'}")
    with pytest.raises(RunFailed):
        sg.run(call, client=client)
    ((identifier, data),) = store.records.where(task="shell")
    record = Record.from_bytes(data, identifier)
    assert record is not None
    assert record.status == "failed"
    place = Path(str(record.scratch))
    assert (place / "half.txt").read_text() == "half\n"
    assert place.parent == store.context.scratch
    (tmp_path / "go").touch()
    sg.run(call, client=client)
    assert not place.exists()
