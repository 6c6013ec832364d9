"""``stargazer push`` and ``remotes``: what is stored, to other places; and which those are."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json, show_progress, stored

__all__ = ["push", "remotes"]


def push(
    names: Annotated[list[str], typer.Argument(metavar="CID-OR-ID…", help="CIDs, or ids of assets.")],
    to: Annotated[str, typer.Option("--to", metavar="REMOTE", help="Name of a remote, or path or URL of a store.")],
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Send the records of all calls that led there, too; to stores only.")
    ] = False,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="With the files that the first of these calls read.")
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Send files and directories to a remote, with their companions, under the CIDs that they have."""
    from stargazer.display import byte_progress
    from stargazer.remotes import named, push_lineage
    from stargazer.remotes import push as send

    opened, remote = open_store(store), named(to)
    assets = stored(opened, names)
    for asset in assets:
        with byte_progress(f"push {asset.name or asset.cid}", shown=show_progress()) as progress:
            if lineage or inputs:
                push_lineage(opened, asset, remote, inputs=inputs, progress=progress)
            else:
                send(opened, asset, remote, progress)
        if not json:
            typer.echo(f"{asset.cid}  {asset.name}".rstrip())
    if json:
        print_json([{"cid": asset.cid, "to": remote.name} for asset in assets])


def remotes(json: JSON = False) -> None:
    """List the remotes of the settings, in the order in which they are asked, and what each offers."""
    from stargazer.remotes import configured

    found = configured()
    if json:
        print_json(
            [
                {"name": r.name, "kind": r.kind, "url": r.url, "offers": list(r.offers), "trust": r.trusted}
                for r in found
            ]
        )
        return
    if not found:
        typer.echo("no remote is configured: see stargazer.remotes in the settings", err=True)
    for remote in found:
        typer.echo("\t".join((remote.name, remote.kind, remote.url, ", ".join(remote.offers))))
