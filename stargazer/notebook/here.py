"""Cells that run in this process, each time, and what is kept of what they made."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError, NotKept
from stargazer.notebook.afar import runs_elsewhere
from stargazer.notebook.cells import is_as_kept, is_stop, kept_values, run_source
from stargazer.notebook.figures import own_figures
from stargazer.notebook.handles import boxed, is_handles
from stargazer.notebook.mounts import local_path
from stargazer.notebook.order import binds_of
from stargazer.notebook.rows import name_of
from stargazer.notebook.shown import Captured, captured
from stargazer.notebook.tokens import Moved, is_widget, token_of
from stargazer.notebook.values import Value
from stargazer.tools.ending import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.notebook.document import Cell
    from stargazer.notebook.rows import Row
    from stargazer.notebook.walk import Walk

__all__ = ["bind_live", "run_live", "take_changes"]


def run_live(walk: Walk, cell: Cell, why: str) -> None:
    """Run a cell that runs each time, after all that waits."""
    if walk.dry:
        walk.hand_on(cell, "live", why)
        return
    walk.settle()
    if (row := walk.at_once(cell)) is not None:
        walk.rows[cell] = row
        return
    if told := runs_elsewhere(cell):
        walk.rows[cell] = walk.failed(cell, NotebookError(f"{told}, but {why}"))
        return
    began = time.perf_counter()
    read = {name: walk.value(name, share=True) for name in walk.reads[cell] if walk.has(name)}
    read |= {mount.name: local_path(mount) for mount in cell.notes.mounts}
    is_together = cell in walk.together.cells
    space = walk.together.space(read, walk.bound) if is_together else {**walk.prelude.namespace, **read}
    with captured() as out, walk.prelude.around(keep=True), own_figures(cell, walk.prelude):
        row = _run_here(walk, cell, space, out, began)
    if row is not None:
        walk.rows[cell] = row
        return
    made = {name: space[name] for name in binds_of(cell, walk.order, space) - walk.split.names if name in space}
    take_changes(walk, cell, read)
    if is_together:
        made = {**walk.together.changed(), **made}
    bind_live(walk, cell, made)
    walk.together.note(walk.bound)
    walk.tokens |= walk.ties.join(made, read)
    walk.rows[cell] = walk.row(cell, "live", why, seconds=time.perf_counter() - began, outputs=out.outputs)


def _run_here(walk: Walk, cell: Cell, space: dict[str, Any], out: Captured, began: float) -> Row | None:
    """Run a cell in this process; return its row where it stopped or failed."""
    ending = Ending(name_of(cell), lambda: False, cell.notes.timeout, declared="# @timeout")
    try:
        ending.run(lambda: run_source(cell.source, walk.together.statements[cell], space, out))
    except BaseException as error:
        seconds = time.perf_counter() - began
        if is_stop(error):
            out.result(getattr(error, "output", None))
            walk.dead |= dict.fromkeys(cell.defs, "stopped")
            return walk.row(cell, "stopped", seconds=seconds, outputs=out.outputs)
        if not isinstance(error, Exception):
            raise
        return walk.failed(cell, error, seconds, out.outputs)
    return None


def take_changes(walk: Walk, cell: Cell, read: Mapping[str, Any]) -> None:
    """Find what a live cell changed of what it was given: copies, where the value is kept."""
    kept = {name for name, asset in walk.assets.items() if isinstance(asset, Value)} - walk.held()
    given = {name: value for name, value in {**walk.ties.lent_to(read), **read}.items() if name in kept}
    changed: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, value in given.items():
            now = _kept(walk, name, value, Path(folder))
            if name not in cell.defs and not is_as_kept(value, now, walk.assets[name], walk.prelude):
                changed |= dict.fromkeys(walk.ties.same.of(name), value)
    walk.check_changes(cell, changed)
    bind_live(walk, cell, changed)


def bind_live(walk: Walk, cell: Cell, made: Mapping[str, Any]) -> None:
    """Take what a live cell made: as an asset where it has bytes, so that what reads it is known by its content."""
    held = walk.held()
    with tempfile.TemporaryDirectory() as folder:
        for name, value in made.items():
            if name in walk.given.keys() - walk.widgets:
                continue
            walk.assets.pop(name, None)
            walk.dead.pop(name, None)
            walk.ties.part(name, cell.defs)
            if name in walk.widgets and is_widget(value):
                value = Moved(value, walk.given[name])
            walk.live[name], walk.tokens[name] = value, None
            walk.why[name] = (
                "is changed by another cell" if name in held else f"has no identity ({type(value).__name__})"
            )
            if name in held:
                continue
            if is_handles(value):
                walk.assets[name] = boxed(value)
            elif is_widget(value) or (token := _kept(walk, name, value, Path(folder))) is None:
                walk.tokens[name] = token_of(value, walk.prelude)
                walk.pure = walk.pure and walk.tokens[name] is not None
            else:
                walk.assets[name] = token


def _kept(walk: Walk, name: str, value: Any, folder: Path) -> Any:
    """The value of a live cell as an asset; None where it has no bytes."""
    try:
        (draft,) = kept_values([name], {name: value}, walk.prelude, folder).values()
    except NotKept:
        return None
    return walk.store.save(draft)
