"""Run the notebooks of flows, several at once; publish what they came to."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError, StargazerError
from stargazer.notebook.flow.files import read_file, write_all
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.kernel import end_kernels
from stargazer.notebook.flow.pages import Page, kinds_of, note_of, page_path, pages_of, source_of, with_note
from stargazer.notebook.flow.place import chosen
from stargazer.notebook.flow.results import Executed
from stargazer.store import active_store
from stargazer.tools import end_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from stargazer.notebook.flow.formats import PageKind
    from stargazer.notebook.flow.place import Book
    from stargazer.store import Store

__all__ = ["Publication", "execute", "publish"]

TIMEOUT = 600.0


def execute(
    where: str | Path = ".",
    flow: str | None = None,
    entry: Sequence[str] = (),
    timeout: float = TIMEOUT,
    set: Mapping[str, Any] | None = None,
    keep_going: bool = False,
    told: Callable[[Executed], None] = lambda done: None,
) -> list[Executed]:
    """Run notebooks: percent ones in their kernels, the ledger loaded, marimo's headless; several at once.

    Each is brought in step first, so what runs is what both sides say.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.
    entry
        Names or paths; by default all that are not archived, and not interactive.
    timeout
        Seconds that a cell of a kernel may take, or a whole marimo notebook.
    set
        Values in place of those that cells make.
    keep_going
        Begin others after one failed.
    told
        Told of each as it ends.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong, or no notebook makes a value that is given.
    """
    _check_limit(timeout)
    books = [book for book in chosen(where, flow, entry) if entry or book.entry.kind != "interactive"]
    given = dict(set or {})
    takes = {book: _takes(book, given) for book in books}
    if missing := sorted(given.keys() - {name for names in takes.values() for name in names}):
        raise NotebookError(f"no notebook that would run makes {', '.join(missing)}; --set gives what a cell makes")
    jobs = [(book, {name: given[name] for name in takes[book]}) for book in books]
    return _all(jobs, timeout, keep_going, told)


def _check_limit(timeout: float) -> None:
    if timeout <= 0:
        raise NotebookError(f"a cell may take {timeout:g} seconds: give more than 0")


def _takes(book: Book, given: Mapping[str, Any]) -> list[str]:
    """Names of given values that its cells make."""
    text = read_file(book.source) or read_file(book.ipynb) if given else None
    if text is None:
        return []
    cells = format_of(book).cells(text, book.source)
    return sorted(name for name in given if any(name in cell.defs for cell in cells))


def _all(
    jobs: Sequence[tuple[Book, dict[str, Any]]], timeout: float, keep_going: bool, told: Callable[[Executed], None]
) -> list[Executed]:
    store, waiting = active_store(), list(jobs)
    running: dict[Future[Executed], Book] = {}
    done: dict[Book, Executed] = {}
    with ThreadPoolExecutor(max_workers=max(1, min(len(jobs), os.cpu_count() or 1))) as pool:
        try:
            while running or waiting:
                while waiting and len(running) < pool._max_workers:
                    book, given = waiting.pop(0)
                    running[pool.submit(_one, book, timeout, given, store)] = book
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    book = running.pop(future)
                    done[book] = future.result()
                    told(done[book])
                    if not (done[book].success or keep_going):
                        waiting.clear()
        except BaseException:
            end_kernels()
            end_all()
            raise
    return [done.get(book) or Executed(book.name, "skipped", note="another one failed before") for book, _ in jobs]


def _one(book: Book, timeout: float, given: dict[str, Any], store: Store) -> Executed:
    """Bring a notebook in step, run it, and note what it came to."""
    began = time.monotonic()
    form = format_of(book)
    try:
        synced = form.sync(book)
        if synced.problem:
            return Executed(book.name, "failed", problem=synced.problem)
        source = source_of(book)
        with store:
            done = form.execute(book, timeout, given)
        if done.success:
            notes = {"source": source, "values": done.values, "given": given, "reads": done.reads}
            write_all(book.flow, {book.noted("ran", ".json"): json.dumps(notes, sort_keys=True)}, {})
        return done
    except StargazerError as error:
        problem = " ".join(str(error).split())
        return Executed(book.name, "failed", time.monotonic() - began, problem)


class Publication(NamedTuple):
    """What became of the pages of a notebook.

    Parameters
    ----------
    name
        Of the notebook.
    pages
        Its pages.
    wrote
        Those that are other than before.
    problem
        Why there is none, or why they do not hold.
    """

    name: str
    pages: tuple[Page, ...]
    wrote: tuple[str, ...] = ()
    problem: str = ""

    @property
    def success(self) -> bool:
        """Whether all of its pages hold."""
        return not self.problem and all(page.state == "yes" for page in self.pages)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        pages = [page.to_dict() for page in self.pages]
        return {**self._asdict(), "pages": pages, "success": self.success}


def publish(
    where: str | Path = ".",
    flow: str | None = None,
    names: Sequence[str] = (),
    format: str | None = None,
    run: bool = True,
    check: bool = False,
    timeout: float = TIMEOUT,
    told: Callable[[Executed], None] = lambda done: None,
) -> list[Publication]:
    """Make the pages of notebooks: pair, sync, execute, publish.

    Parameters
    ----------
    where, flow, names
        As for `stargazer.notebook.flow.sync`.
    format
        ``html``, ``myst`` or ``ipynb``, in place of what the flow and its entries say.
    run
        Execute first; else what the notebooks last came to is published.
    check
        Only say whether the pages that are there still hold; nothing runs, and nothing is written.
    timeout, told
        As for `execute`.

    Raises
    ------
    NotebookError
        ``notebook.yml`` is wrong, does not say where pages go, or names no notebook that is published.
    """
    _check_limit(timeout)
    books = chosen(where, flow, names)
    wanted = [book for book in books if kinds_of(book, format)]
    if names and (others := [book.name for book in books if book not in wanted]):
        raise NotebookError(f"{', '.join(others)}: its entry has neither publish_html nor publish_myst")
    for book in wanted:
        page_path(book, "html")
    if check:
        return [Publication(book.name, tuple(pages_of(book, format))) for book in wanted]
    ran = _all([(book, {}) for book in wanted], timeout, True, told) if run else [_in_step(book) for book in wanted]
    return [_published(book, kinds_of(book, format), done) for book, done in zip(wanted, ran, strict=True)]


def _in_step(book: Book) -> Executed:
    try:
        synced = format_of(book).sync(book)
    except NotebookError as error:
        return Executed(book.name, "failed", problem=str(error))
    return Executed(book.name, "failed" if synced.problem else "ran", problem=synced.problem)


def _published(book: Book, kinds: Sequence[PageKind], done: Executed) -> Publication:
    if not done.success:
        return Publication(book.name, (), problem=done.problem or done.note)
    texts = {}
    try:
        for kind in kinds:
            texts[page_path(book, kind)] = with_note(format_of(book).export(book, kind), kind, note_of(book, kind))
        changed = {path: text for path, text in texts.items() if read_file(path) != text}
        if changed:
            write_all(book.flow, changed, {})
    except NotebookError as error:
        return Publication(book.name, (), problem=str(error))
    pages = [page for kind in kinds for page in pages_of(book, kind)]
    return Publication(book.name, tuple(pages), tuple(book.told(path) for path in changed))
