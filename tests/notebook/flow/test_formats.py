"""Formats keep their contract, and those of other packages are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stargazer.errors import NotebookError
from stargazer.notebook import flow as nb
from stargazer.notebook.flow.formats import detect, format_named
from stargazer.notebook.flow.marimo import Marimo
from stargazer.notebook.flow.percent import Percent
from stargazer.testing.notebooks import NotebookFormatContract

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
pytest.importorskip("nbconvert")
pytest.importorskip("marimo")


class TestPercent(NotebookFormatContract):
    @pytest.fixture
    def form(self) -> nb.NotebookFormat:
        return Percent()


class TestMarimo(NotebookFormatContract):
    @pytest.fixture
    def form(self) -> nb.NotebookFormat:
        return Marimo()


OTHER = """
from stargazer.notebook.flow.percent import Percent

class Dashes(Percent):
    name = "dashes"
    suffix = ".dash"

    def detect(self, text, path):
        return path.suffix == ".dash" and text.startswith("# %%")
"""


def test_formats_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "dashes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dashes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[stargazer.notebook_formats]\ndashes = dashes_format:Dashes\nnone = dashes_format:OTHER\n"
    )
    (site / "dashes_format.py").write_text(OTHER + "OTHER = 3\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    assert nb.format_names() == ("percent", "marimo", "dashes", "none")
    assert format_named("dashes").suffix == ".dash"
    with pytest.raises(NotebookError, match="no NotebookFormat"):
        format_named("none")
    with pytest.raises(NotebookError, match="there are percent, marimo, dashes"):
        format_named("nosuch")
    entry = nb.read_config("entries: [{path: notebooks/a.dash, format: dashes}]", "x").entries[0]
    assert entry.format == "dashes"


def test_formats_are_found_out_by_text() -> None:
    percent = "# %%\nimport marimo\napp = marimo.App()\n"
    assert detect(percent, Path("x.py")).name == "percent"
    assert detect("import marimo\n\napp = marimo.App()\n# %%\n", Path("x.py")).name == "marimo"
    assert detect("x = 1\n", Path("x.py")).name == "percent"
