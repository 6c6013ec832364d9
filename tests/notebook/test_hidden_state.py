"""What cells leave for others beside their values: seeds, settings of a thread, names that functions read late."""

# ruff: noqa: E501 - cells are read more easily in one line

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import NotebookError


def _drawn(seed: int, number: int) -> float:
    generator = random.Random(seed)
    return [generator.random() for _ in range(number)][-1]


SEEDED = "import random\nrandom.seed(1)"
SAMPLED = "import numpy as np\nimport pandas as pd\nnp.random.seed({})\ntable = pd.DataFrame({{'a': range(50)}})"
VALUES: dict[str, list[tuple[list[str], Any]]] = {
    "seed-of-a-value": [
        (["import random\nn = 1", "random.seed(n)", "x = random.random()"], _drawn(1, 1)),
        (["import random\nn = 2", "random.seed(n)", "x = random.random()"], _drawn(2, 1)),
    ],
    "second-draw": [
        ([SEEDED, "a = random.random()", "x = random.random()"], _drawn(1, 2)),
        ([SEEDED, "a = random.random()", "x = random.random() * 2"], _drawn(1, 2) * 2),
    ],
    "seeded-anew": [
        ([SEEDED, "x = random.random()"], _drawn(1, 1)),
        ([SEEDED, "x = random.random() * 2"], _drawn(1, 1) * 2),
    ],
    "updated": [
        (["import os\nos.environ.update(UPDATED='1')", "x = os.environ['UPDATED']"], "1"),
        (["import os\nos.environ.update(UPDATED='2')", "x = os.environ['UPDATED']"], "2"),
        (["import os\nn = '3'", "os.environ.update(UPDATED=n)", "x = os.environ['UPDATED']"], "3"),
    ],
    "sampled": [
        ([SAMPLED.format(1), "x = table.sample(3)['a'].tolist()"], [27, 35, 40]),
        ([SAMPLED.format(2), "x = table.sample(3)['a'].tolist()"], [36, 47, 28]),
        ([SAMPLED.format(1), "y = table.sample(3)", "x = table.sample(1, random_state=2)['a'].tolist()"], [36]),
    ],
    "decimals": [
        (["import decimal\ndecimal.getcontext().prec = 5", "x = str(decimal.Decimal(1) / 3)"], "0.33333"),
        (["import decimal\ndecimal.getcontext().prec = 3", "x = str(decimal.Decimal(1) / 3)"], "0.333"),
    ],
    "decimals-of-a-value": [
        (["import decimal\nn = 5", "decimal.getcontext().prec = n", "x = str(decimal.Decimal(1) / 3)"], "0.33333"),
        (["import decimal\nn = 7", "decimal.getcontext().prec = n", "x = str(decimal.Decimal(1) / 3)"], "0.3333333"),
        (["import decimal", "x = str(decimal.Decimal(1) / 4)[:4]"], "0.25"),
        (["import decimal", "x = len(str(decimal.Decimal(1) / 3))"], 30),
    ],
    "printing": [
        (["import numpy as np\nnp.set_printoptions(precision=2)", "x = str(np.array([1 / 3]))"], "[0.33]"),
        (["import numpy as np\nnp.set_printoptions(precision=4)", "x = str(np.array([1 / 3]))"], "[0.3333]"),
    ],
    "errors-of-numpy": [
        (
            [
                "import numpy as np\nnp.seterr(divide='raise')",
                "try:\n    x = str(np.float64(1) / np.float64(0))\nexcept FloatingPointError:\n    x = 'raised'",
            ],
            "raised",
        ),
    ],
    "used-before-it-is-bound-again": [
        (["k = [2]", "def f(v):\n    return v * k[0]", "x = f(10)", "k = [3]"], 20),
    ],
    "read-when-it-is-made": [(["d = [1]", "def f(v, n=d):\n    return v + n", "d = f(d)", "x = f(d)"], [1, 1, 1])],
    "bound-again-where-it-is-made": [(["k = [2]", "def f(v):\n    return v * k[0]\nk = [3]\nx = f(10)"], 30)],
    "made-anew": [
        (["k = [2]", "def f():\n    return k[0]", "k = [3]", "def f():\n    return k[0]", "x = f()"], 3),
    ],
    "name-of-a-comprehension": [
        (["k = [2]", "def f():\n    return k[0]", "y = [k for k in range(3)]", "x = f()", "k = 1"], 2),
    ],
    "all-names-of-a-module": [
        (["from math import *", "a = 3.7", "x = floor(pi * a)"], 11),
        (["from math import *", "a = 4.7", "x = floor(pi * a)"], 14),
    ],
    "imported-twice": [
        (["import math\ndef f(v):\n    return math.floor(v)", "import math\ny = 1", "x = f(2.5)"], 2),
    ],
}  # fmt: skip


