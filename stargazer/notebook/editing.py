"""Cells of a notebook's file changed one by one; all other text of the file stays as it is."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import keyword
import os
import re
import stat
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import lines_of, parse
from stargazer.notebook.document import PERCENT, read_text
from stargazer.notebook.names import names_of
from stargazer.notebook.plaintext import bytes_for, read_plain, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stargazer.notebook.document import Document, Format, Kind

__all__ = ["Edit", "check_module_name", "edited", "new_text", "version_of", "write_text"]

Action = Literal["add", "replace", "move", "delete"]
WRITABLE = ("marimo", "percent", "ipynb")
WRITERS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Edit(NamedTuple):
    """A change of one cell.

    Parameters
    ----------
    action
        What is done.
    cell
        Which: its number from 0, as the cells stand when it is that edit's turn; of one that is added its place to be.
    source
        The new text; None where it stays.
    kind
        Code, or text for people; None where it stays, of one that is added code.
    name
        The new name; None where it stays.
    to
        Of one that is moved: its place to be.
    """

    action: Action
    cell: int
    source: str | None = None
    kind: Kind | None = None
    name: str | None = None
    to: int | None = None


class _Piece(NamedTuple):
    """A cell of a file: its text there (of Jupyter its JSON), and what it says."""

    text: Any
    source: str
    kind: Kind
    role: str = ""


def version_of(text: str) -> str:
    """Digest of a file's text: who edits says which text was read."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def edited(document: Document, edits: Sequence[Edit]) -> str:
    """Return the text of a notebook's file after some edits.

    Parameters
    ----------
    document
        The notebook.
    edits
        One after the other.

    Raises
    ------
    NotebookError
        There is no such cell, a cell is no Python, or the format cannot hold it; nothing is written here.
    """
    if document.format not in WRITABLE:
        raise NotebookError(
            f"{document.path}: cells of {document.format} files are not edited; of {', '.join(WRITABLE)}"
        )
    head, pieces, tail = _taken_apart(document)
    for number, edit in enumerate(edits):
        pieces = _applied(document, pieces, edit, f"edit {number}")
    text = _put_together(document, head, pieces, tail)
    _check(document, text, [piece.source for piece in pieces])
    return text


def _applied(document: Document, pieces: list[_Piece], edit: Edit, where: str) -> list[_Piece]:
    last = len(pieces) - (edit.action != "add")
    if not 0 <= edit.cell <= last:
        raise NotebookError(f"{where}: there is no cell {edit.cell}; {document.path.name} has {len(pieces)}, from 0")
    found = list(pieces)
    if edit.action == "delete":
        del found[edit.cell]
    elif edit.action == "move":
        if edit.to is None:
            raise NotebookError(f"{where}: to: say where cell {edit.cell} is to stand")
        if not 0 <= edit.to < len(pieces):
            raise NotebookError(f"{where}: there is no place {edit.to}; {document.path.name} has {len(pieces)}, from 0")
        found.insert(edit.to, found.pop(edit.cell))
    elif edit.action == "add":
        found.insert(edit.cell, _made(document, edit, None, where))
    elif (edit.source, edit.kind, edit.name) == (None, None, None):
        raise NotebookError(f"{where}: nothing of cell {edit.cell} is replaced: give source, kind or name")
    else:
        found[edit.cell] = _made(document, edit, pieces[edit.cell], where)
    return found


def _made(document: Document, edit: Edit, old: _Piece | None, where: str) -> _Piece:
    source = (edit.source if edit.source is not None else old.source if old else "").strip("\n")
    kind = edit.kind or (old.kind if old is not None else "code")
    if kind == "code":
        try:
            compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise NotebookError(f"{where}: it is not Python, line {line}: {getattr(error, 'msg', error)}") from None
    if edit.name and not re.fullmatch(r"[A-Za-z][\w ()+.,-]{0,80}", edit.name):
        raise NotebookError(f"{where}: {edit.name[:80]!r} is no name of a cell")
    role = old.role if old and kind == "code" else ""
    makers = {"marimo": _marimo_text, "percent": _percent_text, "ipynb": _jupyter_cell}
    return _Piece(makers[document.format](source, kind, edit.name, old, role), source, kind, role)


