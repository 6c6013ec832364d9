"""Settings of libraries in the middle of a notebook, and with values: they hold from their place on."""

# ruff: noqa: E501 - cells are read more easily in one line

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.notebook.cells import CellTask
from stargazer.notebook.code import prelude_of
from stargazer.notebook.document import Cell

SHOWN = "str(np.array([1 / 3]))"
MIDDLE = ["import numpy as np", f"a = {SHOWN}", "np.set_printoptions(precision=3)", f"b = {SHOWN}"]
WITH_VALUES = {
    "in-its-own-cell": ["import numpy as np", "opts = {'precision': 3}\nnp.set_printoptions(**opts)", f"b = {SHOWN}", "c = 2"],
    "of-another-cell": ["import numpy as np", "n = 3", "np.set_printoptions(precision=n)", f"b = {SHOWN}", "c = 2"],
    "of-matplotlib": [
        "import matplotlib as mpl", "params = {'font.size': 3}\nmpl.rcParams.update(params)", "b = '[0.' + '3' * int(mpl.rcParams['font.size']) + ']'", "c = 2",
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing that a cell sets up is left for other tests."""
    import matplotlib as mpl
    import numpy as np

    monkeypatch.chdir(tmp_path)
    with np.printoptions(), mpl.rc_context():
        yield


def _book(folder: Path, cells: list[str]) -> sg.Notebook:
    path = folder / "x.py"
    path.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n")
    return sg.Notebook(path)


def _marimo(folder: Path, cells: list[str]) -> sg.Notebook:
    head, *rest = cells
    made = "".join(
        f"\n@app.cell\ndef _({reads}):\n    {text}\n    return {made}\n"
        for text, reads, made in zip(rest, ("np", "np", "np"), ("(a,)", "", "(b,)"), strict=True)
    )
    path = folder / "x.py"
    path.write_text(f"import marimo\n\napp = marimo.App()\n\nwith app.setup:\n    {head}\n\n{made}")
    return sg.Notebook(path)


def _states(book: sg.Notebook) -> str:
    return " ".join(row.state for row in book.report.rows)


@pytest.mark.parametrize("make", [_book, _marimo])
def test_cells_before_a_setting_are_without_it_and_those_after_are_known_by_it(tmp_path: Path, make: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for digits, states in ((3, "live ran ran ran"), (3, "live known known known"), (2, "live known ran ran")):
            book = make(tmp_path, [each.replace("=3", f"={digits}") for each in MIDDLE]).run()
            assert (book["a"], book["b"]) == ("[0.33333333]", f"[0.{'3' * digits}]")
            assert _states(book) == states


def test_a_cell_before_a_setting_finds_nothing_that_an_earlier_run_in_this_process_left(tmp_path: Path) -> None:
    _book(tmp_path, MIDDLE).run()
    edited = [each.replace("a = ", "a = 'x' + ") for each in MIDDLE]
    book = _book(tmp_path, edited).run()
    assert (book["a"], book["b"]) == ("x[0.33333333]", "[0.333]")
    assert _states(book) == "live ran known known"


SIZE = "mpl.rcParams['font.size']"


def test_looking_for_settings_sets_nothing_up(tmp_path: Path) -> None:
    cells = ["import matplotlib as mpl\nLARGE = 30", f"a = {SIZE} + 1", f"{SIZE} = LARGE", f"b = {SIZE}"]
    book = _book(tmp_path, cells).run()
    assert (book["a"], book["b"]) == (11, 30)


def test_a_cell_that_is_given_sets_up_what_it_is_given_after_those_before_it_ran(tmp_path: Path) -> None:
    cells = ["import matplotlib as mpl", f"a = {SIZE} + 1", f"n = 5\n{SIZE} = n", f"b = {SIZE}"]
    book = _book(tmp_path, cells).run(set={"n": 30})
    assert (book["a"], book["b"]) == (11, 30)


@pytest.mark.parametrize("after", ["n = 5", "n += 2", "n: int = 5", "for n in range(6):\n    pass"])
def test_a_value_that_is_another_one_after_its_cell_is_not_what_was_set(tmp_path: Path, after: str) -> None:
    cells = ["import numpy as np", f"n = 3\nnp.set_printoptions(precision=n)\n{after}", f"b = {SHOWN}"]
    assert [_book(tmp_path, cells).run()["b"] for _ in range(2)] == ["[0.333]"] * 2


def test_a_value_that_was_changed_after_it_was_set_is_not_what_was_set(tmp_path: Path) -> None:
    cells = ["import numpy as np", "o = {'precision': 3}\nnp.set_printoptions(**o)\no['precision'] = 5", f"b = {SHOWN}"]
    assert [_book(tmp_path, cells).run()["b"] for _ in range(2)] == ["[0.333]"] * 2


def test_a_setting_by_a_name_that_its_cell_keeps_for_itself_is_made_in_each_run(tmp_path: Path) -> None:
    setting = "_n = 3\n    np.set_printoptions(precision=_n)"
    for text in (SHOWN, f"'x' + {SHOWN}"):
        book = _marimo(tmp_path, ["import numpy as np", "a = 1", setting, f"b = {text}"])
        assert book.run()["b"].endswith("[0.333]")


def test_a_cell_between_two_settings_finds_the_first_and_not_what_is_left_of_the_second(tmp_path: Path) -> None:
    cells = [*MIDDLE, "np.set_printoptions(threshold=5)", "c = str(np.arange(9))"]
    _book(tmp_path, cells).run()
    cells[3] = f"b = {SHOWN} + str(np.arange(9))"
    book = _book(tmp_path, cells).run()
    assert (book["b"], book["c"]) == ("[0.333][0 1 2 3 4 5 6 7 8]", "[0 1 2 ... 6 7 8]")
    assert _states(book) == "live known known ran known known"


def test_a_cell_with_an_environment_of_its_own_finds_what_was_set_before_it(tmp_path: Path) -> None:
    book = _book(tmp_path, [*MIDDLE[:3], f"# @env LEVEL=3\nb = {SHOWN}"]).run()
    assert (book["a"], book["b"]) == ("[0.33333333]", "[0.333]")


def test_a_cell_that_must_not_find_what_is_left_here_may_read_what_is_given(tmp_path: Path) -> None:
    cells = ["import numpy as np", "n = 0", f"a = str(n) + {SHOWN}", "np.set_printoptions(precision=3)"]
    for n in (1, 2):
        assert _book(tmp_path, cells).run(set={"n": n})["a"] == f"{n}[0.33333333]"


def test_a_cell_that_must_not_find_what_is_left_here_is_so_for_workers_too() -> None:
    task = CellTask(Cell("", "a = 1"), (0,), prelude_of(()), [])
    task.is_alone = True
    assert pickle.loads(pickle.dumps(task)).is_alone


def test_two_settings_hold_each_from_its_place_on(tmp_path: Path) -> None:
    cells = [*MIDDLE, "np.set_printoptions(precision=5)", f"c = {SHOWN}"]
    for states in ("live ran ran ran ran ran", "live known known known known known"):
        book = _book(tmp_path, cells).run()
        assert [book[name] for name in "abc"] == ["[0.33333333]", "[0.333]", "[0.33333]"]
        assert _states(book) == states


@pytest.mark.parametrize("name", WITH_VALUES)
def test_a_setting_with_a_value_lets_cells_be_kept_and_counts_by_it(tmp_path: Path, name: str) -> None:
    cells = WITH_VALUES[name]
    for digits, state in ((3, "ran"), (3, "known"), (4, "ran"), (3, "known")):
        book = _book(tmp_path, [each.replace("3}", f"{digits}}}").replace("n = 3", f"n = {digits}") for each in cells])
        planned = [row.state for row in book.plan().rows]
        book.run()
        assert book["b"] == f"[0.{'3' * digits}]"
        assert [row.state for row in book.report.rows][1:] == [state] * (len(cells) - 1)
        assert state == "known" or planned[-2:] == ["run", "run"]


def test_a_value_that_is_given_is_what_is_set(tmp_path: Path) -> None:
    assert _book(tmp_path, WITH_VALUES["of-another-cell"]).run(set={"n": 5})["b"] == "[0.33333]"


def test_a_target_finds_what_was_set_before_it(tmp_path: Path) -> None:
    assert _book(tmp_path, WITH_VALUES["of-another-cell"]).run(target="b")["b"] == "[0.333]"
    assert _book(tmp_path, MIDDLE).run(target="b")["b"] == "[0.333]"


def test_a_setting_of_which_nobody_can_tell_what_it_is_makes_cells_run_each_time(tmp_path: Path) -> None:
    cells = ["import numpy as np\nimport threading", "lock = threading.Lock()\nn = 3", "np.set_printoptions(precision=n + lock.locked())", f"b = {SHOWN}"]  # fmt: skip
    for _ in range(2):
        book = _book(tmp_path, cells).run()
        assert book["b"] == "[0.333]"
    assert "np is set up before it with what a cell made" in book.why("b")


def test_workers_elsewhere_are_not_asked_for_what_was_set_up_here(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, Client(cluster) as client:  # fmt: skip
        book = _book(tmp_path, MIDDLE).run(client=client)
    assert (book["a"], book["b"]) == ("[0.33333333]", "[0.333]")
