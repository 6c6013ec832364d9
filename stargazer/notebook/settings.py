"""Settings of libraries that hold from their place on: cells before are without, and those after are known by them.

What the first cells set up with constants is code, and is set up before anything runs. What cells set up later, or with
a value, is run at its place by the cell that has it: cells before it have run by then, and the keys of cells after it
have its text, with the identity of what it reads.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.notebook.code import Part, Prelude, Setting, Split, root_set_up
from stargazer.notebook.figures import shows
from stargazer.notebook.hidden import SEEDS, is_quiet
from stargazer.notebook.names import free_names, nodes_in
from stargazer.notebook.rows import value_of
from stargazer.notebook.state import root_of, targets_of
from stargazer.notebook.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stargazer.notebook.document import Cell
    from stargazer.notebook.walk import Walk

__all__ = ["Made", "Settings", "place_settings", "set_up"]

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


class Made(NamedTuple):
    """A setting that was made, as another process may make it.

    Parameters
    ----------
    text
        Of the statement.
    values
        What it reads, by name: assets, or objects that live here.
    """

    text: str
    values: dict[str, Any]


class _Unrun(Prelude):
    """Code of which nothing is run: what its names stand for is told by its imports alone."""

    @property
    def namespace(self) -> Mapping[str, Any]:
        """Nothing: to make it would set up what cells before a setting must be without."""
        return {}


def place_settings(order: Sequence[Cell], split: Split) -> tuple[Split, dict[Cell, tuple[Placed, ...]]]:
    """Find the settings of a notebook that hold from their place on; they are no code then.

    Parameters
    ----------
    order
        All cells of code, in the order in which they run.
    split
        What of them is code.
    """
    prelude = _Unrun(split.parts)
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
    """Settings that are made with values which are known after their cell, too, and are the same there.

    Those of Python's own libraries may reach anything, and are none of these.
    """
    for number in rest:
        node = cell.tree.body[number]
        library = _library(node, prelude)
        if not library or library in sys.stdlib_module_names or _is_seed(node):
            continue
        reads = free_names(node) - split.names
        if reads <= (cell.defs | cell.refs) - _changed_by(cell.tree.body[number + 1 :]):
            yield Placed(number, node, reads)


def _changed_by(nodes: Sequence[ast.stmt]) -> set[str]:
    """Names that statements bind, or whose objects they change: after these they are not what was set."""
    every = [each for node in nodes for each in nodes_in(node)]
    bound = {each.id for each in every if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
    return bound.union(*(map(root_of, targets_of(each)) for each in every))


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
        self.made: list[Made] = []
        self.is_unsure = False
        self._later = [each for mine in self.placed.values() for each in mine]
        self._before = frozenset(_left)

    def must_be_alone(self, prelude: Prelude) -> bool:
        """Whether a cell would find here what an earlier walk set up, and cells after it set up in this one."""
        return any(_library(each.node, prelude) in self._before for each in self._later)

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
            self._later = [each for each in self._later if each is not placed]
            if not walk.dry:
                _left.add(_library(placed.node, walk.prelude))
                self.made.append(
                    Made(ast.unparse(placed.node), {each: walk.bound(each) for each in placed.reads if walk.has(each)})
                )
                set_up(self.made[-1:], walk.prelude)


def set_up(made: Iterable[Made], prelude: Prelude) -> None:
    """Set up what settings say, in this process.

    Parameters
    ----------
    made
        Settings, in their order.
    prelude
        The code of their notebook.
    """
    for each in made:
        with contextlib.suppress(Exception):  # where its cell ran, it was told
            values = {name: value_of(value, prelude) for name, value in each.values.items()}
            prelude.run_setting(ast.parse(each.text).body[0], values)


def _library(node: ast.stmt, prelude: Prelude) -> str:
    return prelude.imported_from(root_set_up(node)).partition(".")[0]


def _identity(walk: Walk, name: str) -> str | None:
    """What a value is that a setting is made with; None where nobody can tell, or it is data."""
    asset = walk.assets.get(name)
    if isinstance(asset, Value):
        return asset.id if int(getattr(asset, "size", 0) or 0) <= LARGEST else None
    return walk.tokens.get(name)
