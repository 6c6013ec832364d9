"""One code, one digest: from a script, a notebook cell, an imported module, under any hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = '''
import enum, functools, re
from dataclasses import dataclass
from pathlib import Path
from statistics import mean as agg
from typing import NamedTuple
import stargazer as sg
import helpers as h

SEEN = {"a", "b", "c", "dd", "ee"}
FROZEN = {"k": frozenset({"x", "y", "z"})}
PATTERN = re.compile("a+")

class Mode(enum.Enum):
    FAST = "fast"
    def factor(self): return SCALE

class Pair(NamedTuple):
    one: int = 1

@dataclass
class Options:
    """Options."""
    depth: int = 1
    mode: Mode = Mode.FAST
    def deeper(self): return self.depth + SCALE

class Peaks(sg.Asset):
    count: int = 0

SCALE = 2
OPTIONS = Options(depth=3)

@functools.lru_cache
def cached(x): return x

def make(k):
    def inner(): return k
    return inner

inner = make(5)

@sg.task
def other(work: sg.Workdir, *, i: int) -> sg.Asset:
    return sg.Asset(path=work.file("x"))

@sg.task
def number(work: sg.Workdir, peaks: Peaks | None = None, *, i: int, options: Options = OPTIONS) -> sg.Asset:
    """Write a number."""
    from helpers import g
    out = work.file("x")
    out.write_text(str([h.f(), g(), SEEN, FROZEN, PATTERN, agg([1]), Path("a"), cached(1), inner(), Pair(), Peaks]))
    other.body(work, i=1)
    return sg.Asset(path=out)
'''
HELPERS = "K = {'x', 'y'}\ndef f(): return g()\ndef g(): return K\n"
PRINT = "\nimport json; print('DIGESTS', json.dumps(number.code.manifest))\n"
CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in open("cells.txt").read().split("\\n\\n"):
    shell.run_cell(cell).raise_error()
"""
MARIMO = """
import marimo
app = marimo.App()

@app.cell
def _():
{cell}
    return (number,)

if __name__ == "__main__":
    app.run()
"""


def _manifest(command: list[str], cwd: Path, **env: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *command],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": f"{cwd}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "DIGESTS" in line)
    manifest: dict[str, str] = json.loads(line.partition("DIGESTS ")[2])
    return manifest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "script.py").write_text(PIPELINE + PRINT)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "deep.py").write_text(PIPELINE + PRINT)
    (tmp_path / "cells.txt").write_text(PIPELINE + "\n" + PRINT)
    (tmp_path / "notebook.py").write_text(CELLS)
    indented = "".join(f"    {line}\n" for line in (PIPELINE + PRINT).splitlines())
    (tmp_path / "marimo_notebook.py").write_text(MARIMO.format(cell=indented))
    return tmp_path


def test_the_digest_is_one_wherever_the_code_stands(project: Path) -> None:
    ways = {
        "script": (["script.py"], {"PYTHONHASHSEED": "1"}),
        "module": (["-c", f"from pipeline import *\n{PRINT}"], {"PYTHONHASHSEED": "2"}),
        "package, as a module": (["-m", "package.deep"], {"PYTHONHASHSEED": "3"}),
        "Jupyter": (["notebook.py"], {"PYTHONHASHSEED": "4"}),
        "marimo": (["marimo_notebook.py"], {"PYTHONHASHSEED": "5"}),
    }
    manifests = {way: _manifest(command, project, **env) for way, (command, env) in ways.items()}
    assert len(manifests["script"]) > 15
    assert [way for way, manifest in manifests.items() if manifest != manifests["script"]] == []


def test_two_notebooks_may_both_define_clean(tmp_path: Path) -> None:
    source = "import stargazer as sg\n@sg.task\ndef clean(work):\n    return {}\nprint(clean().plan_key)\n"
    keys = []
    for number in (1, 2):
        notebook = tmp_path / f"{number}.py"
        notebook.write_text(source.format(number))
        keys.append(subprocess.check_output([sys.executable, notebook], text=True))
    assert keys[0] != keys[1]
