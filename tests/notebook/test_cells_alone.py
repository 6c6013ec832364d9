"""Cells in a process of their own: what they read counts as elsewhere, and secrets stay nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import NotKept
from stargazer.notebook.secrets import masked, secret_in

pytest.importorskip("pyarrow")

TOKEN = "s3cr3t/0123+456789"


def run(folder: Path, *cells: str) -> sg.Notebook:
    path = folder / "nb.py"
    path.write_text("".join(f"# %% c{number}\n{text}\n\n" for number, text in enumerate(cells)))
    return sg.Notebook(path).run()


@pytest.fixture
def here(tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTEBOOK_TOKEN", TOKEN)
    (tmp_path / "data").mkdir()
    return tmp_path


def _fill(folder: Path, text: str) -> None:
    (folder / "name.txt").write_text("data/found.txt")
    (folder / "data" / "found.txt").write_text(text)
    (folder / "data" / f"{text}.only").touch()


READS = {
    "path-in-a-file": "open(open('name.txt').read()).read()",
    "names": "sorted(n for n in os.listdir('data') if n.endswith('.only'))",
    "shell": "subprocess.check_output('cat data/f*.txt', shell=True)",
    "variable": "os.environ.get('NOTEBOOK_LEVEL', 'none')",
    "helper": "taken()",
}


@pytest.mark.parametrize("name", READS)
def test_what_it_reads_counts(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, subprocess\ndef taken():\n    with open('/'.join(['data', 'found.txt'])) as file:\n"
    cells = f"{code}        return file.read()", f"# @env KIND=1\nx = {READS[name]}"
    found = []
    for text in ("one", "two", "two"):
        _fill(here, text)
        monkeypatch.setenv("NOTEBOOK_LEVEL", text)
        book = run(here, *cells)
        found.append((book.report.rows[1].state, str(book["x"])))
    assert [state for state, _ in found] == ["ran", "ran", "known"]
    assert found[1][1] != found[0][1]
    assert "two" in found[1][1]


def test_what_it_writes_is_written_again(here: Path) -> None:
    cells = (
        "",
        "# @env KIND=1\nwith open('o' + '.txt', 'w') as out:\n    n = out.write('made')",
        "x = open('o.txt').read()",
    )
    assert run(here, *cells)["x"] == "made"
    assert [row.state for row in run(here, *cells).report.rows] == ["known", "known"]
    (here / "o.txt").write_text("edited")
    assert run(here, *cells)["x"] == "made"


def test_a_flaky_one_is_tried_again_and_a_failed_one_shows_what_it_printed(here: Path) -> None:
    tries = "with open('tries', 'a') as file:\n    n = file.write('.')\nn = len(open('tries').read())"
    book = run(here, f"# @env KIND=1\n# @retries 2\n{tries}\nif n < 3:\n    raise OSError('not yet')")
    assert book["n"] == 3
    row = run(
        here, "import os", "# @env NOTEBOOK_TOKEN\nprint('begun', os.environ['NOTEBOOK_TOKEN'])\n1 / 0"
    ).report.rows[1]
    assert row.outputs[0]["text"] == "begun ***\n"
    told = "".join(row.outputs[-1]["traceback"])
    assert "1 / 0" in told
    assert "stargazer/runs" not in told


HOLDERS = {
    "numpy": "np.array([token, 'x' * 40])",
    "bytes": "token.encode()",
    "path": "pathlib.Path(token)",
    "address": "'https://example.org/' + urllib.parse.quote(token)",
    "cells": "ad.AnnData(np.zeros((900, 1)), obs=pd.DataFrame({'t': [f'{n * 7919 % 10007} of {n}' + token * (n == 450) "
    "for n in range(900)]}, index=[str(n) for n in range(900)]))",
}


@pytest.mark.parametrize("name", HOLDERS)
def test_no_value_holds_a_secret_nor_anything_that_is_left(name: str, here: Path, store: sg.Store) -> None:
    if name == "cells":
        pytest.importorskip("anndata")
    imports = "import os, pathlib, urllib.parse\nimport numpy as np\nimport pandas as pd\n" + "import anndata as ad" * (
        name == "cells"
    )
    read = "# @env NOTEBOOK_TOKEN\ntoken = os.environ['NOTEBOOK_TOKEN']"
    report = run(here, imports, f"{read}\nv = {HOLDERS[name]}\ndel token").report
    assert "v holds the secret NOTEBOOK_TOKEN" in report.rows[1].why[0]
    assert run(here, imports, f"{read}\nraise ValueError(token)").report.rows[1].state == "failed"
    written = [p for p in Path(store.url.removeprefix("file://")).rglob("*") if p.is_file()]
    forms = [os.fsencode(TOKEN), TOKEN.encode("utf-32-le"), TOKEN.encode().hex().encode(), b"456789"]
    assert not [path for path in written if any(form in path.read_bytes() for form in forms)]


def test_the_log_of_a_cell_whose_value_is_refused_shows_no_secret(here: Path, store: sg.Store) -> None:
    """What is printed past Python's streams is in the log of the process, which ended well."""
    told = "print('told', os.environ['NOTEBOOK_TOKEN'], file=sys.__stderr__)\nv = os.environ['NOTEBOOK_TOKEN']"
    assert run(here, "import os, sys", f"# @env NOTEBOOK_TOKEN\n{told}").report.rows[1].state == "failed"
    written = [p for p in Path(store.url.removeprefix("file://")).rglob("*") if p.is_file()]
    assert [p for p in written if b"told ***" in p.read_bytes()], "the log is kept"
    assert not [p for p in written if TOKEN.encode() in p.read_bytes()]


class Unpickled:
    def __reduce__(self) -> str:
        raise TypeError("it holds a lock")


def test_secrets_are_masked_in_any_letters_and_looked_for_in_all_that_is_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEBOOK_TOKEN", "pässwört<&>")
    shown = "an error: pässwört<&>, p%C3%A4ssw%C3%B6rt%3C%26%3E, pässwört&lt;&amp;&gt;"
    assert masked(shown, ["NOTEBOOK_TOKEN"]) == "an error: ***, ***, ***"
    with pytest.raises(NotKept, match="nobody can look for the secrets"):
        secret_in(Unpickled(), here / "data", ["NOTEBOOK_TOKEN"])
