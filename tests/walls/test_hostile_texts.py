"""Texts that take a pattern for ever: each is read in one pass, or its end is told."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from stargazer.app.tiles import changed_header, facts_of
from stargazer.errors import NotebookError
from stargazer.notebook.document import read_document
from stargazer.notebook.flow.pages import _noted, with_note
from stargazer.notebook.header import find_block, with_script
from stargazer.prompts.asking import _parsed

MEGABYTE = 1 << 20


@pytest.mark.timeout(60)
@pytest.mark.parametrize("line", ["# /// script\n", "# /// script\n#\n", "# /// script  \n# x\n"])
def test_a_header_that_begins_and_begins_has_an_end(tmp_path: Path, line: str) -> None:
    text = line * (MEGABYTE // len(line)) + "x = 1\n"
    assert find_block(text) is None
    path = tmp_path / "book.py"
    path.write_text(f"{text}# %%\ny = 2\n")
    assert read_document(path).script == {}
    assert facts_of(text).problem == ""


def test_a_header_is_found_as_the_specification_says() -> None:
    text = '#!/x\n# /// script\n# a = 1\n#\n# [tool.stargazer]\n# title = "T"\n# ///\n\nimport x\n'
    found = find_block(text)
    assert found is not None
    assert found.lines == ["a = 1", "", "[tool.stargazer]", 'title = "T"']
    assert text[found.start : found.stop] == text[5:-10]
    assert find_block(text.replace("# ///\n", "")) is None
    assert find_block("# /// script\nx = 1\n" + text) == found._replace(start=found.start + 19, stop=found.stop + 19)
    assert find_block("# /// script\n# ///") == (0, 18, [])
    windows = find_block(text.replace("\n", "\r\n"))
    assert windows is not None
    assert windows.lines == found.lines
    assert facts_of(changed_header(text, {"title": "U"})).title == "U"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "9" * 5000, "a." * 5000 + "b = 1"])
def test_a_header_without_end_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "book.py"
    path.write_text(f"# /// script\n# {text}\n# ///\n# %%\nx = 1\n")
    document = read_document(path)
    with contextlib.suppress(NotebookError):
        assert document.script
    with contextlib.suppress(NotebookError):
        with_script(document, lambda toml: None)
    assert [cell.source for cell in document.cells] == ["x = 1"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rest", ["a" * MEGABYTE, "a=[" * (MEGABYTE // 3), "[" * MEGABYTE, "x={" + "[" * MEGABYTE])
def test_the_line_that_begins_a_cell_has_an_end(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "book.py"
    path.write_text(f"# %% {rest}\nx = 1\n# %% short [markdown] tags=['a']\n# text\n")
    cells = read_document(path).cells
    assert [cell.source for cell in cells] == ["x = 1", "text"]
    assert (cells[1].name, cells[1].kind, cells[0].name) == ("short", "markdown", rest)


def test_options_that_nest_without_end_are_none(tmp_path: Path) -> None:
    path = tmp_path / "book.py"
    path.write_text("# %% {" + '"a":{' * 800 + "\nx = 1\n")
    assert [cell.source for cell in read_document(path).cells] == ["x = 1"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["```" + "\n" * MEGABYTE + "x", "```json\n" + " \n" * (MEGABYTE // 2), "```" * (MEGABYTE // 3), "`" * 7]
)
def test_an_answer_of_blank_lines_has_an_end(text: str) -> None:
    value, problem = _parsed(text, None)
    assert (value, problem[:13]) == (None, "it is no JSON")


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '```\n{"a": 1}\n```', ' ```json\n{"a": 1}```  \n', '```json \n\n{"a": 1}\n\n```', '\n{"a": 1} '],
)
def test_fences_around_an_answer_are_none_of_it(text: str) -> None:
    assert _parsed(text, None) == ({"a": 1}, "")


@pytest.mark.parametrize("text", ['```python x\n{"a": 1}\n```', '```{"a": 1}```', '```\n{"a": 1}', "``````"])
def test_what_is_no_fence_is_no_json(text: str) -> None:
    assert _parsed(text, None)[0] is None


@pytest.mark.timeout(60)
def test_a_page_that_says_it_again_and_again_has_an_end() -> None:
    note = {"source": "s", "values": {"a": "-->", "b": "<!-- stargazer {}"}}
    page = with_note("text <!-- stargazer {} -->\n", "myst", note)
    assert _noted(page, "myst") == json.loads(json.dumps(note))
    assert _noted("<!-- stargazer {} --> x" * (MEGABYTE // 20), "myst") is None
    assert _noted("<!-- stargazer {" * (MEGABYTE // 16) + "} -->", "myst") == {}
    assert _noted('<meta name="stargazer" content="' * (MEGABYTE // 30), "html") is None
    assert _noted("<!-- stargazer " + "[" * 100_000 + " -->", "myst") is None
