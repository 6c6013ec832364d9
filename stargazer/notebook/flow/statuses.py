"""How the notebooks of a flow stand: each face with its time and whether it is in step, and the pages."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.files import read_file
from stargazer.notebook.flow.formats import resolved
from stargazer.notebook.flow.pages import Page, pages_of
from stargazer.notebook.flow.place import Flow, find_flows
from stargazer.notebook.flow.syncing import NB_AHEAD, NO_PY, PY_AHEAD

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.notebook.flow.formats import NotebookFormat
    from stargazer.notebook.flow.place import Book

__all__ = ["BookStatus", "Face", "FlowStatus", "status"]

SIGNS = {"in step": "✓", "source": " ", "missing": "-"}


class Face(NamedTuple):
    """A file of a notebook.

    Parameters
    ----------
    kind
        How it ends: ``.py``, ``.ipynb``, ``.md``.
    path
        From the flow's folder.
    time
        When it was last changed; empty where it is not there.
    state
        ``source``, ``in step``, ``ahead``, ``behind``, ``both changed``, ``conflict``, ``never synced`` or
        ``missing``.
    """

    kind: str
    path: str
    time: str
    state: str

    def __str__(self) -> str:
        sign = SIGNS.get(self.state, "⚠")
        told = "(source)" if self.state == "source" else f"{sign} {self.state}"
        return f"{self.kind:6} {self.time or '–':16}  {told}"


class BookStatus(NamedTuple):
    """How a notebook stands.

    Parameters
    ----------
    name, path, kind, status
        As its entry has them.
    format, kernel
        That it has, from wherever it has them.
    faces
        Its files.
    pages
        Its pages.
    problem
        Why it cannot be told.
    """

    name: str
    path: str
    kind: str
    status: str
    format: str
    kernel: str
    faces: tuple[Face, ...]
    pages: tuple[Page, ...]
    problem: str = ""

    @property
    def in_step(self) -> bool:
        """Whether all its files say the same."""
        return not self.problem and all(face.state in ("source", "in step") for face in self.faces)

    def __str__(self) -> str:
        words = [self.kind, self.status, self.format, f"kernel {self.kernel}" if self.kernel else ""]
        lines = [f"  {self.name}  ({' · '.join(word for word in words if word)})"]
        lines += [f"    {face}" for face in self.faces]
        lines += [f"    ✗ {self.problem}"] if self.problem else []
        lines += [f"    published: {page}  {page.path.name}" for page in self.pages if page.state != "no"]
        if all(page.state == "no" for page in self.pages):
            lines.append("    published: no")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        faces, pages = [face._asdict() for face in self.faces], [page.to_dict() for page in self.pages]
        return {**self._asdict(), "faces": faces, "pages": pages, "in_step": self.in_step}


class FlowStatus(NamedTuple):
    """How a flow stands.

    Parameters
    ----------
    name, root
        Of the flow.
    books
        Its notebooks.
    """

    name: str
    root: Path
    books: tuple[BookStatus, ...]

    def __str__(self) -> str:
        count = len(self.books)
        head = f"Flow: {self.name} ({count} {'entry' if count == 1 else 'entries'})"
        return "\n\n".join([head, *map(str, self.books)])

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {"flow": self.name, "root": str(self.root), "notebooks": [book.to_dict() for book in self.books]}


def status(where: str | Path = ".", flow: str | None = None) -> list[FlowStatus]:
    """Say how the notebooks of flows stand; nothing is written.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.

    Raises
    ------
    NotebookError
        A ``notebook.yml`` is wrong.
    """
    return [_status(each) for each in find_flows(where, flow)]


def _status(flow: Flow) -> FlowStatus:
    return FlowStatus(flow.name, flow.root, tuple(_book(book) for book in flow.books))


def _book(book: Book) -> BookStatus:
    entry = book.entry
    problem, faces, pages, name, kernel = "", tuple[Face, ...](), tuple[Page, ...](), entry.format, ""
    try:
        form = resolved(book.flow, book).format
        name, kernel = form.name, book.kernel if form.paired else ""
        faces = tuple(_faces(book, form))
        pages = tuple(pages_of(book))
    except NotebookError as error:
        problem = " ".join(str(error).split())
    return BookStatus(book.name, entry.path, entry.kind, entry.status, name, kernel, faces, pages, problem)


def _faces(book: Book, form: NotebookFormat) -> list[Face]:
    there = book.source.exists()
    found = [_face(book, book.source, "source" if there else "missing")]
    if not form.paired:
        return found
    if book.entry.pair_ipynb or book.ipynb.exists():
        found.append(_face(book, book.ipynb, _side(book, form)))
    if book.entry.pair_myst:
        found.append(_face(book, book.myst, _myst(book, form)))
    return found


def _side(book: Book, form: NotebookFormat) -> str:
    """How the ``.ipynb`` stands to the source."""
    if not book.ipynb.exists():
        return "missing"
    state = form.sync(book, dry=True).state
    return {PY_AHEAD: "behind", NB_AHEAD: "ahead", NO_PY: "ahead"}.get(state, state)


def _myst(book: Book, form: NotebookFormat) -> str:
    text = read_file(book.myst)
    if text is None:
        return "missing"
    return "in step" if text == form.export(book, "myst") else "behind"


def _face(book: Book, path: Path, state: str) -> Face:
    time = ""
    if path.exists():
        changed = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        time = changed.strftime("%Y-%m-%d %H:%M")
    return Face(path.suffix, book.told(path), time, state)
