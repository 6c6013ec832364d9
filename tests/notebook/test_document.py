"""Notebooks are read from their text as marimo, jupytext and Jupyter read them by running or parsing them."""

from __future__ import annotations

import ast
import builtins
import contextlib
import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.notebook.document import TITLE, detect_format, read_document, read_text

marimo = pytest.importorskip("marimo")
PACKAGE = Path(marimo.__file__).parent
SHIPPED = sorted(
    path for path in PACKAGE.rglob("*.py") if re.search(r"(?m)^app = marimo\.App\(", path.read_text("utf-8"))
)


def _theirs(path: Path):
    from marimo._ast.app import InternalApp
    from marimo._ast.errors import CycleError, MultipleDefinitionError
    from marimo._ast.load import load_app

    logging.disable(logging.CRITICAL)
    app = InternalApp(load_app(str(path)))
    with contextlib.suppress(CycleError, MultipleDefinitionError):  # some are there to show these
        _ = app.graph
    graph = app._app._graph
    cells = ((app.cell_manager.cell_name(each), graph.cells.get(each)) for each in app.cell_manager.cell_ids())
    return [(name, cell) for name, cell in cells if cell is not None]


def _plain(names) -> set[str]:
    return {name for name in names if not name.startswith("_") and not hasattr(builtins, name)}


def _differences(path: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, document = _theirs(path), read_document(path)
    if document.format != "marimo" or len(theirs) != len(document.cells):
        return [f"{path.stem}: {len(theirs)} cells, not {len(document.cells)}"]
    found = []
    for (name, cell), mine in zip(theirs, document.cells, strict=True):
        source = mine.options.get("source", mine.source)
        if ast.dump(ast.parse(cell.code)) != ast.dump(ast.parse(source)):
            found.append(f"{path.stem} {name}: another text: {source}")
        elif mine.kind == "code" and (_plain(mine.defs), _plain(mine.refs)) != (_plain(cell.defs), _plain(cell.refs)):
            found.append(f"{path.stem} {name}: {mine.defs ^ cell.defs} {mine.refs ^ cell.refs}")
    return found


def test_cells_and_names_are_those_of_marimos_own_graph() -> None:
    tutorials = [path for path in SHIPPED if path.parent.name == "_tutorials"]
    assert [each for path in tutorials for each in _differences(path)] == []


@pytest.mark.slow
def test_cells_and_names_are_those_of_marimo_in_every_notebook_that_it_ships() -> None:
    assert [each for path in SHIPPED for each in _differences(path)] == []


def test_there_are_notebooks_to_compare_with() -> None:
    assert len(SHIPPED) >= 10


MARIMO = '''\
# /// script
# dependencies = ["numpy"]
# [tool.stargazer]
# cells = true
# ///
import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    # what all need
    import numpy as np


@app.function
def double(x):
    return 2 * x


@app.cell
def table(
    np,
    double,
):
    # @timeout 30
    # @cache ttl=1d
    text = """
    two
  lines"""
    table = double(np.arange(3))
    return (table, text)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # A title
    """)
    return


@app.cell(disabled=True)
def off(table):
    1 / 0
    return


app._unparsable_cell("x = = 1", name="broken")

if __name__ == "__main__":
    app.run()
'''


def test_a_marimo_file_is_read_with_comments_lines_and_options() -> None:
    document = read_text(MARIMO, "nb.py")
    setup, double, table, title, off, broken = document.cells
    assert (setup.role, setup.source, setup.line) == ("setup", "# what all need\nimport numpy as np", 12)
    assert (double.role, double.source) == ("function", "def double(x):\n    return 2 * x")
    assert table.name == "table"
    assert table.source.startswith("# @timeout 30\n# @cache ttl=1d\ntext = ")
    assert MARIMO.splitlines()[table.line - 1].strip() == "# @timeout 30"
    assert ast.literal_eval(table.tree.body[0].value) == "\n    two\n  lines"
    assert table.notes.timeout == 30
    assert table.notes.cache == 86400
    assert table.defs == {"table", "text"}
    assert table.refs == {"np", "double"}
    assert (title.kind, title.source) == ("markdown", "# A title")
    assert off.disabled
    assert broken.error is not None
    assert document.script["tool"]["stargazer"]["cells"] is True
    assert document.options["width"] == "medium"


PERCENT = """\
# ---
# Title: Noise
# ---
# %%
import math
x = 1

# %% [markdown]
# # A title
# of two lines

# %% named tags=["parameters"]
# @name chosen
%matplotlib inline
x = x + 1
y = [z for z in range(x)]

# %%
!ls
"""


def test_a_percent_script_is_read() -> None:
    document = read_text(PERCENT, "noise.py")
    first, title, second, shell = document.cells
    assert document.header.startswith("# ---\n# Title: Noise")
    assert first.defs == {"math", "x"}
    assert (title.kind, title.source) == ("markdown", "# A title\nof two lines")
    assert second.name == "chosen"
    assert second.options["tags"] == ["parameters"]
    assert second.names.early == {"x"}
    assert second.defs == {"x", "y"}
    assert second.error is None
    assert PERCENT.splitlines()[second.line - 1] == "# @name chosen"
    assert "IPython" in str(shell.error)


def test_percent_ipynb_and_myst_hold_the_same_cells(tmp_path: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    text = PERCENT.replace("!ls", "total = x + math.pi").replace("%matplotlib inline\n", "")
    found = jupytext.reads(text, fmt="py:percent")
    (tmp_path / "n.py").write_text(text)
    jupytext.write(found, tmp_path / "n.ipynb")
    jupytext.write(found, tmp_path / "n.md", fmt="md:myst")
    percent, ipynb, myst = (read_document(tmp_path / f"n{end}") for end in (".py", ".ipynb", ".md"))
    assert (percent.format, ipynb.format, myst.format) == ("percent", "ipynb", "myst")
    code = [cell.source for cell in percent.cells if cell.kind == "code"]
    assert code == [cell.source for cell in ipynb.cells if cell.kind == "code"]
    assert code == [cell.source for cell in myst.cells if cell.kind == "code"]
    for cell in (each for each in myst.cells if each.kind == "code"):
        assert myst.text.splitlines()[cell.line - 1] == cell.source.splitlines()[0]


def test_the_format_is_found_out_from_the_text() -> None:
    assert detect_format("import marimo\napp = marimo.App()\n# %%\n", Path("a.py")) == "marimo"
    assert detect_format("# %%\nimport marimo\napp = marimo.App()\n", Path("a.py")) == "percent"
    assert detect_format("x = 1\n", Path("a.py")) == "percent"
    with pytest.raises(NotebookError, match="is no notebook"):
        detect_format("", Path("a.txt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# @tiemout 3", "there is no annotation @tiemout"),
        ("# @timeout soon", "'soon' is no time"),
        ("# @cache never", "write @cache forever"),
        ("# @loop 3", "write @loop max_iter=N carry=NAME"),
        ("# @loop max_iter=0 carry=x", "at least 1"),
        ("# @loop_until x > 3", "stands without @loop"),
        ("# @env 3=4", "write @env NAME=VALUE"),
        ("# @mount data", "write @mount NAME URL"),
        ("# @cpus 0", "at least 1"),
        ("# @memory lots", "is no size"),
    ],
)
def test_what_is_no_annotation_is_told_with_its_line(text: str, message: str) -> None:
    (cell,) = read_text(f"# %%\n# plain\n{text}\nx = 1\n", "n.py").cells
    (problem,) = cell.problems
    assert message in problem.message
    assert problem.line in (2, 3)


def test_annotations_are_read() -> None:
    source = """\
# @worker gpu
# @env A=1
# @env TOKEN
# @mount data s3://bucket/x
# @mount out file:///tmp/o rw
# @after setup, other
# @loop max_iter=5 carry=x
# @loop_until x > 3
# @cpus 4
# @memory 8 GiB
# @gpus 1
# @retries 2
x = x + 1
# @timeout 3
"""
    (cell,) = read_text(f"# %%\n{source}", "n.py").cells
    notes = cell.notes
    assert not cell.problems
    assert (notes.worker, notes.env, notes.after) == ("gpu", {"A": "1", "TOKEN": None}, ("setup", "other"))
    assert [tuple(each) for each in notes.mounts] == [
        ("data", "s3://bucket/x", False),
        ("out", "file:///tmp/o", True),
    ]
    assert tuple(notes.loop) == (5, "x", "x > 3")
    assert (notes.cpus, notes.memory, notes.gpus, notes.retries, notes.timeout) == (4, "8 GiB", 1, 2, None)


def test_what_is_no_notebook_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps({"nb": 1}))
    (tmp_path / "b.py").write_text("import marimo\napp = marimo.App()\nx = = 1\n")
    for name, message in (("a.ipynb", "no Jupyter notebook"), ("b.py", "line 3"), ("c.py", "cannot be read")):
        with pytest.raises(NotebookError, match=message):
            read_document(tmp_path / name)


