"""Graphs that grow: functions that wire once they know what came before."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from dask.delayed import Delayed
from growing import Count, add, count, grow, per_part, read, split, total, until, value, values, wide_or_not

import stargazer as sg
from stargazer.errors import ArgumentError, DefinitionError, OutputError, RunFailed, WiringError
from stargazer.ledger import Ledger
from stargazer.ledger.logs import find_record, log_of, record_of
from stargazer.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def ran(store: Store) -> Callable[[], list[str]]:
    """Names of the tasks whose bodies ended well since this was asked last."""
    told: set[str] = set()

    def since() -> list[str]:
        found = [each for each in Ledger(store.records).everything() if not (each.wires or each.same_as)]
        new = sorted(each.task for each in found if each.id not in told)
        told.update(each.id for each in found)
        return new

    return since


WAYS: dict[str, Callable[[Any], Any]] = {
    "compute": lambda call: call.compute(),
    "one thread": lambda call: call.compute(scheduler="sync"),
    "dask": lambda call: dask.compute(call)[0],
    "run": lambda call: sg.run(call, progress=False).result(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_function_wires_with_results_and_is_lazy(store: Store, way: str) -> None:
    parts = split(numbers=[1, 2, 3])
    grown = per_part(parts, by=10)
    report = total(grown, more=values(parts))
    assert isinstance(grown, Delayed)
    assert read(WAYS[way](report)) == 11 + 12 + 13 + 6
    assert read(WAYS[way](grown[2])) == 13
    assert [read(each) for each in WAYS[way](grown)] == [11, 12, 13]


@pytest.mark.parametrize("way", WAYS)
def test_branches_and_other_functions_that_wire(store: Store, way: str) -> None:
    parts = split(numbers=[4, 5])
    assert read(WAYS[way](wide_or_not(parts, count(parts)[0], limit=3))) == 9
    assert read(WAYS[way](wide_or_not(parts, count(parts).least, limit=7))) == 9 + 14


def test_what_is_returned_keeps_its_shape(store: Store) -> None:
    @sg.dynamic
    def shaped(parts: list[sg.Asset]):
        first, second = parts
        return {"grown": (grow(first), [value(second), "text"]), "given": first, "none": None, "count": count(parts)}

    made = shaped(split(numbers=[1, 2])).compute()
    assert (read(made["grown"][0]), made["grown"][1]) == (2, [2, "text"])
    assert (read(made["given"]), made["none"], made["count"].most) == (1, None, 2)
    assert shaped(split(numbers=[1, 2])).compute() == made


def test_a_known_workflow_is_one_look_up(
    store: Store, ran: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = total(per_part(split(numbers=[1, 2, 3])))
    sg.run(report, progress=False)
    ran()
    asked: list[int] = []
    leads = Ledger.leads

    def counted(self: Ledger, keys: Iterable[str]) -> Any:
        asked.append(len(wanted := list(keys)))
        return leads(self, wanted)

    monkeypatch.setattr(Ledger, "leads", counted)
    report.compute()
    assert asked == [1]
    assert ran() == []


def test_an_element_that_changed_runs_alone_and_an_equal_list_stops(store: Store, ran: Callable[[], list[str]]) -> None:
    sg.run(total(per_part(split(numbers=[1, 2, 3]))), progress=False)
    ran()
    sg.run(total(per_part(split(numbers=[1, 7, 3, 4]))), progress=False)
    assert ran() == ["grow", "grow", "split", "total"]

    @sg.task
    def sorted_parts(work: sg.Workdir, *, numbers: list[int], again: bool) -> list[sg.Asset]:
        return split.body(work, numbers=numbers)

    sg.run(total(per_part(sorted_parts(numbers=[5, 6], again=False))), progress=False)
    ran()
    sg.run(total(per_part(sorted_parts(numbers=[5, 6], again=True))), progress=False)
    assert ran() == ["sorted_parts"]


def test_another_tool_below_runs_again_what_needs_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tools of the calls that a function wires are not in its own key."""
    program = tmp_path / "shout"

    def install(word: str) -> None:
        program.write_text(f"#!/bin/sh\n# {word}\necho {word}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    @sg.task(tools=["shout"])
    def shouted(work: sg.Workdir, part: sg.Asset) -> sg.Asset:
        out = work.file("shouted.txt")
        work.run(["shout"], stdout=out)
        return sg.Asset(path=out)

    @sg.dynamic
    def all_shouted(parts: list[sg.Asset]) -> list[sg.Asset]:
        return [shouted(part) for part in parts]

    install("one")
    call = all_shouted(split(numbers=[1]))
    assert call.compute()[0].fetch().read_text() == "one\n"
    assert call.known() is not None
    from stargazer.tools import identity

    install("two")
    for name in vars(identity).values():
        if hasattr(name, "cache_clear"):
            name.cache_clear()
    assert call.known() is None


def test_a_loop_goes_on_where_it_was(store: Store, ran: Callable[[], list[str]]) -> None:
    first = split(numbers=[0])[0]
    assert read(sg.run(until(first, 0, goal=5, most=20), progress=False).result()) == 5
    assert len(ran()) == 11
    assert read(until(first, 0, goal=8, most=20).compute()) == 8
    assert ran() == ["grow", "grow", "grow", "value", "value", "value"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compute", "run"])
def test_a_thousand_rounds_need_no_recursion(store: Store, way: str) -> None:
    rounds = 200 if sg_short() else 1000
    first = split(numbers=[20])[0]
    assert read(WAYS[way](until(first, 0, goal=10**6, most=rounds))) == 20 + rounds


def sg_short() -> bool:
    import os

    return os.environ.get("STARGAZER_SHORT") == "1"


def test_a_loop_without_end_is_an_error(store: Store) -> None:
    @sg.dynamic
    def again(part: sg.Asset) -> sg.Asset:
        return again(part)

    part = split(numbers=[1])[0]
    with pytest.raises(WiringError, match="a number that counts down"):
        again(part).compute()
    with pytest.raises(RunFailed, match="a number that counts down"):
        sg.run(again(part), progress=False)


def test_failures_name_the_element(store: Store, ran: Callable[[], list[str]]) -> None:
    grown = per_part(split(numbers=[1, 13, 3]))
    with pytest.raises(ValueError, match="no thirteens") as caught:
        grown.compute()
    assert caught.value.__notes__ == ["this was grow of per_part[1]"]
    with pytest.raises(RunFailed, match=r"grow [0-9a-f]{8} of per_part\[1\]: ValueError: no thirteens here"):
        sg.run(total(grown), grown[0], progress=False)
    assert ran() == ["grow", "grow", "split"]


def test_a_wiring_that_fails_keeps_its_log(store: Store) -> None:
    @sg.dynamic
    def wrong(parts: list[sg.Asset]) -> list[sg.Asset]:
        raise LookupError(f"{len(parts)} parts are none")

    with pytest.raises(RunFailed, match="LookupError: 2 parts are none") as caught:
        sg.run(wrong(split(numbers=[1, 2])), grow(split(numbers=[3])[0]), progress=False)
    assert caught.value.__cause__ is not None
    record = record_of(caught.value.__cause__)
    assert record is not None
    ledger = Ledger(store.records)
    assert "in wrong" in log_of(ledger, find_record(ledger, record))


OPENS: dict[str, Callable[[list[sg.Asset]], Any]] = {
    "opens part0.txt": lambda parts: parts[0].fetch().read_text(),
    "opened /etc/hostname": lambda parts: Path("/etc/hostname").read_text(),
    "listed /etc/": lambda parts: list(Path("/etc").iterdir()),
    "asks the store": lambda parts: sg.assemble(name="part0.txt"),
    "computes <call value": lambda parts: value(parts[0]).compute(),
    "runs calls": lambda parts: sg.run(value(parts[0]), progress=False),
}


@pytest.mark.parametrize("what", OPENS)
def test_it_wires_and_does_not_work(store: Store, what: str) -> None:
    work = OPENS[what]

    @sg.dynamic
    def working(parts: list[sg.Asset]) -> sg.Asset:
        work(parts)
        return grow(parts[0])

    with pytest.raises(WiringError, match=f"working {re.escape(what)}"):
        working(split(numbers=[1])).compute()
    with pytest.raises(RunFailed, match=f"working {re.escape(what)}"):
        sg.run(working(split(numbers=[1])), progress=False)


def returning(what: Any) -> Any:
    @sg.dynamic
    def returns(parts: list[sg.Asset]):
        return what(parts)

    return returns


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda parts: grow, "grow is a task, not a call of it"),
        (lambda parts: (grow(part) for part in parts), "generator is no list of calls"),
        (lambda parts: sg.Asset(path="x.txt"), "is not in the store: tasks make files"),
        (lambda parts: {1: grow(parts[0])}, "a task returned dict"),
    ],
)
def test_what_is_no_result_is_an_error(store: Store, what: Any, told: str) -> None:
    with pytest.raises((ArgumentError, OutputError), match=re.escape(told)):
        returning(what)(split(numbers=[1])).compute()


