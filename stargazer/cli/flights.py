"""``stargazer runs``: which there were, which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, open_made_store, open_store, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.runs.notes import Note

__all__ = ["log", "runs"]


def runs(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this one, with its tasks and errors.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """List the runs of a store, past and present.

    A run whose process died without a word is 'lost' after two minutes; what it had finished is kept.
    """
    from stargazer.runs.notes import noted_runs

    found = noted_runs(open_store(store), limit if run is None else 10_000)
    if run is not None:
        found = [note for note in found if note.id == run]
        if not found:
            raise typer.BadParameter(f"there is no run {run}")
    if json:
        print_json([vars(note) for note in found])
    elif run is None:
        _print(_row(note) for note in found)
    else:
        _print_one(found[0])


def log(
    name: Annotated[str, typer.Argument(metavar="CALL", help="First digits of its record, or the CID that it made.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show the log of a call.

    It has the commands with what they wrote to stderr; of a call that failed also where in its code it did.
    """
    from stargazer.ledger import Ledger
    from stargazer.ledger.logs import find_record, log_of

    ledger = Ledger(open_made_store(store))
    record = find_record(ledger, name)
    text = log_of(ledger, record)
    if json:
        told = {name: getattr(record, name) for name in ("id", "task", "status", "started", "seconds", "host", "error")}
        print_json(told | {"log": text})
    else:
        typer.echo(text or f"{record.task} ran no tool: {record.error or 'it ended well'}", nl=not text)


def _row(note: Note) -> tuple[str, ...]:
    from stargazer.display import plural, seconds_text

    failed = f", {note.count('failed')} failed" if note.count("failed") else ""
    known = f", {note.known} known" if note.known else ""
    ran = f"{note.count('done')} of {plural(note.calls, 'call')}{failed}{known}"
    return note.id, note.state, seconds_text(note.seconds), ran, note.where, f"{note.user}@{note.host}"


def _print_one(note: Note) -> None:
    from stargazer.ledger.logs import SHOWN_DIGITS

    _print([_row(note)])
    for task, states in note.tasks.items():
        typer.echo(f"  {task}: {', '.join(f'{number} {state}' for state, number in states.items())}")
    for label, why in note.failures.items():
        typer.echo(f"  ✗ {label}  {why}")
        if record := note.records.get(label):
            typer.echo(f"    the log: stargazer log {record[:SHOWN_DIGITS]}")


def _print(rows: Iterable[Any]) -> None:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
