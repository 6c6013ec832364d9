"""An unchanged notebook is answered before the command line is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import types
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.cli.known import FLAGS, VALUES, read_plain
from stargazer.notebook.whole import own_modules

pytest.importorskip("pyarrow")

TEXT = "# %%\nimport numpy\n# %% first\nx = int(numpy.int64(2))\n# %% second\ny = x + 1\n"
HEAVY = ("marimo", "numpy", "distributed", "typer", "pydantic")
PROGRAM = f"""
import sys
sys.argv = ["stargazer", *sys.argv[1:]]
from stargazer.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def file(tmp_path: Path, store: sg.Store) -> Path:
    path = tmp_path / "nb.py"
    path.write_text(TEXT)
    return path


def run(file: Path, store: sg.Store, *options: str) -> tuple[str, list[str]]:
    """What the program says in a process of its own, and which of the heavy libraries it has imported."""
    argv = [sys.executable, "-c", PROGRAM, "nb", "run", str(file), *options]
    variables = {**os.environ, "DASK_STARGAZER__STORE": store.url}
    done = subprocess.run(argv, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()[-1].split()


def test_an_unchanged_notebook_imports_no_library(file: Path, store: sg.Store) -> None:
    answer = CliRunner().invoke(app, ["nb", "run", str(file)])
    assert answer.exit_code == 0, answer.output
    built = CliRunner().invoke(app, ["nb", "run", str(file), "--json"])
    told, imported = run(file, store, "--json")
    assert imported == []
    assert json.loads(told) == json.loads(built.stdout)
    file.write_text(TEXT.replace("x + 1", "x + 2"))
    told, imported = run(file, store)
    assert "ran" in told
    assert set(imported) > {"typer"}


def test_plain_forms_are_options_of_the_command() -> None:
    group = typer.main.get_command(app)
    command = group.commands["nb"].commands["run"]  # type: ignore[attr-defined]
    flags = {name: getattr(each, "is_flag", False) for each in command.params for name in each.opts}
    assert all(flags[name] for name in FLAGS)
    assert not any(flags[name] for name in VALUES)


@pytest.mark.parametrize(
    "argv",
    [
        "nb plan a.py", "nb run", "nb run a.py b.py", "nb run a.py --again", "nb run a.py --out x.html",
        "nb run a.py --target", "nb run a.py --set", "nb run a.py --set x", "nb run a.py --set 1=2", "nb run -h",
        "nb run a.py --store --json", "nb run a.py --target=x", "nb run -- a.py", "nb run a.py --strict",
    ],
)  # fmt: skip
def test_the_rest_is_for_the_command(argv: str) -> None:
    assert read_plain(argv.split()) is None


def test_plain_forms_are_read() -> None:
    argv = ["nb", "run", "--set", "x=2", "a.py", "--target", "t", "--set", "y=b", "--store", "s", "--json"]
    asked = read_plain(argv)
    assert asked == (Path("a.py"), "t", {"x": 2, "y": "b"}, "s", True, None)


def test_modules_of_python_are_no_own_ones_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.notebook.whole.MOST_MODULES", 1_000_000)  # tests are own modules, too
    mine = tmp_path / "zipfile_2.py"
    mine.write_text("x = 1\n")
    for name, file in {"zipfile_1": zipfile.__file__, "zipfile_2": str(mine)}.items():
        module = types.ModuleType(name)
        module.__file__ = file
        monkeypatch.setitem(sys.modules, name, module)
    sysconfig.get_config_vars()  # read from a module whose name is the platform's
    found = own_modules()
    assert str(mine) in found
    assert not [file for file in found if file.startswith(sysconfig.get_path("stdlib")) and "-packages" not in file]
