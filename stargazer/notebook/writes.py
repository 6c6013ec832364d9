"""Files that cells write and others read: a kernel has them written in the order of the cells, and so must a walk.

What a cell wrote stands with its result, and a result is good only while these files are as the cell left them: one
that another cell, or an older version of this one, wrote over is written again.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from typing import TYPE_CHECKING, Any

from stargazer.execute.named import LONGEST_PATH
from stargazer.ledger.reads import WROTE, file_value
from stargazer.notebook.names import nodes_in
from stargazer.notebook.paths import places_in
from stargazer.tools.programs import is_regular, signature_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stargazer.execute.audit import Observed
    from stargazer.ledger import Record
    from stargazer.notebook.cells import CellTask
    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["files_before", "files_written", "has_written", "may_meet"]

MAY_WRITE = re.compile(
    r"write|to_|save|dump|open|rename|replace|copy|move|unlink|remove|subprocess|system|connect|File|memmap|touch"
)
"""What stands in the text of cells that write files."""

NAMES = re.compile(r"[\w@%+=:,.~/-]+")
"""Words of a command for a shell."""


def files_before(task: CellTask, given: Iterable[Any]) -> dict[str, Any]:
    """How the files are that a cell names or is given, before it runs: libraries in C write and send no event."""
    return {place: signature_of(place) for place in places_in([*_constants(task.cell, task.prelude), *given])}


def files_written(observed: Observed, before: Mapping[str, Any]) -> dict[str, str]:
    """Files that a cell wrote, and that are there now, with their CIDs; those that it only appended to are logs."""
    changed = (place for place, seen in before.items() if signature_of(place) != seen)
    found = {*observed.written, *changed, *_by_programs(observed)} - observed.appended
    return {f"{WROTE}{place}": file_value(place) for place in sorted(found) if _is_kept(place, observed)}


def _is_kept(place: str, observed: Observed) -> bool:
    """Whether others may read a file: not what libraries keep in hidden folders for themselves."""
    return "/." not in place and not place.startswith(observed.own) and is_regular(place)


def _by_programs(observed: Observed) -> Iterator[str]:
    """Files that commands of a cell name, and that were not there before, or were others."""
    for words in observed.commands:
        for word in words[1:]:
            for part in NAMES.findall(word) if any(sign in word for sign in " \n\"'>") else [word]:
                place = os.path.abspath(part) if part else ""
                if place and is_regular(place) and observed.given.get(place) != signature_of(place):
                    yield place


def has_written(record: Record | None) -> bool:
    """Whether what a record tells of wrote files that others may read."""
    return record is not None and any(name.startswith(WROTE) for name in record.reads)


def may_meet(cell: Cell, others: Iterable[Cell], prelude: Prelude) -> bool:
    """Whether a cell and one of others name the same file, and one of both may write it.

    Parameters
    ----------
    cell, others
        That would run beside each other.
    prelude
        The code of the notebook.
    """
    mine = _paths(cell, prelude)
    meeting = (other for other in others if any(not os.path.isdir(path) for path in mine & _paths(other, prelude)))
    return any(MAY_WRITE.search(_text(each, prelude)) for other in meeting for each in (cell, other))


@functools.lru_cache(maxsize=256)
def _paths(cell: Cell, prelude: Prelude) -> frozenset[str]:
    """Texts in a cell, and in the code that it reaches, that may be paths."""
    texts = (each for each in _constants(cell, prelude) if isinstance(each, str) and len(each) <= LONGEST_PATH)
    return frozenset(text for text in texts if {".", "/"} & {*text})


def _constants(cell: Cell, prelude: Prelude) -> Iterator[Any]:
    for node in prelude.statements_under(cell):
        yield from (each.value for each in nodes_in(node) if isinstance(each, ast.Constant))


def _text(cell: Cell, prelude: Prelude) -> str:
    return "\n".join([cell.source, *map(ast.unparse, _reached(cell, prelude))])


def _reached(cell: Cell, prelude: Prelude) -> list[ast.stmt]:
    return prelude.nodes_of(prelude.reached(cell.refs | cell.defs))
