"""``stargazer runs``: which there were, which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.runs.notes import Note

__all__ = ["runs"]


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


def _row(note: Note) -> tuple[str, ...]:
    from stargazer.display import plural, seconds_text

    failed = f", {note.count('failed')} failed" if note.count("failed") else ""
    known = f", {note.known} known" if note.known else ""
    ran = f"{note.count('done')} of {plural(note.calls, 'call')}{failed}{known}"
    return note.id, note.state, seconds_text(note.seconds), ran, note.where, f"{note.user}@{note.host}"


def _print_one(note: Note) -> None:
    _print([_row(note)])
    for task, states in note.tasks.items():
        typer.echo(f"  {task}: {', '.join(f'{number} {state}' for state, number in states.items())}")
    for label, why in note.failures.items():
        typer.echo(f"  ✗ {label}  {why}")


def _print(rows: Iterable[Any]) -> None:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
