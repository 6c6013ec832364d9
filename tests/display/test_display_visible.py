"""What is printed or drawn of files, facts, logs and errors is shown, not obeyed."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.display import cell, lineage_mermaid, visible
from stargazer.display.html import escape
from stargazer.display.timeline import Bar, timeline_svg
from stargazer.errors import DataError, ToolFailed
from stargazer.tasks.html import page_of, table

OBEYED = {
    "title": "a\x1b]0;title\x07b",
    "link": "\x1b]8;;http://x\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;eA==\x07",
    "colour": "\x1b[31mred",
    "c1": "\x9b31mred",
    "osc-c1": "\x9d0;title\x9c",
    "backspace": "exe\x08\x08\x08txt",
    "return": "rm -rf\rls    ",
    "bell": "\x07",
    "delete": "a\x7f",
    "bidi": "gpj.\u202eexe",
    "isolate": "\u2066a\u2069",
    "mark": "\u200fa",
    "hidden": "a\u200bb",
    "line": "a\u2028b",
    "tag": "a\U000e0041",
    "surrogate": "a\udcff",
}
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


@pytest.mark.parametrize("kind", OBEYED)
def test_nothing_is_obeyed_anywhere(kind: str) -> None:
    text = OBEYED[kind]
    drawn = [
        visible(text),
        visible(f"a log\n{text}\n", lines=True),
        str(escape(text)),
        timeline_svg([Bar(text, text, 0.0, 1.0)]),
        table([{text: text}]),
        page_of(text, [text], []),
        str(DataError(f"cannot read {text}")),
        str(ToolFailed("x", 1, text)),
        cell(text),
    ]
    for each in drawn:
        assert not CONTROL.search(html.unescape(each)), each
        each.encode("utf-8")


@pytest.mark.parametrize("text", ["plain", "ünïcode ñame.txt", "日本語　名", "Zoë\u00a0X", "a 'quote' & <tag>", "🧬"])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_rows_are_not_forged() -> None:
    assert visible("a\nb\tc") == "a\\nb\\tc"
    assert visible("a\nb\tc", lines=True) == "a\nb\tc"


@pytest.fixture
def odd(store: sg.Store, tmp_path: Path) -> sg.Asset:
    path = tmp_path / "a\x1b]0;title\x07\u202egpj\nbafyforged.txt"
    path.write_text("x")
    return sg.add(path, sg.Asset(note="fact\x1b[2J"))


def test_an_odd_name_is_shown_by_every_surface(store: sg.Store, odd: sg.Asset) -> None:
    lineage = sg.trace(odd)
    shown = [str(lineage), repr(odd), odd._repr_html_(), lineage._repr_html_(), lineage_mermaid(lineage)]
    for command in (["ls"], ["ls", "--json"], ["trace", str(odd.cid)], ["trace", "--mermaid", str(odd.cid)]):
        done = CliRunner().invoke(app, [*command, "--store", store.url])
        assert done.exit_code == 0, done.output
        shown.append(done.output)
    for each in shown:
        assert not CONTROL.search(html.unescape(each)), each
        assert "\nbafyforged" not in each or each.startswith("<style>")  # in HTML it is a blank


def test_mermaid_does_not_write_down_what_browsers_would_obey(odd: sg.Asset) -> None:
    drawn = lineage_mermaid(sg.trace(odd))
    assert "#27;" not in drawn
    assert "#8238;" not in drawn


def test_errors_of_tools_are_shown(store: sg.Store, tmp_path: Path) -> None:
    work = sg.Workdir(tmp_path)
    with pytest.raises(ToolFailed) as raised:
        work.run(["sh", "-c", r"printf 'bad \033]0;title\007 \xe2\x80\xae end' >&2; exit 1"])
    assert not CONTROL.search(str(raised.value))


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", " =1", "\t=1", "\r=1", "＝1", "=cmd|' /C calc'!A0"])
def test_no_exported_cell_begins_a_formula(text: str) -> None:
    assert cell(text)[:1] not in "=+-@＝"
    assert not str(cell(text)).lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("value", [-1, 2.5, "-1.5", "+3", "-1e-9", "gene", "A-B", "a=b", ""])
def test_numbers_stay_numbers(value: object) -> None:
    assert cell(value) == value
