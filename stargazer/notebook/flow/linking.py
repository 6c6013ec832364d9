"""One folder of links to the notebooks that people work on, for Jupyter Lab or marimo."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.files import ignored_folder, read_file
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.pairing import sync as sync_all
from stargazer.notebook.flow.place import OWN, Book, Flow, find_flows, flows_below, project_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Lab", "Link", "lab"]

IN_USE = ("draft", "active")
NOTES = "links.json"


class Link(NamedTuple):
    """A link to a notebook.

    Parameters
    ----------
    flow, name, kernel
        Of the notebook.
    path, target
        Of the link, and what it leads to.
    taken
        Something else stands there, which is left as it is.
    """

    flow: str
    name: str
    kernel: str
    path: Path
    target: Path
    taken: bool = False

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**self._asdict(), "path": str(self.path), "target": str(self.target)}


class Lab(NamedTuple):
    """A folder of links, and how what shows it is started.

    Parameters
    ----------
    folder
        The folder.
    links
        That are there now.
    removed
        That led to nothing that is worked on any more.
    command
        What starts Jupyter Lab, or marimo, there.
    """

    folder: Path
    links: tuple[Link, ...]
    removed: tuple[str, ...]
    command: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        links = [link.to_dict() for link in self.links]
        return {**self._asdict(), "folder": str(self.folder), "links": links}


def lab(
    where: str | Path = ".",
    flow: str | None = None,
    pipe: str | None = None,
    sync: bool = False,
    marimo: bool = False,
    start: bool = True,
) -> Lab:
    """Link the notebooks that people work on (drafts and active ones) in one folder.

    Links of earlier times whose notebooks are not worked on any more are removed, and nothing else is.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.
    pipe
        All flows of a pipeline: ``preprocess`` has ``preprocess/ieeg`` and ``preprocess/ecog``.
    sync
        Bring them in step first.
    marimo
        marimo, in the folder of the notebooks: it shows its own, and follows no links.
    start
        What starts is meant to be started: it must be installed.

    Raises
    ------
    NotebookError
        There is no such flow, a notebook has a conflict, or what shows them is not installed.
    """
    flows = _of_pipe(Path(where), pipe) if pipe is not None else find_flows(where, flow)
    if start:
        _check_installed(marimo)
    if sync:
        _sync(flows)
    books = [book for each in flows for book in each.books if _is_linked(book, marimo)]
    return _in_marimo(flows, books) if marimo else _in_jupyter(flows, books, pipe)


def _in_marimo(flows: Sequence[Flow], books: Sequence[Book]) -> Lab:
    """Marimo does not follow links, and what it finds by itself are its own notebooks: it needs none."""
    folder = Path(os.path.commonpath([each.folder for each in flows]))
    links = tuple(Link(book.flow.name, book.name, "", book.source, book.source) for book in books)
    return Lab(folder, links, (), (sys.executable, "-m", "marimo", "edit", str(folder)))


def _in_jupyter(flows: Sequence[Flow], books: Sequence[Book], pipe: str | None) -> Lab:
    top = ignored_folder(project_of(flows[0].root) / OWN) / "lab"
    folder = top / flows[0].name if len(flows) == 1 else top / pipe if pipe is not None else top
    wanted = {top / each.name / name: book for each in flows for name, book in _named(each, books).items()}
    folder.mkdir(parents=True, exist_ok=True)
    links, removed = _link(top, {each.name for each in flows}, wanted)
    command = (sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}")
    return Lab(folder, tuple(links), tuple(removed), command)


def _of_pipe(where: Path, pipe: str) -> list[Flow]:
    everywhere = flows_below(project_of(where.resolve()))
    found = [each for each in everywhere if each.name == pipe or each.name.startswith(f"{pipe.strip('/')}/")]
    if not found:
        told = ", ".join(sorted({each.name.partition("/")[0] for each in everywhere}))
        raise NotebookError(f"there is no pipeline {pipe!r}; there are: {told}")
    return found


def _check_installed(marimo: bool) -> None:
    name = "marimo" if marimo else "jupyterlab"
    if importlib.util.find_spec(name) is None:
        how = "pip install 'stargazer-dask[notebook]'" if marimo else "pip install jupyterlab; or --marimo"
        raise NotebookError(f"{name} is not installed here: {how}")


def _sync(flows: Sequence[Flow]) -> None:
    problems = [done.problem for each in flows for done in sync_all(each.root) if done.problem]
    if problems:
        raise NotebookError("\n".join(problems))


def _is_linked(book: Book, marimo: bool) -> bool:
    if book.entry.status not in IN_USE:
        return False
    form = format_of(book)
    if marimo:
        return form.name == "marimo" and book.source.exists()
    return form.paired and book.entry.pair_ipynb and book.ipynb.exists()


def _named(flow: Flow, books: Sequence[Book]) -> dict[str, Book]:
    """Notebooks by the names of their links: of two of one name, the folder stands before."""
    own = [book for book in books if book.flow.root == flow.root]
    found = {}
    for book in own:
        alike = sum(other.name == book.name for other in own) > 1
        folder = book.workspace.relative_to(flow.folder).as_posix().replace("/", "-")
        found[f"{folder}-{book.ipynb.name}" if alike else book.ipynb.name] = book
    return found


def _link(
    top: Path, flows: set[str], wanted: Mapping[Path, Book]
) -> tuple[list[Link], list[str]]:  # fmt: skip
    notes = _notes(top)
    mine = {place: target for place, target in notes.items() if str(Path(place).parent) in flows}
    removed = []
    for place, leads in mine.items():
        path = top / place
        if path not in wanted and path.is_symlink() and os.readlink(path) == leads:
            path.unlink()
            removed.append(place)
        notes.pop(place)
    links = []
    for path, book in wanted.items():
        leads = os.path.relpath(book.ipynb, path.parent)
        place = path.relative_to(top).as_posix()
        taken = not _made(path, leads, mine.get(place))
        if not taken:
            notes[place] = leads
        links.append(Link(book.flow.name, book.name, book.kernel, path, book.ipynb, taken))
    top.mkdir(parents=True, exist_ok=True)
    (top.parent / f"{top.name}-{NOTES}").write_text(json.dumps(notes, sort_keys=True, indent=1))
    return links, removed


def _notes(top: Path) -> dict[str, str]:
    """Links that we made, from the folder's top."""
    try:
        return dict(json.loads(read_file(top.parent / f"{top.name}-{NOTES}") or "{}"))
    except ValueError:
        return {}


def _made(path: Path, leads: str, before: str | None) -> bool:
    """Whether the link is there: made now, or as it was; what others put there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and os.readlink(path) in (leads, before):
        if os.readlink(path) == leads:
            return True
        path.unlink()
    if os.path.lexists(path):
        return False
    path.symlink_to(leads)
    return True
