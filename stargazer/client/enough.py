"""Whether the workers of a profile have what tasks declare to need, and live as long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.granted import amount_text, capacity_of
from stargazer.client.finding import Finding
from stargazer.profiles.units import clock_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client

    from stargazer.calls import Task
    from stargazer.calls.granted import Capacity

__all__ = ["enough"]

NAMED = 3
"""Tasks that are named of those that lack the same."""


def enough(client: Client, tasks: Sequence[Task], *, strict: bool = True) -> Iterator[Finding]:
    """Compare what the workers of a client have, or may be started with, with what tasks need.

    Parameters
    ----------
    client
        Of the profile; a worker need not be there yet, if the profile starts it.
    tasks
        That shall run there.
    strict
        Whether a task that cannot run there is a failure, or a remark.

    Yields
    ------
    Finding
        One a resource: what there is, and which task needs the most, or what is missing.
    """
    capacity = capacity_of(client)
    lacking = [capacity.lacking(task.name, task.needs) for task in tasks]
    kinds = dict.fromkeys([*sorted(capacity.largest), *(kind for each in lacking for kind in each)])
    if capacity.walltime is not None or any(task.needs.walltime for task in tasks):
        kinds["walltime"] = None
    if not capacity.largest:
        yield Finding("resources", True, "the workers count none: each of their threads takes one call at a time")
    for kind in kinds:
        short = [(task, why[kind]) for task, why in zip(tasks, lacking, strict=True) if kind in why]
        if short and strict:
            yield Finding(kind, False, _missing(kind, short))
        else:
            yield Finding(kind, True, _there(kind, capacity, tasks, [task for task, _ in short]))


def _missing(kind: str, short: list[tuple[Task, str]]) -> str:
    """What the task that needs the most lacks, and which others lack of the same."""
    worst, why = max(short, key=lambda each: _need(kind, each[0]))
    others = _names([task for task, _ in short if task is not worst])
    return f"{why}; not enough for {others} either" if others else why


def _there(kind: str, capacity: Capacity, tasks: Sequence[Task], short: Sequence[Task]) -> str:
    has = _has(kind, capacity)
    if short:
        return f"{has}, not enough for {_names(short)}"
    wanting = max(tasks, key=lambda task: _need(kind, task), default=None)
    if wanting is None or not _need(kind, wanting):
        return has
    clamped = "" if _need(kind, wanting) <= capacity.largest.get(kind, _need(kind, wanting)) else ", and takes all"
    return f"{has}; {wanting.name} {_uses(kind, _need(kind, wanting))}{clamped}"


def _has(kind: str, capacity: Capacity) -> str:
    if kind == "walltime":
        return f"workers end after {clock_of(capacity.walltime)}" if capacity.walltime else "workers have no set end"
    return "there are workers of that name" if ":" in kind else f"a worker has {_amount(kind, capacity.largest[kind])}"


def _uses(kind: str, amount: float) -> str:
    if kind == "walltime":
        return f"takes up to {clock_of(amount)}"
    return "wants it" if ":" in kind else f"wants the most, {_amount(kind, amount)}"


def _need(kind: str, task: Task) -> float:
    return task.needs.walltime or 0.0 if kind == "walltime" else task.needs.resources().get(kind, 0.0)


def _amount(kind: str, amount: Any) -> str:
    return amount_text(kind, amount).removesuffix(" of memory").removesuffix(f" {kind}")


def _names(tasks: Sequence[Task]) -> str:
    names = list(dict.fromkeys(task.name for task in tasks))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
