"""What runs after what change, counted: the same table for marimo's files and for percent scripts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import NotebookError
from stargazer.notebook.rows import ChangesOthers

pytest.importorskip("pyarrow")

CELLS = {
    "imports": "import json\nfrom pathlib import Path\nimport numpy as np\nimport pandas as pd",
    "helper": "FACTOR = 3\ndef scale(x, k=2):\n    return x * k * FACTOR",
    "first": "n = 5",
    "frame": "table = pd.DataFrame({'a': np.arange(n), 'b': 'x'})\ntable",
    "total": "total = int(table['a'].sum())\nprint('total', total)",
    "scaled": "scaled = scale(total)",
    "apart": "apart = {'x': (1, 2)}",
    "read": "rows = (FOLDER / 'x.csv').read_text().splitlines()",
    "many": "many = pd.read_csv('FOLDER/x.csv')['a'].tolist()",
    "last": "last = [scaled, apart, len(rows), many]\nlast",
}


class Book:
    """A notebook of cells by name, in one of two formats."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.path = folder / "book.py"
        self.cells = dict(CELLS)
        self.names: dict[str, str] = {}
        (folder / "in").mkdir()
        (folder / "in" / "x.csv").write_text("a\n1\n2\n")

    def write(self) -> None:
        data = self.folder / "in"
        folder = f"Path({str(data)!r})"
        texts = {
            name: text.replace("'FOLDER/", f"'{data}/").replace("FOLDER", folder) for name, text in self.cells.items()
        }
        if self.kind == "percent":
            text = "".join(f"# %% {self.names.get(name, name)}\n{text}\n\n" for name, text in texts.items())
        else:
            text = "import marimo\n\napp = marimo.App()\n\n"
            for name, cell in texts.items():
                body = "\n".join(f"    {line}" for line in cell.splitlines())
                text += f"@app.cell\ndef {self.names.get(name, name)}():\n{body}\n    return\n\n\n"
        self.path.write_text(text)

    def run(self, **options: Any) -> sg.Notebook:
        self.write()
        return sg.Notebook(self.path).run(**options)

    def ran(self, **options: Any) -> set[str]:
        """Names of the cells that ran."""
        report = self.run(**options).report
        assert report.success, str(report)
        back = {new: old for old, new in self.names.items()}
        return {back.get(row.name, row.name) for row in report.rows if row.state == "ran"}


@pytest.fixture(params=["marimo", "percent"])
def book(request: pytest.FixtureRequest, tmp_path: Path, store: sg.Store) -> Book:
    made = Book(tmp_path, request.param)
    assert made.ran() == {"first", "frame", "total", "scaled", "apart", "read", "many", "last"}
    return made


def edit(name: str, old: str, new: str) -> Callable[[Book], None]:
    def change(book: Book) -> None:
        assert old in book.cells[name]
        book.cells[name] = book.cells[name].replace(old, new)

    return change


def layout(book: Book) -> None:
    book.cells["frame"] = "# a comment\ntable = pd.DataFrame(\n    {'a': np.arange(n), 'b': 'x'}\n)\ntable"


def move(book: Book) -> None:
    book.cells = {"apart": book.cells.pop("apart"), **book.cells}
    book.cells = {"imports": book.cells.pop("imports"), **book.cells}


def rename_cell(book: Book) -> None:
    book.names["total"] = "sum_of_all"


def rename_file(book: Book) -> None:
    book.path = book.path.with_name("renamed.py")


def elsewhere(book: Book) -> None:
    book.path = book.folder / "other" / "book.py"
    book.path.parent.mkdir()
    book.cells["more"] = "more = 1 + 1"


def same_size(book: Book) -> None:
    file = book.folder / "in" / "x.csv"
    found = file.stat()
    file.write_text("a\n1\n3\n")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def touched(book: Book) -> None:
    os.utime(book.folder / "in" / "x.csv")


