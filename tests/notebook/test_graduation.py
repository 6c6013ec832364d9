"""Notebooks become workflows for others; their headers say what they need, and uv brings it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import NotebookError
from stargazer.ledger import Ledger
from stargazer.notebook import graduate, read_document
from stargazer.notebook.elsewhere import uv_command
from stargazer.notebook.graduation import left_to_do
from stargazer.notebook.header import read_requirements, with_dependencies, with_tile

pytest.importorskip("pyarrow")
pytest.importorskip("marimo")
pytest.importorskip("tomlkit")

GOOD = '''\
# /// script
# dependencies = [
#     "numpy>=1", # for the table
# ]
# ///
import marimo

app = marimo.App()

with app.setup:
    import marimo as mo
    import stargazer as sg


@app.cell
def _():
    lines = mo.ui.slider(1, 10, value=3)
    lines
    return (lines,)


@app.cell
def _():
    @sg.task
    def ranks(work: sg.Workdir, *, lines: int) -> sg.Asset:
        """Write ranks."""
        out = work.file("ranks.txt")
        out.write_text("".join(f"{number}\\n" for number in range(lines)))
        return sg.Asset(path=out)

    return (ranks,)


@app.cell
def _(lines, ranks):
    made = ranks(lines=lines.value).compute()
    made
    return (made,)


if __name__ == "__main__":
    app.run()
'''


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("peaks_tasks", None)
    path = tmp_path / "peaks.py"
    path.write_text(GOOD)
    return path


def test_a_notebook_graduates_and_its_calls_stay_known(book: Path, tmp_path: Path, store: sg.Store) -> None:
    cid = sg.Notebook(book).run()["made"].cid
    made = graduate(book, tmp_path / "workflows", title="Peaks", description="Ranks of peaks.", order=3)
    assert not book.exists()
    assert made.tile.path == tmp_path / "workflows" / "peaks.py"
    assert (made.tile.title, made.tile.description, made.tile.order) == ("Peaks", "Ranks of peaks.", 3)
    assert [each.task for each in made.promoted] == ["ranks"]
    text = made.tile.path.read_text()
    assert "from peaks_tasks import ranks" in text
    assert '#     "numpy>=1", # for the table' in text
    assert sg.Notebook(made.tile.path).run()["made"].cid == cid
    assert len(Ledger(store.records).of_task("ranks")) == 1


RUN = "    made = ranks"
LEFT = [
    ("    return (lines,)", "    path = '/data/run7/x.csv'\n    return (lines, path)", "names /data/run7/x.csv"),
    ("    return (lines,)", "    n = 5\n    return (lines, n)", "fixes n in line"),
    (
        "    made = ranks",
        "    for each in range(9):\n" + "        x = each\n" * 7 + "    made = ranks",
        "a loop of much work",
    ),
    (
        "    made = ranks",
        "    import subprocess\n    subprocess.run(['ls'])\n    made = ranks",
        "runs a program in line",
    ),
    ("    made = ranks", "    x = 1 + lines.value\n" * 35 + "    made = ranks", "lines beside its tasks"),
    ("mo.ui.slider(1, 10, value=3)", "sum([1, 2])", "nobody can set anything"),
]


@pytest.mark.parametrize(("old", "new", "told"), LEFT, ids=[told[:14] for *_, told in LEFT])
def test_what_is_left_to_do_is_named(book: Path, store: sg.Store, old: str, new: str, told: str) -> None:
    assert old in GOOD
    book.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(NotebookError) as raised:
        graduate(book, book.parent / "workflows", title="Peaks")
    assert told in str(raised.value)
    assert "its header has no description: give --description" in str(raised.value)
    assert book.exists()
    assert not (book.parent / "workflows").exists()


def test_what_cannot_be_promoted_leaves_all_as_it_was(book: Path, store: sg.Store) -> None:
    cell = "@app.cell\ndef _():\n    @sg.task"
    other = (
        "@app.cell\ndef _():\n    offset = sum([1])\n    return (offset,)\n\n\n@app.cell\ndef _(offset):\n    @sg.task"
    )
    text = GOOD.replace("range(lines)", "range(lines + offset)").replace(cell, other)
    book.write_text(text)
    with pytest.raises(NotebookError, match="offset, which a cell computes"):
        graduate(book, book.parent / "workflows", title="Peaks", description="Ranks.")
    assert book.read_text() == text
    assert {each.name for each in book.parent.iterdir()} <= {"peaks.py", "store", "cache", "default-store", "key.pem"}


def test_other_formats_are_told_to_become_marimo(tmp_path: Path, store: sg.Store) -> None:
    (tmp_path / "x.py").write_text("# %%\nx = 1\n")
    assert "marimo convert" in left_to_do(read_document(tmp_path / "x.py"))[0]


def test_the_header_is_changed_and_the_rest_stays(book: Path) -> None:
    text = with_dependencies(read_document(book), ["polars>=1", "NumPy>=2"], [])
    assert '"NumPy>=2"' in text
    assert '"polars>=1"' in text
    assert text.partition("# ///\nimport")[2] == GOOD.partition("# ///\nimport")[2]
    book.write_text(text)
    assert '"polars' not in with_dependencies(read_document(book), [], ["polars"])
    with pytest.raises(NotebookError, match="dask is not in its header"):
        with_dependencies(read_document(book), [], ["dask"])
    with pytest.raises(NotebookError, match="is no requirement"):
        with_dependencies(read_document(book), ["a b"], [])
    book.write_text("#!/usr/bin/env python\nimport marimo\n\napp = marimo.App()\n")
    titled = with_tile(read_document(book), title="A")
    assert titled.startswith('#!/usr/bin/env python\n# /// script\n# [tool.stargazer]\n# title = "A"\n# ///\nimport')


def test_requirements_of_pip_and_conda_are_read(tmp_path: Path) -> None:
    pip, conda = tmp_path / "requirements.txt", tmp_path / "environment.yml"
    pip.write_text("# tools\nnumpy>=1.26  # fast\n\npandas==2.2.0\n")
    assert read_requirements(pip) == ["numpy>=1.26", "pandas==2.2.0"]
    conda.write_text(
        "dependencies:\n- python=3.11\n- conda-forge::numpy=1.26=py311_0\n- scipy>=1\n- pip:\n  - polars\n"
    )
    assert read_requirements(conda) == ["numpy==1.26.*", "scipy>=1", "polars"]
    pip.write_text("-r other.txt\n")
    with pytest.raises(NotebookError, match="cannot stand in a header"):
        read_requirements(pip)


def test_without_uv_it_is_said_what_is_missing(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uv_command(read_document(book), []) == []
    book.write_text(GOOD.replace("numpy>=1", "no-such-package>=7"))
    monkeypatch.setenv("PATH", str(book.parent))
    with pytest.raises(NotebookError, match=r"no-such-package>=7 \(not installed\).* install uv"):
        uv_command(read_document(book), [])
    book.write_text(GOOD.replace("# dependencies", '# requires-python = ">=4"\n# dependencies'))
    with pytest.raises(NotebookError, match=r"Python >=4 .*start it with such a Python"):
        uv_command(read_document(book), [])


@pytest.mark.slow
def test_uv_brings_what_is_missing_and_its_version_counts(
    tmp_path: Path, store: sg.Store, tool: Callable[[str], str]
) -> None:
    """A package that is nowhere but in a folder: uv lays it over this environment."""
    tool("uv")
    env = {**os.environ, "DASK_STARGAZER__STORE": store.url, "UV_OFFLINE": "1"}
    path = tmp_path / "book.py"
    states = []
    for version in ("1.0", "1.0", "2.0"):
        place = tmp_path / f"laid-{version}"
        _write_wheel(place, version)
        env["UV_FIND_LINKS"] = str(place)
        path.write_text(
            f'# /// script\n# dependencies = ["sg-laid-over=={version}"]\n# ///\n# %%\nimport sg_laid_over\n\n# %% x\n'
            "x = sg_laid_over.VALUE\n"
        )
        start = [sys.executable, "-c", "from stargazer.cli import main; main()", "nb", "run", str(path), "--json"]
        done = subprocess.run(start, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        states.append(json.loads(done.stdout)["cells"][1]["state"])
    assert states == ["ran", "known", "ran"]


def _write_wheel(folder: Path, version: str) -> None:
    import zipfile

    folder.mkdir(exist_ok=True)
    info = f"sg_laid_over-{version}.dist-info"
    files = {
        "sg_laid_over.py": f"VALUE = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: sg-laid-over\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"sg_laid_over-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)


def test_the_commands(book: Path, store: sg.Store) -> None:
    def nb(*argv: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, ["nb", *argv])
        assert found.exit_code == code, found.output
        return found.stdout

    assert "its header has no title" in nb("graduate", str(book), "--check", code=1)
    assert "numpy>=1" in nb("env", str(book))
    told = json.loads(nb("env", str(book), "--add", "no-such-package", "--json"))
    assert told["missing"] == ["no-such-package (not installed)"]
    nb("env", str(book), code=1)
    nb("env", str(book), "--remove", "no-such-package")
    to = str(book.parent / "workflows")
    told = json.loads(nb("graduate", str(book), "--to", to, "--title", "P", "--description", "D.", "--json"))
    assert told["tile"]["title"] == "P"


def test_the_panel_shows_the_plan(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "book.py"
    path.write_text("# %% one\nx = 1\n\n# %% two\ny = x + 1\n")
    panel = sg.ui.notebook(path)
    assert panel.headline == "2 would run"
    assert "one" in panel._repr_html_()
    sg.Notebook(path).run()
    assert sg.ui.notebook(path).headline == "2 known"
    with ThreadPoolExecutor() as pool:  # no caller of it is a script, as pytest itself may be
        error = pool.submit(sg.ui.notebook).exception()
    assert isinstance(error, NotebookError)
    assert "say which notebook" in str(error)


@pytest.mark.slow
def test_uv_locks_the_packages_of_a_header(tmp_path: Path, store: sg.Store, tool: Callable[[str], str]) -> None:
    """From a folder of packages, without the network: the one version that uv chooses stands beside the notebook."""
    tool("uv")
    for version in ("1.0", "2.0"):
        _write_wheel(tmp_path / "laid", version)
    path = tmp_path / "book.py"
    path.write_text('# /// script\n# dependencies = ["sg-laid-over<2"]\n# ///\n# %%\nx = 1\n')
    links = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(tmp_path / "laid"), "UV_NO_INDEX": "1"}
    start = [sys.executable, "-c", "from stargazer.cli import main; main()", "nb", "env", str(path), "--lock", "--json"]
    done = subprocess.run(start, env={**os.environ, **links}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["lock"] == f"{path}.lock"
    locked = Path(told["lock"]).read_text()
    assert 'name = "sg-laid-over"' in locked
    assert 'version = "1.0"' in locked
    path.write_text(path.read_text().replace("<2", ">2"))
    done = subprocess.run(start, env={**os.environ, **links}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "uv cannot lock" in done.stdout + done.stderr
