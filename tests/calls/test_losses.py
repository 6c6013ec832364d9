"""Marks of bodies that run: found by the next attempt where their process is gone, and left by nobody for long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stargazer.calls import losses
from stargazer.errors import WorkerLost

SPEC: Any = SimpleNamespace(name="split", needs=SimpleNamespace(after_more_memory=lambda: None))
DIES = """
import os, sys
from types import SimpleNamespace as Space
from stargazer.calls import losses
losses._taken = lambda worker, pids: None
worker = Space(nanny="n", scheduler=Space(address="tcp://s"), local_directory=sys.argv[1])
spec = Space(name="split", needs=Space(after_more_memory=lambda: None))
with losses.marked(worker, "other", spec):
    pass
with losses.marked(worker, sys.argv[2], spec):
    os._exit(3) if sys.argv[2] != "idle" else None
"""


def worker(space: Path) -> Any:
    scheduler = SimpleNamespace(address="tcp://s")
    return SimpleNamespace(nanny="n", scheduler=scheduler, local_directory=str(space / "worker"))


@pytest.fixture(autouse=True)
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked which workers took too much memory: there is no scheduler."""
    monkeypatch.setattr(losses, "_taken", lambda worker, pids: None)


def die(space: Path, key: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(space / "worker"), key], check=False)
    assert done.returncode == (0 if key == "idle" else 3)


def marks(space: Path) -> list[str]:
    return sorted(path.read_text().strip()[:8] for path in (space / losses.FOLDER).iterdir())


def test_a_call_that_ended_two_workers_is_refused_and_may_then_be_tried_anew(tmp_path: Path) -> None:
    die(tmp_path, "call")
    with losses.marked(worker(tmp_path), "call", SPEC):
        pass
    die(tmp_path, "call")
    die(tmp_path, "call")
    with losses.marked(worker(tmp_path), "another", SPEC):
        pass
    with (
        pytest.raises(WorkerLost, match="ended the process of its worker 2 times"),
        losses.marked(worker(tmp_path), "call", SPEC),
    ):
        raise AssertionError("it was tried a third time")
    with losses.marked(worker(tmp_path), "call", SPEC):
        pass
    assert marks(tmp_path) == [""], "only the file of this process is left, and names no call"


def test_the_next_process_removes_what_idle_ones_left_and_what_nobody_asked_for_in_a_day(tmp_path: Path) -> None:
    die(tmp_path, "idle")
    die(tmp_path, "call")
    die(tmp_path, "long ago")
    folder = tmp_path / losses.FOLDER
    by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.utime(by_age[-1], (0, 0))
    assert len(by_age) == 2, "the second process removed what the first, idle one left"
    with losses.marked(worker(tmp_path), "more", SPEC):
        assert len(marks(tmp_path)) == 2
    assert by_age[0] in folder.iterdir()


def test_marks_of_other_machines_are_no_affair_of_this_one(tmp_path: Path) -> None:
    folder = tmp_path / losses.FOLDER
    folder.mkdir()
    for name in ("elsewhere_999999-0", "999999-0", "notes"):
        (folder / name).write_text(" " * (losses.DIGEST + losses.COUNT))
    with losses.marked(worker(tmp_path), "call", SPEC):
        pass
    assert {"elsewhere_999999-0", "notes"} <= {path.name for path in folder.iterdir()}


def test_bodies_that_run_at_once_have_marks_of_their_own(tmp_path: Path) -> None:
    here = worker(tmp_path)
    with losses.marked(here, "one", SPEC), losses.marked(here, "two", SPEC):
        assert len({*marks(tmp_path)} - {""}) == 2
    with losses.marked(here, "three", SPEC):
        assert len(marks(tmp_path)) == 2, "files are used again"
    assert marks(tmp_path) == ["", ""]
