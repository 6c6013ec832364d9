"""Many short calls on the workers of a client, in groups: as if each were sent by itself."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grouped_tasks import both, huge, late, leaf, lines, many, patient, place, plus, spread, wires_late

import stargazer as sg
from stargazer.errors import Cancelled, NeedUnmet, RunFailed, WorkerLost
from stargazer.ledger import Ledger, Record
from stargazer.runs import State, groups
from stargazer.runs.grouping import Grouping

pytestmark = pytest.mark.usefixtures("store")


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the groups that are sent; no loaded machine lets calls seem long."""
    names: list[str] = []
    send = Grouping.send

    def noted(self: Grouping, granted: Any) -> Any:
        found = send(self, granted)
        names.extend(found)
        return found

    monkeypatch.setattr(Grouping, "send", noted)
    monkeypatch.setattr(groups, "SHORT", 60.0)
    monkeypatch.setattr(groups, "QUIET", 600.0)
    return names


def text(asset: sg.Asset) -> str:
    return asset.fetch().read_text()


def told(record: Record) -> dict[str, Any]:
    """What a record says, but for times and for what only holds in its store."""
    own = ("started", "seconds", "cpu_seconds", "id", "producers", "inputs", "outputs")
    return {name: value for name, value in record._asdict().items() if name not in own}


def without_times(lineage: str) -> str:
    return re.sub(r"\d+(\.\d+)? m?s\b|\d{4}-\d\d-\d\d.\d\d:\d\d(:\d\d)?", "", lineage)


def records(store: sg.Store, name: str) -> dict[str, dict[str, Any]]:
    return {record.plan_key: told(record) for record in Ledger(store.records).of_task(name)}