def test_a_result_other_than_declared_is_an_error(store: Store) -> None:
    @sg.dynamic
    def one(parts: list[sg.Asset]) -> list[sg.Asset]:
        return grow(parts[0])

    with pytest.raises(OutputError, match="one is declared to return a list, but returned Asset"):
        one(split(numbers=[1])).compute()


def test_arguments_are_checked_as_a_tasks() -> None:
    with pytest.raises(ArgumentError, match="per_part: by must be int"):
        per_part([], by="two")
    with pytest.raises(ArgumentError, match="per_part needs parts"):
        per_part(by=2)
    with pytest.raises(ArgumentError, match=r"takes 2 positional arguments \(parts, by\), but 3"):
        per_part([], 1, 2)
    with pytest.raises(ArgumentError, match="has no parameter 'buy'"):
        per_part([], buy=1)
    with pytest.raises(ArgumentError, match="by is given twice"):
        per_part([], 1, by=1)
    with pytest.raises(ArgumentError, match="parts must be list"):
        per_part(count([]))

    @sg.dynamic
    def nothing(parts): ...

    @sg.dynamic
    def nested(parts: list[list[list[sg.Asset]]]): ...

    for wrong in (nothing, nested):
        with pytest.raises(DefinitionError, match=r"parts is annotated .* but must be an asset"):
            wrong([])
    with pytest.raises(DefinitionError, match=r"has no option 'cpus'; there are uses, version"):
        sg.dynamic(cpus=4)