def _book(folder: Path, cells: list[str]) -> sg.Notebook:
    path = folder / "x.py"
    path.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n")
    return sg.Notebook(path)


@pytest.mark.parametrize("name", VALUES)
def test_cells_find_what_a_kernel_would_have_left_them(tmp_path: Path, name: str) -> None:
    for cells, value in VALUES[name]:
        assert _book(tmp_path, cells).run()["x"] == value


ASKED = {
    "os": "import os\nx = os.path.exists('late.txt')",
    "imported": "from os.path import isfile\nx = isfile('late.txt')",
    "pathlib": "from pathlib import Path\nx = Path('late.txt').is_file()",
}


@pytest.mark.parametrize("name", ASKED)
def test_a_cell_that_asks_whether_a_file_is_there_is_never_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not _book(tmp_path, [ASKED[name]]).run()["x"]
    (tmp_path / "late.txt").touch()
    assert _book(tmp_path, [ASKED[name]]).run()["x"]


def test_one_draw_from_what_constants_seed_is_kept(tmp_path: Path) -> None:
    cells = [SEEDED, "x = random.random()"]
    _book(tmp_path, cells).run()
    assert [row.state for row in _book(tmp_path, cells).run().report.rows] == ["live", "known"]


def test_all_names_of_a_module_that_hide_pythons_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"line 2.* from numpy import \* hides Python's own sum, which other cells"):
        _book(tmp_path, ["from numpy import *", "x = sum([[1, 2], [3, 4]])"]).run()


LATE = {
    "function": ["k = [2]", "def f():\n    return k[0]", "k = [3]", "x = f()"],
    "lambda": ["k = 2\nf = lambda: k", "k = 3", "x = f()"],
    "method": ["k = [2]", "class f:\n    def m(self):\n        return k", "k = [3]", "x = f().m()"],
    "same-cell": ["k = [2]", "def f():\n    return k[0]", "k = [3]\nx = f()"],
    "by-another": ["k = [2]", "def g():\n    return k", "def f():\n    return g()", "k = [3]", "x = f()"],
    "passed-on": ["k = [2]", "def f(v):\n    return k", "for k in range(3):\n    pass", "x = list(map(f, [1]))"],
}


@pytest.mark.parametrize("name", LATE)
def test_what_a_function_reads_too_late_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotebookError, match=r"uses f of the cell at line \d+, which reads k; that was bound again"):
        _book(tmp_path, LATE[name]).run()


def test_a_program_that_shows_cells_one_by_one_runs_what_seeds_and_what_draws(tmp_path: Path) -> None:
    from stargazer.notebook.live import Live
    from stargazer.store import active_store

    space: dict[str, Any] = {}
    live = Live(active_store(), sequential=True)
    told = []
    for number, source in enumerate(["import random\nn = 1", "random.seed(n)", "x = random.random()", "y = n + 1"]):
        told.append(live.look(source, space, str(number)).why)
        exec(source, space)
    assert [bool(why) for why in told] == [False, True, True, True]
    assert "sets up random" in told[1]
    assert "draws random numbers" in told[2]
    assert "set up before it" in told[3]


ERROR = "class Wrong(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\n        self.b = b"
ASKING = {
    "error": [ERROR, "try:\n    raise Wrong(1, 2)\nexcept Wrong as error:\n    kept = error", "x = (type(kept) is Wrong, kept.b)"],
    "in-a-list": [ERROR, "kept = [Wrong(1, 2)]", "x = (type(kept[0]) is Wrong, kept[0].b)"],
    "made-by-a-function": [
        "class R:\n    b = 2\n    def __reduce__(self):\n        return R.again, ()\n    @staticmethod\n    def again():\n        raise OSError",
        "kept = R()",
        "x = (type(kept) is R, kept.b)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ASKING)
def test_what_can_be_written_and_not_be_read_stays_live(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        book = _book(tmp_path, ASKING[name]).run()
        assert book["x"] == (True, 2)
    assert "cannot be read back" in str(book.report)


def test_errors_of_a_class_of_the_notebook_are_of_that_class_in_every_cell(tmp_path: Path) -> None:
    cells = [
        "class Wrong(Exception):\n    pass",
        "kept = Wrong(1)",
        "try:\n    raise kept\nexcept Wrong:\n    x = type(kept) is Wrong",
    ]
    for last in ("", "\ny = 1"):
        assert _book(tmp_path, [*cells[:-1], cells[-1] + last]).run()["x"] is True
