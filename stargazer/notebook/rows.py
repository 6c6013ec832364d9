"""What becomes of cells: rows of a report, results, and what a cell needs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError, RunError
from stargazer.notebook.cells import SHOWN, is_fixed
from stargazer.notebook.encoding import decode
from stargazer.notebook.handles import unboxed
from stargazer.notebook.order import reads_in_order
from stargazer.notebook.sharing import shared_parts
from stargazer.notebook.values import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stargazer.calls import Call
    from stargazer.ledger import Record
    from stargazer.notebook.cells import CellTask
    from stargazer.notebook.document import Cell, Document
    from stargazer.store import Store

__all__ = [
    "Aliases",
    "ChangesOthers",
    "Done",
    "Outcome",
    "Row",
    "Ties",
    "identity_of",
    "is_call",
    "is_handle",
    "name_of",
    "needed_cells",
    "needs_of",
    "outputs_of",
    "told_error",
    "used_by",
    "value_of",
]


class ChangesOthers(UserWarning):
    """A cell changes a value that another cell made."""


@dataclass
class Row:
    """What became of a cell.

    Parameters
    ----------
    name, defs
        Of the cell.
    state
        ``ran``, ``known``, ``live``, ``stopped``, ``failed`` or ``skipped``; in a plan ``run`` in place of ``ran``.
    why
        In words.
    seconds
        That it took, here and now.
    outputs
        What it shows, in Jupyter's format.
    record
        Id of the record that tells of it.
    """

    name: str
    defs: list[str]
    state: str
    why: list[str] = field(default_factory=list)
    seconds: float = 0.0
    outputs: list[dict[str, Any]] = field(default_factory=list, repr=False)
    record: str = ""
    error: BaseException | None = field(default=None, repr=False)
    cell: Cell | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON."""
        told = {name: getattr(self, name) for name in ("name", "defs", "state", "why")}
        return {**told, "seconds": round(self.seconds, 4)}


@dataclass
class Outcome:
    """What a walk came to: a row a cell, and the values by name."""

    rows: list[Row]
    assets: dict[str, Any]
    live: dict[str, Any]
    pure: bool
    records: list[Record]
    seconds: float


@dataclass
class Done:
    """What a cell came to in the graph: the call, identities of what it was given, and a result or an error."""

    call: Call
    used: dict[str, Any]
    result: dict[str, Any] | None
    error: BaseException | None


class Aliases(dict[str, frozenset[str]]):
    """Names that mean one object, or have a part in common: what is changed by one of them is changed for all."""

    def join(self, made: Mapping[str, Any], read: Mapping[str, Any]) -> None:
        """Note which names of a cell that ran here, and of what it read, mean one object."""
        for value in made.values():
            names = {other for other, each in {**read, **made}.items() if each is value and not is_fixed(value)}
            if len(names) > 1:
                self.group(names)

    def group(self, names: Iterable[str]) -> None:
        """Note that what is changed by one of some names is changed for all of them."""
        group = frozenset(names).union(*map(self.of, names))
        self.update(dict.fromkeys(group, group))

    def note(self, parts: Mapping[str, Iterable[str]]) -> None:
        """Note with which others names have a part in common."""
        for name, others in parts.items():
            self.group({name, *others})

    def of(self, name: str) -> frozenset[str]:
        """All names of what a name means."""
        return self.get(name, frozenset({name}))

    def beside(self, changed: Collection[str]) -> frozenset[str]:
        """Names that are changed with some, and are none of these."""
        return frozenset[str]().union(*map(self.of, changed)).difference(changed)

    def part(self, name: str, bound: frozenset[str]) -> None:
        """A name is bound anew, if it is one of those that a cell binds."""
        if name in bound:
            left = self.pop(name, frozenset()) - {name}
            self.update(dict.fromkeys(left, left))

    def part_all(self, bound: frozenset[str]) -> None:
        """All names that a cell binds are bound anew."""
        for name in bound:
            self.part(name, bound)


