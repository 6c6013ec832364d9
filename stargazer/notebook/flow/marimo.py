"""marimo notebooks: one file, which people edit; headless they run as `sg.Notebook` does, in a process of its own."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from stargazer.config import command_environment, scratch_dir
from stargazer.errors import Cancelled, NotebookError, StargazerError, ToolFailed
from stargazer.notebook.document import detect_format, read_text
from stargazer.notebook.flow.checks import check_marimo
from stargazer.notebook.flow.files import read_file, write_all
from stargazer.notebook.flow.read import files_of
from stargazer.notebook.flow.results import Executed, source_digest
from stargazer.notebook.flow.syncing import Synced
from stargazer.notebook.flow.templates import marimo_template
from stargazer.store import active_store
from stargazer.tools import Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stargazer.notebook.document import Cell
    from stargazer.notebook.flow.place import Book
    from stargazer.notebook.flow.results import Draft, Finding
    from stargazer.notebook.flow.syncing import Direction

__all__ = ["Marimo"]

MODULE = "stargazer.notebook.flow.headless"
REPORT, PAGE = "report.json", "page.html"
STARTUP = 300.0
"""Seconds for what is done beside cells."""


class Marimo:
    """Files whose cells are functions of an app."""

    name = "marimo"
    suffix = ".py"
    paired = False

    def detect(self, text: str, path: Path) -> bool:
        """Say whether it imports marimo and makes an app before any ``# %%``."""
        return path.suffix == self.suffix and detect_format(text, path) == "marimo"

    def cells(self, text: str, path: Path) -> tuple[Cell, ...]:
        """Return its cells."""
        return read_text(text, path, "marimo").cells

    def sync(self, book: Book, direction: Direction = "auto", dry: bool = False, force: bool = False) -> Synced:
        """It is one file: there is nothing to bring in step."""
        there = book.source.exists()
        problem = "" if there else f"{book.told(book.source)} is not there"
        return Synced(book.name, "in step" if there else "no py", problem=problem)

    def execute(self, book: Book, timeout: float, given: Mapping[str, Any]) -> Executed:
        """Run it headless; what is known comes from the ledger."""
        began = time.monotonic()
        text = read_file(book.source)
        if text is None:
            raise NotebookError(f"{book.told(book.source)} is not there")
        code = sum(cell.kind == "code" for cell in self.cells(text, book.source))
        report, page, problem = _run(book, timeout, timeout * max(1, code) + STARTUP, given)
        problem = problem or _failure(report)
        wrote = book.noted("executed", ".html")
        values = {name: str(cid) for name, cid in report.get("values", {}).items()}
        if page:
            notes = {"source": source_digest(self.cells(text, book.source)), "values": values, "given": dict(given)}
            write_all(book.flow, {wrote: page, book.noted("executed", ".json"): json.dumps(notes)}, {})
        seconds = time.monotonic() - began
        state = "failed" if problem else "ran"
        place = book.told(wrote) if page else ""
        return Executed(book.name, state, seconds, problem, "", place, values, files_of(book, report.get("reads", {})))

    def check(self, text: str, path: Path) -> list[Finding]:
        """Return what is wrong in it."""
        return check_marimo(read_text(text, path, "marimo"))

    def export(self, book: Book, kind: str) -> str:
        """Return a page: of its last run, or as ``marimo export`` writes it."""
        text = read_file(book.source)
        if text is None:
            raise NotebookError(f"{book.told(book.source)} is not there")
        if kind != "html":
            return _exported(book, {"myst": "md", "ipynb": "ipynb"}[kind])
        notes, page = read_file(book.noted("executed", ".json")), read_file(book.noted("executed", ".html"))
        source = json.loads(notes)["source"] if notes else ""
        if page is None or source != source_digest(self.cells(text, book.source)):
            raise NotebookError(f"{book.name} has not run as it is: `stargazer nb exec --entry {book.name}`")
        return page

    def template(self, draft: Draft) -> str:
        """Return a new file that runs."""
        return marimo_template(draft)


def _run(book: Book, timeout: float, longest: float, given: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Report, page and what failed, of a run in a process of its own; a cell that nothing ends ends with that."""
    deadline = time.monotonic() + longest
    with Scratch(scratch_dir()) as scratch:
        work = Workdir(scratch.path, env=command_environment(), cancelled=lambda: time.monotonic() > deadline)
        job: dict[str, Any] = {"file": str(book.source), "folder": str(book.workspace), "store": active_store().url}
        job |= {
            "given": dict(given),
            "timeout": timeout,
            "report": str(work.file(REPORT)),
            "page": str(work.file(PAGE)),
        }
        work.file("job.json").write_text(json.dumps(job))
        try:
            work.run(["python", "-m", MODULE, "job.json"])
            problem = ""
        except Cancelled:
            problem = f"it took longer than {longest:g} s, which is {timeout:g} s for each of its cells"
        except ToolFailed as error:
            problem = _last(str(error))
        report = json.loads(read_file(work.path / REPORT) or "{}")
        return report, read_file(work.path / PAGE) or "", report.get("problem") or problem


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it ended without a word"


def _failure(report: Mapping[str, Any]) -> str:
    """The first cell that failed, in one line."""
    failed = [row for row in report.get("cells", ()) if row["state"] == "failed"]
    if not failed:
        return ""
    name = failed[0]["name"] or ", ".join(failed[0]["defs"]) or "a cell"
    return f"cell {name}: {failed[0]['problem'] or '; '.join(failed[0]['why'])}"


def _exported(book: Book, kind: str) -> str:
    """What ``marimo export`` writes; cells do not run."""
    with Scratch(scratch_dir()) as scratch:
        work = Workdir(scratch.path, env=command_environment())
        out = work.file(f"page.{kind}")
        try:
            work.run(["python", "-m", "marimo", "-y", "export", kind, str(book.source), "-o", out])
        except StargazerError as error:
            raise NotebookError(f"{book.told(book.source)}: marimo export {kind}: {_last(str(error))}") from None
        text = (work.path / f"page.{kind}").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("marimo-version:")) + "\n"
