"""Notebooks that come along run headless and in marimo, and the second time nothing of them runs."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import UnknownName
from stargazer.ledger import Ledger
from stargazer.notebook.shipped import find_tile, tile_of, tiles

pytest.importorskip("pyarrow")
pytest.importorskip("marimo")

ROOT = Path(sg.__file__).parent.parent
QUICK = ["seeds/blank", "seeds/template", "tutorials/assets", "tutorials/tasks", "tutorials/workflows"]
HEAVY = ["tutorials/execution", "workflows/germline", "workflows/scrna"]


def test_tiles_say_what_they_are() -> None:
    found = tiles()
    assert [f"{tile.section}/{tile.name}" for tile in found] == [
        "tutorials/assets", "tutorials/tasks", "tutorials/workflows", "tutorials/execution",
        "workflows/germline", "workflows/scrna", "seeds/blank", "seeds/template",
    ]  # fmt: skip
    assert all(tile.title and tile.description.endswith(".") and tile.memory.endswith("GiB") for tile in found)
    assert [tile.name for tile in tiles("workflows")] == ["germline", "scrna"]
    assert find_tile("germline").cpus == 4
    for wrong in (lambda: tiles("nothing"), lambda: find_tile("nothing")):
        with pytest.raises(UnknownName):
            wrong()


def test_a_tile_without_a_header_has_its_file_as_title(tmp_path: Path) -> None:
    (tmp_path / "my_cells.py").write_text("import marimo\n\napp = marimo.App()\n")
    assert tile_of(tmp_path / "my_cells.py").title == "My cells"


@pytest.mark.parametrize("name", [*QUICK, *HEAVY])
def test_nothing_is_wrong_before_it_runs(name: str) -> None:
    book = sg.Notebook(find_tile(name).path)
    assert book.check() == []
    assert book.document.problems == []


def test_nothing_of_the_package_imports_them() -> None:
    for file in (ROOT / "stargazer").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(each.partition(".")[0] in ("notebooks", "stargazer_notebooks") for each in names), file


def _copied(folder: Path, name: str) -> Path:
    """A notebook with those beside it, as it is opened in a folder of one's own."""
    tile = find_tile(name)
    shutil.copytree(tile.path.parent, folder / tile.section, ignore=shutil.ignore_patterns("__*"))
    return folder / tile.section / tile.path.name


def _run(store: sg.Store, *argv: str) -> str:
    """What a program printed, ``stargazer`` or one that Python has as a module."""
    env = {**os.environ, "DASK_STARGAZER__STORE": store.url}
    start = ["-c", "from stargazer.cli import main; main()"] if argv[0] == "nb" else ["-m"]
    done = subprocess.run([sys.executable, *start, *argv], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tasks(store: sg.Store) -> int:
    """Number of calls of tasks on record; of cells and notebooks there may be more."""
    return sum(not each.task.startswith(("cell ", "notebook ")) for each in Ledger(store.records).everything())


def _headless_twice(path: Path, store: sg.Store) -> None:
    told = json.loads(_run(store, "nb", "run", str(path), "--json"))
    assert told["success"]
    assert {cell["state"] for cell in told["cells"]} <= {"ran", "live", "known"}
    before = _tasks(store)
    again = json.loads(_run(store, "nb", "run", str(path), "--json"))
    assert {cell["state"] for cell in again["cells"]} <= {"live", "known"}
    assert _tasks(store) == before


ALWAYS = ["seeds/template", "tutorials/workflows"]
AT_TIMES = [pytest.param(name, marks=pytest.mark.slow) for name in [*QUICK, *HEAVY] if name not in ALWAYS]


@pytest.mark.parametrize("name", [*ALWAYS, *AT_TIMES])
def test_headless_and_marimo_share_what_they_know(name: str, tmp_path: Path, store: sg.Store) -> None:
    if name == "workflows/scrna":
        pytest.importorskip("scanpy")
    path = _copied(tmp_path, name)
    _headless_twice(path, store)
    before = _tasks(store)
    _run(store, "marimo", "-q", "export", "html", str(path), "-o", str(tmp_path / "page.html"))
    assert _tasks(store) == before


@pytest.mark.slow
def test_the_execution_tutorial_knows_what_the_workflows_tutorial_ran(tmp_path: Path, store: sg.Store) -> None:
    path = _copied(tmp_path, "tutorials/workflows")
    _run(store, "nb", "run", str(path))
    ledger = Ledger(store.records)
    before = {record.plan_key for record in ledger.of_task("table")}
    _run(store, "nb", "run", str(path.with_name("execution.py")), "--target", "here")
    assert {record.plan_key for record in ledger.of_task("table")} == before
