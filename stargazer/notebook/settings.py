"""Settings of libraries that hold from their place on: cells before are without, and those after are known by them.

What the first cells set up with constants is code, and is set up before anything runs. What cells set up later, or with
a value, is run at its place by the cell that has it: cells before it have run by then, and the keys of cells after it
have its text, with the identity of what it reads.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from stargazer.notebook.code import Part, Setting, Split, root_set_up
from stargazer.notebook.figures import shows
from stargazer.notebook.hidden import SEEDS, is_quiet
from stargazer.notebook.names import free_names
from stargazer.notebook.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stargazer.notebook.code import Prelude
    from stargazer.notebook.document import Cell
    from stargazer.notebook.walk import Walk

__all__ = ["Settings", "place_settings"]

LARGEST = 1 << 16
"""Bytes of a value that a setting may be made with; what is larger is data."""

_left: set[str] = set()
"""Libraries in which some walk of this process left settings that cells before these must not find."""


class Placed(NamedTuple):
    """A setting that holds from its place on.

    Parameters
    ----------
    number, node
        Of the statement in its cell.
    reads
        Names of values that it is made with.
    """

    number: int
    node: ast.stmt
    reads: frozenset[str]


def place_settings(
    order: Sequence[Cell], split: Split, prelude: Prelude
) -> tuple[Split, dict[Cell, tuple[Placed, ...]]]:
    """Find the settings of a notebook that hold from their place on; they are no code then.

    Parameters
    ----------
    order
        All cells of code, in the order in which they run.
    split, prelude
        What of them is code, and the code.
    """
    found: dict[Cell, tuple[Placed, ...]] = {}
    before: list[Cell] = []
    for cell, part, rest in zip(order, split.parts, split.rest, strict=True):
        mine = [*_with_values(cell, rest, prelude, split), *_late(cell, part, rest, before, prelude)]
        if mine:
            found[cell] = tuple(sorted(mine, key=lambda each: each.number))
        if rest:
            before.append(cell)
    taken = {cell: {each.number for each in mine} for cell, mine in found.items()}
    parts = [
        Part(part.source, tuple(n for n in part.chosen if n not in taken.get(cell, ())))
        for cell, part in zip(order, split.parts, strict=True)
    ]
    rests = [tuple(sorted({*rest, *taken.get(cell, ())})) for cell, rest in zip(order, split.rest, strict=True)]
    return Split(tuple(parts), tuple(rests), split.names), found


def _with_values(cell: Cell, rest: Sequence[int], prelude: Prelude, split: Split) -> Iterator[Placed]:
    """Settings that are made with values; those of Python's own libraries may reach anything, and are none of these."""
    for number in rest:
        node = cell.tree.body[number]
        library = prelude.imported_from(root_set_up(node)).partition(".")[0]
        if library and library not in sys.stdlib_module_names and not _is_seed(node):
            yield Placed(number, node, free_names(node) - split.names)


def _late(cell: Cell, part: Part, rest: Sequence[int], before: Sequence[Cell], prelude: Prelude) -> Iterator[Placed]:
    """Settings of code that count for cells before them."""
    for number, node in zip(part.chosen, part.nodes(), strict=True):
        if prelude.is_imported(root_set_up(node)) and not _is_seed(node) and not is_quiet(node, prelude):
            setting = prelude.setting(node)
            if _is_path(setting) or not any(_counts(setting, each, prelude) for each in before):
                continue
            yield Placed(number, node, frozenset())


def _is_seed(node: ast.stmt) -> bool:
    """Whether a statement lets numbers begin anew: those drawn after it are looked for elsewhere."""
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return getattr(called, "attr", getattr(called, "id", "")) in SEEDS


def _is_path(setting: Setting) -> bool:
    return setting.text.startswith(("sys.path", "sys.stdout", "sys.stderr"))


def _counts(setting: Setting, cell: Cell, prelude: Prelude) -> bool:
    return prelude.is_counted(setting, prelude.reached(cell.refs), shows=shows(cell, prelude))


class Settings:
    """What was set up so far in one walk, beside what the code sets up.

    Parameters
    ----------
    placed
        Settings by their cells.
    """

    def __init__(self, placed: Mapping[Cell, tuple[Placed, ...]]) -> None:
        self.placed = placed
        self.begin()

    def begin(self) -> None:
        """Begin a walk: nothing is set up yet."""
        self.now: list[Setting] = []
        self.is_unsure = False
        self._before = frozenset(_left)

    def must_be_alone(self, cell: Cell, prelude: Prelude) -> bool:
        """Whether a cell would find here what an earlier walk set up, and cells after it set up in this one."""
        after = [prelude.setting(each.node) for mine in self.placed.values() for each in mine] if self._before else []
        left = {each.root for each in after} - {each.root for each in self.now}
        return any(prelude.imported_from(root).partition(".")[0] in self._before for root in left)

    def apply(self, walk: Walk, cell: Cell) -> None:
        """Set up what a cell sets up, now that what it makes is known; cells after it are known by that."""
        for placed in self.placed[cell]:
            told = [_identity(walk, name) for name in sorted(placed.reads)]
            setting = walk.prelude.setting(placed.node)
            if walk.dry and None in told:
                self.is_unsure = True
            elif None in told:
                walk.live_after(cell, setting.root)
            text = " ".join([setting.text, *map(str, told)])
            self.now.append(Setting(setting.root, text, setting.patches or bool(placed.reads)))
            if not walk.dry:
                _left.add(walk.prelude.imported_from(setting.root).partition(".")[0])
                values = {name: walk.value(name) for name in placed.reads if walk.has(name)}
                with contextlib.suppress(Exception):  # where its cell ran, it was told
                    walk.prelude.run_setting(placed.node, values)


def _identity(walk: Walk, name: str) -> str | None:
    """What a value is that a setting is made with; None where nobody can tell, or it is data."""
    asset = walk.assets.get(name)
    if isinstance(asset, Value):
        return asset.id if int(getattr(asset, "size", 0) or 0) <= LARGEST else None
    return walk.tokens.get(name)
