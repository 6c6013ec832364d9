"""Three-way merge of notebooks by cells: what one side did to a cell and the other did not, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.notebook.flow.texts import Part, match

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Clash", "merge"]


class Clash(NamedTuple):
    """Cells that both sides changed, each in another way.

    Parameters
    ----------
    base, mine, theirs
        What they were, what the script has, and what the ``.ipynb`` has.
    """

    base: tuple[Part, ...]
    mine: tuple[Part, ...]
    theirs: tuple[Part, ...]

    @property
    def told(self) -> str:
        """Where it is, for people."""
        cells = self.base or self.mine or self.theirs
        return cells[0].told

    def to_dict(self) -> dict[str, list[str]]:
        """Sources on each side."""
        sides = zip(self._fields, self, strict=True)
        return {name: [part.source for part in parts] for name, parts in sides}


def merge(
    base: Sequence[Part], mine: Sequence[Part], theirs: Sequence[Part]
) -> tuple[list[Part], list[Clash]]:  # fmt: skip
    """Merge two sides that come from the same cells.

    Returns
    -------
    list of Part, list of Clash
        The cells, and where both sides changed the same one. Cells beside each other that were changed by one side each
        are no clash.
    """
    made: list[Part] = []
    clashes: list[Clash] = []
    for group in _groups(base, mine, theirs):
        if group[0] != "conflict":
            made += group[1]
            continue
        parts, found = _by_cell(*(list(side or ()) for side in group[1:]))
        made += parts
        clashes += found
    return made, clashes


def _groups(base: Sequence[Part], mine: Sequence[Part], theirs: Sequence[Part]) -> Any:
    from merge3 import Merge3

    made: Any = Merge3  # it says that it takes lines
    return made(base, mine, theirs, is_cherrypick=False).merge_groups()


class _Side(NamedTuple):
    """What a side did to a few cells: what each became (None: it is gone), and what stands before each, and last."""

    became: list[Part | None]
    added: list[list[Part]]


def _side(base: Sequence[Part], now: Sequence[Part]) -> _Side | None:
    became: list[Part | None] = [None] * len(base)
    added: list[list[Part]] = [[] for _ in range(len(base) + 1)]
    last = -1
    for (i, _), part in zip(match(base, now), now, strict=True):
        if i is None:
            added[last + 1].append(part)
        elif i < last:
            return None
        else:
            became[i], last = part, i
    return _Side(became, added)


def _by_cell(base: list[Part], mine: list[Part], theirs: list[Part]) -> tuple[list[Part], list[Clash]]:
    """Merge cells that stand together; a side that moved some of them is too much to follow."""
    whole = [Clash(tuple(base), tuple(mine), tuple(theirs))]
    sides = _side(base, mine), _side(base, theirs)
    if sides[0] is None or sides[1] is None:
        return [], whole
    made: list[Part] = []
    clashes: list[Clash] = []
    for i in range(len(base) + 1):
        a, b = sides[0].added[i], sides[1].added[i]
        if a and b and a != b:
            clashes.append(Clash((), tuple(a), tuple(b)))
        made += a or b
        if i == len(base):
            break
        was, one, other = base[i], sides[0].became[i], sides[1].became[i]
        if was != one != other != was:
            clashes.append(Clash((was,), *(((each,) if each else ()) for each in (one, other))))
        chosen = other if one == was else one
        made += [chosen] if chosen is not None else []
    return made, clashes
