"""Flows and their notebooks as folders and files: which there are, and where each face of a notebook stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError
from stargazer.notebook.flow.model import Config, Entry, read_config
from stargazer.notebook.plaintext import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "CONFIG",
    "OWN",
    "Book",
    "Flow",
    "chosen",
    "find_flow",
    "find_flows",
    "flow_name",
    "flows_below",
    "open_flow",
    "project_of",
    "relative",
]

CONFIG = "notebooks/notebook.yml"
PIPELINES = ("code", "pipelines")
ROOTS = (".git", "pyproject.toml", "stargazer.yaml")
SOURCES, MYST = ".src", ".myst"
OWN = ".stargazer"
"""What Stargazer notes of a flow; git does not see it."""

SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "__marimo__"})


@dataclass(frozen=True, eq=False)
class Flow:
    """A folder with ``notebooks/notebook.yml``.

    Parameters
    ----------
    root
        The folder.
    name
        Its path below ``code/pipelines/`` where that is there, else below the project.
    config
        What it says.
    """

    root: Path
    name: str
    config: Config

    @property
    def file(self) -> Path:
        """The file that makes it a flow."""
        return self.root / CONFIG

    @property
    def folder(self) -> Path:
        """Where its notebooks stand."""
        return self.root / "notebooks"

    @property
    def own(self) -> Path:
        """What Stargazer notes of it."""
        return self.folder / OWN

    @property
    def pages(self) -> Path | None:
        """Where pages go; None where it does not say."""
        docs = self.config.publish.docs_dir
        return Path(os.path.normpath(self.root / Path(docs).expanduser())) if docs else None

    @property
    def books(self) -> tuple[Book, ...]:
        """Its notebooks, in the order of the file."""
        return tuple(Book(self, entry) for entry in self.config.entries)


@dataclass(frozen=True, eq=False)
class Book:
    """A notebook of a flow with the places of its faces.

    Parameters
    ----------
    flow
        Where it belongs.
    entry
        What is said of it.
    """

    flow: Flow
    entry: Entry

    @property
    def name(self) -> str:
        """Its file without folders and ending."""
        return self.entry.name

    @property
    def source(self) -> Path:
        """What is true: the percent script, or marimo's file."""
        return self.flow.root / self.entry.path

    @property
    def workspace(self) -> Path:
        """The folder in which people see it, and in which its cells run."""
        folder = self.source.parent
        return folder.parent if folder.name == SOURCES else folder

    @property
    def ipynb(self) -> Path:
        """Its Jupyter notebook."""
        return self.workspace / f"{self.name}.ipynb"

    @property
    def myst(self) -> Path:
        """The MyST file that is made of it."""
        folder = self.source.parent
        return folder.parent / MYST / f"{self.name}.md" if folder.name == SOURCES else folder / f"{self.name}.md"

    @property
    def kernel(self) -> str:
        """The kernel that its entry asks for, or its flow; empty where neither does."""
        return self.entry.kernel or self.flow.config.kernel

    def noted(self, kind: str, ending: str) -> Path:
        """Where something of it is noted, out of git's sight."""
        return self.flow.own / kind / f"{self.entry.path.removeprefix('notebooks/')}{ending}"

    def told(self, path: Path) -> str:
        """A path for people: from the flow's folder."""
        return os.path.relpath(path, self.flow.root)


def open_flow(root: Path) -> Flow:
    """Read the flow of a folder.

    Raises
    ------
    NotebookError
        There is none, or what it says is wrong.
    """
    place = root.resolve()
    file = place / CONFIG
    try:
        text = read_plain(file)
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return Flow(place, flow_name(place), read_config(text, os.path.relpath(file)))


def flow_name(root: Path) -> str:
    """Name of the flow of a folder."""
    parts = root.parts
    for number in range(len(parts) - 2, 0, -1):
        if parts[number - 1 : number + 1] == PIPELINES:
            return "/".join(parts[number + 1 :])
    project = project_of(root)
    return root.name if project == root else root.relative_to(project).as_posix()