def test_lists_of_lists_are_given_as_they_come(store: Store) -> None:
    @sg.dynamic
    def rows(parts: list[sg.Asset], *, wide: int) -> list[list[sg.Asset]]:
        return [parts[start : start + wide] for start in range(0, len(parts), wide)]

    @sg.dynamic
    def sums(grid: list[list[sg.Asset]]) -> list[sg.Asset]:
        return [total(row) for row in grid]

    @sg.dynamic
    def by_name(groups: dict[str, list[sg.Asset]]) -> dict[str, sg.Asset]:
        return {name: total(each) for name, each in groups.items()}

    parts = split(numbers=[1, 2, 3])
    grid = rows(parts, wide=2)
    assert [read(each) for each in sums(grid).compute()] == [3, 3]
    assert [read(each) for each in sums([grid[0], [parts[0], parts[2]], []]).compute()] == [3, 4, 0]
    assert read(by_name({"b": parts, "a": grid[1]}).compute()["b"]) == 6
    made = sums(grid).compute()
    assert sums([parts.compute()[:2], parts.compute()[2:]]).known() == (made,)  # the same key, as it came out so
    assert sums([parts.compute()[:1], parts.compute()[1:]]).known() is None
    names = {node.parameter for node in sg.trace(made[0], direction="up").walk()}
    assert "parts[0]" in names
    with pytest.raises(ArgumentError, match=r"sums: grid must be list\[list\[Asset\]\], but split returns a list of A"):
        sums(parts)
    with pytest.raises(ArgumentError, match=r"sums: grid\[1\] must be list\[Asset\], not Asset"):
        sums([parts, parts.compute()[0]])
    with pytest.raises(ArgumentError, match=r"by_name: groups\['a'\]\[0\] must be Asset, not str; add a file first"):
        by_name({"a": ["x.txt"]})
    with pytest.raises(DefinitionError, match="positional parameters are assets, but grid is"):
        _of_grid(parts)


def _of_grid(parts: object) -> object:
    @sg.task
    def of_grid(work: sg.Workdir, grid: list[list[sg.Asset]]) -> int:
        return 0

    return of_grid(parts)


@sg.task
def spread(work: sg.Workdir, *, between: Count) -> int:
    return between.most - between.least


@sg.dynamic
def spreads(between: Count, parts: list[sg.Asset]) -> list[int]:
    return [spread(between=between) for _ in parts]


@pytest.mark.parametrize("way", WAYS)
def test_a_named_tuple_of_a_call_is_a_parameter(store: Store, way: str) -> None:
    """And the same one as where it is given by hand."""
    parts = split(numbers=[4, 9])
    assert WAYS[way](spread(between=count(parts))) == 5
    assert WAYS[way](spreads(count(parts), parts)) == [5, 5]
    assert spread(between=Count(4, 9)).known() == (5,)


@sg.task
def waiting(work: sg.Workdir, *, flag: str) -> int:
    wait_for(lambda: Path(flag).exists())
    return 1


def wait_for(there: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not there():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)


@sg.task
def one(work: sg.Workdir) -> int:
    return 1


@sg.task
def named(work: sg.Workdir, *, text: str) -> sg.Asset:
    out = work.file("named.txt")
    out.write_text(text)
    return sg.Asset(path=out)


@sg.dynamic
def with_known(start: int, *, text: str, flag: str) -> tuple[sg.Asset, int]:
    return named(text=text), waiting(flag=flag)


def test_what_is_known_as_it_is_wired_is_held_till_the_end(store: Store, tmp_path: Path) -> None:
    known = sg.run(named(text="found while wiring"), progress=False).result()
    flag = tmp_path / "flag"
    flight = sg.run(with_known(one(), text="found while wiring", flag=str(flag)), wait=False)
    try:
        wait_for(lambda: known.cid in store.roots.held())
    finally:
        flag.touch()
    found, _ = flight.result()
    assert found.cid == known.cid
    assert store.roots.held() == set()


