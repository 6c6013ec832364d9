"""Pages of notebooks: each says of which source and values it was made, so anybody can tell whether it still holds."""

from __future__ import annotations

import datetime
import html
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.files import read_file
from stargazer.notebook.flow.formats import format_of
from stargazer.notebook.flow.kernel import GIVEN, TO_STARGAZER, outputs_digest
from stargazer.notebook.flow.read import compare_files
from stargazer.notebook.flow.results import source_digest
from stargazer.notebook.flow.texts import read_ipynb

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.notebook.flow.formats import PageKind
    from stargazer.notebook.flow.place import Book

__all__ = ["Page", "kinds_of", "note_of", "page_path", "pages_of", "source_of", "with_note"]

OF_FORMATS: dict[str, PageKind] = {"html": "html", "markdown": "myst", "myst": "myst", "ipynb": "ipynb"}
ENDINGS = {"html": "html", "myst": "md", "ipynb": "ipynb"}
NOTE = "stargazer"
MOST_NAMED = 3
HEAD = re.compile(r"<head[^>]*>|<meta charset[^>]*>")
IN_HTML = re.compile(r'<meta name="stargazer" content="([^"]*)">')
BEGIN_IN_MYST, END_IN_MYST = "<!-- stargazer ", " -->"


class Page(NamedTuple):
    """A page of a notebook.

    Parameters
    ----------
    kind
        ``html``, ``myst`` or ``ipynb``.
    path
        Where it is, or would be.
    state
        ``no``, ``yes`` or ``stale``.
    date
        Since when it is there.
    why
        Why it is stale, or what could not be compared.
    """

    kind: PageKind
    path: Path
    state: str
    date: str = ""
    why: str = ""

    def __str__(self) -> str:
        since = "; ".join(filter(None, [self.date, self.why]))
        return {"yes": f"yes ({since})", "stale": f"stale ({self.why})"}.get(self.state, self.state)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**self._asdict(), "path": str(self.path)}


def kinds_of(book: Book, only: str | None = None) -> list[PageKind]:
    """Kinds of pages that are made of a notebook.

    Parameters
    ----------
    book
        The notebook.
    only
        This kind, of a notebook of which any page is made.
    """
    entry = book.entry
    if only is not None:
        return [OF_FORMATS[only]] if entry.published else []
    asked = [OF_FORMATS[book.flow.config.publish.format]] if entry.publish_html else []
    return list(dict.fromkeys([*asked, *(["myst"] if entry.publish_myst else [])]))  # type: ignore[list-item]


def page_path(book: Book, kind: PageKind) -> Path:
    """Where a page goes.

    Raises
    ------
    NotebookError
        The flow does not say.
    """
    folder = book.flow.pages
    if folder is None:
        raise NotebookError(f"{book.flow.file}: publish.docs_dir is empty: say there where pages go")
    return folder / f"{book.flow.config.publish.prefix}{book.name}.{ENDINGS[kind]}"


def source_of(book: Book) -> str:
    """Digest of a notebook's source; empty where there is none."""
    text = read_file(book.source)
    return source_digest(format_of(book).cells(text, book.source)) if text is not None else ""


def note_of(book: Book, kind: PageKind) -> dict[str, Any]:
    """What a page says of itself: its source, and, where it shows results, what these are, and files that it read."""
    source = source_of(book)
    values, given = _values(book) if kind != "myst" else ({}, {})
    reads = _reads(book, source) if kind != "myst" else {}
    return {"source": source, "values": values, GIVEN: given, **({"reads": reads} if reads else {})}


def _reads(book: Book, source: str) -> dict[str, str]:
    """Files that the notebook read when it last ran here, if it ran as it is."""
    noted = json.loads(read_file(book.noted("ran", ".json")) or "{}")
    return dict(noted.get("reads", {})) if noted.get("source") == source else {}


def _values(book: Book) -> tuple[dict[str, str], dict[str, Any]]:
    """What the notebook last came to, and with which values; nothing where that is not known here."""
    text = read_file(book.ipynb) if format_of(book).paired else None
    if text is not None:
        shown = read_ipynb(text, str(book.ipynb))
        return {"outputs": outputs_digest(shown)}, dict(shown.metadata.get(TO_STARGAZER, {}).get(GIVEN, {}))
    noted = json.loads(read_file(book.noted("ran", ".json")) or "{}")
    return noted.get("values", {}), noted.get(GIVEN, {})


def with_note(text: str, kind: PageKind, note: dict[str, Any]) -> str:
    """Put into a page what it was made of."""
    told = json.dumps(note, sort_keys=True)
    if kind == "html":
        meta = f'<meta name="stargazer" content="{html.escape(told)}">'
        return HEAD.sub(lambda found: f"{found[0]}\n{meta}", text, count=1)
    if kind == "myst":
        safe = told.replace("--", "-\\u002d")
        return f"{text.rstrip()}\n\n<!-- stargazer {safe} -->\n"
    book = json.loads(text)
    book["metadata"][NOTE] = {**book["metadata"].get(NOTE, {}), "page": note}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _noted(text: str, kind: PageKind) -> dict[str, Any] | None:
    """What a page says of itself; None of one that says nothing."""
    try:
        if kind == "ipynb":
            found = json.loads(text)["metadata"][NOTE]["page"]
        else:
            told = _told_in_html(text) if kind == "html" else _told_in_myst(text)
            found = json.loads(told) if told else None
        return dict(found) if found is not None else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _told_in_html(text: str) -> str:
    found = IN_HTML.search(text)
    return html.unescape(found[1]) if found else ""


def _told_in_myst(text: str) -> str:
    """The note at the end of a page; what is noted has no beginning of a comment in it."""
    _, _, last = text.rstrip().rpartition(BEGIN_IN_MYST)
    return last.removesuffix(END_IN_MYST) if last.endswith(END_IN_MYST) else ""


def pages_of(book: Book, only: str | None = None) -> list[Page]:
    """Return the pages of a notebook, and whether they still hold; nothing runs."""
    if book.flow.pages is None:
        return []
    return [_page(book, kind) for kind in kinds_of(book, only)]


def _page(book: Book, kind: PageKind) -> Page:
    path = page_path(book, kind)
    text = read_file(path)
    if text is None:
        return Page(kind, path, "no")
    date = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone().strftime("%Y-%m-%d")
    noted = _noted(text, kind)
    read = noted.get("reads") if noted else None
    changed, absent = compare_files(book, read if isinstance(read, dict) else {})
    why = _stale(noted, note_of(book, kind)) or (f"it read {_listed(changed)}, which changed" if changed else "")
    told = f"{_listed(absent)} not here to be compared" if absent else ""
    return Page(kind, path, "stale" if why else "yes", date, why or told)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def _stale(page: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """Why a page does not hold any more; what is not known here is no reason."""
    if page is None:
        return "it does not say of what it was made"
    if page.get("source") != now["source"]:
        return "the source changed"
    if now["values"] and page.get("values") and page["values"] != now["values"]:
        changed = sorted(
            name for name in page["values"] | now["values"] if page["values"].get(name) != now["values"].get(name)
        )
        return f"other values: {', '.join(changed)}"
    return ""
