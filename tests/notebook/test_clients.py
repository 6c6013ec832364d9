"""Cells run on workers as they do here, several at once; a notebook that was killed goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app

pytest.importorskip("pyarrow")

TEXT = """\
# %%
import os
import time
from dataclasses import dataclass

@dataclass
class Part:
    number: int
    pid: int

def slow(number):
    time.sleep(PAUSE)
    return Part(number, os.getpid())
# %% start
start = 0
# %% a
a = slow(start + 1)
# %% b
b = slow(start + 2)
# %% c
c = slow(start + 3)
# %% d
d = slow(start + 4)
# %% all
parts = [a, b, c, d]
total = sum(part.number for part in parts)
fine = all(isinstance(part, Part) for part in parts)
"""


@pytest.mark.slow
def test_cells_run_on_workers_and_classes_of_the_notebook_are_themselves(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "nb.py"
    path.write_text(TEXT.replace("PAUSE", "0.2"))
    with sg.connect("local", workers=2) as client:
        book = sg.Notebook(path).run(client=client)
    assert book.report.success, str(book.report)
    assert (book["total"], book["fine"]) == (10, True)
    assert os.getpid() not in {part.pid for part in book["parts"]}
    again = sg.Notebook(path).run()
    assert again.report.count("ran") == 0
    assert again["a"] == book["a"]


def test_independent_cells_run_at_once(tmp_path: Path, store: sg.Store) -> None:
    """Each waits for the other: they can only end together."""
    path = tmp_path / "nb.py"
    meet = (
        "def meet(mine, other):\n    (HERE / mine).touch()\n"
        "    while not os.path.exists(HERE / other):\n        time.sleep(0.01)\n    return mine\n"
    ).replace("HERE", f"pathlib.Path({str(tmp_path)!r})")
    path.write_text(
        f"# %%\nimport os, pathlib, time\n{meet}# %%\n# @timeout 300\na = meet('a', 'b')\n"
        "# %%\n# @timeout 300\nb = meet('b', 'a')\n# %%\nboth = a + b\n"
    )
    if (os.cpu_count() or 1) > 1:
        assert sg.Notebook(path).run()["both"] == "ab"


@pytest.mark.slow
def test_a_killed_loop_goes_on_with_the_round_in_which_it_was(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_STARGAZER__STORE", store.url.removeprefix("file://"))
    path, log = tmp_path / "nb.py", tmp_path / "log"
    mark = f"import time\ndef mark(x):\n    time.sleep(0.2)\n    open({str(log)!r}, 'a').write(f'{{x}}\\n')\n"
    path.write_text(f"# %%\n{mark}# %%\nx = 0\n# %%\n# @loop max_iter=10 carry=x\nmark(x)\nx = x + 1\n")
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "nb", "run", str(path)]

    def rounds() -> list[int]:
        return [int(line) for line in log.read_text().split("\n")[:-1]] if log.exists() else []

    for most in (3, 7):
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and len(rounds()) < most:
            time.sleep(0.02)
        assert child.poll() is None, "it ended before it was killed"
        child.send_signal(signal.SIGKILL)
        child.wait()
    book = sg.Notebook(path).run()
    assert book["x"] == 10
    assert sorted(set(rounds())) == list(range(10))
    assert len(rounds()) <= 10 + 2, "a round of which the record was not written yet runs once more, and no other"
    assert store.fsck().ok


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_STARGAZER__STORE", store.url.removeprefix("file://"))
    path = tmp_path / "nb.py"
    cells = "".join(f"# %%\nlog({n})\nv{n} = {n}{' + v' + str(n - 1) if n else ''}\n" for n in range(12))
    log = tmp_path / "log"
    body = f"    time.sleep(0.1)\n    with open({str(log)!r}, 'a') as f:\n        print(n, file=f)\n"
    helper = f"# %%\nimport time\ndef log(n):\n{body}"
    path.write_text(helper + cells)
    argv = [sys.executable, "-c", "from stargazer.cli import main; main()", "nb", "run", str(path)]
    for _ in range(20):
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(log.read_text().split()) if log.exists() else 0
        while child.poll() is None and (len(log.read_text().split()) if log.exists() else 0) < before + 3:
            time.sleep(0.02)
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
    ran = [int(n) for n in log.read_text().split()]
    assert sorted(set(ran)) == list(range(12))
    assert len(ran) <= 12 + 8
    assert sg.Notebook(path).run()["v11"] == sum(range(12))
    assert store.fsck().ok


def test_workers_of_this_machine_find_modules_beside_a_notebook(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside_a_notebook.py").write_text("def made():\n    return 7\n")
    book = folder / "nb.py"
    book.write_text("# %%\nimport beside_a_notebook\n# %%\nx = beside_a_notebook.made()\n")
    told = CliRunner().invoke(app, ["nb", "run", str(book), "--on", "local", "--json"])
    assert told.exit_code == 0, told.output
    assert [cell["state"] for cell in json.loads(told.stdout)["cells"]] == ["live", "ran"]
