"""Where results go and where a mistake stands are told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg
from stargazer.catalog.modules import load
from stargazer.errors import DefinitionError, RunFailed, StoreError
from stargazer.store.copies import check_folder


@pytest.mark.parametrize("out", ["made", "made/below", ".", "made/../other"])
def test_a_folder_that_can_be_made_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    check_folder(out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("file", "is no folder"),
        ("file/below", "is no folder"),
        ("file/below/deep", "is no folder"),
        ("broken", "is no folder"),
    ],
)
def test_a_place_where_nothing_can_be_put_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(StoreError, match=told):
        check_folder(out)


def test_a_mistake_in_a_file_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "mistaken.py"
    path.write_text("import stargazer as sg\n\n@sg.workflow\ndef made():\n    return []\n")
    with pytest.raises(DefinitionError, match=r"mistaken\.py, line 3: AttributeError"):
        load(str(path))


@sg.task
def number(work: sg.Workdir, *, n: int) -> sg.Asset:
    out = work.file("n.txt")
    out.write_text(str(n))
    return sg.Asset(path=out)


@sg.dynamic
def reading(text: sg.Asset) -> sg.Asset:
    return number(n=int(text.path.read_text()) + 1)


def test_a_handle_that_is_taken_for_a_file_where_calls_are_wired() -> None:
    with pytest.raises(RunFailed, match=r"reading asked a handle for its path .*let a task do that"):
        sg.run(reading(number(n=1))).result()
