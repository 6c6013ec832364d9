"""Calls run once more where that is asked for, and a difference is told as what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_tasks import number, shell, total, unseen

import stargazer as sg
from stargazer.errors import ArgumentError, NotFound
from stargazer.ledger import Ledger, NotDeterministic
from stargazer.ledger.chosen import task_names
from stargazer.runs.history import read_events

NOWHERE = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def counting(log: Path, text: str = "x") -> Any:
    return shell(script=f"echo ran >> {log}; printf {text}")


def ran(log: Path) -> int:
    """How often since the last look."""
    times = len(log.read_text().splitlines()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return times


def test_what_is_named_runs_once_more_and_what_needs_it_only_if_the_bytes_differ(
    client: Any, store: sg.Store, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = shell(script=f"echo 1 >> {log}; printf 7")
    end = shell(first, script=f"echo 2 >> {log}; cat")
    expected = sg.run(end, client=client).result()
    assert log.read_text() == "1\n2\n"
    for again, runs in (
        (None, ""),
        (False, ""),
        ([], ""),
        (True, "1\n2\n"),
        (shell, "1\n2\n"),
        ("shell", "1\n2\n"),
        (["small_tasks:shell"], "1\n2\n"),
        (first, "1\n"),
        ([end], "2\n"),
    ):
        log.write_text("")
        assert sg.run(end, client=client, again=again).result() == expected
        assert log.read_text() == runs, again
    assert sg.run(end, client=client).tasks_run == 0


def test_a_call_computes_once_more_and_both_results_stay(store: sg.Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("one")
    read = shell(script=unseen(outside))
    end = shell(read, script="cat")
    first = end.compute()
    outside.write_text("two")
    assert end.compute() == first
    with pytest.warns(NotDeterministic, match="no longer counts.*stargazer forget .* --down"):
        second = end.compute(again=read)
    assert second.fetch().read_text() == "two"
    assert end.compute() == second
    records = Ledger(store.records).of_task("shell")
    assert len(records) == 4
    assert {record.differs_from for record in records} > {None}
    assert {store.read(cid) for record in records for cid in record.output_cids} == {b"one", b"two"}


def test_a_result_that_a_client_holds_is_no_answer(cluster: Any, store: sg.Store, tmp_path: Path) -> None:
    call = counting(tmp_path / "log")
    held = cluster.compute(call)
    held.result()
    assert ran(tmp_path / "log") == 1
    sg.run(call, client=cluster, again=True).result()
    assert ran(tmp_path / "log") == 1


def test_elements_structures_and_iteration_stay_what_they_were(store: sg.Store) -> None:
    @sg.task
    def pair(work: sg.Workdir) -> tuple[sg.Asset, int]:
        work.file("a").write_text("a")
        return sg.Asset(path=work.file("a")), 3

    first, count = pair()
    calls = {"sum": total([first, number(i=2)]), "each": [first, count]}
    with pytest.raises(sg.errors.RunFailed):
        sg.run(calls)  # "a" is no number
    assert sg.run([first, count], again="pair").result()[1] == 3
    flight = sg.run([first, count], again=pair)
    assert dict(flight)[count] == 3


@pytest.mark.parametrize("wrong", ["nothing", ["number", "nothing"], 3, {"a": 1}])
def test_what_nothing_needs_cannot_run_again(store: sg.Store, wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r"number|no task, call or task's name"):
        sg.run(number(i=1), again=wrong)
    with pytest.raises(ArgumentError):
        number(i=1).compute(again=wrong)


def test_a_plan_says_what_would_run_again(store: sg.Store) -> None:
    call = total([number(i=1), number(i=2)])
    call.compute()
    plan = sg.plan(call, again=number)
    assert [(each.call.name, each.state) for each in plan] == [("number", "run")] * 2 + [("total", "maybe")]
    assert "asked for again" in str(plan)
    assert sg.plan(call).to_run == []


def test_what_was_forgotten_runs_once_more_and_is_compared(store: sg.Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("one")
    read = shell(script=unseen(outside))
    ends = [shell(read, script="cat"), total([number(i=1)])]
    first, other = sg.run(ends).result()
    assert [record.task for record in sg.forget(number(i=1).compute())] == ["number"]
    assert [each.call.name for each in sg.plan(ends).to_run] == []  # its result is known still
    assert sorted(record.task for record in sg.forget("number", down=True)) == ["number", "total"]
    assert {each.call.name for each in sg.plan(ends).to_run} == {"number", "total"}
    assert "it was forgotten" in str(sg.plan(ends))
    assert sg.run(ends).result() == [first, other]
    outside.write_text("two")
    assert len(sg.forget(read.compute(), down=True)) == 2
    with pytest.warns(NotDeterministic, match="no longer counts"):
        second = sg.run(ends).result()[0]
    assert second.fetch().read_text() == "two"
    assert sg.trace(first).records[0].task == "shell"
    assert sg.run(ends).tasks_run == 0
    assert store.fsck().ok


def test_keys_that_reached_the_same_bytes_on_another_way_are_forgotten_too(store: sg.Store, tmp_path: Path) -> None:
    """A plan key that early cut-off led to a record stands in no record."""
    log = tmp_path / "log"
    one, two = (shell(script=f"printf 5 {comment}") for comment in ("", "# the same"))
    ends = [shell(each, script=f"echo ran >> {log}; cat") for each in (one, two)]
    for end in ends:
        sg.run(end)
    assert ran(log) == 1
    sg.forget(ends[0].compute())
    assert [each.call for each in sg.plan(ends[1]).to_run] == [ends[1]]
    sg.run(ends[1])
    assert ran(log) == 1


@pytest.mark.parametrize("name", ["nothing", "abcdef012345", NOWHERE])
def test_what_is_not_known_cannot_be_forgotten(store: sg.Store, name: str) -> None:
    number(i=1).compute()
    with pytest.raises(sg.errors.NotFound):
        sg.forget(name)


def test_a_file_that_was_added_has_no_call(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    with pytest.raises(sg.errors.NotFound, match="added by a person"):
        sg.forget(sg.add(tmp_path / "f"))


def test_what_is_known_needs_neither_distributed_nor_git(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        """
import sys
import stargazer as sg
from small_tasks import number, total

