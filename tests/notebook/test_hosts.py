"""One key for all hosts: what one computed, the others know. Real marimo, real kernels."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.notebook.live import Live

pytest.importorskip("pyarrow")
pytest.importorskip("marimo")
pytest.importorskip("nbclient")

MARIMO = """\
# /// script
# [tool.stargazer]
# cells = CELLS
# ///
import marimo

app = marimo.App()

with app.setup:
    from pathlib import Path
    import pandas as pd


@app.function
def note(word):
    with open("LOG", "a") as log:
        log.write(word + "\\n")


@app.cell
def _():
    note("n")
    n = 5
    return (n,)


@app.cell
def _(n):
    note("table")
    table = pd.DataFrame({"a": range(n)})
    table
    return (table,)


@app.cell
def _(table):
    note("total")
    total = int(table["a"].sum())
    print("total is", total)
    return (total,)


if __name__ == "__main__":
    app.run()
"""
JUPYTER = [
    "%load_ext stargazer",
    "from pathlib import Path\nimport pandas as pd",
    'def note(word):\n    with open("LOG", "a") as log:\n        log.write(word + "\\n")',
    'note("n")\nn = 5',
    'note("table")\ntable = pd.DataFrame({"a": range(n)})\ntable',
    'note("total")\ntotal = int(table["a"].sum())\nprint("total is", total)',
    "%sg plan",
]


class Place:
    """A folder with a notebook, and a log of what really ran."""

    def __init__(self, folder: Path, *, cells: bool = True) -> None:
        self.folder, self.log = folder, folder / "log.txt"
        self.file = folder / "nb.py"
        self.file.write_text(MARIMO.replace("CELLS", str(cells).lower()).replace("LOG", str(self.log)))

    def ran(self) -> list[str]:
        """What ran since this was last asked."""
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def call(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def python(self) -> str:
        return self.call(sys.executable, str(self.file))

    def export(self) -> str:
        self.call(sys.executable, "-m", "marimo", "-y", "export", "html", str(self.file), "-o", "page.html", "-f")
        return (self.folder / "page.html").read_text()

    def headless(self) -> dict[str, str]:
        return {",".join(row.defs): row.state for row in sg.Notebook(self.file).run().report.rows}

    def jupyter(self) -> list[dict]:
        import nbformat
        from nbclient import NotebookClient

        cells = [nbformat.v4.new_code_cell(text.replace("LOG", str(self.log))) for text in JUPYTER]
        book = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(book, resources={"metadata": {"path": str(self.folder)}}).execute()
        return [dict(cell) for cell in book.cells]

    def kernel(self) -> subprocess.Popen[str]:
        """Begin to run the notebook of Jupyter in a process of its own, which prints what the cells showed."""
        cells = [text.replace("LOG", str(self.log)) for text in JUPYTER]
        argv = [sys.executable, "-c", KERNEL, str(self.folder), json.dumps(cells)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def editor(self, chromium: str) -> str:
        """Open the notebook in marimo's editor, in a browser, and return what the page says when all has run."""
        from playwright.sync_api import sync_playwright

        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        server = [sys.executable, "-m", "marimo", "-y", "edit", str(self.file), "--headless", "--no-token"]
        settings = self.folder.parent / "config"
        (settings / "marimo").mkdir(parents=True)
        (settings / "marimo" / "marimo.toml").write_text("[runtime]\nauto_instantiate = true\n")
        options: dict[str, Any] = {"cwd": self.folder, "env": os.environ | {"XDG_CONFIG_HOME": str(settings)}}
        process = subprocess.Popen([*server, "--port", str(port)], stdout=subprocess.DEVNULL, **options)
        try:
            _answers(port)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{port}", timeout=PATIENCE)
                page.wait_for_selector("text=total is 10", timeout=PATIENCE)
                told = page.inner_text("body")
                browser.close()
            return told
        finally:
            process.terminate()
            process.wait(60)


