"""Files that cells write and others read: each time what a kernel that is started anew would find."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg

OPENED = ["open('o.txt', 'w').write('{n}')", "x = open('o.txt').read()"]
WRITTEN = {
    "opened": OPENED,
    "of-a-path": ["from pathlib import Path\nPath('p.txt').write_text('{n}')", "x = Path('p.txt').read_text()"],
    "by-the-value-of-a-cell": [
        "n = {n}", "with open('n.txt', 'w') as out:\n    out.write(str(n))", "x = open('n.txt').read()",
    ],
    "names-are-made": ["n = {n}", "open(f'{{n - n}}.txt', 'w').write(str(n))", "x = open('%d.txt' % 0).read()"],
    "array": ["import numpy as np\nn = {n}", "np.save('a.npy', np.arange(n))", "x = str(len(np.load('a.npy')))"],
    "renamed": [
        "import os\nopen('r1.txt', 'w').write('{n}')",
        "os.rename('r1.txt', 'r2.txt')",
        "x = open('r2.txt').read()",
    ],
    "copied": [
        "import shutil\nopen('s.txt', 'w').write('{n}')",
        "y = shutil.copy('s.txt', 't.txt')",
        "x = open('t.txt').read()",
    ],
    "by-a-program": [
        "import subprocess\nn = {n}",
        "subprocess.run(f'printf {{n}} > c.txt', shell=True, check=True)",
        "x = open('c.txt').read()",
    ],
    "database": [
        "import sqlite3",
        "def ask(text):\n    with sqlite3.connect('d.db') as base:\n        return base.execute(text).fetchall()",
        "ask('drop table if exists t')\nask('create table t (a)')",
        "ask('insert into t values ({n})')",
        "x = str(ask('select a from t')[0][0])",
    ],
    "mapped": [
        "import numpy as np\nm = np.memmap('m.bin', dtype='i4', mode='w+', shape=(1,))",
        "m[:] = {n}\nm.flush()",
        "x = str(np.fromfile('m.bin', dtype='i4')[0])",
    ],
    "read-later": [
        "import polars as pl\nopen('l.csv', 'w').write('a\\n{n}\\n')",
        "lazy = pl.scan_csv('l.csv')",
        "x = str(lazy.collect()['a'][0])",
    ],
}  # fmt: skip


def _run(folder: Path, cells: list[str], n: int) -> sg.Notebook:
    path = folder / "x.py"
    path.write_text("\n\n".join(f"# %%\n{cell.format(n=n)}" for cell in cells) + "\n")
    return sg.Notebook(path).run()


@pytest.mark.parametrize("name", WRITTEN)
def test_cells_read_what_those_before_them_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "read-later":
        pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    for n in (1, 2, 1, 1):
        assert _run(tmp_path, WRITTEN[name], n)["x"] == str(n)


def test_a_file_that_cells_only_append_to_is_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = "with open('log.txt', 'a') as out:\n    print({n}, file=out)\ndel out\n"
    cells = [f"{log}a = 1", f"{log}b = a"]
    for state in ("ran", "known"):
        assert [row.state for row in _run(tmp_path, cells, 1).report.rows] == [state, state]
    assert Path("log.txt").read_text() == "1\n1\n"


def test_what_was_written_and_lost_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [row.state for row in _run(tmp_path, OPENED, 1).report.rows] == ["ran", "ran"]
    assert [row.state for row in _run(tmp_path, OPENED, 1).report.rows] == ["known", "known"]
    Path("o.txt").unlink()
    assert _run(tmp_path, OPENED, 1)["x"] == "1"
    assert Path("o.txt").read_text() == "1"


LATE = """\
import time


def put(text):
    time.sleep(0.5)
    with open("q" + ".txt", "w") as file:
        file.write(text)


def take():
    with open("q" + ".txt") as file:
        return file.read()
"""


def test_a_file_that_is_written_once_more_as_it_was_is_read_as_it_is_then(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "writes_late.py").write_text(LATE)
    cells = ["import writes_late", "writes_late.put('{n}')", "x = writes_late.take()"]
    assert _run(tmp_path, cells, 1)["x"] == "1"
    (tmp_path / "q.txt").write_text("2")  # somebody edits what a cell wrote: it is written as it was
    assert _run(tmp_path, cells, 1)["x"] == "1"
    (tmp_path / "q.txt").unlink()
    assert _run(tmp_path, cells, 1)["x"] == "1"
