"""The example that a first-time user meets runs as it stands: in a script, in a Jupyter cell and in a marimo cell."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from stargazer.cid import cid_of_bytes

EXAMPLE = """\
import stargazer as sg

OFFSET = 1
def double(x: int) -> int: return 2 * x

@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file(f"{i}.txt")                                  # a Path in the scratch directory
    out.write_text(str(double(i) + OFFSET))
    return sg.Asset(path=out)

@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)

answer = total([number(i=i) for i in range(3)])                  # a Delayed; nothing ran
sg.plan(answer)                                                  # what would run, and why
stored = answer.compute()                                        # or dask.compute, client.compute, sg.run
stored.cid, stored.fetch().read_text()                           # fetch(): a real Path, companions beside it
sg.add("reads_R1.fq.gz", sg.R1(sample_id="s1"))                  # a file becomes an asset
sg.assemble(asset="r1", sample_id="s1")                          # a query
sg.trace(stored)                                                 # where it came from
"""

TOTAL = cid_of_bytes(b"9")
SHORT = f"{TOTAL[:8]}…{TOTAL[-4:]}"

SLOW_TASK = """\
import time

@sg.task
def nap(work: sg.Workdir, *, seconds: float) -> sg.Asset:
    import time
    time.sleep(seconds)
    out = work.file("nap.txt")
    out.write_text("zzz")
    return sg.Asset(path=out)

nap_run = sg.run(nap(seconds=1.6))
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's working directory, with the file that the example adds."""
    place = tmp_path / "desk"
    place.mkdir()
    (place / "reads_R1.fq.gz").write_bytes(b"@r\nACGT\n+\nIIII\n")
    monkeypatch.chdir(place)
    return place


def run_jupyter(*sources: str) -> list[dict[str, Any]]:
    """Execute cells in a real kernel; what they showed, by MIME type."""
    nbformat = pytest.importorskip("nbformat", reason="Jupyter is not installed")
    nbclient = pytest.importorskip("nbclient", reason="Jupyter is not installed")
    pytest.importorskip("ipykernel", reason="Jupyter is not installed")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [output["data"] for cell in notebook.cells for output in cell.outputs if "data" in output]


def run_marimo(desk: Path, *sources: str) -> str:
    """Execute cells in a real marimo kernel; the page that it makes."""
    pytest.importorskip("marimo", reason="marimo is not installed")
    cells = "".join(f"@app.cell\ndef _():\n{textwrap.indent(source, '    ')}    return\n\n" for source in sources)
    (desk / "book.py").write_text(f"import marimo\n\napp = marimo.App()\n\n{cells}")
    command = [sys.executable, "-m", "marimo", "-q", "export", "html", "book.py", "-o", "book.html"]
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, timeout=120, env=os.environ | {"CI": "1"})
    assert done.returncode == 0, done.stderr + done.stdout
    return (desk / "book.html").read_text()


def test_script(desk: Path) -> None:
    (desk / "example.py").write_text(EXAMPLE + "print(answer, stored.cid, stored.fetch().read_text())\n")
    done = subprocess.run([sys.executable, "example.py"], cwd=desk, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == [TOTAL, "9"]
    assert done.stderr == ""


def test_jupyter_cell(desk: Path) -> None:
    (lineage,) = run_jupyter(EXAMPLE)
    assert SHORT in lineage["text/html"]
    assert lineage["text/plain"].count("← number(") == 3


def test_jupyter_globals_are_shown_and_nothing_runs(desk: Path) -> None:
    _, call, plan = run_jupyter(EXAMPLE, "other = total([number(i=9)])\nother", "sg.plan(other)")
    assert "not run yet" in call["text/html"]
    assert "2 of 2 calls would run" in plan["text/html"]


def test_jupyter_shows_a_run_in_one_place(desk: Path) -> None:
    outputs = run_jupyter("import stargazer as sg", SLOW_TASK)
    assert len(outputs) == 1
    assert "1 of 1 call ended" in outputs[0]["text/html"]


def test_marimo_cell(desk: Path) -> None:
    page = run_marimo(desk, EXAMPLE, "answer\n")
    assert "number(i=0)" in page, "the lineage is not shown"
    assert page.count(TOTAL[:8]) >= 2, "the call's card does not tell its result"
    assert "not run yet" not in page


def test_marimo_shows_a_run(desk: Path) -> None:
    page = run_marimo(desk, "import stargazer as sg\n", SLOW_TASK)
    assert "1 of 1 call ended" in page
