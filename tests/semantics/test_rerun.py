"""What runs again after which change: a table that holds from a script, a notebook cell and an imported module.

Three tasks feed one reduce. Each body that runs leaves a line in ``ran.log``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = '''
import stargazer as sg

SCALE = 2

# cell
def note(what):
    with open("ran.log", "a") as log:
        log.write(what + "\\n")

# cell
def double(x: int) -> int:
    return SCALE * x

# cell
@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    """Write a number."""
    note("number")
    out = work.file(f"{i}.txt")
    out.write_text(str(double(i)))
    return sg.Asset(path=out)

# cell
@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    """Add them up."""
    note("total")
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)

# cell
def answer():
    return total([number(i=i) for i in range(3)])
'''

USE = "stored = answer().compute(scheduler='threads')\nprint(stored.cid, stored.fetch().read_text())\n"

NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in open("cells.txt").read().split("# cell\\n"):
    shell.run_cell(cell, store_history=True, silent=False).raise_error()
"""


class Project:
    """A pipeline on disk, run in fresh processes in one of three ways."""

    def __init__(self, path: Path, mode: str) -> None:
        self.path, self.mode, self.store = path, mode, path / "store"

    def run(self, source: str = PIPELINE, *, use: str = USE, **env: str) -> tuple[str, list[str]]:
        """Run; return what was printed and the bodies that ran."""
        (self.path / "ran.log").write_text("")
        settings = {"DASK_STARGAZER__STORE": str(self.store), "DASK_STARGAZER__CACHE": str(self.path / "cache")}
        done = subprocess.run(
            self._command(source, use), cwd=self.path, env=os.environ | settings | env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1], sorted((self.path / "ran.log").read_text().split())

    def _command(self, source: str, use: str) -> list[str]:
        if self.mode == "script":
            body = "".join(f"    {line}\n" for line in use.splitlines())
            (self.path / "pipeline.py").write_text(f"{source}\nif __name__ == '__main__':\n{body}")
            return [sys.executable, "pipeline.py"]
        if self.mode == "module":
            (self.path / "pipeline.py").write_text(source)
            return [sys.executable, "-c", f"from pipeline import *\n{use}"]
        pytest.importorskip("IPython", reason="IPython is not installed")
        (self.path / "cells.txt").write_text(f"{source}\n# cell\n{use}")
        (self.path / "notebook.py").write_text(NOTEBOOK)
        return [sys.executable, "notebook.py"]

    def blobs(self) -> list[Path]:
        return [path for path in (self.store / "blobs").rglob("*") if path.is_file()]


@pytest.fixture(params=["script", "notebook", "module"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    project = Project(tmp_path, request.param)
    _, ran = project.run()
    assert ran == ["number"] * 3 + ["total"]
    return project


NOTHING: list[str] = []
NUMBERS = ["number"] * 3
ALL = [*NUMBERS, "total"]
CHANGES = {
    "nothing changed": (PIPELINE, NOTHING),
    "lines shifted": ("\n\n\n" + PIPELINE, NOTHING),
    "comment": (PIPELINE.replace("    note(", "    # a comment\n    note("), NOTHING),
    "docstring": (PIPELINE.replace("Write a number.", "Write twice a number."), NOTHING),
    "annotation of a function": (PIPELINE.replace("def double(x: int) -> int:", "def double(x):"), NOTHING),
    "rewrite, same output": (
        PIPELINE.replace("out.write_text(str(double(i)))", "text = str(double(i))\n    out.write_text(text)"),
        NUMBERS,
    ),
    "called function": (PIPELINE.replace("return SCALE * x", "return SCALE * x + 1"), ALL),
    "global constant": (PIPELINE.replace("SCALE = 2", "SCALE = 3"), ALL),
    "parameter": (PIPELINE.replace("range(3)", "[0, 1, 7]"), ["number", "total"]),
    "cpus and memory": (PIPELINE.replace("@sg.task", '@sg.task(cpus=2, memory="1 GiB")'), NOTHING),
}


def test_what_runs_after_which_change(project: Project) -> None:
    """One store for all rows: each change has a key of its own."""
    ran = {change: project.run(source)[1] for change, (source, _) in CHANGES.items()}
    assert ran == {change: expected for change, (_, expected) in CHANGES.items()}


def test_lost_and_corrupt_bytes_are_noticed_and_made_again(project: Project) -> None:
    first, _ = project.run()
    contents = {path: path.read_text() for path in project.blobs()}
    (final,) = (path for path, text in contents.items() if text == "6")
    (intermediate,) = (path for path, text in contents.items() if text == "4")

    intermediate.unlink()
    assert project.run() == (first, NOTHING)

    final.unlink()
    # The total needs its inputs again, one of which is gone.
    assert project.run() == (first, ["number", "total"])

    final.unlink()
    assert project.run() == (first, ["total"])

    final.unlink()
    _corrupt(intermediate)
    assert project.run() == (first, ["number", "total"])
    assert intermediate.read_text() == "4"


def _corrupt(path: Path) -> None:
    """Change a byte, keeping size and times, as a failing disk does."""
    stat = path.stat()
    path.chmod(0o644)
    path.write_text("9")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_other_workers_and_another_path_change_nothing(project: Project) -> None:
    first, _ = project.run()
    moved = project.path / "elsewhere"
    shutil.move(project.store, moved)
    project.store = moved
    assert project.run() == (first, NOTHING)
    if project.mode != "notebook":
        use = USE.replace("stored =", "with sg.connect('local', workers=2):\n    stored =").replace(
            "scheduler='threads'", ""
        )
        assert project.run(use=use) == (first, NOTHING)


TOOL = """#!/bin/sh
if [ "$1" = --version ]; then echo "shout {version}"; else tr a-z A-Z; fi
"""


def test_a_new_version_of_a_tool_runs_what_uses_it(project: Project) -> None:
    source = PIPELINE.replace("@sg.task\ndef total", "@sg.task(tools=['shout'])\ndef total")
    binary = project.path / "bin" / "shout"
    binary.parent.mkdir()
    path = {"PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}"}
    ran = []
    for version in ("1.0", "1.0", "1.1"):
        binary.write_text(TOOL.format(version=version))
        binary.chmod(0o755)
        ran.append(project.run(source, **path)[1])
    assert ran == [["total"], NOTHING, ["total"]]
