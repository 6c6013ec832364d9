"""Audit, check, scan, migrate, lab, status, and the command line: exit codes, JSON, what is shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from flow_desk import ENTRY, SOURCE, Desk
from typer.testing import CliRunner

from stargazer.cli.app import app
from stargazer.errors import NotebookError
from stargazer.notebook import flow as nb
from stargazer.notebook.flow.results import Finding

pytest.importorskip("jupytext")
COMMANDS = ["new", "scan", "pair", "sync", "diff", "exec", "publish", "status", "audit", "check", "migrate", "lab"]


def rules(desk: Desk, name: str = "noise") -> set[str]:
    return {found.finding.rule for found in nb.audit(desk.root) if found.notebook == name}


def told(desk: Desk, *argv: str, code: int = 0) -> Any:
    """JSON of a command in the flow's folder."""
    here = os.getcwd()
    os.chdir(desk.root)
    try:
        result = CliRunner().invoke(app, ["nb", *argv, "--json"])
    finally:
        os.chdir(here)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


TOLD = "kernel: k, description: d"
LIFE = [
    ("", "no_description no_kind no_kernel no_mod pair_ipynb_disabled"),
    (f"kind: explore, pair_ipynb: true, {TOLD}", "no_mod ipynb_missing"),
    (f"kind: interactive, {TOLD}, format: marimo", ""),
    (f"kind: demo, {TOLD}, mod: nosuch, pair_ipynb: true", "no_mod demo_not_publishable ipynb_missing"),
    (f"kind: explore, {TOLD}, mod: bwa_mem, format: marimo", "explore_absorbed_not_archived"),
    (
        f"kind: explore, {TOLD}, mod: bwa_mem, format: marimo, status: archived, publish_html: true",
        "archived_still_publishable",
    ),
    (
        f"kind: demo, {TOLD}, mod: bwa_mem, format: marimo, status: promoted",
        "demo_not_publishable promoted_not_publishable",
    ),
    (
        f"kind: validate, {TOLD}, mod: gatk.mark_duplicates, format: marimo, status: draft, publish_html: true",
        "draft_but_substantial",
    ),
]


@pytest.mark.parametrize(("entry", "wanted"), LIFE)
def test_rules(desk: Desk, entry: str, wanted: str) -> None:
    long = SOURCE + "# more\n" * 60 if "draft_but_substantial" in wanted else SOURCE
    desk.begin(long, f"  - {{path: notebooks/explore/.src/noise.py, {entry}}}\n".replace(", }", "}"))
    assert rules(desk) == set(wanted.split())


def test_rules_of_files(desk: Desk) -> None:
    desk.begin()
    desk.sync()
    desk.edit_py("a = 1", "a = 2")
    assert {"ipynb_stale"} == rules(desk) & {"ipynb_stale", "ipynb_has_unsynced_edits"}
    desk.sync()
    desk.set_cell(3, "a = 4")
    assert {"ipynb_has_unsynced_edits"} == rules(desk) & {"ipynb_stale", "ipynb_has_unsynced_edits"}
    desk.edit_py("a = 2", "a = 3")
    assert {"ipynb_stale", "ipynb_has_unsynced_edits"} <= rules(desk)
    desk.py.unlink()
    assert "py_missing" in rules(desk)
    found = told(desk, "audit", code=1)["findings"]
    assert {"flow", "notebook", "path", "level", "rule", "message", "line"} == found[0].keys()


