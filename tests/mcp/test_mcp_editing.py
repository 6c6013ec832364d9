"""Notebooks written by agents: cell by cell, whole files, in allowed folders."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargazer.errors import NotebookError
from stargazer.notebook.document import read_text
from stargazer.notebook.editing import Edit, edited, new_text, version_of, write_text

Ask = Callable[..., Any]
MARIMO = '''# a comment that stays
import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import json


@app.cell
def _():
    x = 1
    text = """
    indented
left
    """
    return (text, x)


# about y
@app.cell(hide_code=True)
def named(x):
    y = x + 1
    return (y,)


if __name__ == "__main__":
    app.run()
'''
PERCENT = "# a header\n\nimport os\n\n# %% one\nx = 1\n\n# %% [markdown]\n# # Title\n\n# %%\ny = x\n"
JUPYTER = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "id": "a", "metadata": {}, "source": ["x = 1\n", "x"], "outputs": [{"o": 1}]},
            {"cell_type": "markdown", "id": "b", "metadata": {"t": 1}, "source": "# T"},
        ],
        "metadata": {"k": 1},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)
TITLED = "# %% [markdown]\n# # Title\n\n# %%\ny = 1\n"
TEXTS = {"a.py": MARIMO, "b.py": PERCENT, "c.ipynb": JUPYTER}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_not_edited_stays(name: str) -> None:
    document = read_text(TEXTS[name], name)
    count = len(document.cells)
    added = read_text(edited(document, [Edit("add", count, "z = y + 1", name="last")]), name)
    assert [cell.source for cell in added.cells] == [*(cell.source for cell in document.cells), "z = y + 1"]
    assert added.cells[-1].name == "last"
    back = edited(added, [Edit("delete", count)])
    if name == "c.ipynb":
        assert json.loads(back) == json.loads(JUPYTER)
    else:
        assert back == TEXTS[name]


@pytest.mark.parametrize("name", TEXTS)
def test_cells_are_replaced_and_moved(name: str) -> None:
    document = read_text(TEXTS[name], name)
    last = len(document.cells) - 1
    text = edited(document, [Edit("replace", last, "w = x * 2\nprint(w)"), Edit("move", last, to=last - 1)])
    sources = [cell.source for cell in document.cells]
    expected = [*sources[: last - 1], "w = x * 2\nprint(w)", sources[last - 1]]
    assert [cell.source for cell in read_text(text, name).cells] == expected


def test_marimo_reads_what_we_write(tmp_path: Path) -> None:
    marimo = pytest.importorskip("marimo")
    text = edited(read_text(MARIMO, "a.py"), [Edit("replace", 2, "y = x + 2"), Edit("add", 3, "# hello", "markdown")])
    assert "def named(x):\n    y = x + 2\n    return (y,)" in text
    assert text.startswith("# a comment that stays\nimport marimo\n")
    (tmp_path / "made.py").write_text(text)
    assert isinstance(runpy.run_path(str(tmp_path / "made.py"), run_name="made")["app"], marimo.App)


def test_outputs_of_an_edited_cell_go() -> None:
    found = json.loads(edited(read_text(JUPYTER, "c.ipynb"), [Edit("replace", 0, "x = 2")]))
    assert found["cells"][0]["outputs"] == []
    assert found["metadata"] == {"k": 1}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit("replace", 9, "x"), "there is no cell 9"),
        (Edit("move", 0, to=7), "there is no place 7"),
        (Edit("replace", 0, "x ="), "not Python, line 1"),
        (Edit("add", 0, "x", name="../x"), "no name of a cell"),
        (Edit("add", 0, "x = 1\n# %%\ny = 2"), "cannot hold it"),
    ],
)
def test_edits_that_cannot_be(edit: Edit, told: str) -> None:
    with pytest.raises(NotebookError, match=told):
        edited(read_text(PERCENT, "b.py"), [edit])


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (Edit("move", 1), "say where cell 1 is to stand"),
        (Edit("replace", 1), "nothing of cell 1 is replaced"),
    ],
)
def test_edits_that_say_too_little(edit: Edit, told: str) -> None:
    document = read_text(TITLED, Path("x.py"), "percent")
    with pytest.raises(NotebookError, match=told):
        edited(document, [edit])


def test_text_for_people_stays_such(tmp_path: Path) -> None:
    text = edited(read_text(TITLED, Path("x.py"), "percent"), [Edit("replace", 0, "Results")])
    assert [cell.kind for cell in read_text(text, Path("x.py"), "percent").cells] == ["markdown", "code"]
    text = edited(read_text(TITLED, Path("x.py"), "percent"), [Edit("replace", 0, "results = 1", "code")])
    assert [cell.kind for cell in read_text(text, Path("x.py"), "percent").cells] == ["code", "code"]


def test_a_cell_before_the_first_stands_as_marimo_writes_it() -> None:
    text = edited(read_text(new_text("marimo"), Path("x.py"), "marimo"), [Edit("add", 0, "x = 1")])
    text = edited(read_text(text, Path("x.py"), "marimo"), [Edit("add", 0, "y = 1"), Edit("move", 1, to=0)])
    assert "return (x,)\n\n\n@app.cell\n" in text
    assert "\n\n\n\n" not in text


def test_nobody_writes_to_a_snapshot(tmp_path: Path) -> None:
    file = tmp_path / "frozen.py"
    file.write_text(TITLED)
    file.chmod(0o444)
    with pytest.raises(NotebookError, match="protected from writing"):
        write_text(file, "# %%\n", version_of(TITLED))
    assert file.read_text() == TITLED
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_an_editor_of_windows_wrote_can_be_edited(ask: Ask, folder: Path) -> None:
    (folder / "x.py").write_bytes(b"\xef\xbb\xbf# %%\r\nx = 1\r\n")
    version = ask("read_notebook", path="x.py")["version"]
    edits = [{"action": "replace", "cell": 0, "source": "x = 2"}]
    assert ask("edit_notebook", path="x.py", version=version, edits=edits)["written"]
    assert (folder / "x.py").read_bytes() == b"\xef\xbb\xbf# %%\r\nx = 2\r\n"


@pytest.mark.parametrize("name", ["json.py", "stargazer.py", "class.py"])
def test_names_of_modules_are_no_notebooks(refuse: Callable[..., str], folder: Path, name: str) -> None:
    assert "name of a module" in refuse("create_notebook", path=name, cells=[{"source": "x = 1"}])
    assert list(folder.iterdir()) == []


def test_a_link_that_leads_elsewhere_hides_no_flow(ask: Ask, refuse: Callable[..., str], folder: Path) -> None:
    from stargazer.notebook import flow

    flow.new("qc", where=folder)
    (folder / "data").symlink_to("/usr")
    assert ask("notebook_status", folder=".")["found"]
    (folder / "notebooks" / "out").symlink_to("/usr")
    assert "leads outside" in refuse("notebook_status", folder=".")


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "b.py"
    file.write_text(PERCENT)
    file.chmod(0o640)
    write_text(file, PERCENT + "# %%\n", version_of(PERCENT))
    assert file.stat().st_mode & 0o777 == 0o640
    with pytest.raises(NotebookError, match="changed meanwhile"):
        write_text(file, "lost", version_of(PERCENT))
    with pytest.raises(NotebookError, match="there already"):
        write_text(file, "lost", None)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == PERCENT + "# %%\n"


@pytest.mark.parametrize("format", ["marimo", "percent", "ipynb"])
def test_a_new_notebook(format: Any) -> None:
    name = "n.ipynb" if format == "ipynb" else "n.py"
    empty = read_text(new_text(format), name, format)
    text = edited(empty, [Edit("add", 0, "x = 1"), Edit("add", 1, "# Title", "markdown"), Edit("add", 2, "y = x")])
    assert [(cell.kind, cell.source) for cell in read_text(text, name).cells] == [
        ("code", "x = 1"),
        ("markdown", "# Title"),
        ("code", "y = x"),
    ]


def test_agents_write(ask: Ask, refuse: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.mcp.notebooks.PATIENCE", 240)
    cells = [{"source": "a = 1"}, {"source": "# Words", "kind": "markdown"}, {"source": "b = a + 1"}]
    made = ask("create_notebook", path="new.py", cells=cells)
    assert made["written"]
    assert [cell["source"] for cell in made["cells"]] == ["import marimo as mo", "a = 1", "# Words", "b = a + 1"]
    assert "there already" in refuse("create_notebook", path="new.py", cells=cells)
    read = ask("read_notebook", path="new.py")
    assert read["version"] == made["version"]
    edits = [{"action": "replace", "cell": 3, "source": "b = a + 2"}]
    dry = ask("edit_notebook", path="new.py", version=read["version"], edits=edits, dry_run=True, plan=True)
    assert not dry["written"]
    assert "b" in dry["would_run"]
    assert "a + 2" not in (folder / "new.py").read_text()
    assert list(folder.iterdir()) == [folder / "new.py"]
    assert ask("edit_notebook", path="new.py", version=read["version"], edits=edits)["written"]
    assert "a + 2" in (folder / "new.py").read_text()
    assert "changed since" in refuse("edit_notebook", path="new.py", version=read["version"], edits=edits)
    assert ask("check_notebook", path="new.py")["problems"] == []
    twice = [{"source": "a = 1"}, {"source": "a = 2"}]
    ask("create_notebook", path="twice.py", cells=twice)
    assert any("a" in told for told in ask("check_notebook", path="twice.py")["problems"])


def test_flows_are_told(ask: Ask, refuse: Callable[..., str], folder: Path) -> None:
    from stargazer.notebook import flow

    flow.new("qc", where=folder)
    told = ask("notebook_status")
    assert [row["name"] for row in told["found"]] == ["qc"]
    assert told["errors"] == 0
    assert ask("audit_notebooks")["errors"] == 0


def test_a_flow_above_the_folder_is_not_told(refuse: Callable[..., str], folder: Path) -> None:
    from stargazer.notebook import flow

    flow.new("secret_analysis", where=folder.parent)
    assert "secret_analysis" not in refuse("notebook_status")
