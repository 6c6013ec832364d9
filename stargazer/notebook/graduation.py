"""Graduate a notebook: its tasks go to a module, what is left is a page of widgets over them, with a tile."""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError
from stargazer.ledger import Ledger
from stargazer.notebook.document import read_document
from stargazer.notebook.header import with_tile
from stargazer.notebook.plaintext import bytes_for, write_whole
from stargazer.notebook.promotion.promote import Promotion, promote, write_files
from stargazer.notebook.promotion.reach import is_task, tasks_of
from stargazer.notebook.rows import name_of
from stargazer.notebook.shipped import Tile, tile_of
from stargazer.store import active_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from stargazer.notebook.document import Cell, Document
    from stargazer.store import Store

__all__ = ["Graduation", "graduate", "left_to_do"]

LINES, BODY, SECONDS = 30, 5, 10.0
"""Lines of a cell or function, statements in a loop, and seconds that a cell took, above which it is heavy."""

PLACE = re.compile(r"(/[\w.-]+/|~/)\S+")
RUNS_PROGRAMS = ("subprocess", "os.system", "os.popen")


@dataclass(frozen=True)
class Graduation:
    """What graduating a notebook came to.

    Parameters
    ----------
    tile
        The notebook where it is now, as it is shown.
    promoted
        What became of its tasks.
    """

    tile: Tile
    promoted: tuple[Promotion, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"tile": self.tile.to_dict(), "promoted": [each.to_dict() for each in self.promoted]}


def graduate(
    notebook: str | os.PathLike[str],
    to: str | os.PathLike[str] = "notebooks/workflows",
    *,
    tasks: str | os.PathLike[str] | None = None,
    tests: bool = True,
    title: str = "",
    description: str = "",
    order: float | None = None,
    store: Store | None = None,
) -> Graduation:
    """Make a workflow for others of a notebook: promote its tasks, check what is left, move it, give it a tile.

    Parameters
    ----------
    notebook
        A marimo file.
    to
        The folder that it moves to.
    tasks
        The module for its tasks; ``<name>_tasks.py`` beside it by default.
    tests
        Whether tests of the tasks are written.
    title, description, order
        Of its tile, where its header does not say.
    store
        Where it is looked up how long cells took; the active store by default.

    Raises
    ------
    NotebookError
        Something is left to do; names all of it, cell by cell. Nothing is moved or written.
    """
    source, opened = Path(notebook), store or active_store()
    document = read_document(source)
    given: dict[str, Any] = {"title": title or None, "description": description or None, "order": order}
    told = {name: value for name, value in given.items() if value is not None}
    if wrong := left_to_do(document, opened, told):
        raise NotebookError("\n".join([f"{source} cannot graduate yet:", *wrong]))
    target = Path(to) / source.name
    if target.exists():
        raise NotebookError(f"{target} is there already: rename one of them")
    module = Path(tasks) if tasks else target.with_name(f"{source.stem}_tasks.py")
    return _moved(document, target, module, told, tests, opened)


def _moved(
    document: Document, target: Path, module: Path, told: dict[str, Any], tests: bool, store: Store
) -> Graduation:
    """Write the notebook at its new place and promote there; the old one goes when all is well."""
    text = with_tile(document, **told) if told else document.text
    before = {path: path.read_bytes() for path in [module] if path.is_file()}
    beside = target.parent.is_dir()
    write_whole(target, bytes_for(document.path, text))
    promoted: list[Promotion] = []
    try:
        for name in [name for task in tasks_of(document) for name in task.names]:
            promoted.append(promote(target, name, module, tests=tests, store=store))
        tile = tile_of(target)
    except NotebookError:
        made = {path for each in promoted for path in each.files} - {target, *before}
        for path in {target, *made, *({module} - before.keys())}:
            path.unlink(missing_ok=True)
        write_files(before)
        if not beside:
            shutil.rmtree(target.parent, ignore_errors=True)
        raise
    document.path.unlink()
    return Graduation(tile, tuple(promoted))


