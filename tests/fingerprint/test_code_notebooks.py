"""One task, one identity: whether its notebook is run as a script, by marimo, or imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = '''
import marimo
app = marimo.App()

with app.setup:
    import json
    import stargazer as sg
    SCALE = 3

@app.function
def loud(text):
    """Make it loud.

    Twice.
    """
    return text.upper() * SCALE

@app.class_definition
class Words(sg.Asset):
    count: int = 0

    def more(self):
        return self.count + SCALE

@app.cell
def _():
    def halve(n):
        return n // 2
    return (halve,)

@app.cell
def _(halve):
    @sg.task
    def hello(work: sg.Workdir, words: Words | None = None, *, n: int = 4) -> sg.Asset:
        """Say hello.

        More than once.
        """
        out = work.file("hello.txt")
        out.write_text(loud(str(halve(n) * SCALE)) + str(Words(path=out).more()))
        return sg.Asset(path=out)
    return (hello,)

@app.cell
def _(hello):
    made = hello().compute(scheduler="sync")
    with open("seen.json", "w") as file:
        json.dump([hello.code.manifest, made.cid], file)
    return

if __name__ == "__main__":
    app.run()
'''
ONCE_MORE = "import notebook\nnotebook.app.run()\nnotebook.app.run()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("marimo", reason="marimo is not installed")
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    return tmp_path


def _seen(folder: Path, *command: str) -> tuple[dict[str, str], str]:
    (folder / "seen.json").unlink(missing_ok=True)
    env = os.environ | {"DASK_STARGAZER__STORE": str(folder / "store")}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest, cid = json.loads((folder / "seen.json").read_text())
    return manifest, cid


def test_a_task_of_a_notebook_saved_just_now_has_one_identity_on_all_ways(folder: Path) -> None:
    script = _seen(folder, "notebook.py")
    assert {"hello", "loud", "halve", "Words", "SCALE"} <= script[0].keys()
    assert _seen(folder, "-c", ONCE_MORE) == script
    exported = "-m", "marimo", "export", "html", "notebook.py", "-o", "page.html"
    assert _seen(folder, *exported) == script


def test_another_text_of_a_function_of_the_notebook_is_another_task(folder: Path) -> None:
    first, _ = _seen(folder, "notebook.py")
    (folder / "notebook.py").write_text(NOTEBOOK.replace("text.upper()", "text.lower()"))
    second, _ = _seen(folder, "notebook.py")
    assert {name for name in first if first[name] != second[name]} == {"loud"}
