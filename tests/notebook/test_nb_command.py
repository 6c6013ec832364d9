"""``stargazer nb run``: exit codes, JSON, pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app

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
    nb(str(file), "--out", str(file.with_suffix(".docx")), code=1)


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
