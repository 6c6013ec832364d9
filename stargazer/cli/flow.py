"""``stargazer nb``: the life of the notebooks of a flow."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stargazer.cli.notebook import WRONG, given_values
from stargazer.cli.options import JSON, STORE, examples, open_store, print_json, say
from stargazer.errors import NotebookError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["add_to"]

FLOW = Annotated[
    str | None, typer.Option("--flow", metavar="NAME", help="A flow by name or folder; default: the one you are in.")
]
NAMES = Annotated[list[str] | None, typer.Argument(metavar="[NOTEBOOK]...", help="Only these; default: all in use.")]
FORCE = Annotated[bool, typer.Option("--force", help="The script counts; what is written over is kept (.bak).")]


@contextmanager
def _told(json: bool) -> Iterator[None]:
    """What is wrong before anything is done: exit code 2."""
    try:
        yield
    except (NotebookError, PluginError) as error:
        if json:
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
        for line in str(error).splitlines():
            say(f"stargazer: {line}", err=True)
        raise typer.Exit(WRONG) from None


def _end(success: bool, told: str = "") -> None:
    if not success:
        say(f"stargazer: {told}", err=True)
        raise typer.Exit(1)


def _print(rows: Sequence[Any], json: bool, key: str = "notebooks", **more: Any) -> None:
    if json:
        print_json({**more, key: [row.to_dict() for row in rows]})


def _synced(rows: Sequence[Any], json: bool, dry: bool = False) -> None:
    _print(rows, json, success=all(row.success for row in rows), dry_run=dry)
    if not json:
        for row in rows:
            sign = "✗" if row.problem else "→" if row.wrote else "✓"
            done = f"{'would be ' if dry else ''}{row.action}" if row.action else row.state if not row.wrote else "made"
            wrote = f": {', '.join(row.wrote)}" if row.wrote else ""
            say(f"{sign} {row.name}  {row.problem or done + wrote}")
            for path in row.kept:
                say(f"    kept what was written over: {path}")
    _end(all(row.success for row in rows), "some are not in step; nothing of them was written")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the notebook: letters, digits, _ and -.")],
    mode: Annotated[
        Literal["explore", "demo", "interactive"], typer.Option("--mode", help="What it is for.")
    ] = "explore",
    format: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="percent, marimo, or another that is installed.")
    ] = None,
    mod: Annotated[str, typer.Option("--mod", metavar="NAME", help="The task or workflow that it is about.")] = "",
    objective: Annotated[str, typer.Option("--objective", metavar="TEXT", help="What it is for, in words.")] = "",
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Write a new notebook that runs, and register it; the first one makes the flow.

    explore: a header and a beginning. demo: to be published, begins with a query of what its --mod made. interactive: a
    marimo notebook with a widget.
    """
    from stargazer.notebook.flow import new

    with _told(json):
        book = new(name, mode, flow=flow, format=format, mod=mod, objective=objective)
    shown = [path for path in (book.source, book.ipynb) if path.exists()]
    if json:
        print_json({"name": book.name, "flow": book.flow.name, "files": [os.fspath(path) for path in shown]})
    else:
        say("\n".join(f"wrote {os.path.relpath(path)}" for path in shown))


