"""run --again, forget, verify, log of a run, gc --budget: on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.ledger import Ledger, NotDeterministic

PIPELINE = """
import os
import sys
import stargazer as sg

def note(name):
    with open(os.environ["RAN"], "a") as log:
        log.write(name + " ")

@sg.task(version="1")
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    note("number")
    work.file("n.txt").write_text(str(i))
    return sg.Asset(path=work.file("n.txt"))

@sg.task(version="1")
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    note("total")
    text = str(sum(int(each.path.read_text()) for each in numbers))
    work.file("n.txt").write_text(text + ("" if sys.getswitchinterval() > 0.001 else " and more"))
    return sg.Asset(path=work.file("n.txt"))

@sg.task(version="1")
def broken(work: sg.Workdir, number: sg.Asset) -> sg.Asset:
    work.file("half.txt").write_text("half")
    work.run(["sh", "-c", "echo last words >&2; exit 3"])
    return number

def workflow(n: int):
    return total([number(i=i + 5) for i in range(n)])

def breaking(n: int):
    return broken(number(i=n))
"""

Run = Callable[..., Any]


def outside_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change what the body of `total` takes from its process, unseen by all that watches bodies."""
    monkeypatch.setattr(sys, "getswitchinterval", lambda: 0.0005)


SUM = "again_pipeline.py:workflow"


@pytest.fixture
def project(stargazer: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    folder = tmp_path / "desk"
    (folder / "again_pipeline.py").write_text(PIPELINE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "again_pipeline", raising=False)
    return folder


@pytest.fixture
def ran(tmp_path: Path) -> Callable[[], list[str]]:
    def look() -> list[str]:
        log = tmp_path / "ran"
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return names

    return look


NUMBERS = ["number"] * 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([SUM, "n=2"], []),
        ([SUM, "n=2", "--again"], [*NUMBERS, "total"]),
        ([SUM, "n=2", "--again", "total"], ["total"]),
        ([SUM, "--again", "total", "n=2"], ["total"]),
        ([SUM, "--again", "number", "total", "n=2"], [*NUMBERS, "total"]),
        (["--again", SUM, "n=2"], [*NUMBERS, "total"]),
        (["--again=number,total", SUM, "n=2"], [*NUMBERS, "total"]),
        (["--again=number", "--again=total", SUM, "n=2"], [*NUMBERS, "total"]),
        ([SUM, "n=2", "--again", "number", "--json"], NUMBERS),
        (["--store", "default", SUM, "--again", "total", "n=2"], None),
    ],
)
def test_run_again_takes_the_names_that_follow(
    stargazer: Run, project: Path, ran: Callable[[], list[str]], words: list[str], expected: list[str] | None
) -> None:
    stargazer("run", SUM, "n=2")
    ran()
    stargazer("run", *words)
    assert sorted(ran()) == sorted([*NUMBERS, "total"] if expected is None else expected)
    planned = stargazer("plan", *[word for word in words if word != "--json"], "--json").json
    assert planned["to_run"] >= len(expected or [])


def test_a_task_that_nothing_needs_is_an_error(stargazer: Run, project: Path) -> None:
    answer = stargazer("run", SUM, "n=2", "--again", "nothing", code=2)
    assert "nothing here needs nothing; there are calls of number, total" in answer.err


@pytest.mark.parametrize("nothing", ["", ","])
def test_again_of_no_name_is_not_passed_over(stargazer: Run, project: Path, nothing: str) -> None:
    answer = stargazer("run", SUM, "n=2", "--again", nothing, code=2)
    assert "it names no task; write --again alone for all" in answer.err


def test_files_that_went_are_counted_as_files(stargazer: Run, project: Path) -> None:
    stargazer("run", SUM, "n=2")
    assert "removed 0 files (0 B); 3 files (4 B) stay" in stargazer("gc").out
    store = sg.active_store()
    for entry in store.backend.entries("blobs"):
        os.utime(store.backend.path(entry.place), (0, 0))
    assert "removed 2 files (3 B); 1 file (1 B) stays" in stargazer("gc", "--grace", "0s", "--budget", "1B").out


