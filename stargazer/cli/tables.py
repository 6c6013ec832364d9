"""``stargazer warm``: reads what a table's scans will want, beforehand."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json, say, show_progress

__all__ = ["warm"]


def warm(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="file:///warehouse#db.events, or iceberg://CATALOG/db.events.")
    ],
    columns: Annotated[str | None, typer.Option(metavar="A,B", help="Only these columns.")] = None,
    where: Annotated[str | None, typer.Option(metavar="CONDITION", help="Only row groups that may fit.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="Id of a snapshot, or name of a branch or tag.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Read the row groups of a table into the store, so that scans of it find them there."""
    from stargazer import run
    from stargazer.runs.planner import plan
    from stargazer.tables import scan

    with open_store(store):
        names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
        found = scan(uri, names, where, snapshot)
        missing = len(plan(list(found)).to_run)
        if missing:
            run(list(found), progress=show_progress(), name="warm").result()
    told = {"uri": uri, **found.counts._asdict(), "calls": len(found), "read": missing}
    if json:
        print_json(told)
    else:
        say(f"{len(found)} parts of {found.counts.files} files are there; {missing} of them were read now")
