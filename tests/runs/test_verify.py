"""Recorded calls run once more, aside; whatever the rules of identity miss, this finds."""

from __future__ import annotations

import datetime
import enum
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_tasks import number, shell, total, unseen

import stargazer as sg
from stargazer.errors import ArgumentError, NotFound
from stargazer.ledger import Ledger
from stargazer.ledger.keys import Naming, plain
from stargazer.ledger.rebuilt import value_of
from stargazer.runs.makeable import not_makeable


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@dataclass(frozen=True)
class Options:
    size: int
    mode: Mode = Mode.FAST
    weights: tuple[float, ...] = (0.5, float("inf"))


@sg.task
def described(work: sg.Workdir, *, options: Options, names: dict[str, list[int]], mode: Mode | None = None) -> sg.Asset:
    work.file("out.txt").write_text(f"{options} {names} {mode}")
    return sg.Asset(path=work.file("out.txt"))


@sg.task
def several(
    work: sg.Workdir, one: sg.Asset, two: list[sg.Asset], three: dict[str, sg.Asset], four: sg.Asset | None = None
) -> tuple[sg.Asset, list[sg.Asset], int]:
    folder = work.directory("folder")
    (folder / "x").write_text(one.path.read_text() + two[0].path.read_text() + three["c"].path.read_text())
    return sg.Asset(path=folder), [one, *two], 3


def outcomes(report: Any) -> dict[str, str]:
    return {call.record.task: call.outcome for call in report.calls}


def contents(store: sg.Store) -> set[Path]:
    root = Path(store.url.removeprefix("file://"))
    return {
        path for folder in ("records", "keys", "assets", "blobs", "trees") for path in root.joinpath(folder).rglob("*")
    }


def test_all_that_led_to_a_result_is_made_again_and_is_the_same(store: sg.Store) -> None:
    options = Options(3, Mode.EXACT)
    first = described(options=options, names={"b": [1], "a": []}, mode=Mode.FAST)
    call = several(first, [number(i=1), first], {"c": number(i=2)})
    result = sg.run(call).result()
    before = contents(store)
    report = sg.verify(result[0])
    assert (report.ok, report.checked, report.among) == (True, 4, 4), report
    assert outcomes(report) == {"several": "same", "described": "same", "number": "same"}
    assert contents(store) == before
    assert "4 recorded calls: 4 same" in str(report)
    assert sg.verify("described", down=True).among == 2


