"""Notebooks as files: names, headers, copies, the trash."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from stargazer.app.shelf import BLANK, Shelf, shipped_folders
from stargazer.app.tiles import changed_header, facts_of
from stargazer.errors import Conflict, NotebookError, NotFound

HEADER = '''# /// script
# dependencies = ["marimo", "no-such-package>=2"]
# [tool.stargazer]
# title = "Cells of blood"
# order = 2
# cpus = 2
# memory = "4 GiB"
# ///
"""What it does.

More of it."""

import marimo
'''


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    for name in ("tutorials", "workflows", "snapshots"):
        (tmp_path / name).mkdir()
    return Shelf(tmp_path)


def test_a_header_is_read_as_text() -> None:
    facts = facts_of(HEADER + "raise SystemExit")
    assert (facts.title, facts.description) == ("Cells of blood", "What it does.")
    assert (facts.order, facts.cpus, facts.memory) == (2, 2, 4 << 30)
    assert facts.dependencies == ("marimo", "no-such-package>=2")


@pytest.mark.parametrize(
    "text",
    [
        "# /// script\n# [tool.stargazer\n# ///\n",
        "# /// script\n# [tool]\n# stargazer = 3\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# cpus = 'many'\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# memory = 'a lot'\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# cpus = -1\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# cpus = inf\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# memory = inf\n# ///\n",
        "# /// script\n# [tool.stargazer]\n# order = nan\n# ///\n",
        f"# /// script\n# x = {'[' * 20_000}{']' * 20_000}\n# ///\n",
    ],
    ids=["toml", "table", "text", "memory", "negative", "endless", "endless memory", "no number", "deep"],
)
def test_what_is_wrong_with_a_header_is_told_on_the_tile(text: str) -> None:
    assert "its header cannot be read" in facts_of(text).problem


def test_what_no_parser_takes_has_no_docstring() -> None:
    assert facts_of("(" * 30_000 + "\nimport marimo\n").description == ""


def test_a_notebook_that_may_not_be_read_says_so(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.create("mine")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stargazer.app.tiles._facts_at", refused)
    (tile,) = shelf.tiles("workspace")
    assert tile.facts.problem == "it cannot be read: Permission denied"


def test_settings_are_written_into_the_header_and_nothing_else_changes(shelf: Shelf) -> None:
    (shelf.root / "workspace").mkdir()
    (shelf.root / "workspace" / "mine.py").write_text(HEADER + "x = '\\n'\n")
    tile = shelf.write_settings(shelf.find("workspace", "mine"), {"title": 'A "b" \\ é', "memory": "", "order": 1.5})
    assert (tile.facts.title, tile.facts.memory, tile.facts.order, tile.facts.cpus) == ('A "b" \\ é', 0, 1.5, 2)
    assert tile.lacking == ["no-such-package>=2"]
    assert tile.path.read_text().endswith(HEADER.partition('# ///\n"""')[2] + "x = '\\n'\n")
    before = tile.path.read_text()
    with pytest.raises(NotebookError, match="cannot be read"):
        shelf.write_settings(tile, {"memory": "much"})
    assert tile.path.read_text() == before


def test_a_notebook_without_header_gets_one() -> None:
    text = changed_header(BLANK, {"title": "T", "cpus": 3})
    assert facts_of(text)[:1] == ("T",)
    assert facts_of(text).cpus == 3
    assert text.endswith(BLANK)


def test_a_header_of_another_style_is_left_to_people() -> None:
    text = '# /// script\n# tool.stargazer.title = "x"\n# ///\n' + BLANK
    with pytest.raises(NotebookError, match="in an editor"):
        changed_header(text, {"title": "y"})


@pytest.mark.parametrize(
    "name", ["os", "stargazer", "numpy", "class", "", "..", "a/b", ".x", "1a", "a b", "a" * 81, "é"]
)
def test_names_that_no_notebook_gets(shelf: Shelf, name: str) -> None:
    with pytest.raises(NotebookError):
        shelf.create(name)
    assert not list(shelf.root.glob("workspace/*"))


def test_a_new_workspace_leads_agents_to_the_server(shelf: Shelf) -> None:
    shelf.create("mine")
    told = json.loads((shelf.workspace / ".mcp.json").read_text())
    assert told["mcpServers"]["stargazer"] == {"command": "stargazer", "args": ["mcp"]}
    (shelf.workspace / ".mcp.json").write_text("{}")
    shelf.create("second")
    assert (shelf.workspace / ".mcp.json").read_text() == "{}"


def test_taken_names_and_unknown_templates(shelf: Shelf) -> None:
    first = shelf.create("mine", "analysis")
    with pytest.raises(Conflict, match="already"):
        shelf.create("mine")
    assert first.path.read_text() != BLANK
    with pytest.raises(NotebookError, match="no template"):
        shelf.create("second", "none")


def test_a_copy_leaves_the_original_and_never_replaces(shelf: Shelf) -> None:
    (shelf.root / "snapshots" / "fig2.py").write_text(HEADER)
    tile = shelf.find("snapshots", "fig2")
    assert tile.modes == ("run",)
    copy = shelf.copy(tile)
    copy.path.write_text("x = 1")
    with pytest.raises(Conflict):
        shelf.copy(tile)
    assert (tile.path.read_text(), copy.path.read_text()) == (HEADER, "x = 1")


def test_rename_and_delete(shelf: Shelf) -> None:
    one, other = shelf.create("one"), shelf.create("second")
    with pytest.raises(Conflict):
        shelf.rename(one, "second")
    moved = shelf.rename(one, "three")
    assert {tile.name for tile in shelf.tiles("workspace")} == {"second", "three"}
    trash = shelf.delete(moved)
    assert trash.read_text() == BLANK
    assert trash.parent == shelf.root / ".trash"
    assert [tile.name for tile in shelf.tiles("workspace")] == [other.name]
    (shelf.root / "snapshots" / "s.py").write_text("")
    for change in (lambda tile: shelf.rename(tile, "t"), shelf.delete):
        with pytest.raises(NotebookError, match="not yours"):
            change(shelf.find("snapshots", "s"))


def test_tiles_stand_in_their_order(shelf: Shelf) -> None:
    for name, order in (("b", 1), ("a", 2), ("c", None)):
        told = f"# /// script\n# [tool.stargazer]\n# order = {order}\n# ///\n" if order else ""
        (shelf.root / "tutorials" / f"{name}.py").write_text(told)
    own = [tile.name for tile in shelf.tiles("tutorials") if tile.is_own]
    assert own == ["b", "a", "c"]


def test_links_and_odd_names_are_no_notebooks(shelf: Shelf, tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("x")
    (shelf.root / "workspace").mkdir()
    os.symlink(secret, shelf.root / "workspace" / "link.py")
    (shelf.root / "workspace" / "__init__.py").write_text("")
    (shelf.root / "workspace" / "a\nb.py").write_text("")
    assert shelf.tiles("workspace") == []
    for name in ("link", "../secret", "__init__", "a\nb"):
        with pytest.raises(NotFound):
            shelf.find("workspace", name)


def test_packages_bring_notebooks_and_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lab_books" / "workflows"
    package.mkdir(parents=True)
    (tmp_path / "lab_books" / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "count.py").write_text(HEADER)
    info = tmp_path / "lab_books-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-books\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stargazer.notebooks]\nlab = lab_books\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert ("lab-books 1.0", tmp_path / "lab_books") in shipped_folders()
    tile = Shelf(tmp_path / "root").find("workflows", "count")
    assert (tile.package, tile.is_own, tile.title) == ("lab-books 1.0", False, "Cells of blood")
    assert "lab_books" not in sys.modules
