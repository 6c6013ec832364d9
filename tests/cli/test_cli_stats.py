"""`stargazer stats`, and what `plan` says a workflow will take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import stargazer as sg

FLOW = """
import stargazer as sg

@sg.task(cpus=2, memory="4 GiB")
def sleepy(work: sg.Workdir, *, n: int) -> sg.Asset:
    out = work.file("out.txt")
    work.run(["sh", "-c", "sleep 0.2; echo done"], stdout=out)
    return sg.Asset(path=out)

@sg.task
def unseen(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    return given

def flow(numbers: list[int]):
    return [sleepy(n=n) for n in numbers]

def longer(numbers: list[int]):
    return [unseen(each) for each in flow(numbers)]
"""


def test_stats_say_what_was_wasted_and_plans_what_will_be(stargazer: Callable[..., Any]) -> None:
    Path("statistical.py").write_text(FLOW)
    assert "estimate" in (told := stargazer("plan", "statistical.py:flow", "numbers=1,2", "--json").json)
    assert told["estimate"] is None
    run = stargazer("run", "statistical.py:flow", "numbers=1,2", "--json").json["run"]
    shown = stargazer("stats")
    assert "sleepy: ask for cpus=1" in shown.out  # and for less memory, where this process has not much of its own
    assert "not used" in shown.err
    (task,) = stargazer("stats", "sleepy", "--run", run, "--json").json["tasks"]
    assert (task["calls"], task["failed"], task["cpus"], task["memory"]) == (2, 0, 2, 4 << 30)
    assert task["unused"] > 2 * 0.2 * 1.5 / 3600
    estimate = stargazer("plan", "statistical.py:longer", "numbers=1,7", "--json").json["estimate"]
    assert (estimate["records"], estimate["never_ran"]) == (2, ["unseen"])
    assert 0.2 < estimate["wall"] < 60
    assert "1 task never ran" in stargazer("plan", "statistical.py:longer", "numbers=1,7", "--on", "local").out
    stargazer("stats", "nothing_like_it", code=2)
    stargazer("stats", "--run", "no-such-run", code=2)
    assert "there is no store at" in stargazer("stats", "--store", "nowhere", code=1).err
    assert not Path("nowhere").exists()
    sg.Store("empty").blobs.put_bytes(b"x")
    assert "nothing ran in" in stargazer("stats", "--store", "empty").err
