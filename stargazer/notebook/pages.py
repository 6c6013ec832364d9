"""A notebook with what its cells show, as a page: HTML, Jupyter's format, or Markdown."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of
from stargazer.notebook.plaintext import write_whole
from stargazer.notebook.shown import html_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.notebook.document import Cell, Document

__all__ = ["check_page", "page_text", "write_page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1d1d1f }
pre { background: #f6f6f4; padding: .7rem .9rem; border-radius: 6px; overflow-x: auto; font-size: 13px }
.out { margin: 0 0 1.4rem } .out pre { background: none; padding: 0 .9rem }
table { border: 0; border-collapse: collapse; font-size: 14px }
td, th { padding: .2rem .7rem; border: 0; border-bottom: 1px solid #ddd; text-align: right }
img { max-width: 100% } .why { color: #77777c; font-size: 12px; margin: -.6rem 0 .4rem }
"""


def write_page(document: Document, shown: Mapping[Cell, Sequence[dict[str, Any]]], out: str) -> Path:
    """Write a page, whole or not at all; its kind is told by its ending.

    Parameters
    ----------
    document
        The notebook.
    shown
        What each cell shows.
    out
        A path that ends in ``.html``, ``.ipynb`` or ``.md``.

    Raises
    ------
    NotebookError
        There is no such kind of page.
    """
    check_page(out)
    path = Path(out)
    text = page_text(document, shown, path.suffix)
    write_whole(path, text.encode())
    return path


def check_page(out: str) -> None:
    """Make sure that there is a kind of page for a path.

    Raises
    ------
    NotebookError
        There is none.
    """
    suffix = Path(out).suffix
    if suffix not in WRITERS:
        raise NotebookError(f"{out}: a page ends in .html, .ipynb or .md, not in {suffix or 'nothing'}")


def page_text(document: Document, shown: Mapping[Cell, Sequence[dict[str, Any]]], suffix: str) -> str:
    """Text of a page; see `write_page`."""
    return WRITERS[suffix](document, shown)


def _html(document: Document, shown: Mapping[Cell, Sequence[dict[str, Any]]]) -> str:
    from markdown_it import MarkdownIt

    render = MarkdownIt("commonmark").enable("table").render
    parts = []
    for cell in document.cells:
        if cell.kind == "markdown":
            parts.append(render(cell.source))
            continue
        if not cell.options.get("hide_code"):
            parts.append(f"<pre><code>{html.escape(cell.source)}</code></pre>")
        if outputs := shown.get(cell):
            parts.append(f'<div class="out">{html_of(outputs)}</div>')
    title = html.escape(document.path.stem)
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _ipynb(document: Document, shown: Mapping[Cell, Sequence[dict[str, Any]]]) -> str:
    cells = [_ipynb_cell(cell, number, shown.get(cell, ())) for number, cell in enumerate(document.cells)]
    metadata = document.options if document.format == "ipynb" else {}
    metadata = metadata or {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _ipynb_cell(cell: Cell, number: int, outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": cell.kind, "id": cell.id or f"cell-{number}", "metadata": {}}
    made["source"] = lines_of(cell.source, ends=True)
    if cell.kind == "code":
        made |= {"execution_count": None, "outputs": list(outputs)}
    return made


def _markdown(document: Document, shown: Mapping[Cell, Sequence[dict[str, Any]]]) -> str:
    parts = []
    for cell in document.cells:
        if cell.kind == "markdown":
            parts.append(f"{cell.source}\n")
            continue
        if not cell.options.get("hide_code"):
            parts.append(f"```python\n{cell.source}\n```\n")
        for output in shown.get(cell, ()):
            parts.append(_markdown_output(output))
    return "\n".join(parts)


def _markdown_output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    for picture in ("image/png", "image/jpeg"):
        if picture in data:
            return f"![](data:{picture};base64,{data[picture]})\n"
    if "text/markdown" in data:
        return f"{data['text/markdown']}\n"
    return f"```text\n{text_of([output]).rstrip()}\n```\n"


WRITERS = {".html": _html, ".ipynb": _ipynb, ".md": _markdown}
"""What makes a page of each kind, by its ending."""
