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
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show where a file came from.

    Or, with --down, what was made of it.
    """
    from stargazer.cli.options import stored
    from stargazer.ledger.trace import trace as follow

    if mermaid and json:
        raise typer.BadParameter("--mermaid and --json: choose one")
    opened = open_store(store)
    (asset,) = stored(opened, [name])
    named = asset if len(name) == 64 else str(asset.cid)
    lineage = follow(opened, named, "down" if down else "up")
    if json:
        print_json(lineage.to_dict())
    else:
        typer.echo(lineage.to_mermaid() if mermaid else str(lineage))