class Ties:
    """What names have in common: one object, or parts of objects.

    Attributes
    ----------
    lent
        Values that have bytes, as objects of which live ones hold parts; cells may change them by those.
    """

    def __init__(self) -> None:
        self.same, self.parts = Aliases(), Aliases()
        self.lent: dict[str, Any] = {}

    def state(self) -> tuple[dict[str, Any], ...]:
        """All that is noted."""
        return self.same, self.parts, self.lent

    def join(self, made: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, None]:
        """Note what a cell that ran here made of what it read, without a copy.

        Functions that remember what was read have no identity by their code: calling them may change it.
        """
        self.same.join(made, read)
        self.parts.note(shared_parts(made, read))
        every = {**read, **made}
        self.lent |= {name: each for name, each in every.items() if (self.parts.of(name) - {name}) & made.keys()}
        functions = [name for name, value in made.items() if isinstance(value, FunctionType)]
        return dict.fromkeys(name for name in functions if not self.parts.of(name).isdisjoint(read))

    def lent_to(self, names: Collection[str]) -> dict[str, Any]:
        """Values of which some names hold parts."""
        return {name: value for name, value in self.lent.items() if not self.parts.of(name).isdisjoint(names)}

    def part(self, name: str, bound: frozenset[str]) -> None:
        """A name is bound anew, if it is one of those that a cell binds."""
        self.same.part(name, bound)
        self.parts.part(name, bound)
        if name in bound:
            self.lent.pop(name, None)


def outputs_of(store: Store, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a cell showed, in Jupyter's format."""
    shown = result.get(SHOWN)
    return [] if shown is None else list(json.loads(store.read(str(shown.cid))))


def value_of(asset: Any, scope: Any) -> Any:
    """The value that is kept as an asset; handles are themselves."""
    return decode(asset, asset.fetch(), scope) if isinstance(asset, Value) else unboxed(asset)


def identity_of(value: Any) -> Any:
    """What tells one input from another; None of a call that did not run."""
    if isinstance(value, list):
        return [identity_of(item) for item in value]
    if isinstance(value, dict):
        return {name: identity_of(item) for name, item in value.items()}
    return None if value is None or is_call(value) else value.id


def used_by(call: Call, results: Mapping[str, Any]) -> dict[str, Any]:
    """Identities of what a call was given, now that the calls before it have run."""
    found = {}
    for name, value in call.inputs.items():
        if is_call(value):
            whole = results.get(value.plan_key) or {}
            value = whole.get(value.index)
        found[name] = identity_of(value)
    return found


def is_call(value: Any) -> bool:
    """Whether an input is still to be made."""
    return hasattr(value, "plan_key")


def is_handle(value: Any) -> bool:
    """Whether an input is an asset for itself, and stands for no value."""
    return not is_call(value) and not isinstance(value, Value)


def told_error(error: BaseException, task: CellTask | None) -> BaseException:
    """What the cell raised, where it did; a body that was ended was so for the engine's reasons."""
    raised = task.error if task is not None else None
    return raised if raised is not None and not isinstance(error, RunError) else error


def name_of(cell: Cell) -> str:
    """How messages call a cell."""
    if cell.name:
        return f"cell {cell.name}"
    return f"the cell that makes {', '.join(sorted(cell.defs))}" if cell.defs else f"the cell at line {cell.line}"


def needed_cells(order: list[Cell], target: str, document: Document) -> set[Cell]:
    """Cells that a cell or a value needs, and itself.

    Raises
    ------
    NotebookError
        There is none of that name.
    """
    found = [cell for cell in order if cell.name == target] or [cell for cell in order if target in cell.defs]
    if not found:
        raise NotebookError(f"{document.path} has no cell {target}, and none that makes it")
    return needs_of({found[-1]}, order, document)


def needs_of(cells: Iterable[Cell], order: list[Cell], document: Document) -> set[Cell]:
    """Cells that some cells need, and themselves."""
    wanted = set(cells)
    todo = [*wanted]
    bound = reads_in_order(order)
    while todo:
        cell = todo.pop()
        last = order.index(cell) if document.sequential else len(order)
        for other in order[:last]:
            if other not in wanted and (other.defs & bound[cell] or other.name in cell.notes.after):
                wanted.add(other)
                todo.append(other)
    return wanted
