"""Notebooks that come along: tutorials, workflows and seeds, found by their headers; none is ever imported.

They lie beside the package, as data. Other packages offer folders of theirs by the entry point ``stargazer.notebooks``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import stargazer
from stargazer.errors import NotebookError, UnknownName
from stargazer.notebook.document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ENTRY_POINTS", "SECTIONS", "Tile", "find_tile", "own_folder", "tile_of", "tiles"]

SECTIONS = ("tutorials", "workflows", "seeds")
ENTRY_POINTS = "stargazer.notebooks"


class Tile(NamedTuple):
    """What is known of a notebook before it is opened: what its header says below ``[tool.stargazer]``.

    Parameters
    ----------
    name, section
        Of its file, and of the folder that it is in.
    title, description, order
        For people.
    cpus, memory
        That it wants.
    path
        Where it is.
    """

    name: str
    section: str
    title: str
    description: str
    order: float
    cpus: float
    memory: str
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self._asdict(), "path": str(self.path)}


def tiles(section: str | None = None) -> list[Tile]:
    """Notebooks that come along, in the order in which they are read.

    Parameters
    ----------
    section
        ``tutorials``, ``workflows`` or ``seeds``; all by default.

    Raises
    ------
    UnknownName
        There is no such section.
    """
    if section is not None and section not in SECTIONS:
        raise UnknownName(f"there is no section {section!r} of notebooks: {', '.join(SECTIONS)}")
    wanted = SECTIONS if section is None else (section,)
    found = [tile_of(path) for folder in _folders() for each in wanted for path in sorted((folder / each).glob("*.py"))]
    return sorted(found, key=lambda tile: (SECTIONS.index(tile.section), tile.order, tile.name))


def find_tile(name: str) -> Tile:
    """One of them by its name, also as ``workflows/germline``.

    Raises
    ------
    UnknownName
        There is none.
    """
    there = tiles()
    found = [tile for tile in there if name in (tile.name, f"{tile.section}/{tile.name}")]
    if not found:
        raise UnknownName(f"no notebook {name} comes along: {', '.join(f'{t.section}/{t.name}' for t in there)}")
    return found[0]


def tile_of(path: Path) -> Tile:
    """What the header of a notebook says of it.

    Raises
    ------
    NotebookError
        It cannot be read, or what it says is of another type than it should be.
    """
    tools = read_document(path).script.get("tool", {})
    told = tools.get("stargazer", {}) if isinstance(tools, dict) else {}
    wrong = [name for name in ("title", "description") if not isinstance(told.get(name, ""), str)]
    wrong += [name for name in ("order", "cpus") if not isinstance(told.get(name, 0), (int, float))]
    if wrong:
        raise NotebookError(f"{path}: [tool.stargazer] {', '.join(wrong)} is of the wrong type")
    title = told.get("title") or path.stem.replace("_", " ").capitalize()
    numbers = float(told.get("order", 0)), float(told.get("cpus", 1))
    memory = str(told.get("memory", "1 GiB"))
    return Tile(path.stem, path.parent.name, title, told.get("description", ""), *numbers, memory, path)


def own_folder() -> Path | None:
    """The folder of our own notebooks: beside the package, or in the copy of the source that it is in."""
    beside = Path(stargazer.__file__).parent.parent
    found = (beside / name for name in ("stargazer_notebooks", "notebooks"))
    return next((folder for folder in found if (folder / SECTIONS[0]).is_dir()), None)


def _folders() -> Iterator[Path]:
    """Folders that hold notebooks by section: our own, and those of other packages."""
    if own := own_folder():
        yield own
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        spec = importlib.util.find_spec(entry.module.partition(".")[0])  # a package's own code does not run for that
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            yield Path(place, *entry.module.split(".")[1:])
