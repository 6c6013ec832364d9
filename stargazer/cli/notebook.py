"""``stargazer nb``: notebooks whose cells are calls."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.known import read_value, told
from stargazer.cli.options import JSON, STORE, chosen_profile, examples, open_store, print_json, say

if TYPE_CHECKING:
    from stargazer.errors import NotebookError
    from stargazer.notebook.book import Notebook, Report
    from stargazer.notebook.whole import Whole
    from stargazer.store import Store

__all__ = ["WRONG", "app", "client_of", "given_values"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run notebooks whose cells are calls.")

INSIDE = "--in-its-environment"
"""Says that the packages of the notebook's header are there; `stargazer.notebook.elsewhere` gives it."""

WRONG = 2
"""Exit code where a notebook is wrong before anything of it runs."""


def given_values(pairs: list[str] | None) -> dict[str, Any]:
    """``name=value`` pairs; values are JSON where they can be, else texts."""
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equal, text = pair.partition("=")
        if not equal or not name.isidentifier():
            raise typer.BadParameter(f"--set {pair}: write --set NAME=VALUE")
        found[name] = read_value(text)
    return found


@app.command(epilog=examples("nb run qc.py", "nb run qc.py --set n_top=2000 --out qc.html", "nb run qc.py --plan"))
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A marimo file, percent script, .ipynb or MyST file.")],
    target: Annotated[
        str | None, typer.Option("--target", metavar="CELL", help="Only this cell or value, and what it needs.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value in place of a cell's.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and why; nothing runs.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run what is known once more.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse cells that change what others made.")] = False,
    on: Annotated[str | None, typer.Option("--on", metavar="PROFILE", help="Where the cells run.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="PAGE", help="Write a page: .html, .ipynb or .md.")
    ] = None,
    inside: Annotated[bool, typer.Option(INSIDE, hidden=True)] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run a notebook: what is known is taken from the ledger.

    Where its header (PEP 723) asks for packages that are not here, uv lays them over this environment for the run.

    Exits with 1 if a cell failed, and with 2 if the notebook is wrong before anything runs.
    """
    from stargazer.errors import NotebookError
    from stargazer.notebook.whole import find_whole, whole_key

    given, opened = given_values(values), open_store(store)
    if on:
        chosen_profile(on)
    try:
        key = whole_key(file.read_bytes(), file, target, given)
        if out is not None:
            from stargazer.notebook.pages import check_page

            check_page(out)
    except OSError as error:
        raise _wrong(NotebookError(f"{file} cannot be read: {error.strerror}"), json) from None
    except NotebookError as error:
        raise _wrong(error, json) from None
    whole = find_whole(opened, key) if key and not (again or plan or strict) else None
    if whole is not None:
        _answer(opened, file, whole, out, json)
        return
    if not inside:
        _go_where_packages_are(file, json)
    with opened:
        _run(file, target, given, plan, again, strict, on, out, json, key)


def _wrong(error: NotebookError, json: bool) -> typer.Exit:
    """Say what is wrong before anything runs; to a program as an object."""
    if json:
        print_json({"error": {"type": type(error).__name__, "message": str(error)}})
    say(f"stargazer: {error}", err=True)
    return typer.Exit(WRONG)


def _go_where_packages_are(file: Path, json: bool) -> None:
    """Start this program again where what a notebook asks for is; go on where nothing is missing."""
    if sys.argv[1:3] != ["nb", "run"]:  # called from within another program, which goes on
        return
    from stargazer.errors import NotebookError
    from stargazer.notebook.document import read_document
    from stargazer.notebook.elsewhere import with_uv

    try:
        with_uv(read_document(file), sys.argv[1:])
    except NotebookError as error:
        raise _wrong(error, json) from None


def _answer(store: Store, file: Path, whole: Whole, out: str | None, json: bool) -> None:
    """The whole notebook is known."""
    if out is not None:
        from stargazer.notebook.document import read_document
        from stargazer.notebook.order import ordered
        from stargazer.notebook.pages import write_page
        from stargazer.notebook.whole import outputs_of

        document = read_document(file)
        shown = dict(zip(ordered(document), outputs_of(store, whole), strict=True))
        say(f"wrote {write_page(document, shown, out)}", err=True)
    say(told(file, whole, json))


def _run(
    file: Path, target: str | None, given: dict[str, Any], plan: bool, again: bool, strict: bool, on: str | None,
    out: str | None, json: bool, key: str | None,
) -> None:  # fmt: skip
    from stargazer.errors import NotebookError
    from stargazer.notebook.book import Notebook, find_beside

    try:
        book = Notebook(file)
        find_beside(file)  # before workers of this machine are started, which find what this process does
        syntax = {(cell.error.line, cell.error.message) for cell in book.cells if cell.error and not cell.disabled}
        for problem in book.document.problems:
            if (problem.line, problem.message) in syntax:  # told with all else that is wrong
                continue
            say(f"stargazer: {file}, line {problem.line}: {problem.message}", err=True)
        if plan:
            _print(book.plan(target=target, set=given, again=again), json)
            return
        with client_of(on) as client:
            book.run(target=target, set=given, again=again, client=client, strict=strict)
    except NotebookError as error:
        raise _wrong(error, json) from None
    _end(book, key, out, json)


def client_of(profile: str | None) -> AbstractContextManager[Any]:
    """The client of a profile, which is closed at the end; threads of this process where there is none."""
    if not profile:
        return nullcontext()
    chosen_profile(profile)  # one that is not there is a wrong word, before anything is asked for
    from stargazer.client import connect

    return connect(profile)


def _end(book: Notebook, key: str | None, out: str | None, json: bool) -> None:
    if key is not None:
        book.keep(key)
    if out is not None:
        say(f"wrote {book.write_page(out)}", err=True)
    _print(book.report, json)
    if not book.report.success:
        if not json:
            from stargazer.notebook.shown import text_of

            for row in book.report.rows:
                if row.state == "failed":
                    say(text_of(row.outputs), err=True)
        raise typer.Exit(1)


def _print(report: Report, json: bool) -> None:
    if json:
        print_json(report.to_dict())
    else:
        say(report)


@app.callback()
def notebooks() -> None:
    """Run notebooks whose cells are calls: same code and same inputs, and the answer comes from the ledger."""
