"""``stargazer run`` and ``plan``: workflows from files and modules."""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stargazer.cli import unattended
from stargazer.cli.options import JSON, STORE, chosen_profile, open_made_store, open_store, print_json, say
from stargazer.cli.unattended import plain, print_assets
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.assets import Asset
    from stargazer.ledger import Ledger, Record
    from stargazer.runs import Run
    from stargazer.runs.history import Event, Note
    from stargazer.store import Store

__all__ = ["WithAgain", "log", "plan", "run", "runs", "trace"]

ALL = "*"
"""Stands for everything, where no task is named."""


class WithAgain(TyperCommand):
    """A command whose ``--again`` takes the names of tasks that follow it, or none: then everything runs again.

    After the workflow, all that is not ``NAME=VALUE`` and no option is the name of a task.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write each name behind an ``--again`` of its own."""
        valued = {
            name
            for parameter in self.get_params(ctx)
            if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, list(_again_apart(args, valued)))


def _again_apart(args: list[str], valued: set[str]) -> Iterator[str]:
    places, wired = list(args), False
    while places:
        word = places.pop(0)
        if word == "--again":
            names = []
            while wired and places and not places[0].startswith("-") and "=" not in places[0]:
                names.append(places.pop(0))
            yield from (f"--again={name}" for name in names or [ALL])
            continue
        yield word
        if word in valued and places:
            yield places.pop(0)
        wired = wired or not word.startswith("-")


WORKFLOW = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="FILE.py:NAME, module:NAME, or a name that `stargazer tasks` lists.")
]
ARGUMENTS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=VALUE]…",
        help="Its arguments; lists with commas, assets by CID or id, options as options.filter=hard.",
    ),
]

AGAIN = Annotated[
    list[str] | None,
    typer.Option("--again", metavar="[TASK…]", help="Run these tasks once more, or all, whatever is known."),
]

ADD = Annotated[
    bool, typer.Option("--add", help="Add files that stand where assets are wanted, as what the workflow takes.")
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
    again: AGAIN = None,
    timeline: Annotated[str | None, typer.Option(metavar="FILE", help="Draw what ran when, as SVG.")] = None,
    add: ADD = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Let a process of its own run it, which outlives this terminal.")
    ] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Let a job of the batch system drive it, and all its workers.")
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run a workflow.

    What the store knows is not run again. Without --on, tasks run on threads of this process. With --detach or --submit
    it goes on by itself: see `attach`, `cancel` and `resume`.
    """
    from stargazer.errors import RunError
    from stargazer.store.copies import check_folder, put_down_all

    if on:
        chosen_profile(on, workers=workers)
    if out:
        check_folder(out)
    opened = open_store(store)
    if detach or submit:
        if timeline or (detach and submit):
            raise typer.BadParameter("--detach, --submit and --timeline: choose one")
        with opened, _stdout_kept_clean():
            calls = _wire(workflow, arguments or [], opened, adding=add)
        given: dict[str, Any] = {"workflow": workflow, "arguments": arguments or [], "on": on, "workers": workers}
        given |= {"out": out, "force": force, "again": _again(again)}
        unattended.ask(calls, name=workflow.rpartition(":")[2], submit=submit, json=json, **given)
        return
    try:
        with opened, _stdout_kept_clean():
            calls = _wire(workflow, arguments or [], opened, adding=add)
            flight = _fly(calls, on, workers, _again(again), workflow.rpartition(":")[2])
            result = flight.result()
            if timeline:
                flight.timeline().save(timeline)
            copies = [str(path) for path in put_down_all(opened, _assets(result), out, force=force)] if out else []
    except RunError as error:
        if json:
            print_json(_failed_json(opened, error))
            error.is_told = True  # type: ignore[attr-defined]
        raise
    if json:
        print_json(_run_json(flight, result) | ({"paths": copies} if out else {}))
    else:
        _print_result(flight, result, copies)


def plan(
    workflow: WORKFLOW,
    arguments: ARGUMENTS = None,
    on: Annotated[str | None, typer.Option(metavar="WHERE", help="The profile that time is estimated for.")] = None,
    again: AGAIN = None,
    add: ADD = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show what a workflow would run, why, and what that will take.

    Nothing runs. Times, core-hours and bytes are those of earlier calls of the same tasks in this store.
    """
    from stargazer.runs.planner import plan as make_plan

    if on:
        chosen_profile(on)

    with open_store(store) as opened, _stdout_kept_clean():
        made = make_plan(_wire(workflow, arguments or [], opened, adding=add), again=_again(again), on=on)
    print_json(made.to_dict()) if json else say(str(made))


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