TABLE: dict[str, tuple[Callable[[Book], None], set[str]]] = {
    "nothing": (lambda book: None, set()),
    "comment and layout": (layout, set()),
    "cell moved": (move, set()),
    "cell renamed": (rename_cell, set()),
    "notebook renamed": (rename_file, set()),
    "same cells elsewhere": (elsewhere, {"more"}),
    "an equal value": (edit("first", "5", "2 + 3"), {"first"}),
    "another value": (edit("first", "5", "6"), {"first", "frame", "total", "scaled", "last"}),
    "an equal total": (edit("total", "sum()", "values.sum()"), {"total"}),
    "helper": (edit("helper", "x * k", "k * x"), {"scaled"}),
    "its default": (edit("helper", "k=2", "k=4"), {"scaled", "last"}),
    "a constant": (edit("helper", "FACTOR = 3", "FACTOR = 4"), {"scaled", "last"}),
    "an import more": (edit("imports", "import json", "import json, math"), set()),
    "other bytes, same size and time": (same_size, {"read", "many", "last"}),
    "touched": (touched, set()),
}


@pytest.mark.parametrize("change", TABLE)
def test_what_runs_after_a_change(book: Book, change: str) -> None:
    make, expected = TABLE[change]
    make(book)
    planned = {row.name: row.state for row in _plan(book).rows}
    ran = book.ran()
    assert ran == expected
    back = {new: old for old, new in book.names.items()}
    assert ran <= {back.get(name, name) for name, state in planned.items() if state == "run"}
    assert book.ran() == set()


def _plan(book: Book) -> Any:
    book.write()
    return sg.Notebook(book.path).plan()


