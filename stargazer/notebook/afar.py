"""A cell on an executor: ``# @worker NAME``, where the profile of that name is of kind ``executor``."""

from __future__ import annotations

import ast
import base64
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError, NotKept
from stargazer.executors import find_place
from stargazer.executors.tasks import teller
from stargazer.executors.values import Unsendable, decode, encode
from stargazer.fingerprint.parsing import parse
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.executors import Executed, Place
    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell
    from stargazer.notebook.shown import Captured

__all__ = ["run_afar", "runs_elsewhere", "source_of"]


def run_afar(
    cell: Cell,
    rest: Sequence[int],
    prelude: Prelude,
    given: Mapping[str, Any],
    out: Captured,
    place: Place,
    cancelled: Callable[[], bool],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a cell on an executor.

    Parameters
    ----------
    cell, rest, prelude
        The cell, its statements that are no code, and the code of the notebook.
    given
        Values that it reads, by name; what code of the notebook means is sent as its text.
    out
        Takes what it shows.
    place
        The executor.
    cancelled
        Whether the cell is wanted no more.

    Returns
    -------
    dict, dict
        What it made; and, of what it was given, what it changed.

    Raises
    ------
    NotKept
        A value has no form in which it may go there, or come back.
    NotebookError
        It asks for what executors do not have, or failed there.
    """
    if cell.notes.env or cell.notes.mounts:
        raise NotebookError(f"@env and @mount are of this machine, and @worker {place.name} sends the cell to another")
    known = prelude.reached(cell.refs | cell.defs)
    values = {name: value for name, value in given.items() if name not in known}
    done = _executed(cell, source_of(cell, rest, prelude), values, place, cancelled)
    out.write("stdout", visible(done.stdout, lines=True))
    out.write("stderr", visible(done.stderr, lines=True))
    if not done.success:
        if done.traceback:
            out.write("stderr", visible(done.traceback, lines=True))
        raise NotebookError(f"on {place.name}: {visible(done.error or 'it ended without a word', lines=True)}")
    _show(done, out)
    wanted = cell.defs - prelude.namespace.keys()
    back = done.variables.keys() & values.keys() - wanted
    changed = {name for name in back if name in done.changed or _differs(values[name], done.variables[name], place)}
    for name in sorted({*wanted, *done.changed} & done.unsent.keys()):
        raise NotKept(f"{name} cannot come back from {place.name}: {done.unsent[name]}")
    return {name: done.variables[name] for name in sorted(wanted & done.variables.keys())}, {
        name: done.variables[name] for name in sorted(changed)
    }


def _executed(
    cell: Cell, source: str, values: Mapping[str, Any], place: Place, cancelled: Callable[[], bool]
) -> Executed:
    executor = place.executor(teller("a cell", place.name))
    seconds = min(cell.notes.timeout or place.seconds, place.seconds)
    try:
        return executor.execute(source, values, timeout=seconds, cancelled=cancelled)
    except Unsendable as error:
        raise NotKept(f"on the way to {place.name}, or back: {error}") from error


def runs_elsewhere(cell: Cell) -> str:
    """Say that a cell runs in no notebook's process, where it does not."""
    if cell.notes.env:
        return "a cell with @env runs elsewhere"
    place = find_place(cell.notes.worker)
    return f"a cell of @worker {place.name} runs there (`# @cache forever`, or ttl=, lets it be kept)" if place else ""


def source_of(cell: Cell, rest: Sequence[int], prelude: Prelude) -> str:
    """What is sent: the code of the notebook that the cell reaches, then the cell itself.

    Statements that set up libraries stand where the notebook has them, after the imports that they need.
    """
    names = prelude.reached(cell.refs | cell.defs)
    code = "\n".join(ast.unparse(node) for node in prelude.statements_of(names))
    body = parse(cell.source).body
    chosen = [body[number] for number in rest]
    text = "\n".join(ast.get_source_segment(cell.source, node) or ast.unparse(node) for node in chosen)
    quiet = "\nNone" if cell.source.rstrip().endswith(";") else ""
    return f"{code}\n{text}{quiet}\n" if code else f"{text}{quiet}\n"


def _differs(given: Any, back: Any, place: Place) -> bool:
    """Whether an input that came back is another one: some executors send back all that a cell might have changed."""
    there = decode(*encode(given, trust=place.trust), trust=place.trust)
    return encode(there, trust=place.trust) != encode(back, trust=place.trust)


def _show(done: Executed, out: Captured) -> None:
    if "_" in done.variables:
        out.result(done.variables["_"])
    elif done.display is not None:
        kind, data = done.display
        text = data.decode("utf-8", "replace") if kind.startswith("text/") else base64.b64encode(data).decode()
        out.outputs.append({"output_type": "display_data", "data": {kind: text}, "metadata": {}})
    elif "_" in done.unsent:
        out.write("stdout", f"{visible(done.shown or done.unsent['_'], lines=True)}\n")
