"""Where notebooks are: four folders of a root, and those that installed packages bring along."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.app.tiles import SECTIONS, Tile, changed_header, read_tile
from stargazer.errors import Conflict, NotebookError, NotFound
from stargazer.notebook.editing import check_module_name, version_of, write_text
from stargazer.notebook.plaintext import read_plain
from stargazer.notebook.shipped import own_folder
from stargazer.plugins import NOTEBOOKS, plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TEMPLATES", "Shelf"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")
SHOWN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,119}")
TRASH = ".trash"
LARGEST = 64 << 20

AGENTS = {"mcpServers": {"stargazer": {"command": "stargazer", "args": ["mcp"]}}}
"""What agents read in the folder that they work in."""

BLANK = """import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    return


if __name__ == "__main__":
    app.run()
"""

ANALYSIS = '''"""What this analysis is about."""

import marimo

app = marimo.App(width="medium")

with app.setup:
    import marimo as mo

    import stargazer as sg


@app.cell
def _():
    store = sg.active_store()
    mo.md(f"Files of **{store.url}**")
    return


@app.cell
def _():
    files = sg.assemble(missing="skip")
    mo.ui.table([{"name": file.name, "type": file.asset_key, "cid": file.cid} for file in files])
    return


if __name__ == "__main__":
    app.run()
'''

TEMPLATES = {"blank": BLANK, "analysis": ANALYSIS}


class Shelf:
    """The notebooks of a root folder.

    Parameters
    ----------
    root
        Holds ``tutorials``, ``workflows``, ``workspace`` and ``snapshots``; what lacks is made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def workspace(self) -> Path:
        """The folder of one's own notebooks."""
        return self.root / "workspace"

    def tiles(self, section: str) -> list[Tile]:
        """Notebooks of a section, in the order that their headers ask for."""
        found = {tile.name: tile for tile in self._all(section)}
        return sorted(found.values(), key=lambda tile: (tile.facts.order, tile.title.lower(), tile.name))

    def find(self, section: str, name: str) -> Tile:
        """Return one notebook.

        Raises
        ------
        NotFound
            There is none; whatever was asked for, nothing outside of the folders is looked at.
        """
        if section in SECTIONS and SHOWN.fullmatch(name):
            for tile in self._all(section):
                if tile.name == name:
                    return tile
        raise NotFound(f"there is no notebook {name!r} in {section}")

    def _all(self, section: str) -> Iterator[Tile]:
        """First those that came with packages, then those of the root: of one name, the last counts."""
        for package, folder in shipped_folders() if section in ("tutorials", "workflows") else ():
            for path in _notebooks(folder / section):
                yield read_tile(section, path.stem, path, is_own=False, package=package)
        for path in _notebooks(self.root / section):
            with contextlib.suppress(FileNotFoundError):
                yield read_tile(section, path.stem, path, is_own=section != "snapshots")

    def create(self, name: str, template: str = "blank") -> Tile:
        """Make a notebook in the workspace.

        Raises
        ------
        NotebookError
            The name cannot be one of a notebook, or there is no such template.
        Conflict
            There is a notebook of that name.
        """
        if template not in TEMPLATES:
            raise NotebookError(f"there is no template {template!r}; there are {', '.join(TEMPLATES)}")
        return self._written(name, TEMPLATES[template])

    def copy(self, tile: Tile) -> Tile:
        """Put a copy into the workspace, under the same name; the original stays as it is.

        Raises
        ------
        Conflict
            The workspace has one of that name.
        """
        return self._written(tile.name, read_plain(tile.path))

    def rename(self, tile: Tile, name: str) -> Tile:
        """Give a notebook of the workspace another name.

        Raises
        ------
        Conflict
            There is one of that name.
        """
        _must_be_own(tile)
        check_name(name)
        target = tile.path.with_name(f"{name}.py")
        try:
            os.link(tile.path, target)  # a rename would replace what is there
        except FileExistsError:
            raise _taken(name) from None
        tile.path.unlink()
        return self.find(tile.section, name)

    def delete(self, tile: Tile) -> Path:
        """Move a notebook of the workspace to the trash, and return where it is now."""
        _must_be_own(tile)
        trash = self.root / TRASH
        trash.mkdir(exist_ok=True)
        now = datetime.datetime.now(datetime.UTC)
        target = trash / f"{tile.name}-{now:%Y%m%dT%H%M%S%f}Z.py"
        os.rename(tile.path, target)
        return target

    def write_settings(self, tile: Tile, changes: dict[str, str | int | float]) -> Tile:
        """Write what a tile shows into the header of its notebook.

        Raises
        ------
        NotebookError
            A value is none that it could have, or the header cannot be changed.
        """
        _must_be_own(tile)
        text = read_plain(tile.path)
        new = changed_header(text, changes)
        _replace(tile.path, new, text)
        found = self.find(tile.section, tile.name)
        if found.facts.problem:
            _replace(tile.path, text, new)
            raise NotebookError(found.facts.problem)
        return found

    def _make_workspace(self) -> None:
        """Make the folder, with what leads agents that work in it to the MCP server."""
        if not self.workspace.is_dir():
            self.workspace.mkdir(parents=True, exist_ok=True)
            (self.workspace / ".mcp.json").write_text(json.dumps(AGENTS, indent=2) + "\n", "utf-8")

    def _written(self, name: str, text: str) -> Tile:
        check_name(name)
        self._make_workspace()
        try:
            with open(self.workspace / f"{name}.py", "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise _taken(name) from None
        return self.find("workspace", name)


def check_name(name: str) -> None:
    """Refuse names that no notebook should have.

    Raises
    ------
    NotebookError
        It is no plain name, or one by which Python finds a module: other notebooks could not import that any more.
    """
    if not NAME.fullmatch(name):
        raise NotebookError(
            f"{name[:200]!r}: a name begins with a letter, and has letters, digits, - and _ (80 at most)"
        )
    check_module_name(name)


def shipped_folders() -> list[tuple[str, Path]]:
    """Folders of notebooks that installed packages bring along, none of which is imported for that."""
    own = own_folder()
    found = [("", own)] if own is not None else []
    for plugin in plugins(NOTEBOOKS):
        module = plugin.place.partition(":")[0]
        spec = importlib.util.find_spec(module.partition(".")[0])
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folder = Path(place).joinpath(*module.split(".")[1:])
            if folder.is_dir():
                found.append((plugin.package, folder))
    return found


def _notebooks(folder: Path) -> list[Path]:
    """Files of a folder that may be notebooks; nothing is followed out of it."""
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_file(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".py") and SHOWN.fullmatch(name[:-3])
            and not name.startswith("__")]  # fmt: skip


def _must_be_own(tile: Tile) -> None:
    if not tile.is_own:
        raise NotebookError(f"{tile.name} is not yours to change; copy it to the workspace")


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a notebook {name!r} already; rename it first, or choose another name")


def _replace(path: Path, text: str, expected: str) -> None:
    """Write a file in one step, if it still is what was read."""
    try:
        write_text(path, text, version_of(expected))
    except NotebookError:
        raise Conflict(f"{path.name} was changed meanwhile; look at it again") from None
