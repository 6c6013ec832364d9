"""``stargazer delete``: files out of an account of a pinning service, never more than was named."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, print_json, say

__all__ = ["delete"]


def delete(
    wanted: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE…", help="cid=…, name=…, asset=… and facts; all must be so, exactly."),
    ],
    remote: Annotated[str, typer.Option("--from", metavar="REMOTE", help="Name of an account among the remotes.")],
    several: Annotated[bool, typer.Option("--all", help="Delete all that match, where several do.")] = False,
    json: JSON = False,
) -> None:
    """Delete files of an account of a pinning service.

    Where more than one file matches they are shown, and nothing is deleted without --all.
    """
    from stargazer.catalog.arguments import split_pair
    from stargazer.remotes import named

    account, facts = named(remote), dict(split_pair(each, "what to delete") for each in wanted)
    count = account.delete_all(several=several, **facts)
    if json:
        print_json({"from": account.name, "deleted": count})
    else:
        say(f"{count} deleted from {account.name}")