run = sg.run(total([number(i=i) for i in range(3)]), progress=False)
print(run.tasks_run, run.id.partition("-")[0], "distributed" in sys.modules)
"""
    )
    env = {"PYTHONPATH": str(Path(__file__).parent), "DASK_STARGAZER__STORE": store.url, "PATH": "/nowhere"}
    answers = [
        subprocess.run(
            [sys.executable, tmp_path / "program.py"], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert answers == [["4", "program", "False"], ["0", "False"]]


def test_what_was_forgotten_here_is_not_taken_from_others(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Others:
        def find(self, _: sg.Store, keys: list[str]) -> dict[str, Any]:
            asked.append(list(keys))
            return {}

        def take(self, _: sg.Store, keys: list[str], *, with_outputs: bool) -> dict[str, Any]:
            return self.find(_, keys)

    forgotten, unknown = number(i=1), number(i=2)
    forgotten.compute()
    sg.forget("number")
    monkeypatch.setattr("stargazer.ledger.ledger.fallback", Others)
    ledger = Ledger(store.records)
    assert ledger.find_anywhere([forgotten.plan_key, unknown.plan_key]) == {}
    assert ledger.find_or_take([forgotten.plan_key, unknown.plan_key], with_outputs=True) == {}
    assert asked == [[unknown.plan_key]] * 2


def test_a_difference_of_a_plain_value_is_told_as_one(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    @sg.task(version="1")
    def measured(work: sg.Workdir) -> tuple[sg.Asset, float]:
        work.file("same").write_text("same bytes")
        return sg.Asset(path=work.file("same")), sys.getswitchinterval()  # nothing watches that

    call = measured()
    monkeypatch.setattr(sys, "getswitchinterval", lambda: 0.25)
    call.compute()
    monkeypatch.setattr(sys, "getswitchinterval", lambda: 0.75)
    with pytest.warns(NotDeterministic, match=r"gave 0\.75 as result\[1\] where they gave 0\.25 as result\[1\] before"):
        call.compute(again=True)


@pytest.mark.parametrize("place", ["small_tasks.number", "small_tasks:number", "number"])
def test_a_task_goes_by_its_module_too(store: sg.Store, place: str) -> None:
    call = number(i=1)
    call.compute()
    assert [record.task for record in sg.forget(place)] == ["number"]
    assert "asked for again" in str(sg.plan(call, again=place))
    with pytest.raises(NotFound, match=r"no call made 'elsewhere\.number'"):
        sg.forget("elsewhere.number")


def test_a_task_goes_by_the_group_of_its_module() -> None:
    names = task_names("stargazer.tasks.gatk.alignments:mark_duplicates")
    assert {"mark_duplicates", "gatk.mark_duplicates", "alignments.mark_duplicates"} < names
    assert "stargazer.tasks.gatk.alignments.mark_duplicates" in names
    assert "general.mark_duplicates" not in names


def test_a_difference_is_told_wherever_the_call_ran(client: Any, store: sg.Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("one")
    call = shell(script=unseen(outside))
    sg.run(call, client=client)
    outside.write_text("two")
    with pytest.warns(NotDeterministic, match="shell is not deterministic") as told:
        flight = sg.run(call, client=client, again=True)
    assert len(told) == 1
    assert flight.result().fetch().read_text() == "two"
    (event,) = [each for each in read_events(store, flight.id) if each.what == "made"]
    assert event.differs_from in {record.id for record in Ledger(store.records).of_task("shell")}
