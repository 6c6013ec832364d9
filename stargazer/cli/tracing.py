"""``stargazer trace``: where something came from, and what was made of it."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json

__all__ = ["trace"]


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
    from stargazer.ledger.trace import trace as follow

    if mermaid + json + (rocrate is not None) > 1:
        raise typer.BadParameter("--mermaid, --json and --rocrate: choose one")
    opened = open_store(store)
    (asset,) = stored(opened, [name])
    named = asset if len(name) == 64 else str(asset.cid)
    lineage = follow(opened, named, "down" if down else "up")
    if rocrate is not None:
        typer.echo(lineage.to_rocrate(rocrate) / "ro-crate-metadata.json")
    elif json:
        print_json(lineage.to_dict())
    else:
        typer.echo(lineage.to_mermaid() if mermaid else str(lineage))
