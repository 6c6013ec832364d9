"""`stargazer run`, `plan` and `trace`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.assets import Intervals
from stargazer.catalog.arguments import read_arguments
from stargazer.errors import ArgumentError
from stargazer.store import Store
from stargazer.workflows import GatkOptions, call_sheet

Run = Callable[..., "object"]

FLOW = '''
from __future__ import annotations
import enum
from typing import Literal
import stargazer as sg

class Mode(enum.Enum):
    SLOW = "slow"
    FAST = "fast"

@sg.task
def number(work: sg.Workdir, source: sg.Asset | None = None, *, i: int, scale: float = 1.0, mode: str = "") -> sg.Asset:
    with open("ran.log", "a") as log:
        log.write("number\\n")
    if i < 0:
        raise ValueError(f"{i} is negative")
    out = work.file(f"{i}.txt")
    out.write_text(f"{i} {scale} {mode} " + (source.path.read_text() if source else ""))
    return sg.Asset(path=out)

@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset], *, label: str = "") -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(label + "|".join(each.path.read_text() for each in numbers))
    return sg.Asset(path=out)

def add_up(
    numbers: list[int],
    source: sg.Asset | None = None,
    *,
    scale: float = 1.0,
    mode: Mode = Mode.SLOW,
    side: Literal["left", "right"] = "left",
    deep: bool = False,
    label: str | None = None,
):
    """Numbers, added up."""
    text = f"{mode.value}-{side}-{deep}-{label}"
    return total([number(source, i=i, scale=scale, mode=text) for i in numbers])

def both(i: int):
    return {"one": number(i=i), "more": [number(i=i + 1), number(i=i + 2)]}

def nothing():
    return 3

ready = total([number(i=7)])
'''


NAMES = (f"flow{place}" for place in itertools.count())


@pytest.fixture
def flow(stargazer: Run) -> str:
    """A file of workflows, under a name that no other test imports."""
    name = f"{next(NAMES)}.py"
    Path(name).write_text(FLOW)
    return name


def ran() -> int:
    return Path("ran.log").read_text().count("\n") if Path("ran.log").exists() else 0


def test_plan_runs_nothing_and_run_runs_it_once(stargazer: Run, flow: str) -> None:
    before = stargazer("plan", f"{flow}:add_up", "numbers=1,2,3").out
    assert before.startswith("4 of 4 calls would run")
    assert ran() == 0
    first = stargazer("run", f"{flow}:add_up", "numbers=1,2,3", "--json").json
    assert (first["tasks_run"], ran()) == (4, 3)
    again = stargazer("run", f"{flow}:add_up", "numbers=1,2,3")
    assert again.out.split() == [first["result"]["cid"], "total.txt"]
    assert "0 tasks run" in again.err
    assert ran() == 3
    assert "nothing would run" in stargazer("plan", f"{flow}:add_up", "numbers=1,2,3").out


def test_plan_says_why(stargazer: Run, flow: str) -> None:
    stargazer("run", f"{flow}:add_up", "numbers=1", "scale=2")
    plan = stargazer("plan", f"{flow}:add_up", "numbers=1", "scale=3", "--json").json
    reasons = {call["task"]: [reason["text"] for reason in call["reasons"]] for call in plan["calls"]}
    assert reasons["number"] == ["parameter scale: 2.0 → 3.0"]
    assert (plan["known"], plan["to_run"]) == (0, 2)


def test_arguments_have_the_types_of_the_parameters(stargazer: Run, flow: str) -> None:
    Path("source.txt").write_text("from the store")
    cid = stargazer("add", "source.txt").out.split()[0]
    given = ["numbers=1", "numbers=2", f"source={cid}", "scale=0.5", "mode=fast", "side=right", "deep=yes", "label=x,y"]
    stargazer("run", f"{flow}:add_up", *given, "--out", "results")
    text = "fast-right-True-x,y from the store"
    assert Path("results/total.txt").read_text() == f"1 0.5 {text}|2 0.5 {text}"
    stargazer("run", f"{flow}:add_up", "numbers=1", "label=none", "mode=SLOW", "--out", "results", "--force")
    assert Path("results/total.txt").read_text() == "1 1.0 slow-left-False-None "


@pytest.mark.parametrize(
    ("target", "arguments", "told"),
    [
        ("add_up", [], "numbers missing; add_up takes numbers, [source]"),
        ("add_up", ["numbers=one"], "numbers=one"),
        ("add_up", ["numbers=1", "side=up"], "left, right"),
        ("add_up", ["numbers=1", "deep=maybe"], "true"),
        ("add_up", ["numbers=1", "depth=2"], "no parameter depth"),
        ("add_up", ["numbers=1", "scale=1", "scale=2"], "more than once"),
        ("add_up", ["numbers"], "name=value"),
        ("add_up", ["numbers=1", "source=nonsense"], "neither a CID nor the id"),
        ("ad_up", [], "add_up"),
        ("nothing", [], "made no calls"),
        ("ready", ["i=1"], "takes no arguments"),
    ],
)
def test_wrong_usage(stargazer: Run, flow: str, target: str, arguments: list[str], told: str) -> None:
    for command in ("plan", "run"):
        assert told in " ".join(stargazer(command, f"{flow}:{target}", *arguments, code=2).err.split())
    assert ran() == 0


def test_options_are_given_field_by_field(store: Store, tmp_path: Path) -> None:
    bed = tmp_path / "panel.bed"
    bed.write_text("chr1\t1\t9\n")
    target = store.add(bed, Intervals(build="b"))
    words = ["sheet=s.csv", "build=b", "engine=gatk", "options.filter=hard", f"options.target={target.cid}"]
    words += ["options.shards=2", 'options.sexes={"s1": "XY"}']
    found = read_arguments(call_sheet, words, store)
    options = GatkOptions(filter="hard", target=target, shards=2, sexes={"s1": "XY"})
    assert found == {"sheet": "s.csv", "build": "b", "engine": "gatk", "options": options}
    with pytest.raises(ArgumentError, match=r"no parameter options.filters.*Did you mean options.filter\?"):
        read_arguments(call_sheet, [*words, "options.filters=hard"], store)
    with pytest.raises(ArgumentError, match="choose one of auto, hard"):
        read_arguments(call_sheet, ["sheet=s", "build=b", "options.filter=soft"], store)


@pytest.mark.parametrize("target", ["missing.py:flow", "no_such_module:flow", "no_such_workflow"])
def test_targets_that_are_not_there(stargazer: Run, target: str) -> None:
    stargazer("plan", target, code=2)


def test_bare_names_are_those_of_the_library(stargazer: Run) -> None:
    told = stargazer("plan", "germline_short_variant_discovery", "build=b", "sample_ids=s1,s2", code=1).err
    assert "has no" in told
    assert "build" in stargazer("plan", "germline_short_variant_discovery", code=2).err


def test_tasks_and_wired_calls_can_be_run(stargazer: Run, flow: str) -> None:
    result = stargazer("run", f"{flow}:number", "i=4", "--json").json["result"]
    assert result["name"] == "4.txt"
    assert stargazer("run", f"{flow}:ready").out.endswith("total.txt\n")


def test_results_keep_their_shape(stargazer: Run, flow: str) -> None:
    result = stargazer("run", f"{flow}:both", "i=1", "--out", "out", "--json").json
    assert result["result"]["one"]["name"] == "1.txt"
    assert [each["name"] for each in result["result"]["more"]] == ["2.txt", "3.txt"]
    assert sorted(result["paths"]) == sorted(map(str, Path("out").iterdir()))


def test_failures_are_told_and_what_was_made_is_kept(stargazer: Run, flow: str) -> None:
    told = stargazer("run", f"{flow}:add_up", "numbers=1,-2,3", code=1)
    assert "ValueError: -2 is negative" in told.err
    assert told.out == ""
    assert "2 of 3 calls would run" not in told.err
    plan = stargazer("plan", f"{flow}:add_up", "numbers=1,-2,3", "--json").json
    assert plan["known"] == 2


@pytest.mark.parametrize("where", [[], ["--on", "local", "--workers", "1"]], ids=str)
def test_the_log_of_what_failed(stargazer: Run, flow: str, where: list[str]) -> None:
    told = stargazer("run", f"{flow}:add_up", "numbers=-7", *where, code=1).err
    command = next(line for line in told.splitlines() if "the log: stargazer log " in line).split()[2:]
    assert 'raise ValueError(f"{i} is negative")' in stargazer(*command[1:]).out
    told = stargazer(*command[1:], "--json").json
    assert (told["task"], told["status"], told["error"]) == ("number", "failed", "ValueError: -7 is negative")
    (run,) = stargazer("runs", "--json").json["runs"]
    assert " ".join(command) in stargazer("runs", run["id"]).out
    assert "no call is known" in stargazer("log", "0123456789ab", code=1).err


def test_on_worker_processes(stargazer: Run, flow: str) -> None:
    command = [sys.executable, "-c", "from stargazer.cli import main; main()", "run", f"{flow}:add_up", "numbers=1,2"]
    done = subprocess.run([*command, "--on", "local", "--workers", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("total.txt\n")
    assert stargazer("plan", f"{flow}:add_up", "numbers=1,2", "--json").json["to_run"] == 0


def test_ctrl_c_ends_everything(stargazer: Run, tmp_path: Path) -> None:
    Path("slow.py").write_text("""
