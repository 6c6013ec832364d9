"""``stargazer nb promote``, ``freeze``, ``verify``, ``fetch``, ``graduate``, ``env``: what becomes of a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargazer.cli.options import JSON, STORE, examples, open_store, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stargazer.notebook.promotion.promote import Promotion
    from stargazer.notebook.promotion.review import Remark
    from stargazer.notebook.snapshots import Snapshot

__all__ = ["add_to"]

FILE = Annotated[Path, typer.Argument(metavar="NB", help="A marimo file, percent script, .ipynb or MyST file.")]


def promote(
    notebook: FILE,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task that one of its cells defines.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="PATH", help="The module's file, new or not.")] = None,
    tests: Annotated[bool, typer.Option("--tests", help="Write a test, too; of a recorded call if it can.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what a reviewer would; exit 1 if anything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; nothing is.")] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Move a task of a notebook to a module, with all that it reaches; the notebook imports it from there.

    The task stays the one that it was: what it computed before is known after.
    """
    from stargazer.notebook.promotion.promote import check_task
    from stargazer.notebook.promotion.promote import promote as move

    if check:
        _told(check_task(notebook, task), json)
        return
    if to is None:
        raise typer.BadParameter("say where it goes: --to src/lab/tasks.py", param_hint="--to")
    made = move(notebook, task, to, tests=tests, dry_run=dry_run, store=open_store(store))
    print_json({"dry_run": dry_run, **made.to_dict()}) if json else _print(made, dry_run)


def _told(remarks: Sequence[Remark], json: bool) -> None:
    if json:
        print_json({"remarks": [remark._asdict() for remark in remarks]})
    else:
        say("\n".join(map(str, remarks)) or "nothing to say")
    if remarks:
        raise typer.Exit(1)


def _print(made: Promotion, dry_run: bool) -> None:
    for path in made.files:
        say(f"{'would write' if dry_run else 'wrote'} {path}")
    say(f"from {made.module} import {', '.join(made.names)}")
    if made.changed:
        say(f"stargazer: calls of before run once more: {', '.join(made.changed)} changed", err=True)
    for remark in made.remarks:
        say(f"  {remark}", err=True)


def freeze(
    notebook: FILE,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the pin that keeps it.")] = "",
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value in place of a cell's.")
    ] = None,
    on: Annotated[str | None, typer.Option("--on", metavar="PROFILE", help="Where the cells run.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Make a snapshot of a notebook: source, report, page, versions and CIDs in one directory, which is pinned.

    What is known does not run. The snapshot is signed with your key, if you have one.
    """
    from stargazer.cli.notebook import client_of, given_values
    from stargazer.notebook.snapshots import freeze as make

    with client_of(on) as client:
        made = make(notebook, name=name, set=given_values(values), client=client, store=open_store(store))
    _print_snapshot(made, json)


def verify(
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="CID, id, name or pin of a snapshot.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run a snapshot again, in a process and a folder of its own, and tell what differs; exit 1 if anything does."""
    from stargazer.notebook.verify import verify_snapshot

    found = verify_snapshot(snapshot, store=open_store(store))
    print_json(found.to_dict()) if json else say(str(found))
    if not found.ok:
        raise typer.Exit(1)


def fetch(
    what: Annotated[str, typer.Argument(metavar="CID|BUNDLE", help="A snapshot's CID, or a bundle that has one.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Bring somebody's published snapshot: every byte is checked, and it says whose it is."""
    from stargazer.notebook.snapshots import fetch_snapshot

    _print_snapshot(fetch_snapshot(what, store=open_store(store)), json)


def _print_snapshot(found: Snapshot, json: bool) -> None:
    if json:
        print_json(found.to_dict())
        return
    content = found.content
    say(f"{found.cid}  {content['notebook']}  {found.whose}")
    say(f"  {len(content['cells'])} cells, {len(content['values'])} values, {len(content['inputs'])} inputs")


_COMMANDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "promote": (
        promote,
        ["nb promote qc.py trim --to src/lab/tasks.py --tests", "nb promote qc.py trim --check"],
    ),
    "freeze": (freeze, ["nb freeze qc.py", "nb freeze qc.py --name paper-figure-2"]),
    "verify": (verify, ["nb verify paper-figure-2"]),
    "fetch": (fetch, ["nb fetch bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"]),
}


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of notebooks."""
    for name, (command, shown) in _COMMANDS.items():
        app.command(name, epilog=examples(*shown))(command)
