"""What cells leave for others beside their values: seeds, settings of a thread, names that functions read late."""

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


def test_one_draw_from_what_constants_seed_is_kept(tmp_path: Path) -> None:
    cells = [SEEDED, "x = random.random()"]
    _book(tmp_path, cells).run()
    assert [row.state for row in _book(tmp_path, cells).run().report.rows] == ["live", "known"]


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
