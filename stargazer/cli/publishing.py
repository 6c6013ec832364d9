"""``stargazer publish``: a result as one directory with a page that explains it, at a remote."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.catalog.arguments import stored
from stargazer.cli.options import JSON, STORE, open_made_store, print_json, say, show_progress

__all__ = ["publish"]


def publish(
    name: Annotated[str, typer.Argument(metavar="RESULT", help="CID, or id or name of an asset.")],
    to: Annotated[str, typer.Option("--to", metavar="REMOTE", help="Name of a remote, or path or URL of a store.")],
    public: Annotated[
        bool, typer.Option("--public", help="Reads (FASTQ, BAM, CRAM) may go where everybody sees them.")
    ] = False,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading; the file's name by default.")] = "",
    licence: Annotated[
        str, typer.Option("--license", metavar="LICENSE", help="URL or SPDX identifier of the data's licence.")
    ] = "",
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Send a result to a remote as one directory: files, a page that explains them, bundle, RO-Crate, records.

    The remote keeps it; its address is printed. `stargazer bundle fetch ADDRESS` has all of it, and makes the same call
    known to whoever believes those who signed its records.
    """
    from stargazer import api

    opened = open_made_store(store)
    asset = stored(opened, [name])[0]
    done = api.publish(
        asset, to=to, public=public, title=title, license=licence, store=opened, progress=show_progress()
    )
    if json:
        print_json({"cid": done.cid, "to": done.remote, "links": list(done.links), "pinned": done.pinned})
        return
    say(done.cid)
    for link in done.links:
        say(f"  {link}")
    if not done.pinned:
        say(f"{done.remote} does not say that it keeps it", err=True)