import stargazer as sg

@sg.task
def sleep(work: sg.Workdir, *, i: int) -> sg.Asset:
    open(f"/proc/self/cwd/started-{i}", "w").close()
    work.run(["sleep", 600])
    return sg.Asset(path=work.file("never"))

def flow():
    return [sleep(i=i) for i in range(3)]
""")
    main = "from stargazer.cli import main; main()"
    command = [sys.executable, "-c", main, "run", "slow.py:flow", "--on", "local", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until(lambda: len(list(Path().glob("started-*"))) == 2)
        assert len(processes_below(tmp_path)) >= 5, "the client, two workers and two tools"
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert "ERROR" not in told
    until(lambda: not processes_below(tmp_path))


def until(happens: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_below(place: Path) -> list[str]:
    """Processes that work in a directory, but for this one: tools are in sessions of their own."""
    found = {}
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found[link.parent.name] = os.readlink(link)
    return [pid for pid, cwd in found.items() if cwd.startswith(str(place)) and pid != str(os.getpid())]


def test_trace(stargazer: Run, flow: str) -> None:
    Path("source.txt").write_text("x")
    source = stargazer("add", "source.txt").out.split()[0]
    total = stargazer("run", f"{flow}:add_up", "numbers=1,2", f"source={source}").out.split()[0]
    text = stargazer("trace", total).out
    assert text.count("source.txt") == 2
    assert "number(i=1, mode='slow-left-False-None', scale=1.0)" in text
    (tree,) = stargazer("trace", total, "--json").json["lineage"]
    assert (tree["task"], [each["task"] for each in tree["next"]]) == ("total", ["number", "number"])
    assert stargazer("trace", total, "--mermaid").out.startswith("flowchart TD\n")
    crate = Path(stargazer("trace", total, "--rocrate", "crate").out.strip())
    assert crate.name in {path.name for path in crate.parent.iterdir()} >= {"workflow.json", "result"}
    down = stargazer("trace", source, "--down").out
    assert "total.txt" in down
    stargazer("trace", total, "--mermaid", "--json", code=2)
    stargazer("trace", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", code=1)


LOUD = """
import stargazer as sg

@sg.task
def loud(work: sg.Workdir, *, i: int) -> sg.Asset:
    print("from the task")
    out = work.file("same.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

def shout(number: int):
    print("from the workflow")
    return [loud(i=i) for i in range(number)]
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from stargazer.cli import main; main()", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("where", [[], ["--on", "local", "--workers", "1"]])
def test_what_is_printed_is_no_part_of_the_answer(stargazer: Run, where: list[str]) -> None:
    Path("loud_flow.py").write_text(LOUD)
    told = command("run", "loud_flow.py:shout", "number=2", "--json", *where)
    assert json.loads(told.stdout)["tasks_run"] == 2
    assert "from the workflow" in told.stderr
    assert "from the task" in told.stderr


def test_results_of_one_name_do_not_replace_each_other(stargazer: Run) -> None:
    Path("named_flow.py").write_text(LOUD)
    said = stargazer("run", "named_flow.py:shout", "number=2", "--out", "results", "--force", code=1).err
    assert "two results are named same.txt" in said
    assert not Path("results").exists()
    assert stargazer("run", "named_flow.py:shout", "number=1", "--out", "results").out.endswith("results/same.txt\n")