def scan(
    register: Annotated[bool, typer.Option("--register", help="Add them to notebook.yml, as drafts.")] = False,
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Find notebooks that notebook.yml does not name."""
    from stargazer.notebook.flow import scan

    with _told(json):
        rows = scan(flow=flow, register=register)
    _print(rows, json)
    if not json:
        done = "added" if register else "not registered"
        say("\n".join(f"{row.path}  ({row.format}, {row.kind}, {done})" for row in rows) or "all are registered")


def pair(names: NAMES = None, force: FORCE = False, flow: FLOW = None, json: JSON = False) -> None:
    """Make the .ipynb and MyST files that notebook.yml asks for."""
    from stargazer.notebook.flow import pair

    with _told(json):
        rows = pair(flow=flow, names=names or (), force=force)
    _synced(rows, json)


def sync(
    names: NAMES = None,
    direction: Annotated[
        Literal["py2nb", "nb2py"] | None, typer.Option("--direction", help="Which side counts, whatever changed.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", "--dry", help="Only say what would be done.")] = False,
    force: FORCE = False,
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Bring scripts and .ipynb in step: what one side changed since both agreed, the other gets; cell by cell.

    Where both changed the same cell, nothing is written and the exit code is 1.
    """
    from stargazer.notebook.flow import sync

    with _told(json):
        rows = sync(flow=flow, names=names or (), direction=direction or "auto", dry=dry, force=force)
    _synced(rows, json, dry)


def diff(names: NAMES = None, flow: FLOW = None, json: JSON = False) -> None:
    """Show how each .ipynb differs from its script; exit code 1 where one does."""
    from stargazer.notebook.flow import diff

    with _told(json):
        rows = diff(flow=flow, names=names or ())
    differ = [row for row in rows if row.text]
    _print(rows, json)
    if not json:
        say("\n".join(f"{row.name}: {row.state}\n{row.text}" for row in differ) or "all are in step", nl=True)
    _end(not differ, f"{len(differ)} of {len(rows)} differ")


def exec_(
    names: NAMES = None,
    entry: Annotated[
        list[str] | None, typer.Option("--entry", metavar="NOTEBOOK", help="Only this one; may be repeated.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="That a cell may take.")] = 600,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value in place of a cell's.")
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Begin others after one failed.")] = False,
    flow: FLOW = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run notebooks: percent ones in their kernels with the ledger loaded, marimo's headless; several at once."""
    from stargazer.notebook.flow import execute

    given, asked = given_values(values), [*(names or ()), *(entry or ())]
    with open_store(store), _told(json):
        rows = execute(flow=flow, entry=asked, timeout=timeout, set=given, keep_going=keep_going, told=_tell(json))
    _print(rows, json, success=all(row.success for row in rows))
    failed = [row for row in rows if not row.success]
    if not json:
        for row in rows:
            if row.state == "skipped":
                say(f"- {row.name}  skipped: {row.note}")
    _end(not failed, f"{len(failed)} of {len(rows)} did not run to the end")


def _tell(json: bool) -> Any:
    """Say of each notebook what became of it, as soon as that is known."""

    def told(done: Any) -> None:
        sign, said = ("●", f"ran in {done.seconds:.1f} s") if done.success else ("✗", done.problem)
        say(f"{sign} {done.name}  {said}{f' ({done.note})' if done.note else ''}", err=json)

    return told


def publish(
    names: NAMES = None,
    format: Annotated[
        Literal["html", "myst", "ipynb"] | None, typer.Option("--format", help="In place of what notebook.yml says.")
    ] = None,
    no_exec: Annotated[bool, typer.Option("--no-exec", help="Publish what they came to when they last ran.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether pages hold; exit code 1 if not.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="That a cell may take.")] = 600,
    flow: FLOW = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Make pages: pair, sync, exec, publish. Each page says of which source and values it was made."""
    from stargazer.notebook.flow import publish

    with open_store(store), _told(json):
        rows = publish(
            flow=flow, names=names or (), format=format, run=not no_exec, check=check, timeout=timeout, told=_tell(json)
        )
    failed = [row for row in rows if not row.success]
    _print(rows, json, success=not failed)
    if not json:
        for row in rows:
            for page in row.pages:
                say(
                    f"{'✓' if page.state == 'yes' else '✗'} {row.name}  published: {page}  {os.path.relpath(page.path)}"
                )
            if row.problem:
                say(f"✗ {row.name}  {row.problem}")
        say("" if rows else "no notebook is to be published: set publish_html: true", nl=not rows)
    _end(not failed, f"{len(failed)} of {len(rows)} {'do not hold' if check else 'were not published'}")


def status(flow: FLOW = None, json: JSON = False) -> None:
    """Show how notebooks stand: each file with its time, in step or ahead, and whether the page holds."""
    from stargazer.notebook.flow import status

    with _told(json):
        rows = status(flow=flow)
    _print(rows, json, "flows")
    if not json:
        say("\n\n".join(map(str, rows)))


def audit(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings, too.")] = False,
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Find what does not fit together: files, entries, the tasks that notebooks are about, and pages."""
    from stargazer.notebook.flow import audit

    with _told(json):
        rows = audit(flow=flow)
    _findings(rows, json, strict)


def check(
    names: NAMES = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings, too.")] = False,
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Find what is wrong in notebooks before they run: annotations, syntax, names, imports, headers; marimo check."""
    from stargazer.notebook.flow import check

    with _told(json):
        rows = check(flow=flow, names=names or ())
    _findings(rows, json, strict)


def _findings(rows: Sequence[Any], json: bool, strict: bool) -> None:
    errors = sum(row.finding.level == "error" for row in rows)
    bad = len(rows) if strict else errors
    _print(rows, json, "findings", success=not bad)
    if not json:
        say("\n".join(map(str, rows)) or "nothing is wrong")
    _end(not bad, f"{errors} errors, {len(rows) - errors} warnings")


def migrate(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only said.")] = False,
    flow: FLOW = None,
    json: JSON = False,
) -> None:
    """Move sources of older layouts into .src/, and MyST files into .myst/; folders stay what they were."""
    from stargazer.notebook.flow import migrate

    with _told(json):
        rows = migrate(flow=flow, yes=yes)
    _print(rows, json, done=yes)
    if not json:
        lines = [f"{old} → {new}" for row in rows for old, new in row.moves]
        say("\n".join(lines) or "nothing is to move")
        say("" if yes or not rows else "nothing was moved: --yes does it", nl=bool(rows) and not yes)


def lab(
    pipe: Annotated[str | None, typer.Option("--pipe", metavar="NAME", help="All flows of a pipeline.")] = None,
    flow: FLOW = None,
    sync: Annotated[bool, typer.Option("--sync", help="Bring them in step first.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Make the links anew; start nothing.")] = False,
    marimo: Annotated[bool, typer.Option("--marimo", help="Start marimo, in the folder of the notebooks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; start nothing.")] = False,
) -> None:
    """Link the notebooks that are worked on in one folder, and start Jupyter Lab there."""
    from stargazer.notebook.flow import lab

    start = not (refresh or json)
    with _told(json):
        found = lab(flow=flow, pipe=pipe, sync=sync, marimo=marimo, start=start)
    if json:
        print_json(found.to_dict())
        return
    for link in found.links:
        kernel = f"  kernel {link.kernel}" if link.kernel else ""
        say(f"{'✗' if link.taken else '✓'} {os.path.relpath(link.path, found.folder)}{kernel}")
    for place in found.removed:
        say(f"- {place}")
    taken = [link for link in found.links if link.taken]
    _end(not taken, f"something else stands at {', '.join(str(link.path) for link in taken)}; it was left as it is")
    if start:
        say(f"starting {' '.join(found.command[1:])}")
        os.execv(found.command[0], list(found.command))


_COMMANDS: dict[str, tuple[Any, list[str]]] = {
    "new": (new, ["nb new noise", "nb new filters --mode demo --mod bwa_mem", "nb new look --mode interactive"]),
    "scan": (scan, ["nb scan", "nb scan --register"]),
    "pair": (pair, ["nb pair", "nb pair noise --force"]),
    "sync": (sync, ["nb sync", "nb sync --dry-run", "nb sync noise --direction nb2py"]),
    "diff": (diff, ["nb diff", "nb diff noise --json"]),
    "exec": (exec_, ["nb exec", "nb exec --entry noise --set n_top=2000 --timeout 60", "nb exec --keep-going --json"]),
    "publish": (publish, ["nb publish", "nb publish --format ipynb --no-exec", "nb publish --check"]),
    "status": (status, ["nb status", "nb status --flow preprocess/ieeg --json"]),
    "audit": (audit, ["nb audit", "nb audit --strict --json"]),
    "check": (check, ["nb check", "nb check noise --json"]),
    "migrate": (migrate, ["nb migrate", "nb migrate --yes"]),
    "lab": (lab, ["nb lab", "nb lab --pipe preprocess --sync", "nb lab --marimo --refresh"]),
}


def add_to(app: typer.Typer) -> None:
    """Give ``stargazer nb`` the commands of flows."""
    for name, (command, lines) in _COMMANDS.items():
        app.command(name, epilog=examples(*lines))(command)
