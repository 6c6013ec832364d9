"""Formats of notebooks: one object each; two come along, others are entry points of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from stargazer.errors import NotebookError
from stargazer.notebook.flow.files import read_file
from stargazer.notebook.flow.marimo import Marimo
from stargazer.notebook.flow.model import BUILT_IN
from stargazer.notebook.flow.percent import Percent
from stargazer.plugins import NOTEBOOK_FORMATS, find, plugins

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stargazer.notebook.document import Cell
    from stargazer.notebook.flow.place import Book, Flow
    from stargazer.notebook.flow.results import Draft, Executed, Finding
    from stargazer.notebook.flow.syncing import Direction, Synced

__all__ = ["NotebookFormat", "PageKind", "Resolved", "detect", "format_named", "format_names", "format_of"]

PageKind = Literal["html", "myst", "ipynb"]


@runtime_checkable
class NotebookFormat(Protocol):
    """All that is of one format; what is of all (status, audit, scan, lab, publish) is made of that.

    Parameters
    ----------
    name
        What ``format:`` says of an entry.
    suffix
        How its files end.
    paired
        Whether its sources stand in ``.src/``, with an ``.ipynb`` for people beside; else people see the source.
    """

    name: str
    suffix: str
    paired: bool

    def detect(self, text: str, path: Path) -> bool:
        """Say whether a file is of this format, by its text."""

    def cells(self, text: str, path: Path) -> tuple[Cell, ...]:
        """Return its cells, in the order of the file.

        Raises
        ------
        NotebookError
            It cannot be read.
        """

    def sync(self, book: Book, direction: Direction = "auto", dry: bool = False, force: bool = False) -> Synced:
        """Bring its faces in step; whole or not at all."""

    def execute(self, book: Book, timeout: float, given: Mapping[str, Any]) -> Executed:
        """Run its cells, with values in place of those that cells make; a failure is a result, and no exception."""

    def check(self, text: str, path: Path) -> list[Finding]:
        """Return what is wrong in it; nothing of it runs."""

    def export(self, book: Book, kind: PageKind) -> str:
        """Return a page of what it came to when it last ran; nothing of it runs.

        Raises
        ------
        NotebookError
            It has not run, or what makes pages is not installed.
        """

    def template(self, draft: Draft) -> str:
        """Return a new notebook that runs."""


class Resolved(NamedTuple):
    """A format and by what it was found: ``entry``, ``flow`` or ``text``."""

    format: NotebookFormat
    by: str


def format_names() -> tuple[str, ...]:
    """Names of all formats that are installed."""
    return (*BUILT_IN, *sorted({each.name for each in plugins(NOTEBOOK_FORMATS)} - {*BUILT_IN}))


def format_named(name: str) -> NotebookFormat:
    """Return a format by its name.

    Raises
    ------
    NotebookError
        There is none of that name, or what is offered under it is no format.
    PluginError
        It cannot be imported.
    """
    built_in: dict[str, NotebookFormat] = {"percent": Percent(), "marimo": Marimo()}
    if name in built_in:
        return built_in[name]
    found = find(NOTEBOOK_FORMATS, name)
    if found is None:
        raise NotebookError(f"there is no format {name!r}; there are {', '.join(format_names())}")
    made = found() if isinstance(found, type) else found
    if not isinstance(made, NotebookFormat):
        raise NotebookError(f"what is offered as {NOTEBOOK_FORMATS} {name!r} is no NotebookFormat: {found!r}")
    return made


def detect(text: str, path: Path) -> NotebookFormat:
    """Find out the format of a file: marimo is sharper than the others, percent is what is left."""
    names = ["marimo", *(name for name in format_names() if name not in BUILT_IN)]
    found = (form for form in map(format_named, names) if form.suffix == path.suffix and form.detect(text, path))
    return next(found, Percent())


def format_of(book: Book) -> NotebookFormat:
    """Return the format of a notebook: its entry says it, or its flow, or its text."""
    return resolved(book.flow, book).format


def resolved(flow: Flow, book: Book) -> Resolved:
    """As `format_of`, with what said it."""
    if book.entry.format:
        return Resolved(format_named(book.entry.format), "entry")
    if flow.config.default_format:
        return Resolved(format_named(flow.config.default_format), "flow")
    return Resolved(detect(read_file(book.source) or "", book.source), "text")
