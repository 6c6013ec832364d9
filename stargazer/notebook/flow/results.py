"""What the verbs of a flow give: findings, and what became of notebooks that ran."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.notebook.document import Cell

__all__ = ["Draft", "Executed", "Finding", "source_digest"]


class Finding(NamedTuple):
    """Something that is wrong, or odd, in a notebook or in what is said of it.

    Parameters
    ----------
    level
        ``error`` or ``warning``.
    rule
        Which rule found it.
    message
        What it is, and what to do.
    line
        Of the source, or of ``notebook.yml``; 0 where it is of none.
    """

    level: str
    rule: str
    message: str
    line: int = 0


class Draft(NamedTuple):
    """A notebook that is about to be written.

    Parameters
    ----------
    name
        Its name.
    mode
        ``explore``, ``demo`` or ``interactive``.
    kind, status
        As its entry has them.
    objective
        What it is for.
    mod
        The task or workflow that it is about, or nothing.
    queries
        Asset keys of what that makes.
    of_task
        Whether it is a task, whose name stands in the records of what it made.
    """

    name: str
    mode: str
    kind: str
    status: str = "draft"
    objective: str = ""
    mod: str = ""
    queries: tuple[str, ...] = ()
    of_task: bool = True

    @property
    def header(self) -> str:
        """The lines at the top of a source that say what it is."""
        guards = "Read-only: what tasks made is looked at, and not changed"
        told = {"Title": self.name, "Status": self.status, "Objective": self.objective or f"To be said: {self.kind}"}
        told |= {"Focus": self.mod or "To be said", "Guardrails": guards}
        return "".join(["# ---\n", *(f"# {name}: {value}\n" for name, value in told.items()), "# ---\n"])


class Executed(NamedTuple):
    """What became of a notebook that was to run.

    Parameters
    ----------
    name
        Of the notebook.
    state
        ``ran``, ``failed`` or ``skipped``.
    seconds
        That it took.
    problem
        What failed, in one line.
    note
        What is odd, in one line.
    wrote
        Where what it showed is, from the flow's folder.
    values
        What it came to: CIDs by name, or digests.
    reads
        Files that its cells read, by their paths from the flow's folder.
    """

    name: str
    state: str
    seconds: float = 0.0
    problem: str = ""
    note: str = ""
    wrote: str = ""
    values: dict[str, str] = {}  # noqa: RUF012 - never changed
    reads: dict[str, str] = {}  # noqa: RUF012 - never changed

    @property
    def success(self) -> bool:
        """Whether it ran to its end."""
        return self.state == "ran"

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**self._asdict(), "seconds": round(self.seconds, 3), "success": self.success}


def source_digest(cells: Iterable[Cell]) -> str:
    """Digest of what the cells of a notebook say: layout around them and their names do not count."""
    told = [[cell.kind, cell.source.strip()] for cell in cells if cell.source.strip()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
