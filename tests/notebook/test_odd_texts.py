"""Texts that editors, old sources and pasted pages bring along: nothing of a cell changes in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.notebook.document import read_document, read_text
from stargazer.notebook.editing import Edit, edited, version_of, write_text
from stargazer.notebook.flow.texts import notebook_text, parts_of_ipynb, parts_of_py, py_text, read_ipynb

SOURCES = {
    "modulo-goes-on": "x = (10\n     % 3\n     )",
    "format-goes-on": 'x = ("%d of %d"\n     % (1, 2))',
    "backslash": "x = 10 \\\n  % 3",
    "percent-in-string": 'x = """\n%s rows\n%load it\n"""',
    "image-in-string": 'n = "x.png"\nx = f"""\n![logo]({n})\n"""',
    "mark-in-string": 'x = """\n# %%\nleft\n"""',
    "form-feed": 'a = 1\n\x0c\nx = "b\x0cc"',
    "line-separator": 'x = """a\u2028b\u2029c"""',
    "next-line": 'x = "a\x85b\x1cc"',
}


def _jupyter(source: str) -> str:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def _marimo(source: str) -> str:
    body = "".join(f"    {line}" for line in source.replace("\n", "\n\0").split("\0"))
    cells = "".join(f"@app.cell\ndef _():\n{each}\n    return\n\n\n" for each in (body, "    last = 1"))
    return f"import marimo\n\napp = marimo.App()\n\n\n{cells}"


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("form", ["x.py", "x.ipynb"])
def test_a_cell_is_what_python_would_read(name: str, form: str) -> None:
    source = SOURCES[name]
    document = read_text(_jupyter(source) if form == "x.ipynb" else f"# %%\n{source}\n\n# %%\ny = 1\n", form)
    cell = document.cells[0]
    assert (cell.source, cell.error) == (source, None)
    if form == "x.py":
        assert document.cells[1].source == "y = 1"


@pytest.mark.parametrize("name", ["form-feed", "line-separator", "next-line"])
def test_cells_of_marimo_stand_where_the_parser_says(name: str) -> None:
    source = SOURCES[name]
    found = read_text(_marimo(source), "x.py").cells
    wanted: dict[str, object] = {}
    exec(source, wanted)
    made: dict[str, object] = {}
    exec(found[0].source, made)
    assert made["x"] == wanted["x"]
    assert found[1].source == "last = 1"


@pytest.mark.parametrize("name", SOURCES)
def test_both_sides_of_a_pair_have_the_same_cell(name: str) -> None:
    source = SOURCES[name]
    parts = parts_of_py(f"# %%\n{source}\n")
    book = read_ipynb(notebook_text(None, parts, {}), "x.ipynb")
    assert [cell.source for cell in book.cells] == [source]
    assert parts_of_ipynb(book) == parts
    assert parts_of_py(py_text("", parts)) == parts


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\n!ls\ny = 2", "a command of IPython"),
        ("%%bash\nls", "a command of IPython"),
        ('x = """\n!no\n"""\ny = (', "it is not Python"),
        ("x = 1\0", "null bytes"),
        (f"x = {'(' * 500}", "too many nested parentheses"),
        (f"x = {'-' * 50_000}1", "it is not Python"),
    ],
)
def test_what_is_no_python_is_told(source: str, told: str) -> None:
    error = read_text(_jupyter(source), "x.ipynb").cells[0].error
    assert error is not None
    assert told in error.message


def test_magics_are_comments_still() -> None:
    cell = read_text(_jupyter("%matplotlib inline\nx = (1\n     % 3)\n%load_ext a\n"), "x.ipynb").cells[0]
    assert cell.source == "# %matplotlib inline\nx = (1\n     % 3)\n# %load_ext a"


@pytest.mark.parametrize("options", ["a: [", "just text", "- 1"])
def test_options_of_myst_that_are_none_are_named_with_their_line(options: str) -> None:
    with pytest.raises(NotebookError, match=r"x\.md, line 3: the options of the cell"):
        read_text(f"# Title\n\n```{{code-cell}}\n---\n{options}\n---\nx = 1\n```\n", "x.md")


WINDOWS = b"\xef\xbb\xbf# %%\r\na = 1\r\n\r\n# %% b\r\nb = a + 1\r\n"


def test_a_file_of_windows_is_read_run_and_edited_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_bytes(WINDOWS)
    assert sg.Notebook(path).run()["b"] == 2
    document = read_document(path)
    assert [cell.source for cell in document.cells] == ["a = 1", "b = a + 1"]
    text = edited(document, [Edit("replace", 1, "b = a + 2")])
    write_text(path, text, version_of(document.text))
    assert path.read_bytes() == WINDOWS.replace(b"b = a + 1", b"b = a + 2")


def test_half_a_character_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(before := _jupyter('x = "a"'))
    document = read_document(path)
    text = edited(document, [Edit("replace", 0, 'x = "a"\ny = "b"')]).replace('y = \\"b', 'y = \\"\ud83d')
    with pytest.raises(NotebookError, match="half a character"):
        write_text(path, text, version_of(document.text))
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.ipynb"]
