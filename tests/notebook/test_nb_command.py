"""``stargazer nb run``: exit codes, JSON, pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.cli.known import answer_known
from stargazer.errors import NotebookError
from stargazer.notebook.shown import LONGEST_TEXT, Captured

pytest.importorskip("pyarrow")

TEXT = """\
# %%
import math
# %% [markdown]
# # A title
# %% first
x = 2
# %% second
y = math.sqrt(x)
print("y", y)
{"y": round(y, 2)}
"""


@pytest.fixture
def file(tmp_path: Path, store: sg.Store) -> Path:
    path = tmp_path / "nb.py"
    path.write_text(TEXT)
    return path


def nb(*argv: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["nb", "run", *argv])
    assert result.exit_code == code, result.output
    return result.stdout


def test_json_is_one_object(file: Path) -> None:
    told = json.loads(nb(str(file), "--json"))
    assert told.keys() == {"notebook", "success", "seconds", "cells"}
    assert [cell["state"] for cell in told["cells"]] == ["live", "ran", "ran"]
    assert all(cell.keys() == {"name", "defs", "state", "why", "seconds"} for cell in told["cells"])
    again = json.loads(nb(str(file), "--json"))
    assert [cell["state"] for cell in again["cells"]] == ["live", "known", "known"]


def test_a_plan_runs_nothing(file: Path) -> None:
    told = json.loads(nb(str(file), "--plan", "--json"))
    assert [cell["state"] for cell in told["cells"]] == ["live", "run", "run"]
    assert [cell["state"] for cell in json.loads(nb(str(file), "--json"))["cells"]] == ["live", "ran", "ran"]


def test_values_are_given_by_name(file: Path) -> None:
    told = json.loads(nb(str(file), "--set", "x=9", "--json"))
    assert told["cells"][1]["why"] == ["given"]
    nb(str(file), "--set", "x", code=2)
    assert "y 3.0" in Path(_page(file, "--set", "x=9")).read_text()


def _page(file: Path, *argv: str, suffix: str = ".html") -> str:
    out = str(file.with_suffix(suffix if suffix != ".py" else ".html"))
    nb(str(file), "--out", out, *argv)
    return out


def test_pages_have_what_cells_show_whether_known_or_not(file: Path) -> None:
    for _ in range(2):
        page = Path(_page(file)).read_text()
        for part in ("<h1>A title</h1>", "y 1.4142135623730951", "{&#x27;y&#x27;: 1.41}", "y = math.sqrt(x)"):
            assert part in page
    book = json.loads(Path(_page(file, suffix=".ipynb")).read_text())
    assert book["cells"][3]["outputs"][0]["text"] == "y 1.4142135623730951\n"
    assert "```text\ny 1.4142135623730951" in Path(_page(file, suffix=".md")).read_text()
    nb(str(file), "--out", str(file.with_suffix(".docx")), code=2)


def test_a_failed_cell_is_exit_code_1_with_its_lines(file: Path) -> None:
    file.write_text(TEXT + "# %% third\nz = 1 / (x - 2)\n# %% fourth\nz\n")
    result = CliRunner().invoke(app, ["nb", "run", str(file)])
    assert result.exit_code == 1
    assert "z = 1 / (x - 2)" in result.stderr
    assert "skipped" in result.stdout


def test_what_is_wrong_before_anything_runs_is_exit_code_2(file: Path) -> None:
    file.write_text(TEXT + "# %% third\nz = nowhere\n")
    result = CliRunner().invoke(app, ["nb", "run", str(file)])
    assert result.exit_code == 2
    assert "cell third (line 12) reads nowhere, which no cell defines" in result.stderr
    assert json.loads(nb(str(file), "--json", code=2))["error"]["type"] == "NotebookError"
    nb(str(file.with_name("missing.py")), code=2)


ODD = {
    "no such file": (["nope.py"], "cannot be read"),
    "no page": (["odd.py", "--out", "page.pdf"], "a page ends in .html"),
    "no such value": (["odd.py", "--set", "nope=1"], "a value cannot be given: no cell makes nope"),
    "constant": (["odd.py", "--set", "LEAST=1"], "LEAST is a constant, which is code of all cells: name it least"),
    "read at once": (["odd.py", "--set", "n=1"], "makes n and reads it at once"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_would_be_passed_over_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text("# %%\nLEAST = 3\n\n# %%\nn = 2\nm = n + LEAST\n\n# %%\nopen('ran', 'w').close()\n")
    argv, message = ODD[name]
    assert message in json.loads(nb(*argv, "--json", code=2))["error"]["message"]
    assert not Path("ran").exists()


def test_what_is_printed_in_many_lines_is_kept_up_to_a_limit() -> None:
    out = Captured()
    for _ in range(2 * LONGEST_TEXT // 8):
        out.write("stdout", "1234567\n")
    out.write("stderr", "late")
    (only,) = out.outputs
    assert only["text"].startswith("1234567\n")
    assert only["text"].endswith("… more was printed than is kept\n")
    assert len(only["text"]) < LONGEST_TEXT + 50


def test_what_is_not_python_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("# %%\nx = (\n\n# %%\n# @timout 3s\ny = = 1\n")
    result = CliRunner().invoke(app, ["nb", "run", str(path)])
    assert result.exit_code == 2
    assert [result.stderr.count(each) for each in ("never closed", "invalid syntax", "@timout")] == [1, 1, 1]


def test_a_profile_that_is_not_there_is_a_wrong_word_also_where_nothing_would_run(file: Path) -> None:
    asked = [["--on", "nosuch"], ["--on", "nosuch", "--plan"], ["--on", "nosuch", "--json"]]
    for argv in asked:
        nb(str(file), *argv, code=2)
    nb(str(file))
    for argv in asked:
        nb(str(file), *argv, code=2)
    assert not answer_known(["nb", "run", str(file), "--on", "nosuch"])
    assert answer_known(["nb", "run", str(file), "--on", "threads"])
    assert CliRunner().invoke(app, ["nb", "freeze", str(file), "--on", "nosuch"]).exit_code == 2


def test_a_value_that_no_cell_makes_is_refused_wherever_it_is_given(file: Path) -> None:
    told = CliRunner().invoke(app, ["nb", "freeze", str(file), "--set", "nope=1"])
    assert (told.exit_code, "no cell makes nope" in told.output) == (2, True)
    for ask in (sg.Notebook(file).run, sg.Notebook(file).plan):
        with pytest.raises(NotebookError, match="no cell makes nope"):
            ask(set={"nope": 1})


def test_what_is_misspelled_is_told_each_time(file: Path) -> None:
    file.write_text("# %%\n# @cahce forever\nx = 1\n")
    for _ in range(3):
        result = CliRunner().invoke(app, ["nb", "run", str(file)])
        assert (result.exit_code, "no annotation @cahce" in result.output) == (0, True)
        assert not answer_known(["nb", "run", str(file)])
