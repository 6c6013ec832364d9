"""Percent scripts: the script is true, people edit the ``.ipynb`` beside it, a kernel runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of
from stargazer.notebook.document import PERCENT, detect_format, read_text
from stargazer.notebook.flow.checks import check_percent
from stargazer.notebook.flow.files import read_file
from stargazer.notebook.flow.kernel import run_in_kernel, shown_book, without_secrets
from stargazer.notebook.flow.syncing import Synced, sync_pair
from stargazer.notebook.flow.templates import percent_template
from stargazer.notebook.flow.texts import myst_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stargazer.notebook.document import Cell
    from stargazer.notebook.flow.place import Book
    from stargazer.notebook.flow.results import Draft, Executed, Finding
    from stargazer.notebook.flow.syncing import Direction

__all__ = ["Percent"]


class Percent:
    """Scripts whose cells begin with ``# %%``."""

    name = "percent"
    suffix = ".py"
    paired = True

    def detect(self, text: str, path: Path) -> bool:
        """Say whether any cell begins with ``# %%``, in a file that is not marimo's."""
        marked = any(PERCENT.match(line) for line in lines_of(text))
        return path.suffix == self.suffix and marked and detect_format(text, path) == "percent"

    def cells(self, text: str, path: Path) -> tuple[Cell, ...]:
        """Return its cells."""
        return read_text(text, path, "percent").cells

    def sync(self, book: Book, direction: Direction = "auto", dry: bool = False, force: bool = False) -> Synced:
        """Bring script, ``.ipynb`` and MyST file in step."""
        return sync_pair(book, direction, dry, force, ipynb=book.entry.pair_ipynb)

    def execute(self, book: Book, timeout: float, given: Mapping[str, Any]) -> Executed:
        """Run it in its kernel, with the ledger loaded."""
        return run_in_kernel(book, timeout, given)

    def check(self, text: str, path: Path) -> list[Finding]:
        """Return what is wrong in it."""
        return check_percent(read_text(text, path, "percent"))

    def export(self, book: Book, kind: str) -> str:
        """Return a page of its ``.ipynb``."""
        if kind == "myst":
            return myst_text(read_file(book.source) or "", book.kernel or "python3")
        shown = without_secrets(shown_book(book))
        if kind == "ipynb":
            import nbformat

            return str(nbformat.writes(shown)).rstrip("\n") + "\n"
        return _html(shown, book)

    def template(self, draft: Draft) -> str:
        """Return a new script that runs."""
        return percent_template(draft)


def _templates() -> list[str]:
    """Where nbconvert's own templates were installed; it looks below this environment, not where it lies itself."""
    from importlib.metadata import files

    mark = "nbconvert/templates/lab/index.html.j2"
    found = (str(each.locate()) for each in files("nbconvert") or () if str(each).endswith(mark))
    return [os.path.abspath(place).removesuffix("/lab/index.html.j2") for place in found]


def _html(shown: Any, book: Book) -> str:
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        raise NotebookError("HTML pages want nbconvert: pip install 'stargazer-dask[publish]'") from None
    shown.cells = [cell for cell in shown.cells if not (cell.cell_type == "raw" and cell.source.startswith("---\n"))]
    exporter = HTMLExporter(extra_template_basedirs=_templates(), extra_template_paths=_templates())
    text, _ = exporter.from_notebook_node(shown, resources={"metadata": {"name": book.name}})
    return str(text).rstrip("\n") + "\n"
