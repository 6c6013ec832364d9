"""``stargazer export``, ``import``, ``where`` and ``mirror``: what is here as CARs, and what is where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stargazer.catalog.arguments import answered, stored
from stargazer.cli.options import JSON, STORE, open_made_store, open_store, print_json, say, show_progress

__all__ = ["export", "import_", "mirror", "where"]


def export(
    name: Annotated[str, typer.Argument(metavar="CID-OR-ID", help="CID, or id of an asset.")],
    car: Annotated[str, typer.Option("--car", metavar="FILE", help="The CAR to write; it may be there already.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Write a file or directory as a CAR, which any IPFS tool reads; its CID stays what it is."""
    from stargazer.display import byte_progress
    from stargazer.remotes.cars import export_car

    opened = open_made_store(store)
    asset = stored(opened, [name])[0]
    with byte_progress(f"export {asset.name or asset.cid}", shown=show_progress()) as progress:
        path = export_car(opened, str(asset.cid), car, progress)
    if json:
        print_json({"cid": asset.cid, "path": str(path)})
    else:
        say(str(path))


def import_(
    path: Annotated[str, typer.Argument(metavar="FILE.car", help="A CAR, version 1 or 2.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Take what a CAR holds into the store, each block checked, under the CIDs that it names as its roots."""
    from stargazer.display import byte_progress
    from stargazer.remotes.cars import import_car

    with byte_progress(f"import {Path(path).name}", shown=show_progress()) as progress:
        cids = import_car(open_store(store), path, progress)
    if json:
        print_json({"cids": cids})
    else:
        say("\n".join(cids))


def where(
    cid: Annotated[str, typer.Argument(metavar="CID", help="A CID, as people paste them, or what names an asset.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Tell which places have a CID, whether they keep it, how large it is, and whether that was checked or is believed.

    The exit code is 1 where nobody has it.
    """
    from stargazer.remotes import configured
    from stargazer.remotes.places import where as places_of
    from stargazer.store.references import cid_named

    opened = open_store(store)
    found = places_of(cid_named(opened, cid), opened, configured())
    if json:
        print_json({"places": [each._asdict() for each in found]})
    else:
        for each in found:
            has = {True: "has it", False: "lacks it", None: "unknown"}[each.has]
            pinned = {True: "pinned", False: "not pinned", None: ""}[each.pinned]
            size = "" if each.size is None else f"{each.size} bytes"
            say(f"{each.name}\t{each.kind}\t{has}\t{pinned}\t{size}\t{each.told}".rstrip())
    if not any(each.has for each in found):
        raise typer.Exit(1)


def mirror(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE|CID]…", help="Facts, as for ls; or CIDs and ids. All assets by default."),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="REMOTE", help="Name of a remote, or path or URL of a store.")
    ] = "",
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Keep a remote in step: send what it lacks, and once more what it has lost.

    What cannot be sent is told, the rest goes on; the exit code is 1 then.
    """
    from stargazer.display import byte_progress
    from stargazer.remotes import named
    from stargazer.remotes.places import mirror as send

    if not to:
        raise typer.BadParameter("say where to: --to REMOTE")
    opened, remote = open_made_store(store), named(to)
    filters = [each for each in what or [] if "=" in each]
    found = answered(opened, filters)[0] if filters else [] if what else opened.assemble(missing="skip")
    assets = [*found, *stored(opened, [each for each in what or [] if "=" not in each])]
    there = [asset for asset in assets if opened.exists(asset)]
    with byte_progress(f"mirror to {remote.name}", shown=show_progress()) as progress:
        done = send(opened, there, remote, progress)
    if json:
        print_json({"to": remote.name, "sent": done.sent, "there": done.there, "failed": done.failed})
    else:
        say(f"{len(done.sent)} sent to {remote.name}, {len(done.there)} there already, {len(done.failed)} failed")
        for cid, reason in done.failed.items():
            say(f"  {cid}: {reason}", err=True)
    if done.failed:
        raise typer.Exit(1)