def left_to_do(document: Document, store: Store | None = None, told: dict[str, Any] | None = None) -> list[str]:
    """Say what keeps a notebook from being a workflow for others: heavy code, parameters that nobody can set, no title.

    Parameters
    ----------
    document
        A notebook.
    store
        Where it is looked up how long cells took; the active store by default.
    told
        What its tile is given beside its header.
    """
    if document.format != "marimo":
        return ["it is no marimo file, which widgets need: `marimo convert` makes one"]
    header = {**document.script.get("tool", {}).get("stargazer", {}), **(told or {})}
    wrong = [f"its header has no {name}: give --{name}" for name in ("title", "description") if not header.get(name)]
    ledger = Ledger((store or active_store()).records)
    cells = [cell for cell in document.cells if cell.kind == "code"]
    for cell in cells:
        wrong += [f"{name_of(cell)} (line {cell.line}) {reason}" for reason in (*_heavy(cell, ledger), *_fixed(cell))]
    text = "\n".join(cell.source for cell in cells)
    if "mo.ui." not in text and ".ui." not in text and not any(_is_settable(cell) for cell in cells):
        wrong.append("nobody can set anything: make its parameters widgets (mo.ui…), or cells of their own")
    return wrong


def _heavy(cell: Cell, ledger: Ledger) -> Iterator[str]:
    """Why a cell does work that belongs into a task."""
    rest = [node for node in cell.tree.body if not is_task(node) and not isinstance(node, (ast.Import, ast.ImportFrom))]
    lines = sum((node.end_lineno or 0) - node.lineno + 1 for node in rest)
    if lines > LINES:
        yield f"has {lines} lines beside its tasks: move them into a task or a module"
    for node in (each for top in rest for each in ast.walk(top)):
        if isinstance(node, (ast.For, ast.While)) and sum(isinstance(n, ast.stmt) for n in ast.walk(node)) - 1 > BODY:
            yield f"has a loop of much work in line {cell.line + node.lineno - 1}: make it a task"
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(RUNS_PROGRAMS):
            yield f"runs a program in line {cell.line + node.lineno - 1}: a task does that, by work.run"
    took = max((each.seconds for each in ledger.newest(f"cell {', '.join(sorted(cell.defs))}", 5)), default=0.0)
    if cell.defs and took > SECONDS:
        yield f"took {took:.0f} s when it ran: make a task of it"


def _fixed(cell: Cell) -> Iterator[str]:
    """Parameters that stand in a cell as values, beside other things: neither a widget nor ``--set`` reaches them."""
    values = [node for node in cell.tree.body if _is_value(node)]
    imports = (ast.Import, ast.ImportFrom)
    others = [node for node in cell.tree.body if not isinstance(node, imports) and node not in values]
    if others and not cell.role:
        for node in values:
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            yield f"fixes {name} in line {cell.line + node.lineno - 1}: make it a widget, or give it a cell of its own"
    for inner in ast.walk(cell.tree):
        text = inner.value if isinstance(inner, ast.Constant) and isinstance(inner.value, str) else ""
        if PLACE.fullmatch(text) and not _in_widget(cell, inner):
            yield f"names {text}, which is on your machine: make it a widget, or an asset"


def _in_widget(cell: Cell, wanted: ast.AST) -> bool:
    calls = (n for n in ast.walk(cell.tree) if isinstance(n, ast.Call) and ".ui." in f".{ast.unparse(n.func)}")
    return any(each is wanted for call in calls for each in ast.walk(call))


def _is_value(node: ast.stmt) -> bool:
    """Whether a statement gives a name in small letters a value that is written out."""
    if not isinstance(node, ast.Assign) or not all(isinstance(each, ast.Name) for each in node.targets):
        return False
    small = all(not ast.unparse(each).isupper() and not ast.unparse(each).startswith("_") for each in node.targets)
    return small and isinstance(node.value, ast.Constant)


def _is_settable(cell: Cell) -> bool:
    return bool(cell.tree.body) and all(_is_value(node) for node in cell.tree.body)
