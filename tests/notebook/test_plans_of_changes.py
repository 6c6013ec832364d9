"""Plans tell of cells that must run because another one, edited, may change in place what they read."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg

CODE = """\
import copy
import heapq
import numpy as np

def adds(x, *, more=()):
    x.append(9)
    return len(x)

def adds_through(thing, /):
    same = thing
    return adds(same) + 1

def only_reads(x):
    y = [*x]
    y.append(9)
    return y

class Model:
    def __init__(self):
        self.seen = []

    def look(self, x):
        self.seen = self.seen + [x]
        return x

    def told(self):
        return len(self.seen)"""
VALUES = "v = [3, 1, 2]", "rows = [[1], [2]]", "table = np.arange(3)", "model = Model()"
READERS = "of_v = [*v]", "of_rows = [[*row] for row in rows]", "of_table = table + 1", "of_model = [*model.seen]"

CHANGES = {
    "a method": ("v.append(4)\nx = 1", "of_v"),
    "a method at the end": ("x = 1\nv.append(4)", "of_v"),
    "a method whose value is taken": ("x = v.pop()", "of_v"),
    "an item": ("v[0] = 7\nx = 1", "of_v"),
    "an item that is gone": ("del v[0]\nx = 1", "of_v"),
    "an item that is added to": ("v[0] += 7\nx = 1", "of_v"),
    "by another name": ("y = v\ny.append(1)\nx = 1", "of_v"),
    "in a block": ("if True:\n    for n in range(2):\n        v.append(n)\nx = 1", "of_v"),
    "elements": ("for row in rows:\n    row.append(1)\nx = 1", "of_rows"),
    "elements and their places": ("for n, row in enumerate(rows):\n    row[0] = n\nx = 1", "of_rows"),
    "elements in a list": ("x = len([row.append(1) for row in rows])", "of_rows"),
    "one element": ("first = rows[0]\nfirst.append(1)\nx = 1", "of_rows"),
    "an array by an operator": ("table[:] *= 2\nx = 1", "of_table"),
    "an array that is given for the answer": ("np.add(table, 1, out=table)\nx = 1", "of_table"),
    "a function of the notebook": ("x = adds(v)", "of_v"),
    "a function that calls one": ("x = adds_through(v)", "of_v"),
    "an option of a function": ("x = adds(x=v)", "of_v"),
    "a function of a library": ("heapq.heappush(v, 0)\nx = 1", "of_v"),
    "a method of an own class": ("x = model.look(1)", "of_model"),
}
CHANGE_NOTHING = {
    "a copy": "y = v.copy()\ny.append(1)\nx = len(y)",
    "a function that copies": "x = only_reads(v)",
    "what is made of it": "y = sorted(v)\ny.append(1)\nx = y",
    "what is told": "print(v)\nx = max(v)",
    "what is shown": "x = 1\ntable.sum()",
    "a method that only reads": "x = model.told() + v.count(1)",
    "a deep copy": "y = copy.deepcopy(rows)\ny[0].append(1)\nx = y",
}


def written(path: Path, middle: str) -> sg.Notebook:
    cells = [CODE, *VALUES, f"x = 0\n{middle}" if "x = " not in middle else middle, *READERS]
    path.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells))
    return sg.Notebook(path)


def states(rows: list, *names: str) -> dict[str, str]:  # type: ignore[type-arg]
    found = {name: row.state for row in rows for name in row.defs}
    return {name: found[name] for name in (*names, "of_v", "of_rows", "of_table", "of_model")}


@pytest.mark.parametrize(("change", "reader"), CHANGES.values(), ids=CHANGES)
def test_a_plan_names_cells_that_read_what_an_edit_changes(
    change: str, reader: str, store: sg.Store, tmp_path: Path
) -> None:
    written(tmp_path / "nb.py", "x = -1").run()
    edited = written(tmp_path / "nb.py", change)
    planned = edited.plan().rows
    edited.run()
    ran = states(edited.report.rows)
    assert ran[reader] in ("ran", "live"), "else this test tests nothing"
    assert states(planned)[reader] == "run"
    assert {name for name, state in ran.items() if state != "known"} <= {
        name for name, state in states(planned).items() if state == "run"
    }
    (why,) = {each for row in planned for each in row.why if reader in row.defs}
    assert why.startswith("it reads ")
    assert why.endswith(" may change")
    again = states(written(tmp_path / "nb.py", change).plan().rows, "x")
    if again["x"] == "known":
        assert set(again.values()) == {"known"}, "what a known cell changed is known"


@pytest.mark.parametrize("alias", ["w = v", "w = v if len(v) else [0]", "w = u = v"])
def test_a_plan_knows_other_names_of_what_is_changed(alias: str, store: sg.Store, tmp_path: Path) -> None:
    path = tmp_path / "nb.py"
    for change in ("x = 1", "w.append(4)\nx = 1"):
        cells = ["v = [3, 1, 2]", alias, change, "of_v = [*v]"]
        path.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells))
        book = sg.Notebook(path)
        planned = book.plan().rows
        book.run()
    assert book["of_v"] == [3, 1, 2, 4]
    assert (planned[-1].state, book.report.rows[-1].state) == ("run", "ran")


@pytest.mark.parametrize("middle", CHANGE_NOTHING.values(), ids=CHANGE_NOTHING)
def test_a_plan_keeps_what_an_edit_leaves_alone(middle: str, store: sg.Store, tmp_path: Path) -> None:
    written(tmp_path / "nb.py", "x = -1").run()
    planned = written(tmp_path / "nb.py", middle).plan().rows
    assert set(states(planned).values()) == {"known"}
    assert states(planned, "x")["x"] == "run"