def test_a_difference_is_told_where_it_arises_and_nothing_is_recorded(store: sg.Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("1")
    end = total([shell(script=unseen(outside)), number(i=2)])
    result = end.compute()
    outside.write_text("5")
    report = sg.verify(result)
    assert not report.ok
    assert outcomes(report) == {"total": "same", "shell": "different", "number": "same"}
    ((place, then, now),) = next(call for call in report.calls if call.outcome == "different").differences
    assert (place, store.read(then), store.read(now)) == ("result", b"1", b"5")
    assert "not deterministic" in str(report)
    assert f"{then} → {now}" in str(report)
    assert len(Ledger(store.records).everything()) == 3
    assert end.compute() == result
    (found,) = [call for call in report.to_dict()["calls"] if call["differences"]]
    assert found["differences"] == [{"place": "result", "recorded": then, "now": now}]


def test_a_call_that_fails_now_is_no_success(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("1")
    result = shell(script=f'test -e "$(echo {str(tmp_path / "outside")[::-1]} | rev)"').compute()
    (tmp_path / "outside").unlink()
    report = sg.verify(result)
    assert (report.ok, [call.outcome for call in report.calls]) == (False, ["failed"])
    assert "ToolFailed" in report.calls[0].why


@pytest.mark.filterwarnings("ignore:task shell read")  # that it reads a file beside its inputs is what is tried
def test_what_a_record_is_known_to_have_read_is_no_fault_of_its_task(store: sg.Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("1")
    result = shell(script=f"cat {outside}").compute()
    for change in (lambda: outside.write_text("22"), outside.unlink):
        change()
        report = sg.verify(result)
        assert (report.ok, report.checked, outcomes(report)) == (True, 0, {"shell": "other files"})
        assert report.calls[0].why == f"changed since: {outside}"
    outside.write_text("1")
    assert outcomes(sg.verify(result)) == {"shell": "same"}


def test_plain_values_files_and_names_are_compared(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    @sg.task(version="1")
    def outside(work: sg.Workdir) -> tuple[int, sg.Asset, dict[str, float]]:
        name = "abc" if sys.getswitchinterval() > 0.001 else "abcd"  # nothing watches that
        work.file(name).write_text("same")
        return len(name), sg.Asset(path=work.file(name)), {"a": float("nan")}

    outside().compute()
    assert sg.verify("outside", tasks=[outside]).ok
    monkeypatch.setattr(sys, "getswitchinterval", lambda: 0.0005)
    ((number_place, *counts), (asset_place, then, now)) = sg.verify("outside", tasks=[outside]).calls[0].differences
    assert (number_place, counts, asset_place) == ("result[0]", ["3", "4"], "result[1]")
    assert "abc" in then
    assert "abcd" in now


def changed(i: int) -> Callable[..., Any]:
    def local(work: sg.Workdir) -> sg.Asset:
        work.file("a").write_text(str(i))
        return sg.Asset(path=work.file("a"))

    return local


def test_what_cannot_be_made_again_is_told_and_is_no_difference(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("3")
    given = sg.add(tmp_path / "in.txt")
    task = sg.task(changed(1))
    task().compute()
    gone = total([given]).compute()
    store.delete(given)
    store.gc(grace=-60, recent=0)
    lost = sg.verify(gone)
    assert (lost.ok, lost.checked, outcomes(lost)) == (True, 0, {"total": "inputs lost"})
    assert outcomes(sg.verify("local")) == {"local": "cannot be made again"}  # it lies in a function
    assert outcomes(sg.verify("local", tasks=[task])) == {"local": "same"}
    other = sg.verify("local", tasks=[sg.task(changed(2))])
    assert outcomes(other) == {"local": "other code"}
    assert "changed since" in other.calls[0].why


def test_why_a_task_is_not_here_is_told_whole(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    number(i=1).compute()
    (record,) = Ledger(store.records).of_task("number")
    monkeypatch.setattr(type(record), "home", "no_such_module:number")
    (told,) = sg.verify("number").calls
    assert told.why.endswith("No module named 'no_such_module'")


def test_a_store_is_checked_by_samples(store: sg.Store) -> None:
    sg.run([number(i=i) for i in range(20)])
    report = sg.verify(sample=0.1, seed=3)
    assert (len(report.calls), report.among, report.ok) == (2, 20, True)
    assert [call.record.id for call in sg.verify(sample=0.1, seed=3).calls] == [call.record.id for call in report.calls]
    assert len(sg.verify(sample=0.001).calls) == 1
    assert "a sample of 20" in str(report)


@pytest.mark.parametrize("sample", [0, -1, 1.5, "5%"])
def test_a_sample_is_a_part(store: sg.Store, sample: Any) -> None:
    with pytest.raises(ArgumentError, match="part of the whole"):
        sg.verify(sample=sample)


def test_what_nothing_made_cannot_be_verified(store: sg.Store) -> None:
    with pytest.raises(NotFound, match="no call made 'nothing'"):
        sg.verify("nothing")


class Names(list[str]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Options(3, Mode.EXACT), Names(["a", "b"]), re.compile("a+", re.IGNORECASE), Path("/a/b"), b"\x00", 1 + 2j,
        {"b": (1, {2}), "a": [None, True]}, datetime.datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=datetime.UTC),
    ],
)  # fmt: skip
def test_a_value_is_made_again_of_what_a_record_says(value: object) -> None:
    naming = Naming(__name__)
    made = value_of(json.loads(json.dumps(plain(value, naming))))
    assert type(made) is type(value)
    assert made == value


@pytest.mark.parametrize(
    "written",
    [
        {"of": "touch called", "class": "os.system"},
        {"of": ["touch", "called"], "class": "subprocess.Popen"},
        {"dataclass": "subprocess.Popen", "fields": {}},
        {"enum": "os.environ.PATH"},
        {"path": "x", "kind": "os.system"},
        {"tuple": 3}, {"dict": [1]}, {"decimal": []}, {"range": ["a"]}, {"zone": 5}, {"date": "x"}, {"future": 1},
    ],
)  # fmt: skip
def test_what_a_record_names_is_not_called_unless_it_is_a_class_of_values(
    written: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LookupError):
        value_of(written)
    assert list(tmp_path.iterdir()) == []


def test_what_a_strangers_record_names_is_never_imported(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @sg.task
    def mine(work: sg.Workdir) -> sg.Asset:
        work.file("a").write_text("a")
        return sg.Asset(path=work.file("a"))

    result = mine().compute()
    ledger = Ledger(store.records)
    record = ledger.get(result.source.record)
    (tmp_path / "planted.py").write_text("raise SystemExit('the code of a stranger ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    planted = record._replace(home="planted:mine", plan_key="0" * 64)
    store.records.put(planted.to_bytes())
    report = sg.verify(result, store=store)
    assert [call.outcome for call in report.calls if call.record.home == "planted:mine"] != ["same"]
    assert "planted" not in sys.modules
    assert [each.home for each in not_makeable(store, [store.records.put(planted.to_bytes())])] == ["planted:mine"]
    assert "planted" not in sys.modules