def _taken_apart(document: Document) -> tuple[Any, list[_Piece], str]:
    """What stands before the cells, the cells, and what stands after them."""
    if document.format == "ipynb":
        whole = json.loads(document.text)
        cells = whole["cells"]
        return whole, [_Piece(raw, cell.source, cell.kind) for raw, cell in zip(cells, document.cells, strict=True)], ""
    lines = lines_of(document.text, ends=True)
    spans = _marimo_spans(document, lines) if document.format == "marimo" else _percent_spans(document, lines)
    if len(spans) != len(document.cells):
        raise NotebookError(f"{document.path}: its cells do not stand one after the other; edit it in an editor")
    head = "".join(lines[: spans[0][0]] if spans else lines[: _end_of_head(document, lines)])
    tail = "".join(lines[spans[-1][1] :] if spans else lines[_end_of_head(document, lines) :])
    texts = ["".join(lines[start:stop]) for start, stop in spans]
    told = zip(texts, document.cells, strict=True)
    return head, [_Piece(text, cell.source, cell.kind, cell.role) for text, cell in told], tail


def _end_of_head(document: Document, lines: list[str]) -> int:
    """Where the first cell of a file without cells would stand."""
    ends = [n for n, line in enumerate(lines) if line.startswith("if __name__")]
    return ends[0] if document.format == "marimo" and ends else len(lines)


def _percent_spans(document: Document, lines: list[str]) -> list[tuple[int, int]]:
    marks = [number for number, line in enumerate(lines) if PERCENT.match(line.rstrip("\n"))]
    starts = list(marks)
    if document.cells and len(document.cells) == len(marks) + 1:  # code before the first mark
        starts.insert(0, document.cells[0].line - 1)
    return list(zip(starts, [*starts[1:], len(lines)], strict=True)) if starts else []


def _marimo_spans(document: Document, lines: list[str]) -> list[tuple[int, int]]:
    """Lines of each cell with its decorators; what stands between two belongs to the second."""
    from stargazer.notebook.document import _is_app, _marimo_cell

    app, spans, end = "", list[tuple[int, int]](), 0
    for node in parse(document.text).body:
        if _is_app(node):
            app = node.targets[0].id
        elif app and _marimo_cell(node, app, lines) is not None:
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
            spans.append((end if spans else first, node.end_lineno or node.lineno))
            end = spans[-1][1]
    return spans


# Cells as each format writes them.


def _percent_text(source: str, kind: Kind, name: str | None, old: _Piece | None, role: str) -> str:
    before = old.text.split("\n", 1)[0] if old and PERCENT.match(old.text.split("\n", 1)[0]) else ""
    if before and name is None and (kind == "markdown") == ("[markdown]" in before or "[md]" in before):
        mark = before
    else:
        mark = " ".join(filter(None, ("# %%", name or "", "[markdown]" if kind == "markdown" else "")))
    body = "\n".join(f"# {line}".rstrip() for line in lines_of(source)) if kind == "markdown" else source
    return f"{mark}\n{body}\n\n"


def _jupyter_cell(source: str, kind: Kind, name: str | None, old: _Piece | None, role: str) -> dict[str, Any]:
    raw: dict[str, Any] = dict(old.text) if old else {"metadata": {}, "id": os.urandom(4).hex()}
    metadata = {**raw.get("metadata", {}), **({"name": name} if name else {})}
    raw |= {"cell_type": kind, "metadata": metadata, "source": lines_of(source, ends=True)}
    if kind == "code":
        return raw | {"outputs": [], "execution_count": None}
    return {key: value for key, value in raw.items() if key not in ("outputs", "execution_count")}


def _marimo_text(source: str, kind: Kind, name: str | None, old: _Piece | None, role: str) -> str:
    """A cell as marimo writes it; its parameters are filled in when all cells are there."""
    if role == "setup":
        return f"\n\nwith app.setup:\n{textwrap.indent(source or 'pass', '    ')}\n"
    if role in ("function", "class"):
        decorator = "@app.function" if role == "function" else "@app.class_definition"
        return f"\n\n{decorator}\n{source}\n"
    called = re.search(r"(?m)^(?:async )?def (\w+)\(", old.text) if old and name is None else None
    label = re.sub(r"\W+", "_", name).strip("_") if name else called[1] if called else "_"
    body = _shown_markdown(source) if kind == "markdown" else source
    return f"\n\n@app.cell\ndef {label or '_'}({{refs}}):\n{textwrap.indent(body, '    ')}\n    return{{defs}}\n"


def _shown_markdown(source: str) -> str:
    quoted = source.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    raw = "r" if "\\" not in source and '"""' not in source else ""
    return f'mo.md({raw}"""\n{quoted}\n""")'