def _wire(workflow: str, arguments: list[str], store: Store, *, adding: bool = False) -> Any:
    """The calls that a workflow makes."""
    from stargazer.calls import Task
    from stargazer.calls.call import Call
    from stargazer.catalog.arguments import read_arguments
    from stargazer.catalog.targets import find_workflow
    from stargazer.errors import UnknownName
    from stargazer.runs.planner import roots_of

    found = find_workflow(workflow)
    if not isinstance(found, (Call, list, tuple, dict)):
        if not callable(found):
            raise UnknownName(f"{workflow} is {type(found).__name__}, not a workflow")
        found = found(**read_arguments(found, arguments, store, adding=adding))
    elif arguments:
        raise UnknownName(f"{workflow} is wired already and takes no arguments")
    if not roots_of(found):
        task = " (is it the body of a task?)" if isinstance(found, Task) else ""
        raise UnknownName(f"{workflow} made no calls, but {type(found).__name__}{task}")
    return found


def _again(names: list[str] | None) -> Any:
    """What is to run once more: all, or what was named, with commas too."""
    if not names:
        return None
    if ALL in names:
        return True
    found = [name for text in names for name in text.split(",") if name]
    if not found:
        raise typer.BadParameter("it names no task; write --again alone for all", param_hint="--again")
    return found


def _fly(calls: Any, on: str | None, workers: str | None, again: Any, name: str) -> Run:
    from stargazer.client import connect
    from stargazer.runs import run as start

    with ExitStack() as stack:
        client = stack.enter_context(connect(on, workers=workers)) if on else None
        return start(calls, client=client, again=again, name=name)


def _assets(result: Any) -> Iterator[Asset]:
    from stargazer.ledger.record import walk_assets

    yield from walk_assets(result)


def _run_json(flight: Run, result: Any) -> dict[str, Any]:
    status = flight.status()
    told = {"result": plain(result), "tasks_run": flight.tasks_run, "seconds": round(status.seconds, 3)}
    return told | {"run": flight.id or None}


def _failed_json(store: Store, error: Exception) -> dict[str, Any]:
    """What failed, each call with its log."""
    from stargazer.runs.history import noted_runs

    told: dict[str, Any] = {"error": {"type": type(error).__name__, "message": str(error)}}
    failures = getattr(error, "failures", {})
    told |= {"failures": [_failure_json(store, label, each) for label, each in failures.items()]}
    return told | {"run": next((note.id for note in noted_runs(store, 5) if note.pid == os.getpid()), None)}


def _failure_json(store: Store, label: str, error: BaseException) -> dict[str, Any]:
    from stargazer.ledger import Ledger
    from stargazer.ledger.logs import log_of, record_of

    ledger = Ledger(store.records)
    found = record_of(error)
    record = ledger.get(found) if found else None
    log = log_of(ledger, record) if record is not None else ""
    return {"call": label, "type": type(error).__name__, "message": str(error), "record": found or None, "log": log}


def _print_result(flight: Run, result: Any, copies: list[str]) -> None:
    from stargazer.display import plural, seconds_text

    print_assets(result)
    for path in copies:
        say(path)
    named = f", {flight.id}" if flight.id else ""
    say(f"{plural(flight.tasks_run, 'task')} run, {seconds_text(flight.status().seconds)}{named}", err=True)


# ``stargazer runs`` and ``log``: which runs there were and are, and what happened in them.


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
    from stargazer.errors import NotFound
    from stargazer.runs.history import find_run, noted_runs

    opened = open_store(store)
    try:
        found = noted_runs(opened, limit) if run is None else [find_run(opened, run)]
    except NotFound as error:
        raise typer.BadParameter(str(error)) from None
    if json:
        print_json({"runs": [vars(note) for note in found]})
    elif run is None:
        _print(_row(note) for note in found)
    else:
        _print_one(found[0])