def _answers(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the editor does not answer")


ALL = ["n", "table", "total"]
PATIENCE = 240_000
KERNEL = """
import json, sys
import nbformat
from nbclient import NotebookClient
folder, cells = sys.argv[1], json.loads(sys.argv[2])
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
NotebookClient(book, resources={"metadata": {"path": folder}}, startup_timeout=300).execute()
print(json.dumps([[dict(output) for output in cell.outputs] for cell in book.cells]))
"""


@pytest.fixture
def place(tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("DASK_STARGAZER__STORE", store.url.removeprefix("file://"))
    folder = tmp_path / "book"
    folder.mkdir()
    return Place(folder)


@pytest.mark.slow
def test_what_one_host_computed_all_know(place: Place) -> None:
    place.python()
    assert place.ran() == ALL
    page = place.export()
    assert place.ran() == []
    assert page.count("from the ledger") == 3
    assert "total is 10" in page
    assert place.headless() == {"Path,pd": "live", "note": "live", "n": "known", "table": "known", "total": "known"}
    cells = place.jupyter()
    assert place.ran() == []
    assert cells[5]["outputs"][0]["text"] == "total is 10\n"
    assert "text/html" in cells[4]["outputs"][0]["data"]
    told = cells[-1]["outputs"][0]["text"]
    assert told.count("known") == 3


@pytest.mark.slow
def test_six_ways_of_running_one_notebook_run_it_once(place: Place, tool: Callable[[str], str]) -> None:
    chromium = tool("chromium")
    place.python()
    assert place.ran() == ALL
    told = place.editor(chromium)
    assert told.count("from the ledger") == 3
    assert place.export().count("from the ledger") == 3
    assert place.headless() == {"Path,pd": "live", "note": "live", "n": "known", "table": "known", "total": "known"}
    with sg.connect("local", workers=2) as client:
        assert sg.Notebook(place.file).run(client=client).report.count("ran") == 0
    imported = "import nb; print(nb.app.run()[1]['total'])"
    assert place.call(sys.executable, "-c", imported).splitlines()[-1] == "10"
    assert place.ran() == []


@pytest.mark.slow
def test_two_kernels_run_one_notebook_at_once(place: Place, store: sg.Store) -> None:
    for most in (2, 0):
        kernels = [place.kernel() for _ in range(2)]
        shown = [json.loads(kernel.communicate(timeout=600)[0].splitlines()[-1]) for kernel in kernels]
        assert [cells[5][0]["text"] for cells in shown] == ["total is 10\n"] * 2
        assert shown[0][4] == shown[1][4]
        ran = place.ran()
        assert set(ran) == (set(ALL) if most else set())
        assert all(ran.count(word) <= most for word in ALL)
    assert store.fsck().ok


@pytest.mark.slow
def test_what_jupyter_computed_marimo_knows(place: Place) -> None:
    place.jupyter()
    assert place.ran() == ALL
    place.python()
    assert place.ran() == []
    place.jupyter()
    assert place.ran() == []


def test_headless_results_are_known_to_a_script_of_marimo(place: Place) -> None:
    place.headless()
    assert place.ran() == ALL
    place.python()
    assert place.ran() == []


def test_without_the_header_marimo_does_what_it_always_did(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_STARGAZER__STORE", store.url.removeprefix("file://"))
    place = Place(tmp_path, cells=False)
    for _ in range(2):
        place.python()
        assert place.ran() == ALL
    monkeypatch.setenv("DASK_STARGAZER__NOTEBOOK__LIVE", "true")
    place.python()
    assert place.ran() == ALL
    place.python()
    assert place.ran() == []


def test_an_unchanged_notebook_is_one_look_up_that_imports_no_library(place: Place) -> None:
    argv = ["-c", "from stargazer.cli import main; main()", "nb", "run", str(place.file), "--json"]
    first = json.loads(place.call(sys.executable, *argv))
    assert [row["state"] for row in first["cells"]] == ["live", "live", "ran", "ran", "ran"]
    code = (
        "import sys\nfrom stargazer.cli import main\n"
        f"sys.argv = ['stargazer', 'nb', 'run', {str(place.file)!r}, '--json']\n"
        "heavy = {'marimo', 'numpy', 'pandas', 'distributed', 'pyarrow'}\n"
        "try:\n    main()\nfinally:\n    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, timeout=300)
    assert done.stderr.strip().endswith("[]"), done.stderr
    again = json.loads(done.stdout)
    assert again["success"] is True
    assert [row["state"] for row in again["cells"]] == ["live", "live", "known", "known", "known"]
    assert place.ran() == ALL


@pytest.mark.slow
def test_a_kernel_sees_changes_by_another_name_and_after_a_failure(place: Place) -> None:
    import nbformat
    from nbclient import NotebookClient

    sources = [
        "%load_ext stargazer",
        "x = [1]",
        "y = x",
        "a = len(x)",
        "y.append(2)",
        "b = len(x)\nb",
        "y.append(3)\nraise ValueError",
        "c = len(x)\nc",
        "%sg off",
        "x.append(4)",
        "%sg on",
        "d = len(x)\nd",
    ]
    for _ in range(2):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        NotebookClient(book, allow_errors=True).execute()
        shown = [book.cells[number].outputs[0]["data"]["text/plain"] for number in (5, 7, 11)]
        assert shown == ["2", "3", "4"]


def test_a_cell_that_failed_is_the_last_one(store: sg.Store) -> None:
    live = Live(store, sequential=True)
    live.failed(live.look("x = 1 / 0", {}), ZeroDivisionError("division by zero"))
    assert live.rows == [("x", "failed", "ZeroDivisionError: division by zero")]
