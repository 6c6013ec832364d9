"""``stargazer nb promote``, ``freeze``, ``verify``, ``fetch``, ``graduate``, ``env``: what becomes of a notebook."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.notebook import WRONG
from stargazer.cli.options import JSON, STORE, examples, open_store, print_json, say
from stargazer.errors import NotebookError, NotFound

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
    from stargazer.errors import StoreError
    from stargazer.notebook.book import find_beside
    from stargazer.notebook.snapshots import freeze as make
    from stargazer.store.layout import check_name

    try:
        check_name(name or "snapshot")
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None
    find_beside(notebook)
    with client_of(on) as client:
        made = make(notebook, name=name, set=given_values(values), client=client, store=open_store(store))
    _print_snapshot(made, json)


def verify(
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="CID, id, name or pin of a snapshot.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run a snapshot again, in a process and a folder of its own, and tell what differs; exit 1 if anything does."""
    from stargazer.notebook.snapshots import find_snapshot
    from stargazer.notebook.verify import verify_snapshot

    opened = open_store(store)
    try:
        there = find_snapshot(snapshot, opened)
    except NotFound as error:  # 1 says that something differs
        raise NotebookError(str(error)) from None
    if there.whose != "yours":
        say(f"stargazer: this runs the code of somebody ({there.whose}) as you", err=True)
    found = verify_snapshot(there, store=opened)
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


def graduate(
    notebook: FILE,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where it goes.")] = Path("notebooks/workflows"),
    tasks: Annotated[
        Path | None, typer.Option("--tasks", metavar="PATH", help="The module for its tasks; beside it by default.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of its tile, if its header has none.")] = "",
    description: Annotated[str, typer.Option(help="A sentence for its tile, if its header has none.")] = "",
    order: Annotated[float | None, typer.Option(help="Its place among others.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is left to do; exit 1 if anything.")] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Make a workflow for others of a notebook: promote its tasks, check what is left, move it, give it a tile."""
    from stargazer.notebook.document import read_document
    from stargazer.notebook.graduation import graduate as move
    from stargazer.notebook.graduation import left_to_do

    opened = open_store(store)
    if check:
        told = {name: value for name, value in (("title", title), ("description", description)) if value}
        wrong = left_to_do(read_document(notebook), opened, told)
        print_json({"left": wrong}) if json else say("\n".join(wrong) or "nothing is left to do")
        if wrong:
            raise typer.Exit(1)
        return
    made = move(notebook, to, tasks=tasks, title=title, description=description, order=order, store=opened)
    if json:
        print_json(made.to_dict())
        return
    for each in made.promoted:
        _print(each, dry_run=False)
    say(f"{made.tile.path}: {made.tile.title}")


def env(
    notebook: FILE,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="PKG", help="A package that it needs.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="PKG", help="One that it does not.")] = None,
    take: Annotated[
        list[Path] | None, typer.Option("--import", metavar="FILE", help="A requirements.txt or environment.yml.")
    ] = None,
    lock: Annotated[bool, typer.Option("--lock", help="Write the versions that uv chooses to NB.lock.")] = False,
    json: JSON = False,
) -> None:
    """Show or change what the header of a notebook (PEP 723) asks for; exit 1 if something is not installed here."""
    from stargazer.notebook.document import read_document
    from stargazer.notebook.elsewhere import lock as write_lock
    from stargazer.notebook.environment import missing_packages
    from stargazer.notebook.header import read_requirements, with_dependencies
    from stargazer.notebook.plaintext import bytes_for, write_whole

    wanted = [*(each for file in take or () for each in read_requirements(file)), *(add or ())]
    if wanted or remove:
        text = with_dependencies(read_document(notebook), wanted, remove or ())
        write_whole(notebook, bytes_for(notebook, text))
    locked = write_lock(notebook) if lock else None
    document = read_document(notebook)
    asked, lacking = [str(each) for each in document.script.get("dependencies", ())], missing_packages(document)
    if json:
        print_json({"dependencies": asked, "missing": lacking, "lock": str(locked) if locked else None})
    else:
        say("\n".join(asked) or "its header asks for nothing")
        for each in lacking:
            say(f"not here: {each}", err=True)
    if lacking and not (wanted or remove or lock):
        raise typer.Exit(1)


_COMMANDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "promote": (
        promote,
        ["nb promote qc.py trim --to src/lab/tasks.py --tests", "nb promote qc.py trim --check"],
    ),
    "freeze": (freeze, ["nb freeze qc.py", "nb freeze qc.py --name paper-figure-2"]),
    "verify": (verify, ["nb verify paper-figure-2"]),
    "graduate": (graduate, ["nb graduate peaks.py --title Peaks --description 'Peaks of a sample.'"]),
    "env": (env, ["nb env qc.py", "nb env qc.py --add 'polars>=1' --lock"]),
    "fetch": (fetch, ["nb fetch bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"]),
}


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of notebooks."""
    for name, (command, shown) in _COMMANDS.items():
        app.command(name, epilog=examples(*shown))(_wrong_is_2(command))


def _wrong_is_2(command: Callable[..., None]) -> Callable[..., None]:
    """What is wrong before anything is done ends with 2."""

    @functools.wraps(command)
    def run(*args: Any, json: bool = False, **options: Any) -> None:
        try:
            command(*args, json=json, **options)
        except NotebookError as error:
            if json:
                print_json({"error": {"type": type(error).__name__, "message": str(error)}})
            say(f"stargazer: {error}", err=True)
            raise typer.Exit(WRONG) from None

    return run