def test_forget_and_then_a_difference_is_told(
    stargazer: Run, project: Path, ran: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = stargazer("run", SUM, "n=2", "--json").json
    cid = result["result"]["cid"]
    assert result["run"].startswith("workflow-unknown-")
    ran()
    dry = stargazer("forget", cid, "--dry-run", "--json").json
    assert [each["task"] for each in dry["forgotten"]] == ["total"]
    stargazer("run", SUM, "n=2")
    assert ran() == []
    assert "3 forgotten" in stargazer("forget", "number", "--down").err
    assert "it was forgotten" in stargazer("plan", SUM, "n=2").out
    outside_changes(monkeypatch)
    with pytest.warns(NotDeterministic, match="not deterministic"):
        stargazer("run", SUM, "n=2")
    assert sorted(ran()) == [*NUMBERS, "total"]
    assert len(Ledger(sg.active_store().records).of_task("total")) == 2
    assert "no call made 'nothing'" in stargazer("forget", "nothing", code=1).err


def test_verify_compares_and_fails_where_something_differs(
    stargazer: Run, project: Path, ran: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = stargazer("run", SUM, "n=2", "--json").json["result"]["cid"]
    assert "3 recorded calls: 3 same" in stargazer("verify", cid).out
    assert stargazer("verify", "--sample", "1%", "--json").json["checked"] == 1
    assert stargazer("verify", "number", "--down", "--json").json["among"] == 3
    outside_changes(monkeypatch)
    answer = stargazer("verify", "--json", code=1)
    report = answer.json
    assert (report["ok"], report["checked"]) == (False, 3)
    assert "1 of 3 calls do not give what is recorded" in answer.err
    assert [each["task"] for each in report["calls"] if each["outcome"] == "different"] == ["total"]
    assert stargazer("run", SUM, "n=2", "--json").json["result"]["cid"] == cid
    for wrong in ("0%", "101%", "many"):
        assert "no part of a whole" in stargazer("verify", "--sample", wrong, code=2).err


def test_what_this_code_cannot_make_is_passed_over(stargazer: Run, project: Path) -> None:
    stargazer("run", SUM, "n=2")
    import again_pipeline

    again_pipeline.total.version = "2"
    again_pipeline.total._identity = None
    answer = stargazer("verify", "total", "--json")
    assert {each["task"]: each["outcome"] for each in answer.json["calls"]} == {"total": "other code", "number": "same"}
    stargazer("verify", "total", "--code", "again_pipeline.py")


def test_the_log_of_a_run_has_all_that_happened(stargazer: Run, project: Path) -> None:
    stargazer("run", SUM, "n=2")
    failed = stargazer("run", "again_pipeline.py:breaking", "n=1", code=1)
    assert "last words" in failed.err
    runs = stargazer("runs", "--json").json["runs"]
    name = runs[0]["id"]
    answer = stargazer("log", name)
    assert answer.out.startswith(f"{name}: failed, began ")
    assert "known" in answer.out
    assert "✗ broken" in answer.out
    (event,) = [each for each in stargazer("log", "breaking", "--json").json["events"] if each["what"] == "failed"]
    assert (Path(event["scratch"]) / "half.txt").read_text() == "half"
    assert f"its scratch directory: {event['scratch']}" in answer.out
    told = stargazer("log", event["record"][:10])
    assert "last words" in told.out
    assert event["scratch"] in told.err
    assert stargazer("runs", runs[1]["id"][:-3]).out.startswith(runs[1]["id"])
    assert "there is no run 'nothing'" in stargazer("log", "nothing", code=1).err


def test_gc_names_what_cannot_be_made_again_and_keeps_to_a_budget(stargazer: Run, project: Path) -> None:
    stargazer("run", SUM, "n=2")
    import again_pipeline

    assert stargazer("gc", "--grace", "0s", "--budget", "1B", "--dry-run", "--json").json["not_makeable"] == []
    again_pipeline.total.version = "2"
    again_pipeline.total._identity = None
    store = sg.active_store()
    for entry in [*store.backend.entries("blobs")]:
        os.utime(store.backend.path(entry.place))
    answer = stargazer("gc", "--grace", "0s", "--budget", "1B", "--json")
    assert len(answer.json["not_makeable"]) == 1
    assert "no code that is here makes 1 of these results again" in answer.err
    assert "--code FILE.py names the file" in answer.err
    assert "total" in answer.err
    assert answer.json["kept_bytes"] <= 1
    assert "is no size" in stargazer("gc", "--budget", "lots", code=2).err
