"""Change some lines of a notebook's file; all others stay as they are, byte for byte."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint.parsing import lines_of, parse
from stargazer.notebook.names import names_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stargazer.notebook.document import Cell, Document

__all__ = ["Change", "changed_source", "edited"]

INDENT = "    "


class Change(NamedTuple):
    """Lines of a cell that others take the place of.

    Parameters
    ----------
    first, last
        The lines, from 1; both are replaced.
    lines
        What stands there then.
    """

    first: int
    last: int
    lines: tuple[str, ...] = ()


class _Splice(NamedTuple):
    """Lines of a file, from 0 and without the last, and what stands there then."""

    start: int
    stop: int
    lines: list[str]


def changed_source(cell: Cell, changes: Sequence[Change]) -> str:
    """Text of a cell after some changes."""
    lines = lines_of(cell.source)
    for change in sorted(changes, reverse=True):
        lines[change.first - 1 : change.last] = change.lines
    return "\n".join(lines)


def edited(
    document: Document,
    changes: Mapping[Cell, Sequence[Change]],
    gone: Collection[Cell] = (),
    setup: Sequence[str] = (),
) -> str:
    """Return the text of a notebook's file after some changes.

    Parameters
    ----------
    document
        The notebook.
    changes
        What changes, by cell.
    gone
        Cells that are left out: of marimo files, functions and classes that stand for themselves.
    setup
        Lines that the setup of a marimo file has in addition.
    """
    if document.format == "ipynb":
        return _in_jupyter(document, changes)
    indent = INDENT if document.format == "marimo" else ""
    splices = [
        _Splice(cell.line + each.first - 2, cell.line + each.last - 1, _indented(each.lines, indent))
        for cell, found in changes.items()
        for each in found
    ]
    if document.format == "marimo":
        tree = parse(document.text)
        splices += [_header(document, tree, cell, found) for cell, found in changes.items() if not cell.role]
        splices += [_construct(document, tree, cell) for cell in gone]
        splices += [_setup(document, tree, setup)] if setup else []
    lines = document.text.split("\n")
    for splice in sorted(splices, key=lambda each: (each.start, each.stop), reverse=True):
        lines[splice.start : splice.stop] = splice.lines
    return "\n".join(lines)


def _indented(lines: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}{line}".rstrip() for line in lines]


def _header(document: Document, tree: ast.Module, cell: Cell, changes: Sequence[Change]) -> _Splice:
    """The line ``def name(names):`` of a marimo cell, with the names that it still takes from other cells."""
    node: Any = next(n for n in tree.body if n.lineno < cell.line <= (n.end_lineno or 0))
    made = frozenset().union(*(each.defs for each in document.cells if not each.role and each is not cell))
    names = sorted(names_of(changed_source(cell, changes)).refs & made)
    before = [argument.arg for argument in node.args.args]
    kept = [name for name in before if name in names]
    taken = kept if set(kept) == set(names) else names
    start, stop = node.lineno - 1, node.lineno
    text = document.text.split("\n")[start]
    if taken == before or not text.rstrip().endswith(":"):
        return _Splice(start, start, [])
    return _Splice(start, stop, [re.sub(r"\(.*\)", f"({', '.join(taken)})", text, count=1)])


def _construct(document: Document, tree: ast.Module, cell: Cell) -> _Splice:
    """A decorated function or class with the blank lines after it."""
    node: Any = next(n for n in tree.body if n.lineno <= cell.line <= (n.end_lineno or 0) or _decorated(n, cell))
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    lines, stop = document.text.split("\n"), int(node.end_lineno)
    while stop < len(lines) - 1 and not lines[stop].strip():
        stop += 1
    return _Splice(first - 1, stop, [])


def _decorated(node: Any, cell: Cell) -> bool:
    first = min((each.lineno for each in getattr(node, "decorator_list", ())), default=node.lineno)
    return bool(first <= cell.line <= (node.end_lineno or 0))


def _setup(document: Document, tree: ast.Module, lines: Sequence[str]) -> _Splice:
    """Lines for the setup: after its imports, or in a block of its own after the app."""
    block = [f"{INDENT}{line}" for line in lines]
    cell = next((each for each in document.cells if each.role == "setup"), None)
    if cell is None:
        app = next(n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.value).startswith("marimo.App("))
        name = ast.unparse(app.targets[0])
        return _Splice(app.end_lineno or 0, app.end_lineno or 0, ["", f"with {name}.setup:", *block])
    imports = [n.end_lineno or 0 for n in cell.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    at = cell.line - 1 + max(imports, default=0)
    return _Splice(at, at, block)


def _in_jupyter(document: Document, changes: Mapping[Cell, Sequence[Change]]) -> str:
    """The same for JSON: a changed cell has no output any more, as that was of other code."""
    found = json.loads(document.text)
    for cell, raw in zip(document.cells, found["cells"], strict=True):
        if cell not in changes:
            continue
        source = raw["source"] if isinstance(raw["source"], str) else "".join(raw["source"])
        lines = lines_of(source)
        for change in sorted(changes[cell], reverse=True):
            lines[change.first - 1 : change.last] = change.lines
        text = "\n".join(lines)
        raw["source"] = text if isinstance(raw["source"], str) else lines_of(text, ends=True)
        raw |= {"outputs": [], "execution_count": None}
    indent = re.match(r"\{\n( +)", document.text)
    width = len(indent[1]) if indent else None
    ends = "\n" if document.text.endswith("\n") else ""
    return json.dumps(found, indent=width, ensure_ascii=False) + ends
