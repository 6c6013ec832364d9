"""Cells that change what code and libraries keep: classes, globals of functions, seeds and settings, figures."""

# ruff: noqa: E501 - cells are read more easily in one line

from __future__ import annotations

import ast
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.notebook.code import root_set_up
from stargazer.notebook.rows import ChangesOthers

pytestmark = pytest.mark.filterwarnings("ignore::stargazer.fingerprint.identity.UncertainIdentity")
"""Functions that count are told of when they are first looked at in a process; here it is of cells that is asked."""

COUNTED = (
    "class C:\n    n = 0\n    seen = []\n    def __init__(self, v):\n        self.seen.append(v)\n        C.n += 1"
)
NOTED = "seen = []\ndef note(v):\n    seen.append(v)\n    return v"
CELLS: dict[str, list[str]] = {
    "attribute-of-a-class": ["class C:\n    n = 0", "C.n += 1", "C.n += 1", "x = C.n"],
    "attribute-set-to-a-value": ["class C:\n    n = 0", "v = 7", "C.n = v", "x = C.n"],
    "class-that-counts": [COUNTED, "a = C(1)", "b = C(2)", "x = (C.n, C.seen)"],
    "constant-between": ["CONF = {'a': 1}", "y = CONF['a']", "CONF['a'] = 2", "x = (y, CONF['a'])"],
    "global-of-a-function": ["n = 0\ndef up():\n    global n\n    n += 1", "up()", "up()", "x = n"],
    "global-that-a-function-makes": ["def make(v):\n    global made\n    made = v", "make(3)", "x = made"],
    "list-of-a-function": [NOTED, "a = note(1)", "b = note(2)", "x = list(seen)"],
    "list-of-a-class-by-an-object": ["class A:\n    items = []", "a = A()", "a.items.append(1)", "x = list(A().items)"],
    "of-the-class-above-it": ["class A:\n    seen = []\nclass B(A):\n    pass", "b = B()", "b.seen.append(3)", "x = list(A.seen)"],
    "item-of-a-class": ["class A:\n    conf = {'k': 1}", "a = A()", "a.conf['k'] = 2", "x = A().conf['k']"],
    "list-of-a-class-by-a-function": [
        "class A:\n    total = [0]\ndef up(a):\n    a.total[0] += 1",
        "many = [A() for _ in range(3)]",
        "for a in many:\n    up(a)",
        "x = many[0].total[0]",
    ],
    "function-passed-on": [NOTED, "y = list(map(note, [1, 2]))", "x = list(seen)"],
    "by-another-function": [NOTED, "def outer(v):\n    return note(v)", "a = outer(1)", "x = list(seen)"],
    "table-of-functions": [f"{NOTED}\ntable = {{'note': note}}", "table['note'](1)", "x = list(seen)"],
    "method-of-an-object": [
        "class Log:\n    def __init__(self):\n        self.rows = []\n    def write(self, v):\n        self.rows.append(v)",
        "log = Log()\ndef step(v):\n    log.write(v)\n    return v",
        "a = step(1)",
        "b = step(2)",
        "x = log.rows",
    ],
    "attribute-of-a-function": ["def f():\n    f.n += 1\n    return f.n\nf.n = 0", "a = f()", "x = f()"],
    "default-of-a-function": ["def f(v, seen=[]):\n    seen.append(v)\n    return list(seen)", "a = f(1)", "x = f(2)"],
    "decorator-that-counts": [
        "def counted(f):\n    def w():\n        w.calls += 1\n    w.calls = 0\n    return w",
        "@counted\ndef f():\n    pass",
        "a = f()",
        "b = f()",
        "x = f.calls",
    ],
    "decorator-that-registers": ["REG = {}\ndef reg(f):\n    REG[f.__name__] = f\n    return f", "@reg\ndef a():\n    pass", "x = [*REG]"],
    "subclasses-that-register": [
        "class Base:\n    subs = []\n    def __init_subclass__(cls):\n        Base.subs.append(cls.__name__)",
        "class A(Base):\n    pass",
        "class B(Base):\n    pass",
        "x = list(Base.subs)",
    ],
    "closure": ["def make():\n    k = 0\n    def up():\n        nonlocal k\n        k += 1\n        return k\n    return up", "up = make()", "a = up()", "x = up()"],
    "list-of-a-closure": ["def make():\n    seen = []\n    def add(v):\n        seen.append(v)\n        return len(seen)\n    return add", "add = make()", "a = add(1)", "x = add(2)"],
    "method-of-a-list": ["xs = []\nput = xs.append", "put(1)", "put(2)", "x = list(xs)"],
    "part-of-a-call": ["import functools\nxs = []\nput = functools.partial(xs.append, 5)", "put()", "x = list(xs)"],
    "cache-that-is-asked": ["import functools\n@functools.cache\ndef f(v):\n    return v", "a = f(1)", "x = f.cache_info().misses"],
    "cached-list-that-is-changed": ["import functools\n@functools.lru_cache\ndef f(n):\n    return [n]", "a = f(3)", "a.append(9)", "x = f(3)"],
    "cached-list-that-grows": ["import functools\n@functools.lru_cache\ndef f(n):\n    return [n]", "b = f(3)\na = b", "a += [9]", "x = f(3)"],
    "cached-table-that-is-changed": [
        "import functools\nimport pandas as pd\n@functools.cache\ndef load(n):\n    return pd.DataFrame({'a': [n]})",
        "one = load(3)\none['b'] = 2",
        "two = load(3)\nx = list(two.columns)",
    ],
    "property-that-is-changed": [
        "import functools\nclass C:\n    @functools.cached_property\n    def items(self):\n        return [1]",
        "c = C()",
        "c.items.append(2)",
        "x = list(c.items)",
    ],
    "seed-by-a-bare-name": ["from random import seed, random\nn = 3", "seed(n)", "x = random()"],
    "seed-of-numpy-by-a-bare-name": ["from numpy.random import seed, rand", "seed(5)", "x = float(rand())"],
    "seeded-twice": ["import random", "random.seed(1)", "a = random.random()", "random.seed(2)", "x = (a, random.random())"],
    "seeded-anew-in-each-cell": ["import random", "random.seed(1)\na = random.random()", "random.seed(1)\nb = random.random()", "x = (a, b, random.random())"],
    "seeded-anew-in-one-cell": ["import numpy as np", "np.random.seed(1)\na = np.random.rand()\nnp.random.seed(1)\nx = [a == np.random.rand()]"],
    "seeded-after-draws": ["import random\na = random.random()", "random.seed(1)\nx = random.random()"],
    "seeded-after-draws-in-one-cell": ["import random", "a = random.random()\nrandom.seed(1)\nx = random.random()"],
    "set-up-twice": [
        "import numpy as np",
        "np.set_printoptions(precision=2)",
        "a = str(np.array([1 / 3]))",
        "np.set_printoptions(precision=4)",
        "x = a + str(np.array([1 / 3]))",
    ],
    "set-up-by-a-bare-name": ["import numpy as np\nfrom numpy import set_printoptions", "set_printoptions(precision=2)", "x = str(np.array([1 / 3]))"],
    "set-up-in-a-function": ["import decimal\ndef setup(v):\n    decimal.getcontext().prec = v", "setup(7)", "x = str(decimal.Decimal(1) / 3)"],
    "environment-in-a-function": ["import os\ndef setup(v):\n    os.environ['SET_UP'] = v", "setup('q')", "x = os.environ['SET_UP']"],
    "seeded-by-a-function-of-its-cell": ["import random\ndef seed_all(n):\n    random.seed(n)\nseed_all(3)", "x = random.random()"],
    "set-up-by-a-function-of-its-cell": ["import decimal\ndef setup(v):\n    decimal.getcontext().prec = v\nsetup(7)", "x = str(decimal.Decimal(1) / 3)"],
    "variable-taken-away": ["import os\nos.environ['TAKEN'] = '1'", "os.environ.pop('TAKEN')", "x = os.environ.get('TAKEN')"],
}  # fmt: skip