def project_of(folder: Path) -> Path:
    """The nearest folder, from this one upwards, that looks like the top of a project; else this one."""
    above = (folder, *folder.parents)
    return next((each for each in above if any((each / name).exists() for name in ROOTS)), folder)


def find_flow(where: str | Path = ".", flow: str | None = None) -> Flow:
    """Find one flow: by its name or folder, or the one in which a folder stands.

    Raises
    ------
    NotebookError
        There is none, or several.
    """
    found = find_flows(where, flow)
    if len(found) > 1:
        raise NotebookError(f"there are several flows here: {', '.join(f.name for f in found)}; name one with --flow")
    return found[0]


def find_flows(where: str | Path = ".", flow: str | None = None) -> list[Flow]:
    """Find flows: the one of that name or folder; else the one in which a folder stands; else all below it.

    Parameters
    ----------
    where
        A folder.
    flow
        Name of a flow (``preprocess/ieeg``), or its folder.

    Raises
    ------
    NotebookError
        There is none; or what one says is wrong.
    """
    here = Path(where).resolve()
    if flow is not None:
        return [_named(here, flow)]
    for folder in (here, *here.parents):
        if (folder / CONFIG).is_file():
            return [open_flow(folder)]
        if folder == project_of(here):
            break
    found = flows_below(here)
    if not found:
        raise NotebookError(f"no {CONFIG} is at {here}, above or below it; `stargazer nb new NAME` makes one")
    return found


def flows_below(folder: Path) -> list[Flow]:
    """All flows of a folder, and of those below it."""
    return [open_flow(each) for each in _below(folder)]


def _named(here: Path, flow: str) -> Flow:
    if (here / flow / CONFIG).is_file():
        return open_flow(here / flow)
    folders = list(_below(project_of(here)))
    found = [folder for folder in folders if flow.strip("/") == flow_name(folder)]
    if len(found) != 1:
        told = ", ".join(sorted(flow_name(folder) for folder in folders)) or "none"
        raise NotebookError(f"there is no flow {flow!r}; there are: {told}")
    return open_flow(found[0])


def _below(folder: Path) -> Iterator[Path]:
    """Folders of flows, this one first; hidden folders are not looked into."""
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in SKIPPED)
        if (Path(root) / CONFIG).is_file():
            yield Path(root)


def chosen(where: str | Path = ".", flow: str | None = None, names: Sequence[str] = ()) -> list[Book]:
    """Notebooks by name or path; without any, all that are not archived.

    Parameters
    ----------
    where, flow
        As for `find_flows`.
    names
        Names of notebooks, or paths of any of their files.

    Raises
    ------
    NotebookError
        A name is that of none, or of several; or `find_flows`.
    """
    flows = find_flows(where, flow)
    if not names:
        return [book for each in flows for book in each.books if book.entry.status != "archived"]
    return [_one(flows, name) for name in names]


def _one(flows: Sequence[Flow], name: str) -> Book:
    books = [book for each in flows for book in each.books]
    found = [book for book in books if name in (book.name, book.entry.path)]
    if not found and Path(name).suffix:
        place = Path(os.path.abspath(name))
        found = [book for book in books if place in (book.source, book.ipynb, book.myst)]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(f"{book.entry.path} of {book.flow.name}" for book in found)
        raise NotebookError(f"{name} is the name of several notebooks: {paths}; give the path, or --flow")
    told = ", ".join(book.name for book in books) or "none"
    there = ", ".join(each.name for each in flows)
    raise NotebookError(f"{there} has no notebook {name}, but {told}; `stargazer nb scan --register` adds files")


def relative(path: Path, root: Path) -> str:
    """Path of a file from a flow's folder, as entries have it."""
    return str(PurePosixPath(path.relative_to(root)))
