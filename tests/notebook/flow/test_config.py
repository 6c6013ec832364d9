"""``notebook.yml``: all mistakes at once, each with its line; edits leave what people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargazer.errors import NotebookError
from stargazer.notebook.flow.edits import BLANK, with_entries, with_paths
from stargazer.notebook.flow.model import Entry, read_config

GOOD = """\
kernel: cogpy   # of all
publish: {format: markdown, docs_dir: /docs, prefix: "x-"}
entries:
  - path: notebooks/explore/.src/a.py   # the first
    kind: investigate
    status: draft
    description: "noise: how much"
    pair_ipynb: true
    mod: bwa_mem
  # between
  - path: notebooks/demo/b.py
    format: marimo
    publish_html: yes
# at the end
"""
BAD = """\
kernal: cogpy
default_format: jupyter
publish: {format: pdf, prefix: 3}
entries:
  - path: notebooks/explore/.src/a.py
    kind: invesigate
    status: done
    pair_ipynb: maybe
  - kind: demo
  - path: ../x.py
  - path: notebooks/demo/b.ipynb
  - path: notebooks/explore/.src/a.py
    colour: red
  - path: notebooks/demo/m.py
    format: marimo
    pair_myst: true
  - just text
  - path: notebooks/demo/.src/p.py
    publish_html: true
    kernel: 3
    kernel: "4"
  - path: notebooks/explore/.src/p.py
    publish_myst: true
"""
WRONG = [
    (1, "no 'kernal'; did you mean kernel"),
    (2, "default_format: 'jupyter' is not one of percent, marimo"),
    (3, "publish.format: 'pdf'"),
    (3, "publish.prefix: 3 is no text"),
    (6, "did you mean investigate"),
    (7, "status: 'done'"),
    (8, "maybe is neither true nor false"),
    (9, "an entry has no path"),
    (10, "from the flow's folder"),
    (11, "notebooks/demo/.src/b.py"),
    (12, "there already, at line 5"),
    (13, "no 'colour'"),
    (16, "a marimo notebook is one file"),
    (17, "`name: value` lines are wanted"),
    (20, "kernel: 3 is no text"),
    (21, "kernel is there twice"),
    (22, "the page of p is there already, at line 18"),
]


def test_what_is_right() -> None:
    config = read_config(GOOD, "notebook.yml")
    assert config.kernel == "cogpy"
    assert (config.publish.format, config.publish.docs_dir, config.publish.prefix) == ("markdown", "/docs", "x-")
    first, second = config.entries
    assert (first.name, first.kind, first.status, first.mod, first.line) == ("a", "investigate", "draft", "bwa_mem", 4)
    assert first.description == "noise: how much"
    assert (second.status, second.publish_html, second.pair_ipynb) == ("active", True, False)
    assert read_config("", "x") == read_config("entries:\n", "x") == read_config("# nothing\n", "x")


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    with pytest.raises(NotebookError) as caught:
        read_config(BAD, "notebook.yml")
    told = str(caught.value).splitlines()
    assert len(told) == len(WRONG), caught.value
    for (line, text), row in zip(WRONG, told, strict=True):
        assert row.startswith(f"notebook.yml, line {line}: "), row
        assert text in row


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "line 1: it is no YAML"),
        ("- x\n", "line 1"),
        ("entries: {a: b}\n", "a list is wanted"),
        ("!x y", "line 1"),
    ],
)
def test_what_is_no_config(text: str, told: str) -> None:
    with pytest.raises(NotebookError, match=told):
        read_config(text, "notebook.yml")


@pytest.mark.parametrize("text", ["", BLANK, "kernel: x\n", "entries: []\nkernel: x\n", GOOD, GOOD + "kernel2: 1\n"])
def test_entries_are_added_and_the_rest_stays(text: str) -> None:
    text = text.replace("kernel2: 1\n", "default_format: percent\n")
    fresh = [Entry("notebooks/x/ü: #.py", "demo", "draft", 'a: "b" # c', publish_html=True), Entry("notebooks/y.py")]
    made = with_entries(text, fresh, "notebook.yml")
    before, after = read_config(text, "x"), read_config(made, "x")
    assert after.entries == (*before.entries, *fresh)
    assert (after.kernel, after.publish) == (before.kernel, before.publish)
    for line in text.splitlines():
        assert line in made or line.startswith("entries")


def test_entries_that_are_there_are_not_added() -> None:
    with pytest.raises(NotebookError, match="there already"):
        with_entries(GOOD, [Entry("notebooks/demo/b.py")], "notebook.yml")
    with pytest.raises(NotebookError, match="not in brackets"):
        with_entries("entries: [{path: notebooks/a.py}]", [Entry("notebooks/b.py")], "notebook.yml")


def test_paths_change_in_place() -> None:
    made = with_paths(GOOD, {"notebooks/demo/b.py": "notebooks/demo/.src/b.py"}, "notebook.yml")
    assert made == GOOD.replace("notebooks/demo/b.py", "notebooks/demo/.src/b.py")


def test_flows_have_names_and_are_found(tmp_path: Path) -> None:
    from stargazer.notebook import flow as nb

    (tmp_path / "pyproject.toml").write_text("")
    for name in ("code/pipelines/preprocess/ieeg", "code/pipelines/preprocess/ecog", "other"):
        folder = tmp_path / name / "notebooks"
        folder.mkdir(parents=True)
        (folder / "notebook.yml").write_text("entries:\n")
    ieeg = tmp_path / "code/pipelines/preprocess/ieeg"
    deep = ieeg / "notebooks" / "explore"
    deep.mkdir()
    assert [each.name for each in nb.find_flows(deep)] == ["preprocess/ieeg"]
    assert [each.name for each in nb.find_flows(tmp_path)] == ["preprocess/ecog", "preprocess/ieeg", "other"]
    assert nb.find_flow(deep, "other").root == (tmp_path / "other").resolve()
    assert nb.find_flow(tmp_path, "preprocess/ecog").name == "preprocess/ecog"
    assert nb.find_flow(tmp_path, str(ieeg)).name == "preprocess/ieeg"
    with pytest.raises(NotebookError, match="there are: other, preprocess/ecog, preprocess/ieeg"):
        nb.find_flow(tmp_path, "preprocess")
    with pytest.raises(NotebookError, match="several flows"):
        nb.find_flow(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotebookError, match="nb new NAME"):
        nb.find_flows(tmp_path / "empty")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/notebook.yml").write_text("")
    assert nb.find_flow(tmp_path / "empty").name == tmp_path.name