def log(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN-OR-CALL",
            help="Id of a run; or of a call, first digits of its record, or the CID that it made.",
        ),
    ],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show the log of a run, or of a call.

    That of a run has what was known, started, made, and what failed. That of a call has the commands with what they
    wrote to stderr; of one that failed also where in its code it did, and where its scratch directory is.
    """
    from stargazer.ledger import Ledger
    from stargazer.store.references import full_name

    opened = open_made_store(store)
    ledger = Ledger(opened.records)
    found = _run_or_call(opened, ledger, full_name(opened, name))
    _call_log(ledger, found, json=json) if hasattr(found, "task") else _run_log(opened, found, json=json)


def _run_or_call(store: Store, ledger: Ledger, name: str) -> Any:
    """The record of a call, or the note of a run.

    Raises
    ------
    NotFound
        There is neither, or more than one.
    """
    from stargazer.errors import NotFound
    from stargazer.ledger.logs import find_record
    from stargazer.runs.history import find_run

    try:
        return find_record(ledger, name) if _may_be_call(name) else find_run(store, name)
    except NotFound:
        if not _may_be_run(name, store.backend.names("runs")):
            raise
    return find_run(store, name)


def _may_be_call(name: str) -> bool:
    """Whether a name may be a CID or the digits of a record; ids of runs hold dashes."""
    return "-" not in name


def _may_be_run(name: str, runs: list[str]) -> bool:
    """Whether somebody who wrote this may have meant a run, where no call is known by it."""
    digits = name.startswith("baf") or set(name) <= set("0123456789abcdef")
    return any(each.startswith(name) for each in runs) if digits else bool(runs)


def _call_log(ledger: Ledger, record: Record, *, json: bool) -> None:
    from stargazer.ledger.logs import log_of

    text = log_of(ledger, record)
    if json:
        names = ("id", "task", "status", "started", "seconds", "host", "error", "scratch", "commit", "dirty", "diff")
        print_json({name: getattr(record, name) for name in names} | {"log": text})
        return
    say(text or f"{record.task} ran no tool: {record.error or 'it ended well'}", nl=not text)
    if place := _scratch_text(record.scratch, record.host):
        say(place, err=True)


def _scratch_text(scratch: str | None, host: str) -> str:
    """Where the scratch directory of a call that failed is; empty where it has none, or it is gone from here."""
    import os
    import platform

    if scratch is None or (host == platform.node() and not os.path.isdir(scratch)):
        return ""
    return f"its scratch directory: {scratch}" + ("" if host == platform.node() else f" on {host}")


def _run_log(store: Store, note: Note, *, json: bool) -> None:
    from stargazer.runs.history import read_events

    events = read_events(store, note.id)
    if json:
        print_json({**vars(note), "events": [event._asdict() for event in events]})
        return
    code = f"commit {note.commit}{', changed since' if note.dirty else ''}" if note.commit else "code outside of git"
    say(f"{note.id}: {note.state}, began {note.started[:19]}, {note.user}@{note.host}, {code}")
    if note.diff:
        say(f"the changes: stargazer get {note.diff}")
    if events:
        _print(_event_row(event) for event in events)
    for event in events:
        if event.differs_from and event.what == "made":
            say(f"≠ {event.task} {event.key[:8]}  not deterministic: differs from record {event.differs_from[:12]}")
        for told in filter(None, (event.error and f"✗ {event.task} {event.key[:8]}  {event.error}", _place(event))):
            say(told)


def _place(event: Event) -> str:
    place = _scratch_text(event.scratch, event.host)
    return (
        f"  the log: stargazer log {event.record[:12]}" + (f"\n  {place}" if place else "")
        if event.error and event.record
        else ""
    )


def _event_row(event: Event) -> tuple[str, ...]:
    from stargazer.display import seconds_text

    seconds = "" if event.seconds is None else seconds_text(event.seconds)
    return (
        event.at[11:19],
        event.what,
        event.task,
        (event.record or event.key)[:12],
        seconds,
        event.host,
        *event.outputs[:1],
    )


def _row(note: Note) -> tuple[str, ...]:
    from stargazer.display import plural, seconds_text

    failed = f", {note.count('failed')} failed" if note.count("failed") else ""
    known = f", {note.known} known" if note.known else ""
    ran = f"{note.count('done')} of {plural(note.calls, 'call')}{failed}{known}"
    told = note.id, note.state, seconds_text(note.seconds), ran, note.where
    return *told, f"{note.user}@{note.host}" if note.host else note.user, _driver(note), note.whose


def _driver(note: Note) -> str:
    """The process or job that drives a run of its own; plain runs are driven by who waits for them."""
    if not note.driver:
        return ""
    return f"job {note.driver['job']}" if note.driver.get("job") else f"process {note.pid}" if note.pid else ""


def _print_one(note: Note) -> None:
    from stargazer.ledger.logs import SHOWN_DIGITS

    _print([_row(note)])
    for task, states in note.tasks.items():
        say(f"  {task}: {', '.join(f'{number} {state}' for state, number in states.items())}")
    for label, why in note.failures.items():
        say(f"  ✗ {label}  {why}")
        if record := note.records.get(label):
            say(f"    the log: stargazer log {record[:SHOWN_DIGITS]}")
    for how in note.lost:
        say(f"  lost: {how}")


def _print(rows: Iterable[Any]) -> None:
    lines = list(rows)
    widths = [max(map(len, column)) for column in itertools.zip_longest(*lines, fillvalue="")]
    for row in lines:
        say("  ".join(visible(cell).ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


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
    from stargazer import api

    if mermaid + json + (rocrate is not None) > 1:
        raise typer.BadParameter("--mermaid, --json and --rocrate: choose one")
    lineage = api.trace(name, direction="down" if down else "up", store=open_made_store(store))
    if rocrate is not None:
        say(lineage.to_rocrate(rocrate) / "ro-crate-metadata.json")
    elif json:
        print_json({"lineage": lineage.to_dict()})
    else:
        say(lineage.to_mermaid() if mermaid else str(lineage))