def test_many_calls_go_together_and_each_has_its_own_record(
    cluster: Any, sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calls() -> list[Any]:
        parts = [leaf(i=i) for i in range(100)]
        return [*parts, many(parts)]

    with sg.Store(str(tmp_path / "groups")) as one:
        flight = sg.run(calls(), client=cluster, progress=False)
        made = flight.result()
        assert [text(each) for each in made] == [*map(str, range(100)), str(sum(range(100)))]
        assert 0 < len(sent) < 50
        assert flight.tasks_run == 101
        assert sg.run(calls(), client=cluster, progress=False).known == 101
        lineage = str(sg.trace(made[-1]))
    monkeypatch.setattr(groups, "LEAST", 10**9)
    sent.clear()
    with sg.Store(str(tmp_path / "alone")) as two:
        alone = sg.run(calls(), client=cluster, progress=False).result()
        assert not sent
        assert [each.cid for each in made] == [each.cid for each in alone]
        for name in ("leaf", "many"):
            assert records(one, name) == records(two, name)
        other = str(sg.trace(alone[-1]))
    assert without_times(lineage) == without_times(other)


def test_calls_below_others_go_together_too(cluster: Any, sent: list[str]) -> None:
    pairs = [both(leaf(i=i)) for i in range(80)]
    top = many([plus(pair.less, by=10) for pair in pairs])
    flight = sg.run(top, [pair.more for pair in pairs], client=cluster, progress=False)
    total, more = flight.result()
    assert text(total) == str(sum(range(80)) - 80 + 800)
    assert [text(each) for each in more] == [str(i + 1) for i in range(80)]
    assert {name.partition("-group-")[0] for name in sent} >= {"leaf", "both"}


def test_calls_that_functions_wire_go_together_too(cluster: Any, sent: list[str]) -> None:
    wired = spread(leaf(i=1), count=100)
    top = many(wired)
    assert text(sg.run(top, client=cluster, progress=False).result()) == str(100 + sum(range(100)))
    assert {name.partition("-group-")[0] for name in sent} == {"plus"}


def test_functions_are_given_what_came_in_groups(cluster: Any, sent: list[str]) -> None:
    """Also what is wanted long after it came."""
    parts = [leaf(i=i) for i in range(70)]
    summed = late(parts[1:])
    flight = sg.run(summed, wires_late(summed, parts[5]), *parts, client=cluster, progress=False)
    assert [text(each) for each in flight.result()[:2]] == [str(sum(range(70))), "5"]
    assert sent


def random_calls(draw: random.Random) -> list[Any]:
    """Calls of several levels; each takes some of those before it."""
    found: list[Any] = [leaf(i=draw.randrange(1000)) for _ in range(60)]
    for _ in range(draw.randrange(40, 120)):
        kind = draw.randrange(4)
        if kind == 0:
            found.append(plus(draw.choice(found), by=draw.randrange(5)))
        elif kind == 1:
            found.append(many(draw.sample(found, draw.randrange(1, 6))))
        else:
            pair = both(draw.choice(found))
            found += [pair.less, pair.more]
    return draw.sample(found, 30)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_give_what_they_give_alone(
    seed: int, cluster: Any, sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, least in (("groups", 3), ("alone", 10**9)):
        monkeypatch.setattr(groups, "LEAST", least)
        monkeypatch.setattr(groups, "FIRST", 3)
        with sg.Store(str(tmp_path / name)):
            flight = sg.run(random_calls(random.Random(seed)), client=cluster, progress=False)
            found.append([text(each) for each in flight.result()])
            assert flight.status().count() == flight.status().count(State.DONE)
    assert found[0] == found[1]
    assert sent


def test_one_failure_leaves_its_group_alone(cluster: Any, sent: list[str], tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    parts = [leaf(i=i, log=log, fails=17) for i in range(100)]
    after = plus(parts[17], by=1)
    flight = sg.run([*parts, after, many(parts[:3])], client=cluster, progress=False, wait=False)
    with pytest.raises(RunFailed, match="1 of 102 calls failed") as failed:
        flight.result()
    assert sent
    assert isinstance(failed.value.__cause__, ValueError)
    status = flight.status()
    assert (status.count(State.DONE), status.count(State.FAILED), status.count(State.SKIPPED)) == (100, 1, 1)
    (label,) = flight.failures
    assert label == f"leaf {parts[17].plan_key[:8]}"
    assert "ValueError: no 17 here" in flight.log(label)
    assert "grouped_tasks.py" in flight.log(label), "where it was raised"
    assert sorted(lines(Path(log))) == sorted(f"leaf {i}" for i in range(100))


def test_a_call_that_ends_its_workers_takes_no_other_with_it(cluster: Any, sent: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    calls = [leaf(i=i, log=str(log), ends=40) for i in range(100)]
    flight = sg.run(calls, client=cluster, progress=False, wait=False)
    with pytest.raises(RunFailed) as failed:
        flight.result()
    assert sent
    (error,) = failed.value.failures.values()
    assert isinstance(error, WorkerLost)
    assert "2 times" in str(error)
    ran = Counter(lines(log))
    assert ran.pop("leaf 40") == 2
    assert ran == dict.fromkeys([f"leaf {i}" for i in range(100) if i != 40], 1)
    assert flight.status().count(State.DONE) == 99


def test_cancel_ends_what_runs_and_begins_no_other(cluster: Any, sent: list[str], tmp_path: Path) -> None:
    log, flag = tmp_path / "log", tmp_path / "flag"
    calls = [patient(i=i, log=str(log), flag=str(flag), waits=3) for i in range(100)]
    flight = sg.run(calls, client=cluster, progress=False, wait=False)
    until(lambda: len({*lines(log)} - {"patient 0", "patient 1", "patient 2"}) == 2)
    flight.cancel()
    with pytest.raises(Cancelled):
        flight.result()
    assert sent
    status = flight.status()
    assert status.count(State.DONE) + status.count(State.CANCELLED) == 100
    ended = lines(log)
    until(lambda: not cluster.run_on_scheduler(busy))
    assert lines(log) == ended
    assert len(ended) <= 5
    flag.touch()
    assert len(sg.run(calls, client=cluster, progress=False).result()) == 100


def test_what_is_sent_while_a_run_is_cancelled_is_let_go(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, flag = tmp_path / "log", tmp_path / "flag"
    flights: list[Any] = []
    made = threading.Event()
    send = Grouping.send

    def cancelled(self: Grouping, granted: Any) -> Any:
        found = send(self, granted)
        made.wait()
        flights[0].cancel()
        return found

    monkeypatch.setattr(Grouping, "send", cancelled)
    calls = [patient(i=i, log=str(log), flag=str(flag), waits=0) for i in range(100)]
    flights.append(sg.run(calls, client=cluster, progress=False, wait=False))
    made.set()
    try:
        assert flights[0].wait(60), "nobody lets the groups go"
        with pytest.raises(Cancelled):
            flights[0].result()
        until(lambda: not cluster.run_on_scheduler(busy))
    finally:
        flag.touch()


def test_others_end_a_run(cluster: Any, sent: list[str], tmp_path: Path) -> None:
    from distributed import Future

    log, flag = tmp_path / "log", tmp_path / "flag"
    calls = [patient(i=i, log=str(log), flag=str(flag), waits=0) for i in range(100)]
    flight = sg.run([*calls, many(calls)], client=cluster, progress=False, wait=False)
    until(lambda: len(lines(log)) == 2)
    cluster.cancel([Future(key, cluster) for key in list(cluster.futures)])
    with pytest.raises(Cancelled, match="others ended the run"):
        flight.result()
    assert flight.status().count(State.CANCELLED) == 101
    until(lambda: not cluster.run_on_scheduler(busy))
    flag.touch()


def test_functions_do_not_wait_for_what_failed_in_a_group(cluster: Any, sent: list[str]) -> None:
    parts = [leaf(i=i, fails=17) for i in range(70)]
    below = late(parts[10:20])
    flight = sg.run(late([below]), below, *parts, client=cluster, progress=False, wait=False)
    with pytest.raises(RunFailed, match="1 of 72 calls failed"):
        flight.result()
    assert sent
    assert flight.status().count(State.SKIPPED) == 2


def test_only_what_no_worker_can_run_fails_once_groups_ran(cluster: Any, sent: list[str]) -> None:
    parts = [leaf(i=i) for i in range(70)]
    flight = sg.run(huge(parts), *parts, client=cluster, progress=False, wait=False)
    with pytest.raises(RunFailed, match="1 of 71 calls failed") as failed:
        flight.result()
    assert sent
    assert isinstance(failed.value.__cause__, NeedUnmet)
    assert flight.status().count(State.DONE) == 70


def busy(dask_scheduler: Any) -> bool:
    return any(worker.processing for worker in dask_scheduler.workers.values())


def test_one_that_takes_long_holds_up_no_other_and_all_are_told_of(
    cluster: Any, sent: list[str], tmp_path: Path
) -> None:
    """The flag is set once all others are known to have ended."""
    log, flag = tmp_path / "log", tmp_path / "flag"
    calls = [patient(i=i, log=str(log), flag=str(flag), waits=99) for i in range(100)]
    calls = [calls[99], *calls[:99]]
    flight = sg.run(calls, client=cluster, progress=False, wait=False)
    until(lambda: flight.status().count(State.DONE) == 99)
    assert flight.status().count(State.RUNNING) == 1
    flag.touch()
    flight.result()
    assert sent
    assert sorted(lines(log)) == sorted(f"patient {i}" for i in range(100))


def test_equal_calls_of_two_clients_run_once(cluster: Any, sent: list[str], tmp_path: Path, store: sg.Store) -> None:
    from distributed import Client

    log = tmp_path / "log"
    both_ways = [list(range(200)), [*range(300, 99, -1)]]
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        with Client(cluster.scheduler.address, set_as_default=False) as client, sg.Store(store.url):
            calls = [leaf(i=i, log=str(log)) for i in both_ways[number]]
            found[number] = [text(each) for each in sg.run(calls, client=client, progress=False).result()]

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [str(i) for i in wanted] for number, wanted in enumerate(both_ways)}
    assert sorted(lines(log)) == sorted(f"leaf {i}" for i in range(301))
    assert sent
    assert not cluster.run_on_scheduler(claimed)


def claimed(dask_scheduler: Any) -> int:
    return len(getattr(dask_scheduler, "stargazer_claims", {}))


def test_what_is_on_its_way_by_itself_is_not_sent_again(cluster: Any, sent: list[str], tmp_path: Path) -> None:
    log, flag = tmp_path / "log", tmp_path / "flag"
    calls = [patient(i=i, log=str(log), flag=str(flag), waits=0) for i in range(2)]
    alone = [cluster.compute(call) for call in calls]
    until(lambda: len(lines(log)) == 2)
    more = [patient(i=i, log=str(log), flag=str(flag), waits=0) for i in range(2, 80)]
    flight = sg.run([*calls, *more], client=cluster, progress=False, wait=False)
    until(lambda: bool(sent))
    flag.touch()
    assert len(flight.result()) == 80
    assert [text(each) for each in cluster.gather(alone)] == ["0", "1"]
    assert sorted(lines(log)) == sorted(f"patient {i}" for i in range(80))


def test_long_calls_go_alone(cluster: Any, sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "SHORT", 0.0)
    places = sg.run([place(i=i) for i in range(100)], client=cluster, progress=False).result()
    together = [each for each in places if "-group-" in each]
    assert len(together) <= groups.WAVE * 2 * groups.FIRST < len(places)
