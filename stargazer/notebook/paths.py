"""Paths that a cell names or is given: libraries in C open files that no event tells of."""

from __future__ import annotations

import ast
import os
import types
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stargazer.execute.named import LONGEST_PATH, SILENT_READERS
from stargazer.ledger.reads import file_value, folder_value, tree_value
from stargazer.notebook.names import nodes_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stargazer.execute.audit import Observed
    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell

__all__ = ["paths_of", "places_in"]

MOST_FILES = 1_000
"""Files of a folder that a cell is given; of a larger one counts what changes with each of them, not their bytes."""


def paths_of(cell: Cell, prelude: Prelude, given: Mapping[str, Any], observed: Observed) -> Iterator[tuple[str, str]]:
    """Files that a cell names or is given, with what tells that they are the same.

    Parameters
    ----------
    cell, prelude
        The cell, and the code of its notebook.
    given
        Values that it was given.
    observed
        What it was seen to read and write.
    """
    nodes = prelude.statements_under(cell)
    every = [each for node in nodes for each in nodes_in(node)]
    unseen = not SILENT_READERS.isdisjoint(_names_in(every, prelude))
    values = [each.value for each in every if isinstance(each, ast.Constant)]
    for place in places_in([*values, *given.values()]):
        yield from _path(place, observed, folders=unseen)


def places_in(values: Iterable[Any]) -> Iterator[str]:
    """Return the places that texts and paths among some values may mean."""
    for value in values:
        text = str(value) if isinstance(value, (str, PurePath)) else ""
        if text and len(text) <= LONGEST_PATH and "\n" not in text and "\0" not in text:
            yield os.path.abspath(text)


def _names_in(nodes: Sequence[ast.AST], prelude: Prelude) -> set[str]:
    """Names that code reads, with those of the modules that they stand for."""
    found = {each.id for each in nodes if isinstance(each, ast.Name)}
    found |= {each.attr for each in nodes if isinstance(each, ast.Attribute)}
    modules = (prelude.namespace.get(name) for name in found)
    return found | {part for each in modules if isinstance(each, types.ModuleType) for part in each.__name__.split(".")}


def _path(place: str, observed: Observed, *, folders: bool) -> Iterator[tuple[str, str]]:
    if place.startswith(observed.own) or any(
        f"{each}{os.sep}".startswith(f"{place}{os.sep}") for each in observed.written
    ):
        return
    if os.path.isfile(place):
        yield place, file_value(place)
    elif folders and os.path.isdir(place) and place not in (os.sep, os.path.expanduser("~"), os.getcwd()):
        yield from _folder(place, observed)


def _folder(place: str, observed: Observed) -> Iterator[tuple[str, str]]:
    """All files of a folder by their bytes, up to a number; of a larger one what changes with each of them."""
    found = []
    for base, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not _is_passed_over(os.path.join(base, name), observed))
        found.append((base, sorted(name for name in names if not name.startswith("."))))
    if sum(len(names) for _, names in found) > MOST_FILES:
        yield f"{place}//", tree_value(place)
        return
    for base, names in found:
        for name in names:
            yield os.path.join(base, name), file_value(os.path.join(base, name))
        yield f"{base}{os.sep}", folder_value(base)


def _is_passed_over(place: str, observed: Observed) -> bool:
    """Whether a folder holds no data: hidden ones, caches, and what is the store's."""
    name = os.path.basename(place)
    return name.startswith((".", "__")) or f"{place}{os.sep}".startswith(observed.own)
