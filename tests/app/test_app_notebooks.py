"""Notebooks of the real app: processes of marimo, one each, none left over."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from apps import App, kernels_of, serving, until

from stargazer.app.kernels import Kernels, scratch_copy
from stargazer.app.tiles import Facts, Tile
from stargazer.errors import NotebookError

BOOK = """# /// script
# [tool.stargazer]
# title = "Shown"
# cpus = 1
# ///
import marimo

app = marimo.App()


@app.cell
def _():
    2
    return
"""


def _root(tmp_path: Path) -> Path:
    root = tmp_path / "notebooks"
    for name in ("workspace", "tutorials"):
        (root / name).mkdir(parents=True)
    (root / "workspace" / "shown.py").write_text(BOOK)
    return root


def _words(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_bytes().decode("utf-8", "replace")


def _private(root: Path) -> list[Path]:
    return list((root.parent / "cache" / "app").rglob("token"))


def test_one_process_a_notebook_in_one_mode_and_none_left_over(tmp_path: Path) -> None:
    root = _root(tmp_path)
    with serving(root) as app:
        app.ask("/api/notebooks/workspace/missing/start", 404, mode="run")
        app.ask("/api/notebooks/workspace/shown/start", 400, mode="x")
        browser, url = app.visit("workspace", "shown", "run")
        assert "<marimo" in browser.get(url).text
        (pid,) = kernels_of(root)
        _keeps_its_secret(app, pid)
        assert len(os.sched_getaffinity(pid)) == 1
        assert app.ask("/api/notebooks/workspace/shown/start", mode="run")["url"] == "/open/workspace/shown/run"
        assert kernels_of(root) == [pid]
        assert "stop it first" in app.ask("/api/notebooks/workspace/shown/start", 409, mode="edit")["error"]
        for change in ("delete", "rename", "settings"):
            app.ask(f"/api/notebooks/workspace/shown/{change}", 409, name="other")
        state = until(lambda: (found := app.state()["workspace/shown"])["memory"] and found)
        assert (state["state"], state["mode"]) == ("ready", "run")
        os.kill(pid, signal.SIGKILL)
        ended = until(lambda: (found := app.state()["workspace/shown"])["state"] == "ended" and found)
        assert "ended by itself" in ended["why"]
        app.visit("workspace", "shown", "run")
        app.ask("/api/notebooks/workspace/shown/stop")
        assert kernels_of(root) == []
        app.ask("/api/notebooks/workspace/shown/stop", 404)
        app.visit("workspace", "shown", "run")
    assert kernels_of(root) == []
    assert _private(root) == []


def _keeps_its_secret(app: App, pid: int) -> None:
    (file,) = _private(app.root)
    secret = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for what in ("cmdline", "environ"):
        told = _words(pid, what)
        assert secret not in told
        assert app.token not in told


def test_a_killed_app_leaves_nothing_and_a_new_one_opens_the_same(tmp_path: Path) -> None:
    root = _root(tmp_path)
    with serving(root) as app:
        app.visit("workspace", "shown", "run")
        assert len(kernels_of(root)) == 1
        app.process.kill()
        until(lambda: not kernels_of(root))
    with serving(root) as app:
        assert app.state() == {}
        app.visit("workspace", "shown", "run")
        assert len(kernels_of(root)) == 1
    assert (root / "workspace" / "shown.py").read_text() == BOOK


def test_what_the_buttons_of_a_tile_do(tmp_path: Path) -> None:
    root = _root(tmp_path)
    (root / "snapshots").mkdir()
    (root / "snapshots" / "fig.py").write_text(BOOK)
    with serving(root, "--idle", "2s") as app:
        page = app.get("/").text
        for told in ("Tutorials", "Workflows", "Workspace", "Snapshots", "Shown"):
            assert told in page
        assert app.ask("/api/notebooks", 201, name="mine", template="analysis") == {"name": "mine"}
        assert "already" in app.ask("/api/notebooks", 409, name="mine")["error"]
        assert "module" in app.ask("/api/notebooks", 400, name="numpy")["error"]
        app.ask("/api/notebooks/snapshots/fig/copy", 201)
        app.ask("/api/notebooks/snapshots/fig/copy", 409)
        app.ask("/api/notebooks/snapshots/fig/delete", 400)
        app.ask("/api/notebooks/workspace/mine/settings", title="Mine <b>", cpus="2", order="")
        assert "Mine &lt;b&gt;" in app.get("/").text
        assert "number" in app.ask("/api/notebooks/workspace/mine/settings", 400, cpus="x")["error"]
        app.ask("/api/notebooks/workspace/mine/rename", name="ours")
        answer = app.get("/download/notebook/workspace/ours")
        assert answer.headers["content-disposition"] == 'attachment; filename="ours.py"'
        assert app.ask("/api/notebooks/workspace/ours/delete")["trash"].startswith(".trash/ours-")
        assert "ours" not in {path.stem for path in (root / "workspace").iterdir()}
        app.visit("workspace", "shown", "run")
        ended = until(lambda: (found := app.state()["workspace/shown"])["state"] == "ended" and found)
        assert "nobody looked at it" in ended["why"]


def test_what_came_along_is_opened_as_a_copy_with_its_neighbours(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("one", "two"):
        (shipped / f"{name}.py").write_text(f"{name} = 1\n")
        (shipped / f"{name}.py").chmod(0o444)
    copy = scratch_copy(Tile("tutorials", "one", shipped / "one.py", False, Facts()), tmp_path / "scratch")
    copy.write_text("changed")
    assert (shipped / "one.py").read_text() == "one = 1\n"
    assert copy.with_name("two.py").read_text() == "two = 1\n"


def test_the_last_words_of_what_does_not_start(tmp_path: Path) -> None:
    missing = Tile("workspace", "gone", tmp_path / "gone.py", True, Facts())
    with pytest.raises(NotebookError, match="marimo could not open gone") as told:
        asyncio.run(Kernels(folder=tmp_path).open(missing, "run"))
    assert "gone.py" in str(told.value)
    assert list(tmp_path.glob("notebook-*")) == []


def _write_wheel(folder: Path) -> None:
    info = "sg_laid_kernel-1.0.dist-info"
    files = {
        "sg_laid_kernel.py": "VALUE = 'laid over'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: sg-laid-kernel\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "sg_laid_kernel-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)


@pytest.mark.slow
def test_a_notebook_has_the_packages_of_its_header(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """A package that is nowhere but in a folder: the process of the notebook has it, beside all that is here."""
    tool("uv")
    root = _root(tmp_path)
    _write_wheel(tmp_path)
    header = '# dependencies = ["sg-laid-kernel==1.0"]\n# [tool.stargazer]'
    (root / "workspace" / "laid.py").write_text(BOOK.replace("# [tool.stargazer]", header))
    with serving(root, UV_OFFLINE="1", UV_FIND_LINKS=str(tmp_path)) as app:
        assert "uv brings them" in app.get("/notebooks/workspace/laid").text
        visitor, address = app.visit("workspace", "laid", "run")
        assert "<marimo" in visitor.get(address).text
        programs = {_words(pid, "cmdline").partition("\0")[0] for pid in kernels_of(root)}
        (python,) = (each for each in programs if Path(each).name.startswith("python"))
        told = subprocess.run(
            [python, "-c", "import marimo, stargazer, sg_laid_kernel; print(sg_laid_kernel.VALUE)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout == "laid over\n"
    until(lambda: not kernels_of(root))
