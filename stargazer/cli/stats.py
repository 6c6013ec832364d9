"""``stargazer stats``: what calls took of what they had asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stargazer.cli.options import JSON, STORE, open_made_store, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.ledger.usage import TaskUse
    from stargazer.store import Store

__all__ = ["stats"]


def stats(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task, by its name.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only the calls of one run.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show what tasks took of what they had asked for.

    Calls, time, memory and processors, from the ledger: what was asked for and not used, and what to ask for next time.
    """
    from stargazer.errors import UnknownName
    from stargazer.ledger.usage import usage

    opened = open_made_store(store)
    uses = usage(opened, task, None if run is None else _records(opened, run))
    if task is not None and not uses:
        raise UnknownName(f"no call of a task {task!r} ran in {opened.url}")
    unused = sum(use.unused for use in uses)
    if json:
        print_json({"tasks": [use.to_dict() for use in uses], "unused_core_hours": unused})
        return
    rows = [HEAD, *(_row(use) for use in uses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if uses else ():
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for use in uses:
        for line in _lines(use):
            say(f"{use.task}: {line}")
    if not uses:
        say(f"nothing ran in {opened.url} yet", err=True)
        return
    from stargazer.display import hours_text

    say(f"{hours_text(unused)} core-hours were asked for and not used", err=True)


HEAD = ("task", "calls", "time", "longest", "cpus", "used", "memory", "peak", "unused")


def _row(use: TaskUse) -> tuple[str, ...]:
    from stargazer.display import hours_text, seconds_text, size_text

    failed = f" ({use.failed} failed)" if use.failed else ""
    return (
        use.task,
        f"{use.calls:,}{failed}",
        seconds_text(use.seconds),
        seconds_text(use.longest),
        f"{use.cpus:g}",
        f"{use.cpu_share:.0%}",
        size_text(use.memory) if use.memory else "-",
        size_text(use.peak) if use.peak else "-",
        f"{hours_text(use.unused)} h",
    )


def _lines(use: TaskUse) -> Sequence[str]:
    """What the table has no room for: how size matters, and what to ask for."""
    from stargazer.display import seconds_text, size_text

    told = []
    if line := use.by_size.get("seconds"):
        told.append(f"{seconds_text(line.base)} and {seconds_text(line.per_byte * 1e9)} for each GB of input")
    if line := use.by_size.get("peak"):
        told.append(f"{size_text(line.base)} of memory and {line.per_byte:.2g} times the size of the input")
    if use.advice:
        told.append("ask for " + ", ".join(f"{name}={amount}" for name, amount in use.advice.items()))
    return told


def _records(store: Store, run: str) -> list[str]:
    """Return ids of the records of the calls that a run made, or of those that failed in it."""
    from stargazer.errors import NotFound
    from stargazer.runs.history import find_run, read_events

    try:
        events = read_events(store, find_run(store, run).id)
    except NotFound as error:
        raise typer.BadParameter(str(error)) from None
    return [event.record for event in events if event.record and event.what in ("made", "failed")]
