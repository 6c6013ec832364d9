"""Settings and profiles on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import stargazer as sg


def test_a_profile_that_is_not_there_is_wrong_usage(store: sg.Store, stargazer: Callable[..., Any]) -> None:
    told = stargazer("connect", "--check", "slow", "--store", store.url, code=2)
    assert "there is no profile 'slow'" in " ".join(told.err.split())


def test_the_command_tells_what_was_found(stargazer: Callable[..., Any], store: sg.Store) -> None:
    found = stargazer("connect", "--check", "threads", "--store", store.url, "--json").json["findings"]
    assert {each["what"] for each in found} >= {"workers", "store", "versions", "pysam"}
    assert all(each["ok"] for each in found)


def test_runs_are_listed(stargazer: Callable[..., Any], store: sg.Store) -> None:
    assert stargazer("runs", "--store", store.url).out == ""
    sg.run(hello())
    (note,) = stargazer("runs", "--store", store.url, "--json").json["runs"]
    assert (note["state"], note["tasks"]) == ("done", {"hello": {"done": 1}})
    assert "1 of 1 call" in stargazer("runs", "--store", store.url).out
    assert "hello: 1 done" in stargazer("runs", note["id"], "--store", store.url).out
    stargazer("runs", "no-such-run", "--store", store.url, code=2)


@sg.task
def hello(work: sg.Workdir) -> sg.Asset:
    out = work.file("hello.txt")
    out.write_text("hello")
    return sg.Asset(path=out)


WORKFLOW = """
import stargazer as sg

@sg.task
def drawn(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file("n.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

def workflow() -> list[sg.Asset]:
    return [drawn(i=i) for i in range(3)]
"""


def test_a_run_is_drawn(stargazer: Callable[..., Any], store: sg.Store) -> None:
    Path("drawn_workflow.py").write_text(WORKFLOW)
    stargazer("run", "drawn_workflow.py:workflow", "--timeline", "run.svg", "--store", store.url)
    assert Path("run.svg").read_text().count("<title>drawn:") == 3
