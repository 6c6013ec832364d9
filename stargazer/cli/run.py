"""``stargazer run`` and ``plan``: workflows from files and modules."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, asset_json, chosen_profile, open_made_store, open_store, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.assets import Asset
    from stargazer.runs import Run
    from stargazer.runs.history import Note
    from stargazer.store import Store

__all__ = ["log", "plan", "run", "runs", "trace"]

WORKFLOW = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="FILE.py:NAME, module:NAME, or a name from stargazer.workflows.")
]
ARGUMENTS = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE]…", help="Its arguments; lists with commas, assets by CID or id."),
]


def run(
    workflow: WORKFLOW,
    arguments: ARGUMENTS = None,
    on: Annotated[
        str | None, typer.Option(metavar="WHERE", help="A profile, as 'local' or 'slurm', or a scheduler's address.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="How many workers for --on: 4, or 0-10.")] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Copy the results there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    timeline: Annotated[str | None, typer.Option(metavar="FILE", help="Draw what ran when, as SVG.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run a workflow.

    What the store knows is not run again. Without --on, tasks run on threads of this process.
    """
    from stargazer.api import put_down_all

    if on:
        chosen_profile(on, workers=workers)
    with open_store(store) as opened, _stdout_kept_clean():
        flight = _fly(_wire(workflow, arguments or [], opened), on, workers)
        result = flight.result()
        if timeline:
            flight.timeline().save(timeline)
        copies = [str(path) for path in put_down_all(opened, _assets(result), out, force=force)] if out else []
    if json:
        print_json(_run_json(flight, result) | ({"paths": copies} if out else {}))
    else:
        _print_result(flight, result, copies)


def plan(
    workflow: WORKFLOW,
    arguments: ARGUMENTS = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show what a workflow would run, and why.

    Nothing runs.
    """
    from stargazer.runs.planner import plan as make_plan

    with open_store(store) as opened, _stdout_kept_clean():
        made = make_plan(_wire(workflow, arguments or [], opened))
    print_json(made.to_dict()) if json else typer.echo(str(made))


@contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """What workflows and tasks print goes to stderr, also from workers: stdout is for the answer."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        if sys.__stdout__ is not None and sys.__stderr__ is not None:
            sys.__stdout__.flush()
            kept = os.dup(1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            os.dup2(2, 1)
        yield


def _wire(workflow: str, arguments: list[str], store: Store) -> Any:
    """The calls that a workflow makes."""
    from stargazer.calls import Call, Task
    from stargazer.catalog.arguments import read_arguments
    from stargazer.catalog.targets import find_workflow
    from stargazer.runs.planner import roots_of

    found = find_workflow(workflow)
    if not isinstance(found, (Call, list, tuple, dict)):
        if not callable(found):
            raise typer.BadParameter(f"{workflow} is {type(found).__name__}, not a workflow")
        given = read_arguments(found, arguments, store)
        found = found(**given)
    elif arguments:
        raise typer.BadParameter(f"{workflow} is wired already and takes no arguments")
    if not roots_of(found):
        task = " (is it the body of a task?)" if isinstance(found, Task) else ""
        raise typer.BadParameter(f"{workflow} made no calls, but {type(found).__name__}{task}")
    return found


def _fly(calls: Any, on: str | None, workers: str | None) -> Run:
    from stargazer.client import connect
    from stargazer.runs import run as start

    with ExitStack() as stack:
        client = stack.enter_context(connect(on, workers=workers)) if on else None
        return start(calls, client=client)


def _assets(result: Any) -> Iterator[Asset]:
    from stargazer.ledger.codec import walk_assets

    yield from walk_assets(result)


def _run_json(flight: Run, result: Any) -> dict[str, Any]:
    status = flight.status()
    return {"result": _plain(result), "tasks_run": flight.tasks_run, "seconds": round(status.seconds, 3)}


def _plain(result: Any) -> Any:
    """A result as JSON."""
    if isinstance(result, (list, tuple)):
        names = getattr(result, "_fields", None)
        return dict(zip(names, map(_plain, result), strict=True)) if names else [_plain(each) for each in result]
    if isinstance(result, dict):
        return {name: _plain(each) for name, each in result.items()}
    return asset_json(result) if hasattr(result, "asset_key") else result


def _print_result(flight: Run, result: Any, copies: list[str]) -> None:
    from stargazer.display import plural, seconds_text

    assets = list(_assets(result))
    for asset in assets:
        typer.echo(f"{asset.cid}  {asset.name}")
    if not assets:
        typer.echo(result)
    for path in copies:
        typer.echo(path)
    typer.echo(f"{plural(flight.tasks_run, 'task')} run, {seconds_text(flight.status().seconds)}", err=True)


# ``stargazer runs``: which there were, which there are.


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
    from stargazer.runs.history import noted_runs

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


# ``stargazer trace``: where something came from, and what was made of it.


def trace(
    name: Annotated[str, typer.Argument(metavar="CID-OR-ID", help="CID, or id of an asset.")],
    down: Annotated[bool, typer.Option("--down", help="What was made of it, instead of where it came from.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flow chart.")] = False,
    rocrate: Annotated[
        str | None, typer.Option("--rocrate", metavar="DIR", help="Write a Workflow Run RO-Crate there.")
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show where a file came from.

    Or, with --down, what was made of it.
    """
    from stargazer.cli.options import stored
    from stargazer.ledger.lineage import trace as follow

    if mermaid + json + (rocrate is not None) > 1:
        raise typer.BadParameter("--mermaid, --json and --rocrate: choose one")
    opened = open_made_store(store)
    (asset,) = stored(opened, [name])
    named = asset if len(name) == 64 else str(asset.cid)
    lineage = follow(opened, named, "down" if down else "up")
    if rocrate is not None:
        typer.echo(lineage.to_rocrate(rocrate) / "ro-crate-metadata.json")
    elif json:
        print_json(lineage.to_dict())
    else:
        typer.echo(lineage.to_mermaid() if mermaid else str(lineage))
