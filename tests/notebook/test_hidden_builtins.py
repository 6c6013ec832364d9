"""Names of Python's own that cells bind (``id``, ``max``) mean in other cells what they mean in a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.notebook.live import Live

pytest.importorskip("pyarrow")


def run(folder: Path, *cells: str) -> sg.Notebook:
    path = folder / "nb.py"
    path.write_text("".join(f"# %%\n{text}\n\n" for text in cells))
    return sg.Notebook(path).run()


def test_a_value_of_such_a_name_is_what_other_cells_read(tmp_path: Path, store: sg.Store) -> None:
    cells = [
        "a = max([1, 2])",
        "id = 's7'\nmax = 3",
        "name = f'{id}.csv'\nlimits = [max, a]",
        "del max",
        "b = max([a, 5])",
    ]
    for _ in range(2):
        book = run(tmp_path, *cells)
        assert (book["name"], book["limits"], book["b"]) == ("s7.csv", [3, 2], 5)
    assert [row.state for row in book.report.rows] == ["known"] * 5
    cells[1] = "id = 's8'\nmax = 3"
    book = run(tmp_path, *cells)
    assert (book["name"], book["b"]) == ("s8.csv", 5)
    assert [row.state for row in book.report.rows][2] == "ran"


def test_it_is_so_in_marimo_whatever_the_order(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _(id):\n    name = f'{id}.csv'\n    return\n\n\n"
        "@app.cell\ndef _():\n    id = 's7'\n    return (id,)\n"
    )
    assert sg.Notebook(path).run()["name"] == "s7.csv"
    assert sg.Notebook(path).run(set={"id": "s9"})["name"] == "s9.csv"


def test_code_may_read_what_code_hides_and_nothing_else(tmp_path: Path, store: sg.Store) -> None:
    imported = "from math import pow\ndef square(x):\n    return pow(x, 2)", "y = square(3)\nz = pow(2, 2)"
    assert (run(tmp_path, *imported)["y"], run(tmp_path, *imported)["z"]) == (9.0, 4.0)
    own = "def len(x):\n    return {n}\ndef size(x):\n    return len(x)", "y = (size([]), len([]))"
    assert run(tmp_path, own[0].format(n=3), own[1])["y"] == (3, 3)
    assert run(tmp_path, own[0].format(n=4), own[1])["y"] == (4, 4)
    with pytest.raises(NotebookError, match="f reads max, which a cell binds"):
        run(tmp_path, "max = 3", "def f():\n    return max + 1", "y = f()")


def test_it_is_so_where_another_program_runs_the_cells(tmp_path: Path, store: sg.Store) -> None:
    live, space = Live(store, sequential=True), {"id": "s7"}
    assert live.look("id = 's7'", {}).call is not None
    first = live.look("name = f'{id}.csv'", space)
    assert first.call is not None
    assert "id" in first.call.inputs
    other = live.look("name = f'{id}.csv'", {"id": "s8"})
    assert other.call is not None
    assert other.call.plan_key != first.call.plan_key
    live.look("def f():\n    return id + '.txt'", space)
    assert "f reads id" in live.look("text = f()", {**space, "f": None}).why
