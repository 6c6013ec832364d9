"""`stargazer run --detach`, `attach`, `cancel` and `resume`, as a person uses them one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargazer.tools.apart import is_alive

LONGEST = 180.0

FLOW = """
import stargazer as sg

@sg.task
def waits(work: sg.Workdir, *, seconds: int, go: str = "", word: str = "first") -> sg.Asset:
    out = work.file("out.txt")
    work.run(["sh", "-c", f"echo $$ > {go}.pid; until test -e {go}; do sleep 0.05; done"])
    out.write_text(f"{word} {seconds}")
    return sg.Asset(path=out)

@sg.task
def fails(work: sg.Workdir, *, go: str) -> sg.Asset:
    work.run(["sh", "-c", f"test -e {go}"])
    return _made(work)

def _made(work):
    out = work.file("out.txt")
    out.write_text("well")
    return sg.Asset(path=out)

def flow(seconds: int, go: str):
    return waits(seconds=seconds, go=go)

def failing(go: str):
    return fails(go=go)

@sg.task(cpus=500, memory="900 TiB")
def huge(work: sg.Workdir) -> sg.Asset:
    return _made(work)

def too_much():
    return huge()
"""


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.fixture
def flow(stargazer: Callable[..., Any]) -> str:
    name = f"unattended_{uuid.uuid4().hex}.py"  # another one where a test is tried again: modules stay imported
    Path(name).write_text(FLOW)
    return name


def test_a_run_outlives_its_terminal_and_is_watched_from_another(
    stargazer: Callable[..., Any], flow: str, tmp_path: Path
) -> None:
    go, out = tmp_path / "go", tmp_path / "results"
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()"]
    command = [*argv, "run", f"{flow}:flow", "seconds=1", f"go={go}", "--out", "results", "--detach", "--json"]
    # A terminal of its own, which is gone when the command has answered.
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    told = json.loads(done.stdout)
    assert told.keys() == {"run", "pid"}
    until(Path(f"{go}.pid").exists)
    listed = stargazer("runs").out
    assert told["run"] in listed
    assert f"process {told['pid']}" in listed
    Path(flow).write_text(FLOW.replace('"first"', '"second"'))
    watching = subprocess.Popen([*argv, "attach", told["run"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    os.kill(watching.pid, signal.SIGINT)
    watching.communicate()
    assert watching.returncode != 0
    assert is_alive(told["pid"])
    go.touch()
    answer = stargazer("attach", told["run"], "--json").json
    assert (answer["state"], answer["tasks_run"], answer["result"]["name"]) == ("done", 1, "out.txt")
    copies = list((Path.cwd() / "results").iterdir())
    assert [each.read_text() for each in copies] == ["first 1"]
    assert not out.exists()
    stargazer("cancel", told["run"], code=2)
    assert "has ended well" in stargazer("resume", told["run"], code=2).err


def test_what_was_cancelled_or_lost_or_failed_is_resumed(
    stargazer: Callable[..., Any], flow: str, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    run = stargazer("run", f"{flow}:flow", "seconds=2", f"go={go}", "--detach", "--json").json["run"]
    until(lambda: Path(f"{go}.pid").exists() and Path(f"{go}.pid").read_text())
    pid = int(Path(f"{go}.pid").read_text())
    assert "cancelled" in stargazer("cancel", run).out
    until(lambda: not is_alive(pid))
    assert "was cancelled" in stargazer("attach", run, code=1).err
    Path(f"{go}.pid").unlink()
    again = stargazer("resume", run, "--json").json
    assert again["run"] == run
    until(lambda: Path(f"{go}.pid").exists() and Path(f"{go}.pid").read_text())
    os.kill(again["pid"], signal.SIGKILL)
    until(lambda: stargazer("runs", run, "--json").json["runs"][0]["state"] == "lost")
    assert "died" in stargazer("attach", run, code=1).err
    go.touch()
    stargazer("resume", run)
    assert stargazer("attach", run, "--json").json["state"] == "done"
    assert len(stargazer("runs", "--json").json["runs"]) == 1


def test_the_exit_code_is_that_of_the_run(stargazer: Callable[..., Any], flow: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = stargazer("run", f"{flow}:failing", f"go={go}", "--detach").out.strip()
    told = stargazer("attach", run, "--json", code=1).json
    assert (told["state"], told["error"]["type"], len(told["failures"])) == ("failed", "RunFailed", 1)
    go.touch()
    stargazer("resume", run)
    assert "1 task run" in stargazer("attach", run).err


def test_what_is_wrong_is_said_before_anything_is_started(stargazer: Callable[..., Any], flow: str) -> None:
    assert "900.00 TiB" in stargazer("run", f"{flow}:too_much", "--detach", "--on", "local", code=1).err
    assert "takes no jobs" in stargazer("run", f"{flow}:flow", "seconds=1", "go=x", "--submit", code=1).err
    stargazer("run", f"{flow}:flow", "seconds=wrong", "go=x", "--detach", code=2)
    stargazer("run", f"{flow}:flow", "seconds=1", "go=x", "--detach", "--submit", code=2)
    stargazer("attach", "no-such-run", code=2)
    assert stargazer("runs").out == ""
