"""Values that have a part in common: what a cell changes of one is changed of the other, as in a kernel."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.fingerprint import UncertainIdentity
from stargazer.notebook.live import Live
from stargazer.notebook.rows import ChangesOthers
from stargazer.notebook.sharing import shared_parts
from stargazer.store import active_store

ARRAY = "import numpy as np\na = np.arange(6)"
TABLE = "import pandas as pd\nf = pd.DataFrame({'a': [1.0, 2.0], 'b': [3.0, 4.0]})"
CELLS = "import anndata\nimport numpy as np\nc = anndata.AnnData(np.ones((3, 2)))"
KEPT = "class Kept:\n    def __init__(self):\n        self.made = [1]"

TWO = "from typing import NamedTuple\n\nclass Two(NamedTuple):\n    a: list\n    b: int"

LOCKED = """\
import threading

class Locked:
    def __init__(self, items):
        self.items, self.lock = items, threading.Lock()

    def add(self, n):
        self.items.append(n)"""
ADDING = """\
def adding_to(items):
    def add(n):
        items.append(n)

    return add"""

CHANGED = {
    "view": [ARRAY, "v = a[2:5]", "v[:] = 0", "x = int(a.sum())"],
    "whole-of-a-view": [ARRAY, "v = a[2:5]", "a[3] = 100", "x = int(v.sum())"],
    "made-together": [f"{ARRAY}\nv = a[2:5]", "v[:] = 0", "x = int(a.sum())"],
    "view-of-a-view": [ARRAY, "v = a[1:5]", "w = v[1:3]", "w[:] = 100", "x = int(a.sum() + v.sum())"],
    "transposed": [f"{ARRAY}.reshape(2, 3)", "t = a.T", "t[0, 0] = 7", "x = int(a[0, 0])"],
    "inner-list": ["d = {'l': [1, 2]}", "l = d['l']", "l.append(5)", "x = sum(d['l'])"],
    "in-a-tuple": ["v = [1]", "t = v, 2", "t[0].append(3)", "x = sum(v)"],
    "in-a-named-tuple": [
        TWO,
        "v = [1]",
        "t = Two(v, 2)",
        "t.a.append(3)",
        "x = sum(v)",
    ],
    "whole-of-a-tuple": ["v = [1]", "t = v, 2", "v.append(3)", "x = sum(t[0])"],
    "with-a-lock": [LOCKED, "v = [1]", "m = Locked(v)", "m.add(3)", "x = sum(v)"],
    "in-a-function": ["v = [1]", ADDING, "add = adding_to(v)", "add(3)", "x = sum(v)"],
    "generator": ["v = [1]", "g = (2 * each for each in v)", "v.append(3)", "x = sum(g)"],
    "zipped": ["v = [1]", "g = zip(map(abs, v), iter(v))", "v.append(3)", "x = sum(map(sum, g))"],
    "keys": ["d = {1: 2}", "k = d.keys()", "d[5] = 7", "x = sum(k)"],
    "memory": ["b = bytearray(b'ab')", "m = memoryview(b)", "b[0] = 0", "x = m[0]"],
    "attribute": [KEPT, "k = Kept()", "m = k.made", "m.append(9)", "x = sum(k.made)"],
    "matrix-of-cells": [CELLS, "m = c.X", "m[0, 0] = 5", "x = float(c.X.sum())"],
    "table-of-cells": [CELLS, "o = c.obs", "o['n'] = [1, 2, 3]", "x = list(c.obs.columns)"],
}
if int(pd.__version__.partition(".")[0]) < 3:
    CHANGED["column"] = [TABLE, "n = f['a'].to_numpy()", "n[0] = 50", "x = float(f['a'].sum())"]


def _plain(cells: list[str]) -> Any:
    space: dict[str, Any] = {}
    for cell in cells:
        exec(cell, space)
    return space["x"]


def _written(path: Path, cells: list[str], kind: str) -> Path:
    if kind == "percent":
        path.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells))
        return path
    bodies = ("".join(f"    {line}\n" for line in cell.splitlines()) for cell in cells)
    made = "".join(f"@app.cell\ndef _():\n{body}    return\n\n\n" for body in bodies)
    path.write_text(f"import marimo\n\napp = marimo.App()\n\n\n{made}")
    ast.parse(path.read_text())
    return path


AT_ONCE = {
    "name": ["v = [3, 1]", "y = v\ny.append(5)", "x = sum(v)"],
    "element": ["v = [[3], [1]]", "y = v[0]\ny.append(5)", "x = sum(v[0])"],
    "loop": ["v = [[3], [1]]", "for y in v:\n    y.append(5)", "x = sum(map(sum, v))"],
    "view": [ARRAY, "y = a[:2]\ny[:] = 9", "x = int(a.sum())"],
    "attribute": [KEPT, "k = Kept()", "y = k.made\ny.append(9)", "x = sum(k.made)"],
    "in-a-default": ["v = [1]", "add = lambda n, to=v: to.append(n)", "add(3)", "x = sum(v)"],
    "writer-of-a-stream": [
        "import csv\nimport io",
        "f = io.StringIO()\nw = csv.writer(f)",
        "w.writerow([1, 2])",
        "x = f.getvalue()",
    ],
    "stream-of-a-stream": [
        "import io",
        "f = io.BytesIO()\nw = io.TextIOWrapper(f)",
        "w.write('a')\nw.flush()",
        "x = f.getvalue()",
    ],
    "what-has-no-bytes": [
        "v = []",
        "for each in range(2):\n    v.append(lambda n=each: n)",
        "x = [each() for each in v]",
    ],
    "name-and-a-function": ["v = [3, 1]", "y = v\nz = lambda: y\nz().append(5)", "x = sum(v)"],
}
"""What a cell changes by a name that it made just now, or by what a function remembers."""


@pytest.mark.parametrize("kind", ["percent", "marimo"])
@pytest.mark.parametrize("name", AT_ONCE)
def test_what_is_changed_by_a_new_name_is_changed_when_it_runs_first(
    store: sg.Store, tmp_path: Path, name: str, kind: str
) -> None:
    path = _written(tmp_path / "book.py", AT_ONCE[name], kind)
    for _ in "new", "known":
        book = sg.Notebook(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ChangesOthers)
            warnings.simplefilter("ignore", UncertainIdentity)
            book.run()
        assert book["x"] == _plain(AT_ONCE[name])


@pytest.mark.parametrize("kind", ["percent", "marimo"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_part_that_is_changed_is_changed_for_all_who_have_it(
    store: sg.Store, tmp_path: Path, name: str, kind: str
) -> None:
    path = _written(tmp_path / "book.py", CHANGED[name], kind)
    for _ in "new", "known":
        book = sg.Notebook(path)
        with warnings.catch_warnings(record=True) as told:  # by threads, too
            warnings.simplefilter("always")
            book.run()
        assert [each for each in told if each.category is ChangesOthers and "make a copy" in str(each.message)]
        assert book["x"] == _plain(CHANGED[name])
    with pytest.raises(NotebookError, match="which another cell made"):
        sg.Notebook(path).run(strict=True)


@pytest.mark.parametrize("kind", ["percent", "marimo"])
def test_what_nobody_changes_stays_known(store: sg.Store, tmp_path: Path, kind: str) -> None:
    cells = [CELLS, "m = c.X\nl = {'o': [c.obs]}", "x = float(m.sum())", "y = list(l)"]
    path = _written(tmp_path / "book.py", cells, kind)
    for _ in "new", "known":
        book = sg.Notebook(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            book.run()
        assert book["x"] == 6.0
    assert {row.state for row in book.report.rows} == {"known"}


def test_what_is_shared() -> None:
    array, inner = np.arange(10), [1]
    given = {"array": array, "inner": inner, "text": "text", "both": (1, [inner])}
    made = {"view": array[2:4], "beside": array[6:8], "copy": array.copy(), "one": {"k": inner}, "text2": "text"}
    assert shared_parts(made, given) == {"view": ["array"], "beside": ["array"], "one": ["both", "inner"]}
    assert shared_parts({"x": np.array([inner], object)[:1], "none": None, "empty": array[:0]}, given) == {}
    held = np.empty(1, object)
    held[0] = inner
    assert shared_parts({"x": held}, given) == {"x": ["both", "inner"]}


def test_columns_of_tables_are_shared_where_tables_do_not_copy_on_write() -> None:
    table = pd.DataFrame(
        {"n": [1, 2, 3], "t": list("xyz"), "c": pd.Categorical(list("uvu")), "m": pd.array([1, None, 2])}
    )
    made = {"n": table["n"], "c": table["c"], "m": table["m"], "rows": table[table["n"] > 1], "copy": table.copy()}
    copies = int(pd.__version__.partition(".")[0]) >= 3
    assert shared_parts(made, {"table": table}) == ({} if copies else {name: ["table"] for name in ("n", "c", "m")})
    assert shared_parts({"same": table}, {"table": table}) == {"same": ["table"]}


def _in_a_kernel(cells: list[str]) -> tuple[Any, list[str], list[str]]:
    """Run cells as a kernel of Jupyter does; return x, what became of each cell, and what was warned of."""
    live, space = Live(active_store(), sequential=True), dict[str, Any]()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number, cell in enumerate(cells):
            looked = live.look(cell, space, str(number))
            if looked.record is not None:
                live.restore(looked, space)
                continue
            with live.watched(looked):
                exec(cell, space)
            live.record(looked, space, [])
    return (
        space["x"],
        [state for _, state, _ in live.rows],
        [str(w.message) for w in told if w.category is ChangesOthers],
    )


@pytest.mark.parametrize("name", ["inner-list", "attribute", "matrix-of-cells", "view"])
def test_a_kernel_that_took_a_part_from_the_ledger_says_so(store: sg.Store, name: str) -> None:
    cells = CHANGED[name]
    found, _, told = _in_a_kernel(cells)
    assert (found, told) == (_plain(cells), [])
    found, states, told = _in_a_kernel(cells)
    assert states[2] == "live"
    assert found == _plain(cells) or "came from the ledger" in told[0]