def test_tasks_of_the_flow_without_a_notebook(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask.config

    desk.begin()
    (desk.root / "scripts").mkdir()
    module = desk.root / "scripts/ieeg_tasks.py"
    task = "@sg.task\ndef ieeg_filter(work: sg.Workdir, *, n: int) -> sg.Asset:\n    ...\n"
    module.write_text(f"import stargazer as sg\n\n{task}")
    with dask.config.set({"stargazer.catalog": [str(module)]}):
        (found,) = [found for found in nb.audit(desk.root) if found.finding.rule == "mod_without_notebook"]
        assert "ieeg_filter" in found.finding.message
        desk.begin(entry=ENTRY + "    mod: ieeg_filter\n")
        assert {found.finding.rule for found in nb.audit(desk.root)} & {"mod_without_notebook", "no_mod"} == set()


CHECKED = """\
# ---
# Title: other
# Status: archived
# Objective: o
# Focus: f
# Guardrails: g
# ---

# %%
import math
x = math.pi

# %%
# @cahce forever
x = 2

# %%
y = (

# %%
z = nobody
"""


def test_check_finds_all_with_their_lines(desk: Desk) -> None:
    desk.begin(CHECKED)
    found = [found.finding for found in nb.check(desk.root)]
    assert {(each.level, each.rule, each.line) for each in found} == {
        ("error", "header", 2), ("error", "header", 3), ("warning", "imports", 10), ("error", "annotation", 14),
        ("warning", "defined_twice", 14), ("error", "syntax", 18), ("error", "names", 21),
    }, found  # fmt: skip
    assert told(desk, "check", code=1)["success"] is False
    desk.begin(SOURCE.replace("import math\n", "import math\n\n"))
    assert nb.check(desk.root) == []
    desk.begin(SOURCE.partition("# ---\n\n")[2])
    (found_one,) = nb.check(desk.root)
    assert found_one.finding == Finding("warning", "header", found_one.finding.message, 1)
    assert told(desk, "check")["success"] is True
    assert told(desk, "check", "--strict", code=1)["success"] is False


@pytest.mark.slow
def test_check_asks_marimo(desk: Desk) -> None:
    pytest.importorskip("marimo")
    desk.py = desk.root / "notebooks/explore/m.py"
    cells = "".join(f"@app.cell\ndef _():\n    x = {n}\n    return (x,)\n\n\n" for n in (1, 2))
    text = f'import marimo\n\napp = marimo.App()\n\n\n{cells}if __name__ == "__main__":\n    app.run()\n'
    desk.begin(text, "  - path: notebooks/explore/m.py\n    kind: interactive\n")
    found = {found.finding.rule for found in nb.check(desk.root)}
    assert {"names", "marimo general-formatting"} <= found
    assert not list(desk.root.rglob("__marimo__"))


def test_scan_registers_drafts_by_full_path(desk: Desk) -> None:
    desk.begin()
    for path, text in (
        ("demo/.src/noise.py", SOURCE), ("demo/live.py", "import marimo\n\napp = marimo.App()\n"),
        ("explore/tools.py", "x = 1\n"),
        ("explore/.ipynb_checkpoints/a.ipynb", "{}"), ("explore/flat.py", "# %%\nx = 1\n"),
    ):  # fmt: skip
        place = desk.root / "notebooks" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    empty = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    (desk.root / "notebooks/explore/people.ipynb").write_text(empty)
    rows = nb.scan(desk.root)
    assert [(row.path, row.format, row.kind, row.registered) for row in rows] == [
        ("notebooks/demo/live.py", "marimo", "demo", False),
        ("notebooks/demo/.src/noise.py", "percent", "demo", False),
        ("notebooks/explore/flat.py", "percent", "explore", False),
        ("notebooks/explore/.src/people.py", "percent", "explore", False),
    ]
    assert [row["registered"] for row in told(desk, "scan", "--register")["notebooks"]] == [True] * 4
    flow = nb.find_flow(desk.root)
    assert [entry.status for entry in flow.config.entries] == ["active", *["draft"] * 4]
    assert flow.config.entries[2].description == "Look at it"
    assert nb.scan(desk.root) == []
    with pytest.raises(NotebookError, match="several notebooks"):
        nb.sync(desk.root, names=["noise"])
    assert nb.sync(desk.root, names=["notebooks/demo/.src/noise.py"])[0].success


def test_migrate_moves_all_or_none(desk: Desk) -> None:
    folder = desk.root / "notebooks"
    for path in ("flat.py", "shown.py", "own/own.py", "own/data.csv", "own/own.ipynb", "flat.ipynb", "flat.md"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("# %%\nx = 1\n")
    (folder / "live.py").write_text("import marimo\n\napp = marimo.App()\n")
    names = {"flat": "flat.py", "shown": "shown.py", "own": "own/own.py", "live": "live.py"}
    kinds = {name: "demo" if name == "shown" else "explore" for name in names}
    lines = [f"  - path: notebooks/{path}  # {name}\n    kind: {kinds[name]}\n" for name, path in names.items()]
    (folder / "notebook.yml").write_text("entries:\n" + "".join(lines))
    assert {row.name: row.path for row in nb.migrate(desk.root)} == {
        "flat": "notebooks/explore/.src/flat.py",
        "shown": "notebooks/demo/.src/shown.py",
        "own": "notebooks/own/.src/own.py",
    }
    assert (folder / "flat.py").exists()
    (folder / "explore").mkdir()
    (folder / "explore/flat.ipynb").write_text("taken")
    with pytest.raises(NotebookError, match=r"nothing was moved.*explore/flat\.ipynb"):
        nb.migrate(desk.root, yes=True)
    assert (folder / "own/own.py").exists()
    (folder / "explore/flat.ipynb").unlink()
    assert told(desk, "migrate", "--yes")["done"] is True
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    there = {str(path) for path in files if ".stargazer" not in path.parts}
    assert there == {
        "notebook.yml", "live.py", "own/data.csv", "own/own.ipynb", "own/.src/own.py", "explore/.src/flat.py",
        "explore/flat.ipynb", "explore/.myst/flat.md", "demo/.src/shown.py",
    }  # fmt: skip
    assert "# own" in (folder / "notebook.yml").read_text()
    assert nb.migrate(desk.root, yes=True) == []


def test_lab_keeps_its_own_links_only(desk: Desk) -> None:
    desk.begin(head="kernel: cogpy\n")
    desk.sync()
    found = nb.lab(desk.root, start=False)
    assert found.folder == desk.root / ".stargazer/lab/project"
    (link,) = found.links
    assert (link.kernel, link.taken) == ("cogpy", False)
    assert link.path.resolve() == desk.ipynb
    mine = found.folder / "mine.ipynb"
    mine.symlink_to(desk.ipynb)
    (found.folder / "notes.txt").write_text("x")
    desk.begin(entry=ENTRY + "    status: archived\n")
    after = nb.lab(desk.root, start=False)
    assert (after.links, after.removed) == ((), ("project/noise.ipynb",))
    assert sorted(path.name for path in found.folder.iterdir()) == ["mine.ipynb", "notes.txt"]
    (found.folder / "noise.ipynb").write_text("somebody's own")
    desk.begin()
    (link,) = nb.lab(desk.root, start=False).links
    assert link.taken
    assert told(desk, "lab")["links"][0]["taken"] is True
    with pytest.raises(NotebookError, match="no pipeline 'x'; there are: project"):
        nb.lab(desk.root, pipe="x", start=False)


def test_status_is_as_people_read_it(desk: Desk) -> None:
    desk.begin(entry=ENTRY + "    pair_myst: true\n    publish_html: true\n", head="publish: {docs_dir: docs}\n")
    desk.sync()
    desk.edit_py("a = 1", "a = 2")
    (flow,) = nb.status(desk.root)
    lines = str(flow).splitlines()
    assert lines[0] == "Flow: project (1 entry)"
    assert lines[2] == "  noise  (explore · active · percent)"
    ends = [line[29:] for line in lines[3:6]]
    assert ends == ["(source)", "⚠ behind", "⚠ behind"]
    assert lines[6] == "    published: no"
    assert told(desk, "status")["flows"][0]["notebooks"][0]["in_step"] is False


def test_exit_codes_and_json_of_commands(desk: Desk) -> None:
    desk.begin()
    assert told(desk, "pair")["success"] is True
    assert told(desk, "sync")["notebooks"][0]["state"] == "in step"
    assert told(desk, "diff")["notebooks"][0]["text"] == ""
    desk.edit_py("a = 1", "a = 2")
    assert told(desk, "sync", "--dry")["notebooks"][0]["action"] == "py → ipynb"
    desk.set_cell(3, "a = 3\nprint(a)")
    conflict = told(desk, "sync", code=1)["notebooks"][0]
    assert conflict["clashes"][0]["mine"] == ["a = 2\nprint(a)"]
    assert told(desk, "diff", code=1)["notebooks"][0]["state"] == "conflict"
    assert "--direction" in conflict["problem"]
    assert told(desk, "sync", "--direction", "py2nb")["success"] is True
    assert "has no notebook nosuch" in told(desk, "sync", "nosuch", code=2)["error"]["message"]
    desk.config.write_text("entries: 3\nkernle: x\n")
    message = told(desk, "status", code=2)["error"]["message"]
    assert "line 1: entries: a list is wanted" in message
    assert "line 2" in message


def test_new_notebooks_are_registered(desk: Desk) -> None:
    made = told(desk, "new", "first", "--objective", "Try: it")
    assert [Path(path).name for path in made["files"]] == ["first.py", "first.ipynb"]
    told(desk, "new", "second", "--mode", "demo", "--flow", "preprocess/ieeg")
    assert (desk.root / "preprocess/ieeg/notebooks/demo/second.ipynb").exists()
    (entry,) = nb.find_flow(desk.root, "preprocess/ieeg").config.entries
    assert (entry.kind, entry.status, entry.publish_html) == ("demo", "draft", True)
    assert "there already" in told(desk, "new", "first", code=2)["error"]["message"]
    assert "is no name" in told(desk, "new", "../x", code=2)["error"]["message"]
    refused = told(desk, "new", "x", "--mode", "interactive", "--format", "percent", code=2)
    assert "marimo's" in refused["error"]["message"]
    desk.config.write_text("default_format: marimo\n" + desk.config.read_text().replace('default_format: ""', ""))
    told(desk, "new", "third", "--format", "percent")
    told(desk, "new", "fourth")
    formats = [(book.name, book.format) for book in nb.status(desk.root)[0].books]
    assert formats[1:] == [("third", "percent"), ("fourth", "marimo")]
    told(desk, "check", "third", "fourth")
    desk.config.write_text(desk.config.read_text().replace("default_format: marimo\n", ""))
    assert [found for found in nb.check(desk.root, names=["first"]) if found.finding.level == "error"] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["nb", command, "--help"])
    assert f"  stargazer nb {command}" in result.stdout.partition("Example")[2]
    assert "--json" in result.stdout
    assert CliRunner().invoke(app, ["nb", command, "--no-such-option"]).exit_code == 2


def test_lab_for_marimo_starts_where_its_notebooks_are(desk: Desk) -> None:
    pytest.importorskip("marimo")
    desk.begin(entry=ENTRY + "  - path: notebooks/explore/look.py\n    kind: interactive\n    format: marimo\n")
    (desk.root / "notebooks/explore/look.py").write_text("import marimo\n\napp = marimo.App()\n")
    found = nb.lab(desk.root, marimo=True)
    assert [link.name for link in found.links] == ["look"]
    assert found.command[1:] == ("-m", "marimo", "edit", str(desk.root / "notebooks"))


BROKEN = {"no-json": "{ not json", "no-cells": "[]", "nothing": "", "other-json": "{}"}


@pytest.mark.parametrize("name", BROKEN)
def test_one_file_that_is_no_notebook_stops_no_command(desk: Desk, name: str) -> None:
    desk.begin()
    other = desk.root / "notebooks/explore/.src/other.py"
    other.write_text(SOURCE)
    entry = "  - path: notebooks/explore/.src/other.py\n    pair_ipynb: true\n"
    desk.config.write_text(f"{desk.config.read_text().rstrip()}\n{entry}")
    told(desk, "sync")
    desk.ipynb.write_text(BROKEN[name])
    for command in ("sync", "pair"):
        rows = {row["name"]: row for row in told(desk, command, code=1)["notebooks"]}
        assert rows["other"]["success"]
        assert "is no Jupyter notebook" in rows["noise"]["problem"]
        assert "Error" not in rows["noise"]["problem"]
    assert "is no Jupyter notebook" in told(desk, "diff", code=1)["notebooks"][0]["text"]
    assert "unreadable" in rules(desk)
    assert "unreadable" not in rules(desk, "other")
    assert desk.ipynb.read_text() == BROKEN[name]
    desk.ipynb.unlink()
    told(desk, "sync")
    assert json.loads(desk.ipynb.read_text())["cells"]


def test_a_limit_below_nothing_is_refused(desk: Desk) -> None:
    desk.begin()
    result = CliRunner().invoke(app, ["nb", "exec", "--timeout", "-3"])
    assert result.exit_code == 2
    assert "--timeout" in result.output
    for command in ("exec", "publish"):
        told = CliRunner().invoke(app, ["nb", command, "--flow", str(desk.root), "--timeout", "0"])
        assert (told.exit_code, "give more than 0" in told.output) == (2, True)


def test_scan_passes_over_what_cannot_be_read_and_says_so(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.begin()
    for name in ("a", "z"):
        place = desk.root / f"notebooks/explore/.src/{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("# %%\nx = 1\n")
    (desk.root / "notebooks/explore/.src/loop.py").symlink_to("loop.py")
    (desk.root / "notebooks/explore/.src/latin.py").write_bytes(b"# %%\nx = '\xe9'\n")
    assert {Path(row.path).stem for row in nb.scan(desk.root)} >= {"a", "z"}
    assert "loop.py cannot be read" in caplog.text