def _put_together(document: Document, head: Any, pieces: list[_Piece], tail: str) -> str:
    if document.format == "ipynb":
        return json.dumps({**head, "cells": [piece.text for piece in pieces]}, indent=1, ensure_ascii=False) + "\n"
    texts = [_filled(piece, pieces) for piece in pieces] if document.format == "marimo" else [p.text for p in pieces]
    if document.format == "percent":
        return _percent_whole(head, texts)
    body = "".join(f"\n\n{text.lstrip(chr(10))}" if n and not text.startswith("\n") else text
                   for n, text in enumerate(texts)).lstrip("\n")  # fmt: skip
    gap = "" if not tail.strip() or tail.startswith("\n") else "\n\n"
    return f"{head}{body}{gap}{tail}"


def _percent_whole(head: str, texts: list[str]) -> str:
    marked = [
        text if PERCENT.match(text.split("\n", 1)[0]) or not n else f"# %%\n{text}" for n, text in enumerate(texts)
    ]
    closed = [text if text.endswith("\n") else f"{text}\n" for text in marked]
    return (head + "".join(closed)).rstrip("\n") + "\n"


def _filled(piece: _Piece, pieces: list[_Piece]) -> str:
    """The text of a cell, with the names that it takes from other cells and gives to them."""
    if "{refs}" not in piece.text:
        return str(piece.text)
    own = names_of(_shown_markdown(piece.source) if piece.kind == "markdown" else piece.source, private=True)
    others = {name for each in pieces if each is not piece and each.kind == "code" and not each.role
              for name in names_of(each.source, private=True).defs}  # fmt: skip
    refs = ", ".join(sorted(own.refs & others))
    defs = f" ({', '.join(sorted(own.defs))},)" if own.defs and piece.kind == "code" else ""
    head, _, rest = piece.text.partition("{refs}")
    body, _, end = rest.rpartition("{defs}")
    return f"{head}{refs}{body}{defs}{end}"


def _check(document: Document, text: str, sources: list[str]) -> None:
    """Refuse what would not be read again as it was meant."""
    again = read_text(text, document.path, document.format)
    found = [cell.source.strip() for cell in again.cells]
    if found != [source.strip() for source in sources]:
        differs = next((n for n, pair in enumerate(zip(found, sources, strict=False)) if pair[0] != pair[1].strip()), 0)
        raise NotebookError(f"cell {differs}: a {document.format} file cannot hold it as it is; nothing was written")


# New files, and files written whole or not at all.


def new_text(format: Format) -> str:
    """Return the text of a notebook without cells.

    Parameters
    ----------
    format
        ``"marimo"``, ``"percent"`` or ``"ipynb"``.
    """
    if format == "ipynb":
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        whole = {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        return json.dumps(whole, indent=1) + "\n"
    if format == "percent":
        return ""
    return 'import marimo\n\napp = marimo.App()\n\n\nif __name__ == "__main__":\n    app.run()\n'


def check_module_name(name: str) -> None:
    """Refuse a name by which Python finds a module: other notebooks could not import that any more.

    Raises
    ------
    NotebookError
        It is one.
    """
    reserved = keyword.iskeyword(name) or name in sys.stdlib_module_names
    if reserved or (name.isidentifier() and importlib.util.find_spec(name) is not None):
        raise NotebookError(f"{name!r} is the name of a module; choose another")


def write_text(path: Path, text: str, version: str | None) -> None:
    """Write a notebook's file whole, if it is still the one that was read.

    Parameters
    ----------
    path
        The file.
    text
        All of it.
    version
        `version_of` what was read; None for a file that is not there yet.

    Raises
    ------
    NotebookError
        The file changed meanwhile, is there already, or is gone; or nobody may write to it, as to a snapshot.
    """
    if version is None:
        try:
            with path.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError:
            raise NotebookError(f"{path} is there already") from None
        return

    def check_version() -> None:
        if not stat.S_IMODE(path.stat().st_mode) & WRITERS:  # to take its place asks for no right to write to it
            raise NotebookError(f"{path} is protected from writing, as snapshots are: write to a copy")
        if version_of(read_plain(path)) != version:
            raise NotebookError(f"{path} was changed meanwhile: read it again, and edit what stands there now")

    try:
        write_whole(path, bytes_for(path, text), check_version)
    except FileNotFoundError:
        raise NotebookError(f"{path} is gone") from None
