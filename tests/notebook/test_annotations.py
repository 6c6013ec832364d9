"""What the comments at the top of cells ask for is done."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import NeedUnmet, NotebookError
from stargazer.notebook.book import Report

pytest.importorskip("pyarrow")


def run(folder: Path, *cells: str, **options: object) -> sg.Notebook:
    path = folder / "nb.py"
    path.write_text("".join(f"# %% c{number}\n{text}\n\n" for number, text in enumerate(cells)))
    return sg.Notebook(path).run(**options)  # type: ignore[arg-type]


def states(report: Report) -> list[str]:
    return [row.state for row in report.rows]


def test_a_cell_that_takes_too_long_is_ended(tmp_path: Path, store: sg.Store) -> None:
    began = time.monotonic()
    report = run(
        tmp_path, "import time", "# @timeout 0.5\nfor _ in range(600):\n    time.sleep(0.1)\nx = 1", "y = 2"
    ).report
    assert states(report) == ["live", "failed", "ran"]
    assert "WalltimeExceeded" in report.rows[1].why[0]
    assert time.monotonic() - began < 50


def test_a_live_cell_is_ended_too_and_a_flaky_one_is_tried_again(tmp_path: Path, store: sg.Store) -> None:
    helper = (
        "import pathlib, threading, time\ndef flaky():\n"
        f"    path = pathlib.Path({str(tmp_path / 'tries')!r})\n"
        "    path.write_text((path.read_text() if path.exists() else '') + '.')\n"
        "    if len(path.read_text()) < 3:\n        raise OSError('not yet')\n    return len(path.read_text())"
    )
    late = "# @timeout 0.5\nlock = threading.Lock()\nfor _ in range(600):\n    time.sleep(0.1)"
    book = run(tmp_path, helper, "# @cache off\n" + late, "# @retries 3\ntries = flaky()")
    assert states(book.report) == ["live", "failed", "ran"], str(book.report)
    assert "WalltimeExceeded" in book.report.rows[1].why[0]
    assert book["tries"] == 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="programs of a thread are told by Linux")
@pytest.mark.parametrize("kind", ["kept", "live"])
def test_programs_that_a_cell_started_by_itself_end_with_it(kind: str, tmp_path: Path, store: sg.Store) -> None:
    waits = f"sleep 30; touch {tmp_path}/done; sleep 30"
    source = (
        f"# @timeout 0.5\n{'# @cache off' if kind == 'live' else ''}\nsubprocess.run(['sh', '-c', {waits!r}])\nx = 1"
    )
    report = run(tmp_path, "import subprocess", source, "y = 2").report
    assert states(report) == ["live", "failed", "ran"]
    assert "declare more: # @timeout" in report.rows[1].why[0]
    assert not (tmp_path / "done").exists()


def test_a_cell_with_an_environment_runs_in_a_process_of_its_own(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEBOOK_TOKEN", "s3cr3t-0123456789")
    monkeypatch.delenv("NOTEBOOK_LEVEL", raising=False)
    source = (
        "# @env NOTEBOOK_LEVEL=3\n# @env NOTEBOOK_TOKEN\nlevel = os.environ['NOTEBOOK_LEVEL'] + str(n)\n"
        "there = len(os.environ['NOTEBOOK_TOKEN'])\npid = os.getpid()\nprint(os.environ['NOTEBOOK_TOKEN'])"
    )
    cells = "import os", "n = 1", source
    found = run(tmp_path, *cells)
    assert states(found.report) == ["live", "ran", "ran"], str(found.report)
    assert (found["level"], found["there"]) == ("31", 17)
    assert found["pid"] != os.getpid()
    assert "NOTEBOOK_LEVEL" not in os.environ
    assert found.report.rows[2].outputs[0]["text"] == "***\n"
    assert states(run(tmp_path, *cells).report) == ["live", "known", "known"]
    assert states(run(tmp_path, *cells[:2], source.replace("LEVEL=3", "LEVEL=4")).report)[2] == "ran"
    monkeypatch.setenv("NOTEBOOK_TOKEN", "another")
    assert states(run(tmp_path, *cells).report) == ["live", "known", "known"]
    assert not [
        p for p in Path(store.url.removeprefix("file://")).rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes()
    ]


def test_a_value_that_holds_a_secret_is_refused(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEBOOK_TOKEN", "s3cr3t-0123456789")
    report = run(
        tmp_path, "import os", "# @env NOTEBOOK_TOKEN\nheader = ['Bearer ' + os.environ['NOTEBOOK_TOKEN']]"
    ).report
    assert report.rows[1].state == "failed"
    assert "header holds the secret NOTEBOOK_TOKEN" in report.rows[1].why[0]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("header.append(os.environ['NOTEBOOK_TOKEN'])", "header"),
        ("table = ad.AnnData(np.eye(2), uns={'from': os.environ['NOTEBOOK_TOKEN']})", "table"),
    ],
)
def test_a_secret_is_found_in_what_is_changed_and_in_trees(
    cell: str, name: str, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = "import os\nimport numpy as np"
    if "AnnData" in cell:
        pytest.importorskip("anndata")
        imports += "\nimport anndata as ad"
    monkeypatch.setenv("NOTEBOOK_TOKEN", "s3cr3t-0123456789")
    report = run(tmp_path, imports, "header = ['Bearer']", f"# @env NOTEBOOK_TOKEN\n{cell}").report
    assert report.rows[2].state == "failed", str(report)
    assert f"{name} holds the secret NOTEBOOK_TOKEN" in report.rows[2].why[0]
    place = Path(store.url.removeprefix("file://"))
    assert not [p for p in place.rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes()]


WRITTEN = [
    "base64.b64encode(b'user:' + token.encode()).decode()",
    "base64.urlsafe_b64encode(b'me:' + token.encode()).decode()",
    "urllib.parse.quote(token, safe='')",
    "json.dumps(['a', token])",
]


@pytest.mark.parametrize("form", WRITTEN)
def test_a_secret_is_found_however_it_is_written(
    form: str, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEBOOK_TOKEN", 's3cr3t/"0123?456789')
    imports = "import base64, json, os, urllib.parse"
    read = "# @env NOTEBOOK_TOKEN\ntoken = os.environ['NOTEBOOK_TOKEN']\n"
    held = run(tmp_path, imports, f"{read}header = {form}\ndel token").report
    assert "header holds the secret NOTEBOOK_TOKEN" in held.rows[1].why[0]
    shown = run(tmp_path, imports, f"{read}print({form})\ndel token").report
    assert shown.rows[1].state == "ran"
    text = str(shown.rows[1].outputs)
    assert "***" in text or "•" in text or "…" in text
    assert "456789" not in text
    assert "MDEyMz" not in text


def test_what_fails_in_another_process_is_told_in_the_cells_lines(tmp_path: Path, store: sg.Store) -> None:
    report = run(tmp_path, "# @env A=1\nx = 1 / 0").report
    assert "ZeroDivisionError" in report.rows[0].why[0]
    assert "x = 1 / 0" in report.rows[0].why[0]


def test_mounted_places_count_by_their_content(tmp_path: Path, store: sg.Store) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one")
    source = f"# @mount data file://{tmp_path}/in\ntext = (data / 'a.txt').read_text()"
    assert run(tmp_path, source)["text"] == "one"
    assert states(run(tmp_path, source).report) == ["known"]
    (tmp_path / "in" / "a.txt").write_text("two")
    assert run(tmp_path, source)["text"] == "two"
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/data/a.txt", b"three")
    source = "# @mount data memory://data\ntext = (data / 'a.txt').read_text()"
    assert run(tmp_path, source)["text"] == "three"
    assert states(run(tmp_path, source).report) == ["known"]
    source = f"# @mount out {tmp_path}/in rw\n(out / 'b.txt').write_text('x')\nn = 1"
    for _ in range(2):
        assert states(run(tmp_path, source).report) == ["live"]
    assert (tmp_path / "in" / "b.txt").read_text() == "x"


def test_a_place_that_cannot_be_mounted_fails_its_cell_alone(tmp_path: Path, store: sg.Store) -> None:
    bad = [f"{tmp_path}/nowhere", "s3x://bucket/x", "memory://nowhere"]
    report = run(tmp_path, *(f"# @mount data {uri}\nx{n} = str(data)" for n, uri in enumerate(bad)), "y = 2").report
    assert states(report) == ["failed", "failed", "failed", "ran"]
    for row, uri in zip(report.rows, bad, strict=False):
        assert f"@mount data {uri}: it cannot be read" in row.why[0]


def test_loops_keep_each_round_and_go_on_where_they_were(tmp_path: Path, store: sg.Store) -> None:
    log = tmp_path / "log"

    def loop(rounds: int, until: str = "") -> tuple[sg.Notebook, int]:
        log.unlink(missing_ok=True)
        said = f"# @loop_until {until}\n" if until else ""
        mark = f"def mark():\n    with open({str(log)!r}, 'a') as file:\n        file.write('.')"
        source = f"# @loop max_iter={rounds} carry=x\n{said}mark()\nx = x * 2"
        found = run(tmp_path, mark, "x = 1", source, "y = x + 1")
        return found, len(log.read_text()) if log.exists() else 0

    found, ran = loop(3)
    assert (found["x"], found["y"], ran) == (8, 9, 3)
    assert "3 rounds, 3 of them new" in found.report.rows[2].why[0]
    assert loop(3)[1] == 0
    found, ran = loop(5)
    assert (found["y"], ran) == (33, 2)
    found, ran = loop(9, "x >= 16")
    assert (found["x"], ran) == (16, 0)


def test_a_cell_waits_for_one_that_it_names(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "nb.py"
    path.write_text(
        "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef one():\n    # @after two\n    a = 1\n    return\n\n\n"
        "@app.cell\ndef two():\n    b = 2\n    return\n"
    )
    assert [row.name for row in sg.Notebook(path).run().report.rows] == ["two", "one"]


def test_needs_are_those_of_the_call(tmp_path: Path, store: sg.Store) -> None:
    report = run(tmp_path, "# @cpus 1\n# @memory 1 MiB\nx = 1").report
    assert report.rows[0].state == "ran"
    with pytest.raises(NeedUnmet, match="wants a worker named 'elsewhere'"):
        run(tmp_path, "# @worker elsewhere\ny = 2")


HELPER = """\
import time


def name():
    return "q" + ".txt"


def put(text, after=0.0):
    time.sleep(after)
    with open(name(), "w") as file:
        file.write(text)


def take():
    with open(name()) as file:
        return file.read()
"""


def test_a_cell_waits_for_one_that_it_names_with_all_that_this_leaves(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "puts_late.py").write_text(HELPER)
    cells = "import puts_late", "# @name one\nputs_late.put('new', 0.5)", "# @after one\ngot = puts_late.take()"
    (tmp_path / "q.txt").write_text("old")
    assert run(tmp_path, *cells)["got"] == "new"
    (tmp_path / "q.txt").write_text("old")
    assert run(tmp_path, *cells)["got"] == "new"
    report = run(tmp_path, cells[0], "# @name one\nputs_late.put(1)", cells[2], "again = got").report
    assert states(report) == ["live", "failed", "skipped", "skipped"], str(report)
    with pytest.raises(NotebookError, match="@after one stands above that cell"):
        run(tmp_path, cells[0], cells[2], cells[1])