def test_known_cells_show_what_they_showed_and_values_come_back(book: Book) -> None:
    known = book.run()
    rows = {row.name: row for row in known.report.rows}
    assert rows["total"].state == "known"
    assert rows["total"].outputs[0]["text"] == "total 10\n"
    assert "<table" in rows["frame"].outputs[0]["data"]["text/html"]
    assert known["last"] == [60, {"x": (1, 2)}, 3, [1, 2]]
    assert known.assets["table"].cid == known.assets["table"].fetch().name or known.assets["table"].cid
    assert known["table"]["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_value_that_was_lost_is_made_again(book: Book) -> None:
    asset = book.run().assets["total"]
    (place,) = Path(sg.active_store().url.removeprefix("file://")).rglob(f"*{asset.cid}*")
    place.chmod(0o600)
    place.unlink()
    assert book.ran() == {"total"}


def test_values_that_are_given_take_the_place_of_cells(book: Book) -> None:
    assert book.ran(set={"n": 7}) >= {"frame", "total"}
    assert book.ran(set={"n": 7}) == set()
    assert book.run(set={"n": 7})["total"] == 21
    assert book.ran() == set()


def test_only_what_a_target_needs_runs(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    assert book.ran(target="total") == {"first", "frame", "total"}
    assert book.ran(target="apart") == {"apart"}


def test_what_is_known_runs_once_more_where_that_is_asked_for(book: Book) -> None:
    assert book.ran(again=True) == {"first", "frame", "total", "scaled", "apart", "read", "many", "last"}


def test_a_cell_that_fails_takes_nothing_with_it_but_its_readers(book: Book) -> None:
    book.cells["total"] = "total = int(table['c'].sum())"
    report = book.run().report
    states = {row.name: row.state for row in report.rows}
    assert (states["total"], states["scaled"], states["last"]) == ("failed", "skipped", "skipped")
    assert states["read"] == "known"
    assert not report.success
    (row,) = (row for row in report.rows if row.state == "failed")
    trace = "".join(row.outputs[-1]["traceback"])
    assert "KeyError" in trace
    assert "total = int(table['c'].sum())" in trace
    assert "stargazer/notebook" not in trace


def test_all_that_is_wrong_is_told_before_anything_runs(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "marimo")
    book.cells |= {"broken": "y = nowhere + 1", "twice": "total = 3"}
    with pytest.raises(NotebookError) as error:
        book.run()
    for told in ("nowhere, which no cell defines", "total is defined by cell total"):
        assert told in str(error.value)
    book.cells = {"one": "a = b", "two": "b = a"}
    with pytest.raises(NotebookError, match=r"in a circle: cell one \(line 7\), cell two"):
        book.run()


def test_marimo_cells_that_change_others_values_run_live_with_a_warning(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "marimo")
    book.cells = {
        "make": "d = {'a': 1}",
        "change": "d['b'] = 2\ndone = True",
        "read": "seen = sorted(d) if done else None",
        "after": "count = len(seen)",
    }
    for _ in range(2):
        with pytest.warns(ChangesOthers, match="cell change changes d, which another cell made"):
            report = book.run().report
        assert [row.state for row in report.rows][1:3] == ["live", "live"]
    with pytest.warns(ChangesOthers):
        assert book.run()["count"] == 2
    with pytest.raises(NotebookError, match="make a copy there"):
        book.run(strict=True)


def test_what_a_percent_cell_changes_is_a_new_version_of_the_name(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {
        "make": "d = {'a': 1}\nx = 1",
        "before": "first = sorted(d)",
        "change": "d['b'] = 2\nx = x + 1",
        "read": "seen = sorted(d), x",
    }
    assert book.ran() == {"make", "before", "change", "read"}
    found = book.run()
    assert (found["first"], found["seen"]) == (["a"], (["a", "b"], 2))
    assert book.ran() == set()


def test_an_environment_variable_counts_by_its_value(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {"imports": "import os", "read": "level = os.environ['NOTEBOOK_LEVEL']", "apart": "y = 2"}
    monkeypatch.setenv("NOTEBOOK_LEVEL", "1")
    assert book.ran() == {"read", "apart"}
    assert book.ran() == set()
    monkeypatch.setenv("NOTEBOOK_LEVEL", "2")
    assert book.ran() == {"read"}
    assert book.run()["level"] == "2"


def test_what_a_cell_says_of_its_cache_counts(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {
        "imports": "import time",
        "clock": "now = time.time()",
        "kept": "# @cache forever\nthen = time.time()",
        "passed": "# @cache ttl=0s\nagain = time.time()",
        "off": "# @cache off\nz = 3",
        "after": "length = z + 1",
    }
    assert book.ran() == {"kept", "passed", "after"}
    report = book.run().report
    states = {row.name: row.state for row in report.rows}
    assert states == {
        "imports": "live", "clock": "live", "kept": "known", "passed": "ran", "off": "live", "after": "known",
    }  # fmt: skip
    assert "asks the clock" in {row.name: str(row.why) for row in report.rows}["clock"]


def test_folders_that_a_cell_is_given_count_with_what_is_in_them(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    (tmp_path / "in" / "data").mkdir()
    (tmp_path / "in" / "data" / "a.parquet").write_bytes(b"1")
    book.cells = {
        "imports": CELLS["imports"] + "\nimport pyarrow as pa",
        "folder": "folder = FOLDER / 'data'",
        "read": "size = sum(pa.memory_map(str(each)).size() for each in sorted(folder.iterdir()))",
    }
    assert book.ran() == {"folder", "read"}
    assert book.ran() == set()
    (tmp_path / "in" / "data" / "a.parquet").write_bytes(b"2")
    assert book.ran() == {"read"}
    (tmp_path / "in" / "data" / "b.parquet").write_bytes(b"3")
    assert book.ran() == {"read"}
    assert book.run()["size"] == 2


def test_what_has_no_bytes_lives_in_the_process_and_says_why(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {
        "imports": "import threading",
        "lock": "lock = threading.Lock()\nplain = 3",
        "use": "with lock:\n    held = plain * 2",
        "after": "more = held + 1",
    }
    report = book.run().report
    assert {row.name: row.state for row in report.rows} == {
        "imports": "live", "lock": "live", "use": "live", "after": "ran",
    }  # fmt: skip
    assert "lock" in book.run().why("lock")[0]
    assert {row.name: row.state for row in book.run().report.rows}["after"] == "known"


def test_a_notebook_wires_tasks_and_traces_lead_through_cells(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    (tmp_path / "in" / "words.txt").write_text("hello\n")
    book.cells = {
        "setup": (
            "import stargazer as sg\nfrom pathlib import Path\n\n@sg.task\n"
            "def shout(work: sg.Workdir, text: sg.Asset, *, times: int = 1) -> sg.Asset:\n"
            "    out = work.file('loud.txt')\n    out.write_text(text.path.read_text().upper() * times)\n"
            "    return sg.Asset(path=out)"
        ),
        "words": "words = sg.add(FOLDER / 'words.txt', sg.Asset(project='pilot'))",
        "calls": "calls = [shout(words, times=n) for n in range(1, 4)]",
        "stored": "stored = sg.run(calls, progress=False).result()",
        "sizes": "sizes = [a.fetch().stat().st_size for a in stored]",
        "biggest": "biggest = max(sizes)",
    }
    report = book.run().report
    states = {row.name: row.state for row in report.rows}
    assert states == {
        "setup": "live", "words": "live", "calls": "live", "stored": "ran", "sizes": "ran", "biggest": "ran",
    }, str(report)  # fmt: skip
    found = book.run()
    assert {row.state for row in found.report.rows} == {"live", "known"}
    assert found["biggest"] == 18
    lineage = str(sg.trace(found.assets["biggest"]))
    for name in ("cell biggest", "cell sizes", "shout", "words.txt"):
        assert name in lineage
    (tmp_path / "in" / "words.txt").write_text("other\n")
    states = {row.name: row.state for row in book.run().report.rows}
    assert states["stored"] == "ran"
    assert states["biggest"] == "known"
    assert re.fullmatch("live|known|ran", states["sizes"])


def test_packages_that_the_header_asks_for_must_be_here(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "nb.py"
    asked = '["numpy>=1", "no-such-package-here", "pandas>99"]'
    header = f'# /// script\n# requires-python = ">=3.8"\n# dependencies = {asked}\n# ///\n'
    path.write_text(f"{header}# %%\nx = 1\n")
    with pytest.raises(NotebookError, match=r"no-such-package-here \(not installed\), pandas>99 \(here: [0-9.]+\)"):
        sg.Notebook(path).run()
    path.write_text(header.replace(', "no-such-package-here", "pandas>99"', "") + "# %%\nx = 1\n")
    assert sg.Notebook(path).run()["x"] == 1


def test_names_that_only_a_text_shows_count_or_make_a_cell_live(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "marimo")
    book.cells = {
        "imports": "import pandas as pd",
        "table": "table = pd.DataFrame({'a': [1, 2, 3]})",
        "limit": "limit = 1",
        "query": "found = len(table.query('a > @limit'))",
        "looked": "size = len(eval('[1, 2]'))",
    }
    assert book.ran() == {"table", "limit", "query"}
    book.cells["limit"] = "limit = 2"
    assert book.ran() == {"limit", "query"}
    found = book.run()
    assert (found["found"], found["size"]) == (1, 2)
    assert "looks names up" in found.why("looked")[0]


def test_what_live_cells_change_is_found_as_well(tmp_path: Path, store: sg.Store) -> None:
    cells = {
        "imports": "import threading",
        "make": "d = {'a': 1}",
        "lock": "lock = threading.Lock()",
        "change": "with lock:\n    d['b'] = 2\ndone = True",
        "read": "seen = sorted(d) if done else None",
    }
    percent = Book(tmp_path, "percent")
    percent.cells = cells
    for _ in range(2):
        assert percent.run()["seen"] == ["a", "b"]
    assert percent.run().report.count("ran") == 0
    (tmp_path / "other").mkdir()
    marimo = Book(tmp_path / "other", "marimo")
    marimo.cells = cells
    with pytest.warns(ChangesOthers, match="cell change changes d"):
        assert marimo.run()["seen"] == ["a", "b"]


def test_a_live_cell_that_reads_what_failed_is_skipped(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {
        "imports": "import threading",
        "bad": "x = 1 / 0",
        "live": "lock = threading.Lock(), x",
        "anew": "x = 2",
        "fine": "y = x",
    }
    assert [row.state for row in book.run().report.rows] == ["live", "failed", "skipped", "ran", "ran"]


def test_what_is_changed_by_one_name_is_changed_for_all_that_mean_it(tmp_path: Path, store: sg.Store) -> None:
    book = Book(tmp_path, "percent")
    book.cells = {"x": "x = [1]", "y": "y = x", "change": "y.append(2)", "read": "seen = len(x), len(y)"}
    for _ in range(2):
        assert book.run()["seen"] == (2, 2)
    book.cells["y"] = "y = list(x)"
    assert book.run()["seen"] == (1, 2)
