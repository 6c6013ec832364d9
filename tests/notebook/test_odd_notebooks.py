"""Odd notebooks of the kinds that people write: each comes to what a kernel would, and runs no more than it must."""

# ruff: noqa: E501 - cells are read more easily in one line

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import NotKept
from stargazer.notebook.rows import ChangesOthers
from stargazer.notebook.values import Spent

pytestmark = pytest.mark.filterwarnings("ignore::stargazer.fingerprint.identity.UncertainIdentity")


def _book(folder: Path, cells: list[str]) -> sg.Notebook:
    path = folder / "x.py"
    path.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n")
    return sg.Notebook(path)


def _states(book: sg.Notebook) -> list[str]:
    return [row.state for row in book.report.rows]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


MAIN = "if __name__ == '__main__':\n    x = main()\nelse:\n    x = 'not run'"
DRAWN = {1: 0.417022004702574, 2: 0.43599490214200376}
EDITED: dict[str, tuple[list[str], list[tuple[str, str, Any]]]] = {
    "main": (["def main():\n    return __name__ + '1'", MAIN], [("", "", "__main__1"), ("'1'", "'2'", "__main__2")]),
    "constant-of-a-seed": (
        ["import numpy as np\nSEED = 1\nnp.random.seed(SEED)", "x = np.random.rand()"],
        [("", "", DRAWN[1]), ("= 1", "= 2", DRAWN[2]), ("= 2", "= 1", DRAWN[1])],
    ),
    "function-put-into-a-library": (
        ["import fractions\ndef twice(self):\n    return self * 2\nfractions.Fraction.twice = twice", "a = fractions.Fraction(3)", "x = a.twice()"],
        [("", "", 6), ("* 2", "* 3", 9)],
    ),
    "names-that-are-looked-up": (["a = 3", "x = globals()['a']"], [("", "", 3), ("3", "4", 4)]),
    "names-that-are-not-there-yet": (
        ["if 'a' not in globals():\n    a = [1]", "if 'a' not in globals():\n    a = [2]", "x = list(a)"],
        [("", "", [1]), ("[1]", "[3]", [3])],
    ),
    "names-that-a-function-looks-up": (["a = 3", "def g(n):\n    return globals()[n]", "x = g('a')"], [("", "", 3), ("3", "4", 4)]),
    "text-that-a-function-evaluates": (["a = 3", "def g(n):\n    return eval(n)", "x = g('a + 1')"], [("", "", 4), ("3", "4", 5)]),
    "database": (
        ["import sqlite3", "con = sqlite3.connect(':memory:')", "con.execute('create table t (a int)')\nx = con.execute('insert into t values (3) returning a').fetchall()", "con.close()\nx = x[0][0]"],
        [("", "", 3), ("(3)", "(4)", 4)],
    ),
    "closed-file": (["with open('t.txt', 'w') as f:\n    f.write('q')", "x = (f.closed, f.name)"], [("", "", (True, "t.txt"))]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITED)
def test_cells_come_to_what_a_kernel_would_also_once_they_are_edited(tmp_path: Path, name: str) -> None:
    cells, steps = EDITED[name]
    for old, new, value in steps:
        cells = [each.replace(old, new) if old else each for each in cells]
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert _book(tmp_path, cells).run()["x"] == value


def test_what_a_cell_shows_counts_how_its_library_shows_it(tmp_path: Path) -> None:
    import pandas as pd

    cells = [
        "import pandas as pd\npd.set_option('display.max_rows', 4)",
        "df = pd.DataFrame({'a': range(9)})",
        "print(df)",
        "n = df.a.sum()",
    ]
    with pd.option_context("display.max_rows", 60):
        for rows, state in ((4, "ran"), (4, "known"), (20, "ran")):
            book = _book(tmp_path, [each.replace("4", str(rows)) for each in cells]).run()
            shown = book.report.rows[2].outputs[0]["text"]
            assert (".." in shown) == (rows == 4)
            assert _states(book)[2] == state
        assert _states(book)[3] == "known"


KEPT = {
    "files": ["with open('t.txt', 'w') as f:\n    f.write('q')", "with open('t.txt') as f:\n    x = f.read()"],
    "packed-files": ["import gzip", "with gzip.open('t.gz', 'wt') as f, open('u', 'w') as g:\n    g.write('q')\n    f.write('r')"],
    "pools": ["from concurrent.futures import ThreadPoolExecutor", "with ThreadPoolExecutor(1) as pool:\n    x = list(pool.map(abs, [-1]))"],
    "properties": [
        "import functools\nclass C:\n    def __init__(self, n):\n        self.n = n\n    @functools.cached_property\n    def square(self):\n        return self.n ** 2",
        "c = C(3)",
        "a = c.square",
        "b = c.square + 1",
    ],
    "groups": [
        "import pandas as pd",
        "groups = pd.DataFrame({'g': list('aab'), 'x': [1, 2, 4]}).groupby('g')",
        "means = groups['x'].mean()",
        "sizes = {key: len(each) for key, each in groups}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_blocks_leave_and_objects_remember_makes_no_cell_run(tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChangesOthers)
        _book(tmp_path, KEPT[name]).run()
        states = _states(_book(tmp_path, KEPT[name]).run())
    assert {*states[1:]} == {"known"}


def test_what_an_object_is_changed_to_is_not_what_it_remembers(tmp_path: Path) -> None:
    cells = [*KEPT["properties"][:2], "c.n = 4\na = c.square", "x = c.n"]
    for _ in range(2):
        assert _book(tmp_path, cells).run()["x"] == 4


def test_what_a_block_left_says_what_to_do_where_it_was_not_kept(tmp_path: Path) -> None:
    book = _book(tmp_path, KEPT["files"]).run()
    assert isinstance(book["f"], Spent)
    with pytest.raises(NotKept, match="has no closed: run its cell once more"):
        _ = book["f"].closed


def test_a_block_whose_leavings_a_new_cell_reads_runs_again(tmp_path: Path) -> None:
    _book(tmp_path, KEPT["files"][:1]).run()
    book = _book(tmp_path, [KEPT["files"][0], "x = f.closed"]).run()
    assert book["x"] is True
    assert _states(book) == ["live", "live"]


def test_the_module_of_a_notebook_is_left_as_it_was(tmp_path: Path) -> None:
    before = sys.modules["__main__"]
    _book(tmp_path, EDITED["main"][0]).run()
    assert sys.modules["__main__"] is before


INNER = [
    "import matplotlib.pyplot as plt",
    "n = int(open('d.txt').read())",
    "plt.plot([n, 2])\na = len(plt.gca().lines)",
    "plt.plot([n, 3])\nb = len(plt.gca().lines)",
]


@pytest.mark.timeout(120)
def test_a_cell_that_draws_may_run_a_notebook_whose_cells_draw(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text("\n\n".join(f"# %%\n{cell}" for cell in INNER) + "\n")
    cells = [
        "import matplotlib.pyplot as plt\nimport stargazer as sg",
        "plt.plot([1])\ninner = sg.Notebook('inner.py').run()\nx = (inner['n'], inner['a'], inner['b'], len(plt.gca().lines))",
    ]
    for number in (5, 6):  # what the other notebook reads is not seen to be read here
        (tmp_path / "d.txt").write_text(str(number))
        assert _book(tmp_path, cells).run()["x"] == (number, 1, 1, 1)
    alone = [cells[0], "x = sg.Notebook('inner.py').run()['n']"]
    for number in (6, 7):
        (tmp_path / "d.txt").write_text(str(number))
        assert _book(tmp_path, alone).run()["x"] == number