PLAIN = """
import json, sys
space = {"__name__": "__main__"}
for cell in json.loads(sys.stdin.read()):
    exec(compile(cell, "<cell>", "exec"), space)
print(repr(space["x"]))
"""
OURS = """
import json, sys, pathlib
import stargazer as sg
cells, path = json.loads(sys.stdin.read()), pathlib.Path(sys.argv[1])
path.write_text("".join(f"# %%\\n{cell}\\n\\n" for cell in cells))
print(repr(sg.Notebook(path).run()["x"]))
"""


def _book(folder: Path, cells: list[str]) -> sg.Notebook:
    path = folder / "x.py"
    path.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n")
    return sg.Notebook(path)


def _plain(cells: list[str]) -> Any:
    space: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        exec(compile(cell, "<cell>", "exec"), space)
    return space["x"]


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing that a cell sets up is left for other tests."""
    import decimal
    import random

    import matplotlib.pyplot as plt
    import numpy as np

    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("SET_UP", raising=False)
    monkeypatch.delenv("TAKEN", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    states = random.getstate(), np.random.get_state(), np.get_printoptions(), decimal.getcontext().copy()
    plt.close("all")
    yield
    plt.close("all")
    random.setstate(states[0])
    np.random.set_state(states[1])
    np.set_printoptions(**states[2])
    decimal.setcontext(states[3])


@pytest.mark.parametrize("name", CELLS)
def test_cells_find_what_others_left_in_code_and_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import matplotlib.pyplot as plt

    cells = CELLS[name]
    with warnings.catch_warnings(), monkeypatch.context() as patched:
        warnings.simplefilter("ignore")
        expected = _plain(cells)
        plt.close("all")
        patched.delenv("SET_UP", raising=False)
        assert _book(tmp_path, cells).run()["x"] == expected
        plt.close("all")
        edited = [*cells[:-1], f"{cells[-1]}\ny_2 = 1"]
        assert _book(tmp_path, edited).run()["x"] == expected


def test_what_cells_change_is_told_with_a_remedy_and_refused_if_strict(tmp_path: Path) -> None:
    cells = CELLS["list-of-a-function"]
    with pytest.warns(ChangesOthers, match=r"change seen, which is code, or is kept by code.*let a function return"):
        report = _book(tmp_path, cells).run().report
    assert [row.state for row in report.rows] == ["live"] * 4
    with pytest.raises(NotebookError, match="change seen"):
        _book(tmp_path, cells).run(strict=True)


KEPT = {
    "objects-of-their-own": [
        "class C:\n    def __init__(self):\n        self.seen = []\n    def add(self, v):\n        self.seen.append(v)\n        return self",
        "a = C().add(1).seen",
        "b = C().add(2).seen",
    ],
    "lists-of-the-class-that-nobody-changes": [
        "class C:\n    names = ['a']\n    def __init__(self):\n        self.seen = []",
        "a = C()\na.seen.append(a.names[0])",
        "b = C().names + C.names",
    ],
    "lists-of-their-own": ["def f(v):\n    seen = []\n    seen.append(v)\n    return seen", "a = f(1)", "b = f(2)"],
    "what-only-one-cell-uses": ["SEEN = {}\ndef f(v):\n    SEEN[v] = v\n    return v", "a = f(1)\nb = f(2)", "c = 3"],
    "a-cache": ["import functools\n@functools.cache\ndef f(v):\n    return v", "a = f(1)", "b = f(1)"],
    "settings-that-are-set-back": [
        "import warnings\ndef f(v):\n    with warnings.catch_warnings():\n        warnings.simplefilter('ignore')\n        return v",
        "a = f(1)",
        "b = f(2)",
    ],
    "data-that-are-set-twice": ["import collections", "a = collections.Counter()\na['x'] = 1\na.update([1])", "b = collections.Counter()\nb['x'] = 2\nb.update([2])"],
    "fields-of-objects": [
        "from dataclasses import dataclass, field\n@dataclass\nclass C:\n    seen: list = field(default_factory=list)\n    def add(self, v):\n        self.seen.append(v)\n        return self",
        "a = C().add(1).seen",
        "b = C().add(2).seen",
    ],
    "folders-of-modules": ["import sys", "sys.path.append('nowhere')\na = 1", "b = 2"],
    "warnings-by-a-bare-name": ["from warnings import filterwarnings", "filterwarnings('ignore')\na = 1", "b = 2"],
    "warnings-of-several-kinds": [
        "import warnings",
        "warnings.filterwarnings('ignore', category=FutureWarning)\na = 1",
        "warnings.filterwarnings('ignore', category=UserWarning)\nb = 2",
    ],
    "lines-that-are-drawn": [
        "import matplotlib.pyplot as plt\ndef draw():\n    fig, ax = plt.subplots()\n    plt.setp(ax.get_xticklabels(), rotation=90)\n    plt.close(fig)",
        "draw()\na = 1",
        "b = 2",
    ],
    "figures-of-their-own": [
        "import matplotlib.pyplot as plt",
        "fig, ax = plt.subplots()\na = len(ax.plot([1, 2]))\nplt.close(fig)\ndel fig, ax",
        "fig_2 = plt.figure()\nb = len(plt.plot([1, 2]))\nplt.close(fig_2)\ndel fig_2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_cells_that_leave_nothing_are_kept(tmp_path: Path, name: str) -> None:
    _book(tmp_path, KEPT[name]).run()
    assert [row.state for row in _book(tmp_path, KEPT[name]).run().report.rows] == ["live", "known", "known"]


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("sc.pp.filter_cells(adata, min_genes=200)", ""),
        ("plt.setp(ax.get_xticklabels(), rotation=90)", ""),
        ("sc.settings.set_figure_params(dpi=80)", "sc"),
        ("warnings.filterwarnings('ignore')", "warnings"),
        ("sns.set(style='white')", "sns"),
    ],
)
def test_functions_that_change_what_they_are_given_set_up_nothing(text: str, root: str) -> None:
    assert root_set_up(ast.parse(text).body[0]) == root


@pytest.mark.parametrize("place", ["'{src}'", "str(Path('{src}') / 'sub' / '..')"])
def test_modules_are_found_where_a_cell_says_they_are(tmp_path: Path, place: str) -> None:
    src = tmp_path / "src"
    (src / "sub").mkdir(parents=True)
    name = f"own_{len(place)}_of_cells"
    cells = [
        f"import sys\nfrom pathlib import Path\nsys.path.append({place.format(src=src)})\nsys.path.insert(0, 'nowhere')",
        f"from {name} import f",
        "x = f(3)",
    ]
    (src / f"{name}.py").write_text("def f(v):\n    return v + 1\n")
    for last in ("ran", "known"):
        outcome = _book(tmp_path, cells).run()
        assert outcome["x"] == 4
        assert [row.state for row in outcome.report.rows] == ["live", "live", last]


def test_cells_after_the_last_of_several_settings_are_kept(tmp_path: Path) -> None:
    cells = [
        "import numpy as np",
        "np.set_printoptions(precision=2)",
        "np.set_printoptions(precision=4)",
        "x = str(np.array([1 / 3]))",
    ]
    for last in ("ran", "known"):
        outcome = _book(tmp_path, cells).run()
        assert outcome["x"] == "[0.3333]"
        assert [row.state for row in outcome.report.rows] == ["live", "live", "live", last]


def test_warnings_that_become_errors_count(tmp_path: Path) -> None:
    cells = ["from warnings import simplefilter", "simplefilter('error')", "a = 1"]
    assert [row.state for row in _book(tmp_path, cells).run().report.rows] == ["live"] * 3


def test_items_that_cells_set_one_after_the_other_are_data(tmp_path: Path) -> None:
    cells = ["d = {}", "d['a'] = 1", "d['a'] = 2", "x = d['a']"]
    assert _book(tmp_path, cells).run()["x"] == 2
    assert [row.state for row in _book(tmp_path, cells).run().report.rows] == ["known"] * 4


@pytest.mark.parametrize("name", ["class-that-counts", "seed-of-numpy-by-a-bare-name", "set-up-in-a-function"])
def test_a_target_finds_what_cells_left_that_it_does_not_name(tmp_path: Path, name: str) -> None:
    expected = _plain(CELLS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert _book(tmp_path, [*CELLS[name], "later = 1"]).run(target="x")["x"] == expected


def test_a_setting_under_another_name_of_its_library_counts(tmp_path: Path) -> None:
    cells = ["import matplotlib as mpl\nimport matplotlib.pyplot as plt", "mpl.rcParams['font.size'] = {}", "x = plt.rcParams['font.size']"]  # fmt: skip
    import matplotlib as mpl

    with mpl.rc_context():
        for size in (20, 21):
            assert _book(tmp_path, [each.replace("{}", str(size)) for each in cells]).run()["x"] == size


FIGURES = {
    "over-cells": (
        ["plt.plot([1, 2])", "plt.title('t')", "x = (len(plt.gca().lines), plt.gca().get_title())"],
        (0, ""),
    ),
    "of-a-function": (["def draw():\n    plt.plot([1, 2])", "draw()", "x = len(plt.gca().lines)"], 0),
    "side-by-side": (
        [
            *(
                f"import time\nplt.figure()\ntime.sleep(0.05)\nplt.plot([1])\nn{n} = len(plt.gca().lines)"
                for n in range(4)
            ),
            "x = [n0, n1, n2, n3]",
        ],
        [1, 1, 1, 1],
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_pyplot_ends_with_its_cell(tmp_path: Path, name: str) -> None:
    import matplotlib.pyplot as plt

    cells, value = FIGURES[name]
    for _ in range(2):
        assert _book(tmp_path, ["import matplotlib.pyplot as plt", *cells]).run(again=True)["x"] == value
    assert plt.get_fignums() == []


def test_a_name_that_a_cell_deleted_is_gone_for_those_after_it(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"line 8 reads y, which the cell at line 5 deletes"):
        _book(tmp_path, ["y = 1", "del y", "x = y"]).run()
    assert _book(tmp_path, ["y = 1", "del y", "y = 2", "x = y"]).run()["x"] == 2


def test_a_program_that_shows_cells_one_by_one_runs_what_changes_code(tmp_path: Path) -> None:
    from stargazer.notebook.live import Live
    from stargazer.store import active_store

    space: dict[str, Any] = {}
    live = Live(active_store(), sequential=True)
    told = []
    for number, source in enumerate(["class C:\n    n = 0", "C.n += 1", "y = C.n", "z = 1"]):
        told.append(live.look(source, space, str(number)).why)
        exec(source, space)
    assert told == ["code", "C is changed by what it calls", "C is changed by what it calls", ""]


def test_another_process_comes_to_the_same(tmp_path: Path) -> None:
    import json

    cells = json.dumps(CELLS["class-that-counts"])
    expected = subprocess.run([sys.executable, "-c", PLAIN], input=cells, capture_output=True, text=True, check=True)
    for _ in range(2):
        ours = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", OURS, str(tmp_path / "x.py")],
            input=cells, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ours.stdout == expected.stdout
