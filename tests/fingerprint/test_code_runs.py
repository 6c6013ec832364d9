"""The digest is of the code that this process runs, whatever became of its file since."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stargazer.errors import CodeChanged
from stargazer.fingerprint import identify, note_modules

Loader = Callable[..., ModuleType]
USE = "import helpers\ndef body(work): return helpers.value()"
OLD, NEW = "def value(): return 'old'\n", "def value(): return 'new'\n"


def test_a_link_that_was_turned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Loader) -> None:
    for name, text in (("r1", OLD), ("r2", NEW)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "helpers.py"
        file.write_text(text)
        os.utime(file, (1.7e9, 1.7e9))
    (tmp_path / "current").symlink_to("r1")
    monkeypatch.syspath_prepend(tmp_path / "current")
    module = load(USE)
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("r2")
    assert module.body(None) == "old"
    with pytest.raises(CodeChanged):
        identify(module.body, "body")
    del sys.modules["helpers"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class C:\n    K = 'old'\ndef value(): return C.K\n", "class C:\n    K = 'new'\ndef value(): return C.K\n"),
        (
            "class C:\n    def m(self): return 'old'\ndef value(): return C().m()\n",
            "class C:\n    def m(self): return 'new'\ndef value(): return C().m()\n",
        ),
        (f"{OLD}K = 1\nMORE = __import__('sys')\n", f"{NEW}K = 1\nMORE = __import__('sys')\n"),
    ],
    ids=["constant of a class", "method", "function"],
)
@pytest.mark.parametrize("clock", ["now", "behind"])
def test_a_file_replaced_after_its_import_is_refused(load: Loader, before: str, after: str, clock: str) -> None:
    module = load(USE, helpers=before)
    note_modules()
    file = Path(module.helpers.__file__)
    replaced = file.with_name("replaced.py")
    replaced.write_text(after)
    if clock == "behind":
        os.utime(replaced, (1.6e9, 1.6e9))
    replaced.rename(file)
    with pytest.raises(CodeChanged):
        identify(module.body, "body")


@pytest.mark.parametrize("wide", [False, True])
def test_a_comment_that_is_added_changes_nothing(load: Loader, wide: bool) -> None:
    finder = "import importlib, helpers\nNAME = 'helpers'\ndef body(work): return importlib.import_module(NAME)"
    text = "class C:\n    K = -1\n    L = [1]\n    L.append(2)\ndef value(): return C.K\nT = {}\nT['a'] = 1\n"
    module = load(finder if wide else USE, helpers=text)
    note_modules()
    before = identify(module.body, "body").digest
    file = Path(module.helpers.__file__)
    file.write_text(f"# why\n{text}")
    assert identify(module.body, "body").digest == before


SCRIPT = """
import stargazer as sg, helpers

@sg.task
def t(work: sg.Workdir) -> str:
    return helpers.value()

if __name__ == "__main__":
    print(t().compute(scheduler="sync"))
"""


def test_an_old_pyc_gives_no_result_a_new_key(tmp_path: Path) -> None:
    """Same size and time: Python runs what it compiled before."""
    (tmp_path / "main.py").write_text(SCRIPT)
    helpers = tmp_path / "helpers.py"
    env = os.environ | {"DASK_STARGAZER__STORE": str(tmp_path / "store"), "PYTHONDONTWRITEBYTECODE": ""}
    env |= {"PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "main.py"], cwd=tmp_path, env=env, capture_output=True, text=True)

    for text in (OLD, NEW):
        helpers.write_text(text)
        os.utime(helpers, (1.7e9, 1.7e9))
        done = run()
        assert done.stdout == "old\n" if text is OLD else "CodeChanged" in done.stderr and "__pycache__" in done.stderr
    for compiled in (tmp_path / "compiled").rglob("helpers*.pyc"):
        compiled.unlink()
    assert run().stdout == "new\n"


def test_a_large_task_is_compared_in_little_time(load: Loader) -> None:
    functions = "\n".join(
        f"def f{i}(x):\n    y = x + {i}\n    return f{i + 1}(y) if y else K{i}\nK{i} = {i}" for i in range(100)
    )
    module = load(f"{functions}\ndef f100(x): return x\ndef body(work): return f0(1)")
    identify(module.body, "body")
    module = load(f"{functions}\ndef f100(x): return -x\ndef body(work): return f0(1)")
    started = time.process_time()
    identity = identify(module.body, "body")
    spent = time.process_time() - started
    assert len(identity.manifest) == 202
    assert spent < 2, f"{spent:.3f} s"  # 0.03 on a quiet machine; what grows with the square of the pieces takes longer
    started = time.process_time()
    for _ in range(100):
        assert identity.is_current()
    assert (time.process_time() - started) / 100 < 0.02