@pytest.mark.parametrize("way", WAYS)
def test_a_task_is_mapped_over_a_list(store: Store, way: str) -> None:
    parts = split(numbers=[1, 2, 3])
    assert [read(each) for each in WAYS[way](grow.map(parts, by=5))] == [6, 7, 8]
    assert WAYS[way](value.map(grow.map(parts)))[1] == 3
    assert [read(each) for each in WAYS[way](add.map(parts, grow.map(parts)))] == [3, 5, 7]
    assert [read(each) for each in WAYS[way](add.map(parts, right=parts[2]))] == [4, 5, 6]
    assert read(WAYS[way](total(grow.map(parts), more=value.map(parts)))) == 9 + 6


def test_maps_refuse_what_does_not_fit(store: Store) -> None:
    parts = split(numbers=[1, 2, 3])
    with pytest.raises(
        ArgumentError, match=re.escape("add.map takes lists of one length, but left has 3, right has 2")
    ):
        add.map(parts, split(numbers=[1, 2])).compute()
    with pytest.raises(ArgumentError, match=r"grow.map takes a list for each .* 1 \(part\), but 2 were given"):
        grow.map(parts, parts)
    with pytest.raises(ArgumentError, match=r"total.map: parts is list\[Asset\]"):
        total.map(parts)
    with pytest.raises(ArgumentError, match=r"grow.map: by must be int"):
        grow.map(parts, by="x")
    with pytest.raises(ArgumentError, match=r"grow.map takes a list for each .* but 0 were given"):
        grow.map()


def test_a_trace_goes_through(store: Store) -> None:
    report = sg.run(total(per_part(split(numbers=[1, 2]))), progress=False).result()
    tasks = [record.task for record in sg.trace(report).records]
    assert tasks == ["total", "grow", "split", "grow"] or sorted(tasks) == ["grow", "grow", "split", "total"]
    part = split(numbers=[1, 2]).compute()[0]
    assert {node.record.task for node in sg.trace(part, direction="down").walk() if node.record} == {"grow", "total"}
    known = per_part(split(numbers=[1, 2])).compute()[1]
    assert sg.trace(known).roots[0].record.task == "grow"


def test_a_plan_tells_what_nobody_knows_yet(store: Store) -> None:
    parts = split(numbers=[1, 2, 3])
    report = total(per_part(parts))
    assert str(sg.plan(report)).startswith(
        "3 of 3 calls would run, 0 are known, and those of per_part when split has ended\n"
    )
    parts.compute()
    assert str(sg.plan(report)).startswith("5 of 6 calls would run, 1 is known\n")
    assert "grow ×3" in str(sg.plan(report))
    report.compute()
    later = str(sg.plan(total(per_part(split(numbers=[1, 2, 3, 4])))))
    assert "and those of per_part when split has ended (3 last time)" in later
    assert "wired last time: grow ×3" in later
    assert sg.plan(total(per_part(split(numbers=[1, 2, 3, 4])))).to_dict()["calls"][1]["grows"]["last"] == 3


def test_what_is_asked_for_again_runs_again(store: Store, ran: Callable[[], list[str]]) -> None:
    report = total(per_part(split(numbers=[1, 2])))
    sg.run(report, progress=False)
    ran()
    sg.run(report, again="grow", progress=False)
    assert ran() == ["grow", "grow"]
    report.compute(again=True)
    assert ran() == ["grow", "grow", "split", "total"]


def test_what_is_forgotten_runs_again(store: Store, ran: Callable[[], list[str]]) -> None:
    report = total(per_part(split(numbers=[5, 9])))
    sg.run(report, progress=False)
    ran()
    sg.forget(per_part(split(numbers=[5, 9])).compute()[0], down=True)
    report.compute()
    assert ran() == ["grow", "total"]


def test_a_change_of_a_task_that_is_wired_counts(store: Store) -> None:
    """The function names the task, so that what the task does is part of what the function does."""

    def defined(factor: int) -> Any:
        @sg.task
        def times(work: sg.Workdir, part: sg.Asset) -> int:
            return factor * int(part.path.read_text())

        @sg.dynamic
        def all_times(parts: list[sg.Asset]) -> list[int]:
            return [times(part) for part in parts]

        return all_times

    parts = split(numbers=[1, 2])
    assert defined(2)(parts).compute() == [2, 4]
    assert defined(3)(parts).compute() == [3, 6]


def test_calls_of_two_stores_do_not_meet(store: Store, tmp_path: Path) -> None:
    with Store(tmp_path / "other"):
        call = per_part(split(numbers=[1]))
    assert read(sg.run(call, progress=False).result()[0]) == 2
    assert per_part(split(numbers=[1])).known() is None
