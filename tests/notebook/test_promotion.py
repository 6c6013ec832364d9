"""A task goes from a cell to a module, and stays the task that it was. Real notebooks of four formats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import NotebookError
from stargazer.ledger import Ledger
from stargazer.notebook import check_task, promote, read_document

pytest.importorskip("pyarrow")

IMPORTS = "import math\nimport time as clock\nimport stargazer as sg\nSCALE = 3  # lines a word"
LOUD = (
    '# capitals, as people shout\ndef loud(text: str) -> str:\n    """Write it in capitals."""\n    return text.upper()'
)
HALVE = "def halve(n):\n    # rounds down\n    return math.floor(n / 2)"
SHOUT = '''\
@sg.task(cpus=2)
def shout(work: sg.Workdir, text: sg.Asset, *, times: int = 2) -> sg.Asset:
    """Write a text in capitals.

    Parameters
    ----------
    text
        Any text.
    times
        How often.
    """
    out = work.file("loud.txt")
    out.write_text(loud(text.path.read_text()) * halve(times * SCALE))  # at once
    return sg.Asset(path=out)
'''
USE = 'made = shout(sg.add(str(FILE)), times=1).compute()\nprint("made", made.cid)'
REST = "other = 'this stays'  # as it is"


def percent(folder: Path) -> Path:
    cells = [IMPORTS, f"# @name helpers\n{LOUD}\n\n\n{HALVE}", SHOUT, USE, REST]
    path = folder / "book.py"
    path.write_text("# A header\n\n" + "\n".join(f"# %%\n{cell}\n" for cell in _with_file(cells, folder)))
    return path


def jupyter(folder: Path) -> Path:
    cells = [IMPORTS, f"{LOUD}\n\n\n{HALVE}", SHOUT, USE, REST]
    output = {"output_type": "stream", "name": "stdout", "text": ["kept\n"]}
    found = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {"tags": ["x"]}, "source": cell.splitlines(keepends=True)}
        | {"outputs": [output], "execution_count": n}
        for n, cell in enumerate(_with_file(cells, folder))
    ]
    path = folder / "book.ipynb"
    path.write_text(json.dumps({"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n")
    return path


def myst(folder: Path) -> Path:
    cells = [IMPORTS, f"{LOUD}\n\n\n{HALVE}", SHOUT, USE, REST]
    fences = "\n\nSome words.\n\n".join(f"```{{code-cell}} ipython3\n{cell}\n```" for cell in _with_file(cells, folder))
    path = folder / "book.md"
    path.write_text(f"---\nkernelspec:\n  name: python3\n---\n\n# Title\n\n{fences}\n")
    return path


def marimo(folder: Path) -> Path:
    def block(text: str) -> str:
        return "\n".join(f"    {line}".rstrip() for line in text.splitlines())

    use = _with_file([USE], folder)[0]
    path = folder / "book.py"
    path.write_text(
        f"import marimo\n\napp = marimo.App()\n\nwith app.setup:\n{block(IMPORTS)}\n\n\n@app.function\n{LOUD}\n\n\n"
        f"@app.cell\ndef _():\n{block(HALVE)}\n    return (halve,)\n\n\n"
        f"@app.cell\ndef _(halve):\n{block(SHOUT)}\n    return (shout,)\n\n\n"
        f"@app.cell\ndef _(shout):\n{block(use)}\n    return (made,)\n\n\n"
        f'@app.cell\ndef _():\n{block(REST)}\n    return (other,)\n\n\nif __name__ == "__main__":\n    app.run()\n'
    )
    return path


def _with_file(cells: list[str], folder: Path) -> list[str]:
    (folder / "in.txt").write_text("hello there\n")
    return [cell.replace("str(FILE)", repr(str(folder / "in.txt"))) for cell in cells]


FORMATS = [percent, jupyter, myst, marimo]


@pytest.fixture(params=FORMATS, ids=lambda each: each.__name__)
def book(request: pytest.FixtureRequest, tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name in ("loudly", "book")]:
        monkeypatch.delitem(sys.modules, name)
    path: Path = request.param(tmp_path)
    return path


@pytest.fixture(autouse=True)
def _own_modules() -> None:
    for name in ("loudly", "lab", "lab.loudly"):
        sys.modules.pop(name, None)


def runs(store: sg.Store) -> int:
    return len(Ledger(store.records).of_task("shout"))


def test_what_was_computed_before_is_known_after_in_every_host(book: Path, store: sg.Store, tmp_path: Path) -> None:
    before = sg.Notebook(book).run()
    assert before.report.success, str(before.report)
    assert runs(store) == 1
    cid = before["made"].cid
    made = promote(book, "shout", tmp_path / "loudly.py")
    assert made.changed == ()
    assert made.names == ("SCALE", "halve", "loud", "shout")
    after = sg.Notebook(book).run()
    assert after.report.success, str(after.report)
    assert after["made"].cid == cid
    assert runs(store) == 1
    if book.suffix == ".py" and "marimo" in book.read_text():
        subprocess.run([sys.executable, str(book)], cwd=tmp_path, check=True, env=_env(store))
        assert runs(store) == 1
    added = f"sg.add({str(tmp_path / 'in.txt')!r})"
    code = f"import loudly, stargazer as sg; print(loudly.shout({added}, times=1).compute().cid)"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, check=True, env=_env(store), capture_output=True, text=True)
    assert told.stdout.strip() == cid
    assert runs(store) == 1


def _env(store: sg.Store) -> dict[str, str]:
    import os

    return {**os.environ, "DASK_STARGAZER__STORE": store.url}


def test_comments_and_layout_survive(book: Path, tmp_path: Path) -> None:
    before = book.read_text()
    promote(book, "shout", tmp_path / "loudly.py")
    module = (tmp_path / "loudly.py").read_text()
    for text in ("SCALE = 3  # lines a word", LOUD, HALVE, SHOUT.rstrip()):
        assert f"\n{text}\n" in module
    assert "clock" not in module
    after = book.read_text()
    assert "this stays'  # as it is" in after
    assert "# capitals" not in after
    kept = [line for line in after.splitlines() if line in before.splitlines()]
    assert len(kept) >= len(after.splitlines()) - (5 if book.suffix != ".ipynb" else 14)
    document = read_document(book)
    sources = "\n".join(cell.source for cell in document.cells)
    assert "from loudly import" in sources
    assert "def shout" not in sources
    if "A header" in before:
        assert "# @name helpers\nfrom loudly import halve, loud\n" in after
    if book.suffix == ".ipynb":
        cells = json.loads(after)["cells"]
        assert [bool(cell["outputs"]) for cell in cells] == [False, False, False, True, True]
        assert all(cell["metadata"] == {"tags": ["x"]} for cell in cells)
    if "marimo" in before:
        assert "    import stargazer as sg\n    from loudly import SCALE, loud\n" in after
        assert "@app.cell\ndef _():\n    from loudly import shout\n    return (shout,)\n" in after


def test_the_test_is_of_a_recorded_call_and_runs(tmp_path: Path, store: sg.Store) -> None:
    book = percent(tmp_path)
    sg.Notebook(book).run()
    made = promote(book, "shout", tmp_path / "loudly.py", tests=True)
    assert made.repeated
    file = tmp_path / "tests" / "test_loudly.py"
    assert {file, tmp_path / "tests" / "data" / "shout" / "in.txt"} <= made.files.keys()
    assert _pytest(tmp_path, file) == "1 passed"
    module = tmp_path / "loudly.py"
    module.write_text(module.read_text().replace("text.upper()", "text.lower()"))
    assert _pytest(tmp_path, file) == "1 failed"


def test_without_a_recorded_call_the_test_says_what_is_missing(tmp_path: Path, store: sg.Store) -> None:
    book = percent(tmp_path)
    assert promote(book, "shout", tmp_path / "loudly.py", tests=True).repeated == ""
    assert _pytest(tmp_path, tmp_path / "tests" / "test_loudly.py") == "1 passed, 1 skipped"


def _pytest(folder: Path, file: Path) -> str:
    # A place of its own, too: in the usual one pytest deletes what earlier runs of all these tests left, for minutes.
    places = [f"--rootdir={folder}", f"--basetemp={folder / 'pytest'}"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *places, str(file)]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return told.stdout.splitlines()[-1].partition(" in ")[0]


REFUSED = [
    ("limit = [1, 2]", "limit", "a value of line 7: make it a parameter of the task, or a constant LIMIT"),
    ("limit = sum([1, 2])", "limit", "which a cell computes (line 7): pass it to the task as a parameter"),
    ("LIMIT = {'a': 1}\nLIMIT['b'] = 2", "LIMIT", "which line 8 changes: pass it as a parameter"),
    ("def limit(): return table\ntable = [1].copy()", "limit()", "limit (line 7) reads table, which a cell computes"),
    ("from math import *", "pi", "may come from `import *` in line 7: import it by its name"),
    ("x = 1; LIMIT = 2", "LIMIT", "line 7 has other statements beside it"),
    ("", "display(1)", "only a kernel has"),
    ("limit = 1\nlimit = 2", "limit", "which is bound in lines 7 and 8: rename one of them"),
]


@pytest.mark.parametrize(("cell", "read", "told"), REFUSED, ids=lambda each: str(each)[:12])
def test_what_cannot_come_along_is_refused_by_name_with_the_remedy(
    tmp_path: Path, cell: str, read: str, told: str
) -> None:
    path = tmp_path / "book.py"
    task = f"@sg.task\ndef bad(work: sg.Workdir, text: sg.Asset) -> int:\n    return len(str({read}))\n"
    path.write_text(f"# %%\nimport stargazer as sg\n\n\n\n# %%\n{cell}\n\n# %%\n{task}")
    before = path.read_bytes()
    with pytest.raises(NotebookError) as raised:
        promote(path, "bad", tmp_path / "loudly.py")
    assert told in str(raised.value)
    assert path.read_bytes() == before
    assert not (tmp_path / "loudly.py").exists()


def test_written_out_containers_come_along_and_keep_the_key(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "book.py"
    task = "@sg.task\ndef good(work: sg.Workdir, *, n: int) -> int:\n    return n + LIMITS['a'] + MORE[0]\n"
    use = "# %%\nfound = good(n=1).compute()\nfound\n"
    cells = "# %%\nimport stargazer as sg\n# %%\nLIMITS: dict[str, int] = {'a': 1}\nMORE = [1, 2]\n# %%\n"
    path.write_text(cells + task + use)
    assert sg.Notebook(path).run()["found"] == 3
    made = promote(path, "good", tmp_path / "loudly.py")
    assert made.changed == ()
    assert sg.Notebook(path).run()["found"] == 3
    assert len(Ledger(store.records).of_task("good")) == 1


def test_a_second_task_goes_to_the_same_module(tmp_path: Path, store: sg.Store) -> None:
    path = percent(tmp_path)
    other = (
        "@sg.task\ndef whisper(work: sg.Workdir, *, n: int = 1) -> int:\n    return halve(n) + int(clock.time() > 0)\n"
    )
    path.write_text(path.read_text() + f"\n# %%\n{other}")
    promote(path, "shout", tmp_path / "loudly.py")
    made = promote(path, "whisper", tmp_path / "loudly.py")
    text = (tmp_path / "loudly.py").read_text()
    assert text.count("def halve") == 1
    assert "import time as clock\n" in text
    assert made.names == ("whisper",)
    assert sg.Notebook(path).run().report.success
    third = "@sg.task\ndef third(work: sg.Workdir) -> int:\n    return MORE\n"
    path.write_text(f"{path.read_text()}\n# %%\nMORE = 7\n\n{third}")
    module = tmp_path / "loudly.py"
    module.write_text(text + "\nMORE = 8\n")
    with pytest.raises(NotebookError, match="has another MORE: rename one of them"):
        promote(path, "third", module)


def test_a_place_that_no_notebook_can_import_is_refused(tmp_path: Path) -> None:
    path = percent(tmp_path)
    with pytest.raises(NotebookError, match="put it beside the notebook, or into a package that is installed"):
        promote(path, "shout", tmp_path.parent / "elsewhere" / "loudly.py")
    for name in ("loud-ly.py", "loudly.txt", "book.py"):
        with pytest.raises(NotebookError, match="--to"):
            promote(path, "shout", tmp_path / name)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    assert promote(path, "shout", tmp_path / "lab" / "loudly.py").module == "lab.loudly"


def test_a_module_that_cannot_be_imported_is_put_back(tmp_path: Path) -> None:
    path = percent(tmp_path)
    (tmp_path / "loudly.py").write_text("import no_such_module\n")
    before = path.read_bytes()
    with pytest.raises(NotebookError, match="could not be imported and is not written"):
        promote(path, "shout", tmp_path / "loudly.py")
    assert (tmp_path / "loudly.py").read_text() == "import no_such_module\n"
    assert path.read_bytes() == before


def test_a_reviewer_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "book.py"
    path.write_text(
        "# %%\nimport stargazer as sg\n# %%\n@sg.task\ndef doIt_tmp(work: sg.Workdir, x, *, n=1):\n"
        '    print(n)\n    work.run(["samtools", "view", "-@", work.cpus, x.path])\n    return 1\n'
    )
    told = [(remark.rule, remark.line) for remark in check_task(path, "doIt_tmp")]
    rules = {rule for rule, _ in told}
    assert rules == {"docstring", "types", "names", "tools", "needs", "test", "imports"}
    assert ("tools", 7) in told
    assert ("imports", 6) in told
    good = percent(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_shout(): ...\n")
    assert {remark.rule for remark in check_task(good, "shout")} == {"types", "docstring"}


def test_the_command(tmp_path: Path, store: sg.Store) -> None:
    path, to = percent(tmp_path), tmp_path / "loudly.py"
    before = path.read_bytes()

    def nb(*argv: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["nb", "promote", str(path), *argv])
        return found.exit_code, found.output

    assert nb("shout", "--check")[0] == 1
    assert nb("shout")[0] == 2
    code, told = nb("shout", "--to", str(to), "--dry-run", "--json")
    assert code == 0
    assert json.loads(told)["module"] == "loudly"
    assert path.read_bytes() == before
    assert not to.exists()
    code, told = nb("nothing", "--to", str(to))
    assert code == 2
    assert "its tasks: shout" in told
    code, told = nb("shout", "--to", str(to))
    assert code == 0
    assert "from loudly import SCALE, halve, loud, shout" in told