def test_the_mark_of_a_cell_is_read_in_time_however_many_blanks_it_has() -> None:
    """A text that somebody sends: with a thousand blanks it once took a quarter of a minute, with more an hour."""
    for rest in (" " * 20_000 + "x", "a" + " " * 20_000 + "."):
        found = TITLE.match(rest)
        assert found is not None
        assert found["title"].strip() == rest.strip()
    found = TITLE.match(" a  title   [markdown]  tags = [1] ")
    assert found is not None
    assert (found["title"].strip(), found["kind"], found["options"]) == ("a  title", "[markdown]", "tags = [1] ")


def test_a_notebook_of_an_older_jupyter_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "input": ["x = 1\n", "x"], "outputs": [], "language": "python", "metadata": {}}
    old: dict[str, Any] = {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0}
    old["worksheets"] = [{"cells": [{**cell, "collapsed": False}], "metadata": {}}]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old))
    assert [cell.source for cell in read_document(path).cells] == ["x = 1\nx"]


def test_a_notebook_of_another_language_is_refused_by_its_name(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "x <- 1", "outputs": [], "metadata": {}, "execution_count": None}
    for metadata in ({"kernelspec": {"name": "ir", "language": "R"}}, {"language_info": {"name": "R"}}):
        path = tmp_path / "r.ipynb"
        path.write_text(json.dumps({"metadata": metadata, "nbformat": 4, "nbformat_minor": 4, "cells": [cell]}))
        with pytest.raises(NotebookError, match="its cells are R"):
            sg.Notebook(path).run()
    assert read_document(path).language == "R"


def test_cells_that_are_timed_or_shown_nothing_of_are_pythons(tmp_path: Path) -> None:
    texts = ["%%time\nx = 3", "%%capture\nprint(x)\ny = x + 1", "%%bash\necho hi"]
    shape: dict[str, Any] = {"cell_type": "code", "outputs": [], "metadata": {}, "execution_count": None}
    cells = [{**shape, "source": each} for each in texts]
    path = tmp_path / "timed.ipynb"
    path.write_text(json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 4, "cells": cells[:2]}))
    assert sg.Notebook(path).run()["y"] == 4
    path.write_text(json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 4, "cells": cells}))
    assert sg.Notebook(path).check() == ["line 1: a command of IPython stands in it, which only a kernel runs"]
