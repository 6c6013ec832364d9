"""What does not fit together in the life of a flow's notebooks, by rules; and what is wrong in the notebooks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.checks import check_header
from stargazer.notebook.flow.files import read_file
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.kernel import ran_whole
from stargazer.notebook.flow.pages import pages_of
from stargazer.notebook.flow.place import chosen, find_flows
from stargazer.notebook.flow.results import Finding
from stargazer.notebook.flow.syncing import BOTH, CONFLICT, NB_AHEAD, NEVER, PY_AHEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.catalog.entries import Entry as Mod
    from stargazer.notebook.flow.place import Book, Flow

__all__ = ["Found", "audit", "check"]

EXPLORING, SHOWING = ("investigate", "explore"), ("demo", "validate")
SUBSTANTIAL = 50
"""Lines above which a draft is none any more."""


class Found(NamedTuple):
    """A finding, and where.

    Parameters
    ----------
    flow, notebook
        Names; of what is of no notebook, the second is empty.
    path
        The file that the line is of.
    finding
        What it is.
    """

    flow: str
    notebook: str
    path: str
    finding: Finding

    def __str__(self) -> str:
        sign = "✗" if self.finding.level == "error" else "⚠"
        line = f", line {self.finding.line}" if self.finding.line else ""
        return f"{sign} {self.path}{line}: {self.finding.rule}: {self.finding.message}"

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {"flow": self.flow, "notebook": self.notebook, "path": self.path, **self.finding._asdict()}


def check(where: str | Path = ".", flow: str | None = None, names: Sequence[str] = ()) -> list[Found]:
    """Return what is wrong in notebooks, each with its line: annotations, syntax, names, imports, headers.

    Parameters
    ----------
    where, flow, names
        As for `stargazer.notebook.flow.sync`.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong: names all that is.
    """
    return [found for book in chosen(where, flow, names) for found in _checked(book)]


def _checked(book: Book) -> Iterator[Found]:
    told = book.told(book.source)
    try:
        text = read_file(book.source)
        if text is None:
            findings = [Finding("error", "py_missing", "it is not there")]
        else:
            found = format_of(book).check(text, book.source)
            findings = [*check_header(text, book.entry, book.source), *found]
    except NotebookError as error:
        findings = [Finding("error", "unreadable", " ".join(str(error).split()))]
    yield from (Found(book.flow.name, book.name, told, finding) for finding in findings)


def audit(where: str | Path = ".", flow: str | None = None) -> list[Found]:
    """Return what does not fit together: files, entries, the tasks they are about, and pages.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.

    Returns
    -------
    list of Found
        In the order of ``notebook.yml``. What has level ``error`` keeps a notebook from being used at all.

    Raises
    ------
    NotebookError
        A ``notebook.yml`` is wrong.
    """
    return [found for each in find_flows(where, flow) for found in _audited(each)]


def _audited(flow: Flow) -> Iterator[Found]:
    told = str(flow.file.relative_to(flow.root))
    for book in flow.books:
        for finding in _of_book(book):
            yield Found(flow.name, book.name, told, finding._replace(line=book.entry.line))
    for mod in _without_notebook(flow):
        message = f"{mod.name} ({mod.category}) has no notebook; nb new NAME --mode demo --mod {mod.name}"
        yield Found(flow.name, "", told, Finding("warning", "mod_without_notebook", message))


def _of_book(book: Book) -> list[Finding]:
    """All findings of one notebook; a file that cannot be read is one of its own, and others are audited."""
    found = [*_of_entry(book)]
    try:
        return [*_of_files(book), *found, *_of_life(book)]
    except NotebookError as error:
        return [Finding("error", "unreadable", " ".join(str(error).split())), *found]


def _warn(rule: str, message: str) -> Finding:
    return Finding("warning", rule, message)


def _of_files(book: Book) -> Iterator[Finding]:
    """Whether its files are there, and in step."""
    entry, name = book.entry, book.name
    if not book.source.exists():
        yield Finding("error", "py_missing", f"{entry.path} is not there")
        return
    form = format_of(book)
    if not form.paired:
        return
    if not entry.pair_ipynb:
        yield _warn("pair_ipynb_disabled", f"{name} has no .ipynb for people; set pair_ipynb: true")
        return
    if not book.ipynb.exists():
        yield _warn("ipynb_missing", f"{book.told(book.ipynb)} is not there; nb pair makes it")
        return
    state = form.sync(book, dry=True).state
    if state in (PY_AHEAD, BOTH, CONFLICT, NEVER):
        yield _warn("ipynb_stale", f"{entry.path} has what {book.ipynb.name} has not ({state}); nb sync")
    if state in (NB_AHEAD, BOTH, CONFLICT, NEVER):
        yield _warn("ipynb_has_unsynced_edits", f"{book.ipynb.name} has what {entry.path} has not ({state}); nb sync")


def _of_entry(book: Book) -> Iterator[Finding]:
    """Whether its entry says all that it should."""
    entry, name = book.entry, book.name
    if not entry.description:
        yield _warn("no_description", f"{name}: say in a few words what it is")
    if not entry.kind:
        yield _warn("no_kind", f"{name}: say whether it is to investigate, explore, demo, validate or interactive")
    if not book.kernel and book.source.exists() and format_of(book).paired:
        yield _warn("no_kernel", f"{name}: neither it nor its flow names a kernel")
    if entry.kind != "interactive":
        if not entry.mod:
            yield _warn("no_mod", f"{name}: say which task or workflow it is about")
        elif _mod(entry.mod) is None:
            message = f"{name}: {entry.mod} is no task or workflow of the catalog; stargazer tasks lists them"
            yield _warn("no_mod", message)


def _of_life(book: Book) -> Iterator[Finding]:
    """Whether its status is that of what it went through."""
    entry, name = book.entry, book.name
    lines = len((read_file(book.source) or "").splitlines())
    if entry.status == "draft" and lines > SUBSTANTIAL:
        yield _warn("draft_but_substantial", f"{name} is a draft of {lines} lines; set status: active")
    if entry.kind in SHOWING and entry.status != "archived" and not entry.published:
        yield _warn("demo_not_publishable", f"{name} is to be shown; set publish_html: true")
    if entry.kind in EXPLORING and entry.status not in ("archived", "promoted") and _mod(entry.mod) is not None:
        message = f"{name} explored {entry.mod}, which is there by now; set status: archived"
        yield _warn("explore_absorbed_not_archived", message)
    if entry.kind in SHOWING and entry.status in ("draft", "active", "stale") and ran_whole(book):
        yield _warn("demo_executed_not_promoted", f"{name} has run to its end; set status: promoted")
    if entry.status == "promoted" and not entry.published:
        yield _warn("promoted_not_publishable", f"{name} is promoted; set publish_html: true")
    if entry.status == "archived" and entry.published:
        yield _warn("archived_still_publishable", f"{name} is archived; set publish_html and publish_myst to false")
    stale = [page for page in pages_of(book) if page.state == "stale"] if entry.status != "archived" else []
    for page in stale:
        yield _warn("published_stale", f"{page.path.name}: {page.why}; nb publish")


def _mod(name: str) -> Mod | None:
    """Task or workflow of the catalog, by any of its names; two of one name are told apart by their groups."""
    from stargazer import catalog

    if not name:
        return None
    return next((entry for entry in catalog.list() if name in _names(entry)), None)


def _names(mod: Mod) -> tuple[str, ...]:
    return mod.name, mod.qualified, mod.bare, mod.home


def _without_notebook(flow: Flow) -> list[Mod]:
    """Tasks and workflows whose code stands in the flow, and that no notebook is about."""
    from stargazer import catalog, config

    if not config.catalog():
        return []
    about = {entry.mod for entry in flow.config.entries}
    own = [mod for mod in catalog.list() if mod.function is not None and _stands_in(mod, flow.root)]
    return [mod for mod in own if not about & {*_names(mod)}]


def _stands_in(mod: Mod, root: Path) -> bool:
    body: Any = getattr(mod.function, "body", mod.function)
    try:
        file = inspect.getsourcefile(inspect.unwrap(body))
    except TypeError:
        return False
    return file is not None and Path(file).resolve().is_relative_to(root)
